"""Digits that turn: which way, from where, and what is taken out of them."""

import importlib
import math

import pytest
import torch

from odelab.datasets import Images, rotating_digits
from odelab.datasets.rotating_digits import rotated


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """MNIST replaced by 40 images of which 20 are "3"s, each with its number written into one pixel; 10 to test on."""

    def images(split="train"):
        n = 40 if split == "train" else 10
        x = torch.zeros(n, 1, 28, 28, dtype=torch.uint8)
        x[:, 0, 8:20, 10:13] = 250  # an upright bar, left of the middle
        x[torch.arange(n), 0, 13, 16] = torch.arange(n, dtype=torch.uint8) + 100 * (split == "test")
        return Images(x, torch.tensor([3, 5] * (n // 2)), f"drawn, {split}", complete=False)

    # The function has its module's name, and hides it from the attribute's path.
    monkeypatch.setattr(importlib.import_module("odelab.datasets.rotating_digits"), "mnist", images)


def test_shapes_and_splits():
    train, validation, test = (rotating_digits(split=split) for split in ("train", "validation", "held-out"))
    assert train.x.shape == (18, 16, 1, 28, 28) and len(validation) == 2 and len(test) == 5
    assert train.mask.all() and torch.equal(train.x, train.truth) and train.times[1] == pytest.approx(0.1)
    assert train.x.min() >= 0 and train.x.max() <= 1 and not train.complete
    assert '18 "3"s' in train.source and "drawn, train" in train.source and "drawn, test" in test.source


def test_no_digit_is_in_two_splits():
    upright = {split: rotating_digits(split=split, random_start=False) for split in ("train", "validation", "held-out")}
    numbers = [set((255 * x.x[:, 0, 0, 13, 16]).round().int().tolist()) for x in upright.values()]
    assert len(set.union(*numbers)) == 18 + 2 + 5 == sum(map(len, numbers))


def test_a_quarter_turn_is_counter_clockwise():
    image = torch.rand(2, 1, 28, 28)
    turned = rotated(image, torch.tensor([[0.0, math.pi / 2, math.pi, 2 * math.pi]]).expand(2, 4))
    for k, quarters in enumerate((0, 1, 2, 0)):
        assert torch.allclose(turned[:, k], image.rot90(quarters, (2, 3)), atol=1e-4)


def test_small_frames_are_means_over_areas():
    image = torch.rand(1, 1, 28, 28)
    small = rotated(image, torch.zeros(1, 1), 14)[0, 0, 0]
    assert torch.allclose(small, image[0, 0].unfold(0, 2, 2).unfold(1, 2, 2).mean((2, 3)), atol=1e-5)


def test_frames_show_the_angle_they_say():
    upright = rotating_digits(6, random_start=False)
    turned = rotating_digits(6, random_start=True)
    assert upright.angle.tolist() == [list(range(16))] * 6 and len(turned.angle[:, 0].unique()) > 2
    rows = torch.arange(6)[:, None]
    assert torch.allclose(turned.truth, upright.truth[rows, turned.angle], atol=1e-5)


def test_what_is_taken_out():
    gone = rotating_digits(18, missing=4, held_out_angle=5)
    assert gone.mask.sum(1).tolist() == [11] * 18 and gone.mask[:, 0].all()
    assert not gone.mask[gone.angle == 5].any() and (gone.angle[:, 0] != 5).all()
    assert torch.equal(gone.x, gone.truth * gone.mask[:, :, None, None, None]) and gone.truth.flatten(2).any(2).all()
    assert len({tuple(row) for row in (~gone.mask & (gone.angle != 5)).tolist()}) > 10  # at random, not all the same
    assert rotating_digits(18, missing=4).mask.sum(1).tolist() == [12] * 18


def test_seeded_and_indexed():
    one, same = (rotating_digits(9, missing=4, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    other = rotating_digits(9, missing=4, generator=torch.Generator().manual_seed(4))
    assert torch.equal(one.x, same.x) and torch.equal(one.mask, same.mask)
    assert not torch.equal(one.angle, other.angle)
    fewer = rotating_digits(5, missing=4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(one.x[:5], fewer.x)
    assert torch.equal(one.angle[:5], fewer.angle)
    part = one[[4, 2]].to("cpu")
    assert torch.equal(part.truth, one.truth[[4, 2]]) and torch.equal(part.angle, one.angle[[4, 2]]) and len(part) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"split": "test"}, "split is 'test'; it can be 'train', 'validation', 'held-out'"),
        ({"n": 19}, "n = 19 sequences of the digit 3 in split 'train': there are 18"),
        ({"digit": 7}, "digit is 7; MNIST has 3, 5"),
        ({"missing": 16}, "missing = 16 of 16 frames"),
        ({"missing": 15, "held_out_angle": 2}, "at least the first one is always observed"),
        ({"held_out_angle": 16}, "it can be 0 to 15"),
        ({"held_out_angle": 0, "random_start": False}, "with which all sequences start"),
        ({"size": 56}, "size is 56; the images are 28 × 28"),
    ],
)
def test_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        rotating_digits(**settings)
