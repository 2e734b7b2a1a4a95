"""Spirals seen at irregular times: the data of the latent ODE (Chen et al. 2018, section 5.1), with our own curve."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from odelab.datasets.sequences import Sequences

GROWTH = 0.3  # radius per radian
CURVE = 500  # points
SPACING = 6 * math.pi / CURVE  # radians, and units of time, between two of them


@dataclass(frozen=True, eq=False, kw_only=True)
class Spirals(Sequences):
    """Windows of an Archimedean spiral or its mirror image, walked outwards: x (n, points, 2).

    Attributes:
        x: noisy where observed, 0 elsewhere.
        times: (points,), from 0.
        mask: (n, points), `kept` of them true.
        truth: the window without noise, (n, points, 2).
        before, after: without noise, as many points before and after the window, (n, points, 2).
        clockwise: (n,), bool: the mirror image.
        noise: standard deviation of the noise in each coordinate.
    """

    truth: Tensor
    before: Tensor
    after: Tensor
    clockwise: Tensor
    noise: float

    @property
    def curve(self) -> Tensor:
        """Before, window and after in one, without noise: (n, 3 points, 2)."""
        return torch.cat([self.before, self.truth, self.after], 1)

    @property
    def curve_times(self) -> Tensor:
        """Times of `curve`, (3 points,): below 0 before the window."""
        points = len(self.times)
        return torch.arange(-points, 2 * points) * SPACING


def spirals(
    n: int,
    *,
    kept: int = 30,
    points: int = 100,
    noise: float = 0.3,
    margin: int | None = None,
    generator: torch.Generator | None = None,
) -> Spirals:
    """n windows of the spiral r = 0.3 φ, 0 ≤ φ ≤ 6π, half of them of its mirror image, each from a random place.

    Time is the angle turned since the window's first point; 500 points at equal angles are the whole curve. The same
    generator gives the same spirals and noise whatever ``kept`` is, and the points kept of few are among those of many.

    Args:
        kept: observed points of every window, at random places.
        points: of a window.
        noise: standard deviation, in each coordinate, of what is observed.
        margin: points of the curve left free at both ends, as many as a window's by default. With margin = 0, to train
            on, windows come from the whole curve; with the default, `before` and `after` are on it, too.

    Raises:
        ValueError: for numbers that cannot be.
    """
    margin = points if margin is None else margin
    last = CURVE - points - margin
    if n < 1 or not 1 <= kept <= points or points < 2 or noise < 0 or not 0 <= margin <= last:
        raise ValueError(
            f"spirals(n={n}, kept={kept}, points={points}, noise={noise}, margin={margin}): needs n ≥ 1, noise ≥ 0, "
            f"1 ≤ kept ≤ points, margin ≥ 0, and points + 2 margin ≤ {CURVE}, the points of the whole curve"
        )
    mirrored = torch.randperm(n, generator=generator) < n // 2
    start = torch.randint(margin, last + 1, (n,), generator=generator)
    angle = (start[:, None] + torch.arange(-points, 2 * points)) * SPACING
    flip = torch.where(mirrored, -1.0, 1.0)[:, None]
    curve = GROWTH * angle[..., None] * torch.stack([angle.cos(), flip * angle.sin()], -1)
    before, truth, after = curve.split(points, 1)
    noisy = truth + noise * torch.randn(n, points, 2, generator=generator)
    mask = torch.rand(n, points, generator=generator).argsort(1).argsort(1) < kept
    return Spirals(
        x=torch.where(mask[..., None], noisy, 0.0),
        times=torch.arange(points) * SPACING,
        mask=mask,
        source="spirals r = 0.3 φ and their mirror images",
        truth=truth,
        before=before,
        after=after,
        clockwise=mirrored,
        noise=noise,
    )
