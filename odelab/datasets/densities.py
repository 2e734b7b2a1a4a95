"""The eight densities on which flows in the plane are shown, each with its exact log-density and its entropy.

They are FFJORD's toy problems (Grathwohl et al., 2019) in their widely used sizes, with independent labels instead of
equally filled classes, so that a sample is exactly independent draws from the density that `log_prob` gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from odelab.datasets import curves
from odelab.datasets.pinwheel import pinwheel, pinwheel_log_prob
from odelab.datasets.plane import plane_grid


@dataclass(frozen=True, eq=False)
class Density:
    """A probability density in the plane that can be sampled and evaluated.

    Attributes:
        name: one of `DENSITIES`.
        recipe: how a point is drawn.
        half_width: a plot on [−half_width, half_width]² shows it whole.
        reach: less than 1e-6 of the mass lies outside [−reach, reach]².
        detail: standard deviation of its finest feature, which a grid must resolve.
    """

    name: str
    recipe: str
    draw: Callable[[int, Generator | None], Tensor]
    log_density: Callable[[Tensor], Tensor]
    detail: float
    reach: float
    half_width: float = 4.0

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Independent points (n, 2), float32, on the CPU; without a generator from torch's global one."""
        return self.draw(n, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Natural logarithm of the density at x (…, 2): (…,), of x's dtype; −inf outside the checkerboard's squares.

        Computed in float64. Closed form where there is one (8gaussians, circles, rings, checkerboard), change of
        variables (pinwheel), Gauss–Legendre quadrature along the curve (swissroll, moons, 2spirals), right to 1e-5
        and better on the plot window. Differentiable.

        Raises:
            ValueError: when the last axis of x does not have two entries.
        """
        if x.shape[-1:] != (2,):
            raise ValueError(f"log_prob of {self.name} takes points (…, 2), got a tensor of shape {tuple(x.shape)}")
        return self.log_density(x).to(x.dtype)

    def grid(self, n: int, half_width: float | None = None) -> tuple[Tensor, float]:
        """Centres of n × n cells of the plot window, (n, n, 2), float64, and a cell's area; see `plane_grid`."""
        return plane_grid(self.half_width if half_width is None else half_width, n)

    @cached_property
    def entropy(self) -> float:
        """−E log p in nats, the lowest negative log-likelihood a model can reach; by the midpoint rule, to 1e-4."""
        if self.name == "checkerboard":
            return math.log(32)
        points, area = self.grid(math.ceil(2 * self.reach / (0.8 * self.detail)), self.reach)
        log_p = self.log_density(points)
        return -(log_p.exp() * log_p).sum().item() * area


def _noise(points: Tensor, sigma: float, generator: Generator | None) -> Tensor:
    return points + sigma * torch.randn(points.shape, generator=generator)


def _circles(n: int, generator: Generator | None, radii: tuple[float, ...], sigma: float) -> Tensor:
    radius = torch.tensor(radii)[torch.randint(len(radii), (n,), generator=generator)]
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    return _noise(radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1), sigma, generator)


def _roll(n: int, generator: Generator | None) -> Tensor:
    return _noise(curves.roll(1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))), 0.2, generator)


def _moons(n: int, generator: Generator | None) -> Tensor:
    angle, lower = math.pi * torch.rand(n, generator=generator), torch.randint(2, (n,), generator=generator) == 1
    return _noise(curves.moons(angle, lower), 0.2, generator)


def _spirals(n: int, generator: Generator | None) -> Tensor:
    t = curves.SPIRAL_END * torch.rand(n, generator=generator).sqrt()
    sign = 2.0 * torch.randint(2, (n, 1), generator=generator) - 1
    return _noise(sign * (curves.spiral(t) + torch.rand(n, 2, generator=generator) / 6), 0.1, generator)


EIGHTHS = torch.arange(8, dtype=torch.float64) * math.pi / 4
CENTRES = 4 * torch.stack([EIGHTHS.cos(), EIGHTHS.sin()], 1) / 1.414


def _gaussians(n: int, generator: Generator | None) -> Tensor:
    return _noise(CENTRES.float()[torch.randint(8, (n,), generator=generator)], 0.5 / 1.414, generator)


def _gaussians_log_prob(x: Tensor) -> Tensor:
    return curves.log_mixture(x, CENTRES, torch.full((8,), 0.125, dtype=torch.float64), curves.gaussian(0.5 / 1.414))


def _checkerboard(n: int, generator: Generator | None) -> Tensor:
    column, pair = torch.randint(4, (n,), generator=generator), torch.randint(2, (n,), generator=generator)
    corner = torch.stack([column, 2 * pair + column % 2], 1)
    return 2 * (corner + torch.rand(n, 2, generator=generator)) - 4


def _checkerboard_log_prob(x: Tensor) -> Tensor:
    cell = (x.double() / 2).floor()
    inside = (cell.sum(-1) % 2 == 0) & (cell >= -2).all(-1) & (cell <= 1).all(-1)
    return torch.where(inside, -math.log(32), -math.inf)


def _concentric(name: str, recipe: str, radii: tuple[float, ...], sigma: float) -> Density:
    return Density(
        name,
        recipe,
        lambda n, generator: _circles(n, generator, radii, sigma),
        lambda x: curves.circles_log_prob(x, radii, sigma),
        sigma,
        radii[0] + 6 * sigma,
    )


_ALL = {
    d.name: d
    for d in (
        Density(
            "swissroll",
            "(t cos t, t sin t)/5 with t uniform from 1.5π to 4.5π, noise 0.2",
            _roll,
            lambda x: curves.roll_log_prob(x, 0.2, 256),
            0.2,
            4.2,
        ),
        _concentric("circles", "two circles of radii 3 and 1.5, noise 0.24", (3.0, 1.5), 0.24),
        _concentric("rings", "four circles of radii 3, 2.25, 1.5 and 0.75, noise 0.08", (3.0, 2.25, 1.5, 0.75), 0.08),
        Density(
            "moons",
            "two interleaved half circles of radius 2, angle uniform, noise 0.2",
            _moons,
            lambda x: curves.moons_log_prob(x, 0.2, 96),
            0.2,
            4.2,
        ),
        Density(
            "8gaussians",
            "eight Gaussians of standard deviation 0.5 on a circle of radius 4, all divided by 1.414",
            _gaussians,
            _gaussians_log_prob,
            0.5 / 1.414,
            5.2,
        ),
        Density(
            "pinwheel",
            "five Gaussian blades, ρ ~ N(1, 0.3²) by τ ~ N(0, 0.1²), turned by ¼e^ρ, times 2",
            pinwheel,
            pinwheel_log_prob,
            0.12,
            5.2,
        ),
        Density(
            "2spirals",
            "(−t cos t, t sin t)/3 with t = 3π√U, plus a uniform point of [0, 1/6]², or its mirror image; noise 0.1",
            _spirals,
            lambda x: curves.spirals_log_prob(x, 1 / 6, 0.1, 384),
            0.1,
            4.0,
        ),
        Density(
            "checkerboard",
            "uniform on eight of the sixteen squares of side 2 in [−4, 4]²",
            _checkerboard,
            _checkerboard_log_prob,
            2.0,
            4.0,
        ),
    )
}
DENSITIES = tuple(_ALL)


def density(name: str) -> Density:
    """The density of that name.

    Raises:
        ValueError: when it is none of `DENSITIES`.
    """
    if name not in _ALL:
        raise ValueError(f"no density {name!r}; there are {', '.join(DENSITIES)}")
    return _ALL[name]
