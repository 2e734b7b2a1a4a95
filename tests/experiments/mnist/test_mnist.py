"""The MNIST table in a minute: its augmentation, its optimiser, and a run that was cut off."""

import math
import signal
from functools import lru_cache

import pytest
import torch

from odelab import datasets
from odelab.experiments.mnist import run as mnist
from odelab.experiments.mnist.recipe import EXPERIMENTS, LARGER
from odelab.experiments.mnist.run import evaluate, nfe_of_a_batch, random_affine, sgd, under
from odelab.experiments.reproduce import reproduce
from odelab.experiments.results import load_rows
from odelab.nets import classifier

TIMES = {"seconds_per_epoch", "cpu_seconds", "seconds"}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def blob(x: float, y: float) -> torch.Tensor:
    """A round spot at so many pixels right of and below the centre, on a background of −1: (1, 1, 28, 28)."""
    axis = torch.arange(28) - 13.5
    return 3 * torch.exp(-((axis - x) ** 2 + (axis[:, None] - y) ** 2) / 4)[None, None] - 1


def centre(image: torch.Tensor) -> tuple[float, float]:
    axis, mass = torch.arange(28) - 13.5, image[0, 0] + 1
    return ((mass.sum(0) * axis).sum() / mass.sum()).item(), ((mass.sum(1) * axis).sum() / mass.sum()).item()


def fixed(monkeypatch, **numbers: float) -> None:
    """torch.rand gives these, 0 for the middle of the range and ±1 for its ends."""
    names = ("turn", "scale", "shear", "right", "down")
    row = torch.tensor([numbers.get(name, 0.0) for name in names]) / 2 + 0.5
    monkeypatch.setattr(mnist.torch, "rand", lambda *size, **_: row[:, None].expand(size))


