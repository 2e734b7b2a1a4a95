"""Families of series on a common grid: sines, cycles of hunters and prey, digits that turn."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from odelab import solve
from odelab.datasets import rotating_digits
from odelab.experiments.neural_processes.recipe import TASKS

NOISE = {"sines": 0.05, "hunters": 0.05, "digit": 0.0}
SIDE, ANGLES = 14, 16
LENGTH, POINTS = 10.0, 41  # of sines and cycles
CHANNELS = {"sines": 1, "hunters": 2, "digit": SIDE**2}


@dataclass(frozen=True, eq=False)
class Family:
    """Series of one family.

    Attributes:
        times: (T,); y: (n, T, channels), with noise; truth: the same without.
    """

    times: Tensor
    y: Tensor
    truth: Tensor


def family(task: str, n: int, split: str = "train", seed: int = 0) -> Family:
    """So many series: always the same for a split and a seed. A test's series are not among those of the training.

    Raises:
        ValueError: for a task that is not there.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; it can be {', '.join(TASKS)}")
    generator = torch.Generator().manual_seed(2 * seed + (split != "train"))
    times = torch.linspace(0, LENGTH, POINTS)
    if task == "sines":
        amplitude, shift = torch.rand(2, n, 1, generator=generator)
        truth = sines(times, 2 * amplitude - 1, shift - 0.5)[..., None]
    elif task == "hunters":
        truth = cycles(0.25 + 0.75 * torch.rand(n, generator=generator), times)
    else:
        times = torch.linspace(0, ANGLES - 1, ANGLES) / 4
        truth = digits(split)[:n]
    noise = torch.randn(truth.shape, generator=generator)
    return Family(times, truth + NOISE[task] * noise, truth)


def sines(times: Tensor, amplitude: Tensor, shift: Tensor) -> Tensor:
    """a sin(t − 5 − b): Norcliffe et al.'s sines on [−5, 5], on a clock that begins at 0."""
    return amplitude * torch.sin(times - LENGTH / 2 - shift)


def cycles(size: Tensor, times: Tensor) -> Tensor:
    """Prey and hunters (n, T, 2) from (2 size, size), with Norcliffe et al.'s rates 2/3, 4/3, 1, 1."""

    def slopes(t: Tensor, y: Tensor) -> Tensor:
        prey, hunters = y.unbind(-1)
        return torch.stack([2 / 3 * prey - 4 / 3 * prey * hunters, prey * hunters - hunters], -1)

    start = torch.stack([2 * size, size], -1)
    return solve(slopes, start, times, rtol=1e-6, atol=1e-6).y.movedim(0, 1)  # type: ignore[union-attr]


@cache
def digits(split: str) -> Tensor:
    """Handwritten 3s of MNIST in 16 positions of a full turn, all from upright: (n, 16, 196) in [0, 1]."""
    few = rotating_digits(
        None if split != "train" else 360,
        angles=ANGLES,
        size=SIDE,
        random_start=False,
        split="train" if split == "train" else "held-out",
    )
    return few.truth.flatten(2)


def choose(shape: tuple[int, int], least: int, most: int, generator: torch.Generator | None = None) -> Tensor:
    """bool (n, T): in each row a random number of points, from ``least`` to ``most``, at random places.

    Raises:
        ValueError: where there are not so many points.
    """
    n, points = shape
    if not 0 <= least <= most <= points:
        raise ValueError(f"from {least} to {most} points of {points}: at least 0, at most all, and least before most")
    count = torch.randint(least, most + 1, (n, 1), generator=generator)
    rank = torch.rand(n, points, generator=generator).argsort(1).argsort(1)
    return rank < count
