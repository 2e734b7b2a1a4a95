"""Handwritten digits turning through a full circle, with frames taken out (Casale et al. 2018; the ODE²VAE slides)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from odelab.datasets.images import mnist
from odelab.datasets.sequences import FRAME, Sequences

SPLITS = ("train", "validation", "held-out")


@dataclass(frozen=True, eq=False, kw_only=True)
class RotatingDigits(Sequences):
    """Sequences of one digit each, and what was taken out of them.

    Attributes:
        truth: all frames, also those not observed, (n, angles, 1, size, size) in [0, 1].
        angle: which angle a frame shows, counted from upright and counter-clockwise, (n, angles), int64.
    """

    truth: Tensor
    angle: Tensor


def rotating_digits(
    n: int | None = None,
    *,
    digit: int = 3,
    angles: int = 16,
    size: int = 28,
    missing: int = 0,
    held_out_angle: int | None = None,
    random_start: bool = True,
    split: str = "train",
    generator: torch.Generator | None = None,
) -> RotatingDigits:
    """MNIST images of one digit, each turned counter-clockwise through a full circle: x (n, angles, 1, size, size).

    Frame k of a sequence shows angle (start + k) mod ``angles``. Frame 0 is always observed.

    Args:
        n: sequences, each of another image; all there are by default. The first n are the same whatever n.
        missing: frames taken out of each sequence, at random.
        held_out_angle: an angle that is taken out of all sequences; none starts with it. (Upright is 0.)
        random_start: each sequence starts at an angle of its own; otherwise all start upright, and the mean of the
            other digits at the same frame is hard to beat.
        split: "train" and "validation" are MNIST's training images but the last tenth, and that; "held-out" its test
            images. Without network these are 360, 40 and 100 "3"s, which `source` says.

    Raises:
        ValueError: for a split, digit, size or number of frames that is not there.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it can be {', '.join(map(repr, SPLITS))}")
    if not 0 <= missing < angles - (held_out_angle is not None):
        raise ValueError(f"missing = {missing} of {angles} frames: at least the first one is always observed")
    if held_out_angle is not None and not 0 <= held_out_angle < angles:
        raise ValueError(f"held_out_angle is {held_out_angle}; with {angles} angles it can be 0 to {angles - 1}")
    images, source, complete = _images(digit, split)
    n = len(images) if n is None else n
    if not 1 <= n <= len(images):
        raise ValueError(f"n = {n} sequences of the digit {digit} in split {split!r}: there are {len(images)}")
    draw = generator or torch.Generator().manual_seed(SPLITS.index(split))
    starts = torch.tensor([angle for angle in range(angles) if angle != held_out_angle])
    start = starts[torch.randint(len(starts), (len(images),), generator=draw)] * random_start
    if not random_start and held_out_angle == 0:
        raise ValueError("held_out_angle is 0, with which all sequences start; hold out another, or random_start=True")
    chance = torch.rand(len(images), angles, generator=draw)[:n]  # for all, so that n more change none of these
    angle = (start[:n, None] + torch.arange(angles)) % angles
    truth = rotated(images[:n], angle * (2 * math.pi / angles), size)

    held = angle == held_out_angle if held_out_angle is not None else torch.zeros_like(angle, dtype=torch.bool)
    chance[:, 0] = 2.0
    chance[held] = 2.0
    gone = held | (chance.argsort(1).argsort(1) < missing)
    return RotatingDigits(
        x=truth * ~gone[:, :, None, None, None],
        times=FRAME * torch.arange(angles),
        mask=~gone,
        source=f'{n} "{digit}"s, {split}: {source}',
        complete=complete,
        truth=truth,
        angle=angle,
    )


def digit_count(split: str = "train", digit: int = 3) -> int:
    """How many sequences `rotating_digits` has of a digit in a split."""
    return len(_images(digit, split)[0])


def rotated(images: Tensor, radians: Tensor, size: int | None = None) -> Tensor:
    """Images (n, 1, s, s) turned counter-clockwise about their centre by radians (n, T): (n, T, 1, size, size).

    Bilinear, at full resolution; then, where ``size`` is smaller, the mean over each pixel's area.

    Raises:
        ValueError: for a size that is larger than the images.
    """
    frames, side = radians.shape[1], images.shape[-1]
    size = size or side
    if not 1 <= size <= side:
        raise ValueError(f"size is {size}; the images are {side} × {side}, and are only made smaller")
    turned = []
    for part, angle in zip(images.split(500), radians.split(500), strict=True):  # to bound the memory
        c, s = angle.flatten().cos(), angle.flatten().sin()
        zero = torch.zeros_like(c)
        # Where an output pixel comes from; the y axis of images points down, which turns the sign of the angle.
        matrix = torch.stack([torch.stack([c, -s, zero], -1), torch.stack([s, c, zero], -1)], 1)
        grid = affine_grid(matrix, [len(c), 1, side, side], align_corners=False)
        frame = grid_sample(part.repeat_interleave(frames, 0), grid, align_corners=False)
        turned.append(interpolate(frame, size=(size, size), mode="area") if size < side else frame)
    return torch.cat(turned).reshape(len(images), frames, 1, size, size).clamp(0, 1)


def _images(digit: int, split: str) -> tuple[Tensor, str, bool]:
    """The split's images of that digit in [0, 1], (n, 1, 28, 28); where from; whether from all of MNIST."""
    everything = mnist("test" if split == "held-out" else "train")
    images = everything.scaled()[everything.y == digit]
    if not len(images):
        raise ValueError(f"digit is {digit}; MNIST has {', '.join(map(str, everything.y.unique().tolist()))}")
    rest = len(images) - len(images) // 10
    part = {"train": images[:rest], "validation": images[rest:], "held-out": images}[split]
    return part, everything.source, everything.complete