def test_no_change_is_the_identity(monkeypatch):
    fixed(monkeypatch)
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(random_affine(images), images, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("numbers", "place"),
    [
        ({"right": 1.0}, (4 - 2.5, 0)),
        ({"down": -1.0}, (4, 2.5)),
        ({"scale": 1.0}, (4 / 1.12, 0)),
        ({"turn": 1.0}, (4 * math.cos(math.radians(12)), -4 * math.sin(math.radians(12)))),
        ({"shear": 1.0}, (4, 0)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_change_moves_a_spot_as_far_as_the_recipe_says(monkeypatch, numbers, place):
    fixed(monkeypatch, **numbers)
    assert centre(random_affine(blob(4, 0))) == pytest.approx(place, abs=0.05)


def test_images_change_each_for_itself_and_the_background_stays():
    images = blob(0, 0).expand(16, -1, -1, -1)
    changed = random_affine(images)
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert len({tuple(round(c, 3) for c in centre(image[None])) for image in changed}) == 16
    border = torch.cat([changed[..., 0, :], changed[..., -1, :], changed[..., :, 0], changed[..., :, -1]], -1)
    torch.testing.assert_close(border, torch.full_like(border, -1.0), rtol=0, atol=1e-5)
    assert torch.equal(random_affine(torch.full((4, 1, 28, 28), -0.4242)), torch.full((4, 1, 28, 28), -0.4242))


def test_weights_decay_and_biases_do_not():
    model = classifier("resnet", channels=8, groups=4)
    decay = {
        id(p): group["weight_decay"] for group in sgd(list(model.parameters())).param_groups for p in group["params"]
    }
    assert all(decay[id(p)] == (5e-4 if p.ndim > 1 else 0) for p in model.parameters())
    assert len(decay) == len(list(model.parameters()))


def test_other_settings_are_put_back():
    model = classifier("rk-net", stem="strided", channels=8, groups=4).eval()
    x, y = torch.randn(12, 1, 28, 28), torch.arange(12) % 10
    own = evaluate(model, x, y)
    assert own["nfe"] == 4 and 0 <= own["error"] <= 100
    before = {name: value for name, value in vars(model.block).items() if name != "stats"}
    assert under(model, x, y, method="dopri5", steps=None, rtol=1e-4, atol=1e-4)["nfe"] > 4
    nfe = nfe_of_a_batch(model, x, y)
    assert nfe["nfe_forward"] > 4 and nfe["nfe_backward"] > 4
    assert before == {name: value for name, value in vars(model.block).items() if name != "stats"}
    assert all(p.grad is None for p in model.parameters())
    assert evaluate(model, x, y) == own


@lru_cache
def few(split: str, **_) -> datasets.Images:
    return datasets.mnist(split, progress=False).subset(800 if split == "train" else 100)


def without_times(result):
    if isinstance(result, dict):
        return {key: without_times(value) for key, value in result.items() if key not in TIMES}
    return [without_times(value) for value in result] if isinstance(result, list) else result


@pytest.mark.filterwarnings("ignore:.*MNIST.*")
def test_the_full_run_has_rows_on_the_features_of_the_papers_script() -> None:
    """6×6 where the others have 3×3, with the same parameters."""
    quick, full = ([key["body"] for key in EXPERIMENTS["mnist"].keys(budget)] for budget in ("lecture", "full"))
    assert set(full) - set(quick) == {body + LARGER for body in quick if body != "mlp"}
    images, sizes, parameters = torch.zeros(1, 1, 28, 28), {}, {}
    for name in ("rk-net", "rk-net-6x6", "resnet-6x6"):
        model = classifier(**mnist.ROWS[name])
        sizes[name], parameters[name] = model.stem(images).shape[-1], model.parameter_count
    assert sizes == {"rk-net": 3, "rk-net-6x6": 6, "resnet-6x6": 6}
    assert parameters["rk-net"] == parameters["rk-net-6x6"] < parameters["resnet-6x6"]


@pytest.mark.parametrize("body", ["rk-net", "mlp"])
def test_a_run_cut_off_and_resumed_gives_the_same_row(body, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "mnist", few)
    monkeypatch.setattr(mnist, "TOLERANCES", (1e-2, 1e-3))
    size = {"channels": 16, "groups": 8, "images": 640, "epochs": 1}
    monkeypatch.setitem(mnist.SIZES, "lecture", size)
    settings = {"only": [f"body={body}"], "device": "cpu", "progress": False}
    (whole,) = load_rows(reproduce("mnist", **settings, out=tmp_path / "whole.json"))
    affine, calls = mnist.random_affine, []

    def interrupting(images):
        calls.append(len(images))
        if len(calls) == 6:  # of which three were the estimate's
            signal.raise_signal(signal.SIGINT)
        return affine(images)

    monkeypatch.setattr(mnist, "random_affine", interrupting)
    cut = tmp_path / "cut.json"
    with pytest.raises(KeyboardInterrupt):
        reproduce("mnist", **settings, out=cut)
    (resumed,) = load_rows(reproduce("mnist", **settings, out=cut, resume=True))
    assert calls == [128] * (5 + 2 * 3)
    assert without_times(resumed.result) == without_times(whole.result)
    assert resumed.key == {"body": body} and 0 < resumed.result["test_error"] < 100
    assert ("dial" in resumed.result) == (body == "rk-net")
    assert len(resumed.result["mistakes"]) == resumed.result["test_error"]  # of a hundred images
    assert [sorted(file.suffix for file in tmp_path.rglob("*.safetensors"))] == [
        []
    ]  # checkpoints gone, no weights shipped


def test_the_full_run_insists_on_the_whole_data(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "mnist", few)
    with pytest.raises(ValueError, match="the full run needs all of MNIST, and there is only 800"):
        reproduce(
            "mnist", budget="full", only=["body=mlp"], seeds=[0], device="cpu", progress=False, out=tmp_path / "x.json"
        )
    assert not list(tmp_path.iterdir())
