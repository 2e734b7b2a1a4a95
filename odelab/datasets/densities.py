"""The eight densities on which flows in the plane are shown, each with its exact log-density and its entropy.

They are FFJORD's toy problems (Grathwohl et al., 2019) in their widely used sizes, with independent labels instead of
equally filled classes, so that a sample is exactly independent draws from the density that `log_prob` gives.

An integral over a curve's parameter is replaced by Gauss–Legendre nodes, which makes the density a finite mixture. The
functions below take points x (…, 2) and return log-densities (…,) in float64.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
import torch
from torch import Generator, Tensor
from torch.special import i0e

from odelab.choices import choose
from odelab.datasets.pinwheel import pinwheel, pinwheel_log_prob
from odelab.datasets.plane import plane_grid

CHUNK = 2**17  # pairs of point and centre worked on at once: intermediate results of 1 MB stay in the cache
SPIRAL_END = 3 * math.pi


@lru_cache
def legendre(a: float, b: float, nodes: int) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes on [a, b] and weights that add up to b − a: (nodes,), (nodes,), float64."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return torch.from_numpy(a + (b - a) * (x + 1) / 2), torch.from_numpy(w * (b - a) / 2)


def log_mixture(x: Tensor, centres: Tensor, weights: Tensor, log_kernel: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """log Σᵢ weightsᵢ kernel(x − centresᵢ), for log_kernel(Δx, Δy), centres (m, 2) and weights (m,)."""
    centres, log_weights = centres.to(x.device), weights.log().to(x.device)
    parts = [
        (log_kernel(part[:, :1] - centres[:, 0], part[:, 1:] - centres[:, 1]) + log_weights).logsumexp(1)
        for part in x.reshape(-1, 2).double().split(max(1, CHUNK // len(centres)))
    ]
    return torch.cat(parts).reshape(x.shape[:-1])


def gaussian(sigma: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The log-density of N(0, σ²I) in the plane."""
    constant = math.log(2 * math.pi * sigma**2)
    return lambda dx, dy: -(dx**2 + dy**2) / (2 * sigma**2) - constant


def blurred_square(width: float, sigma: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The log-density of a uniform point of the square [0, width]² plus N(0, σ²I): a product of differences of Φ.

    Where erfc would underflow its asymptotic series continues it, so that the logarithm is finite everywhere.
    """
    far, scale = 18.0, sigma * math.sqrt(2)

    def one_axis(d: Tensor) -> tuple[Tensor, Tensor]:
        """Two parts a, b of the density on one axis, a exp(b) up to a factor; b = 0 unless d is far away."""
        distance = (d - width / 2).abs()
        u = (distance - width / 2) / scale
        beyond = u.clamp(min=far)
        inverse = beyond**-2
        shift = u - u.clamp(max=far)
        difference = torch.erfc(u - shift) - torch.erfc(u - shift + width / scale)
        return difference / beyond, -(beyond**2) - inverse / 2 + inverse**2 * (5 / 8)

    constant = 2 * (math.log(2 * width / far) - far**2 - far**-2 / 2 + far**-4 * 5 / 8)

    def log_density(dx: Tensor, dy: Tensor) -> Tensor:
        (ax, bx), (ay, by) = one_axis(dx), one_axis(dy)
        return (ax * ay).log() + bx + by - constant

    return log_density


def circles_log_prob(x: Tensor, radii: tuple[float, ...], sigma: float) -> Tensor:
    """Concentric circles, equally likely, angle uniform, plus N(0, σ²I): closed form, with the Bessel function I₀."""
    r = x.double().norm(dim=-1)
    circles = [i0e(r * R / sigma**2).log() - (r - R) ** 2 / (2 * sigma**2) for R in radii]
    return torch.stack(circles).logsumexp(0) - math.log(len(radii) * 2 * math.pi * sigma**2)


def roll(t: Tensor) -> Tensor:
    """The Swiss roll seen from its end, t from 1.5π to 4.5π: (…, 2)."""
    return t[..., None] * torch.stack([t.cos(), t.sin()], -1) / 5


def moons(angle: Tensor, lower: Tensor) -> Tensor:
    """Two half circles of radius 2, angle from 0 to π; `lower` (bool) says which: (…, 2)."""
    x = torch.where(lower, 1 - angle.cos(), angle.cos())
    y = torch.where(lower, 0.5 - angle.sin(), angle.sin())
    return torch.stack([2 * x - 1, 2 * y - 0.2], -1)


def spiral(t: Tensor) -> Tensor:
    """One arm of the two spirals, t from 0 to 3π: (…, 2)."""
    return t[..., None] * torch.stack([-t.cos(), t.sin()], -1) / 3


def roll_log_prob(x: Tensor, sigma: float, nodes: int) -> Tensor:
    """t uniform on the Swiss roll, plus N(0, σ²I)."""
    t, w = legendre(1.5 * math.pi, 4.5 * math.pi, nodes)
    return log_mixture(x, roll(t), w / w.sum(), gaussian(sigma))


def moons_log_prob(x: Tensor, sigma: float, nodes: int) -> Tensor:
    """Angle uniform on either moon, plus N(0, σ²I)."""
    t, w = legendre(0.0, math.pi, nodes)
    lower = torch.arange(2)[:, None] == 1
    return log_mixture(x, moons(t, lower).reshape(-1, 2), (w / w.sum() / 2).repeat(2), gaussian(sigma))


def spirals_log_prob(x: Tensor, width: float, sigma: float, nodes: int) -> Tensor:
    """t with density ∝ t on one arm, plus a uniform point of [0, width]², plus N(0, σ²I); the other arm is its mirror
    image through the origin."""
    t, w = legendre(0.0, SPIRAL_END, nodes)
    weights, kernel = t * w / (t * w).sum() / 2, blurred_square(width, sigma)
    return torch.logaddexp(*(log_mixture(s * x, spiral(t), weights, kernel) for s in (1, -1)))


@dataclass(frozen=True, eq=False)
class Density:
    """A probability density in the plane that can be sampled and evaluated.

    Attributes:
        name: one of `DENSITIES`.
        half_width: a plot on [−half_width, half_width]² shows it whole.
        reach: less than 1e-6 of the mass lies outside [−reach, reach]².
        detail: standard deviation of its finest feature, which a grid must resolve.
    """

    name: str
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
    return _noise(roll(1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))), 0.2, generator)


def _moons(n: int, generator: Generator | None) -> Tensor:
    angle, lower = math.pi * torch.rand(n, generator=generator), torch.randint(2, (n,), generator=generator) == 1
    return _noise(moons(angle, lower), 0.2, generator)


def _spirals(n: int, generator: Generator | None) -> Tensor:
    t = SPIRAL_END * torch.rand(n, generator=generator).sqrt()
    sign = 2.0 * torch.randint(2, (n, 1), generator=generator) - 1
    return _noise(sign * (spiral(t) + torch.rand(n, 2, generator=generator) / 6), 0.1, generator)


EIGHTHS = torch.arange(8, dtype=torch.float64) * math.pi / 4
CENTRES = 4 * torch.stack([EIGHTHS.cos(), EIGHTHS.sin()], 1) / 1.414


def _gaussians(n: int, generator: Generator | None) -> Tensor:
    return _noise(CENTRES.float()[torch.randint(8, (n,), generator=generator)], 0.5 / 1.414, generator)


def _gaussians_log_prob(x: Tensor) -> Tensor:
    return log_mixture(x, CENTRES, torch.full((8,), 0.125, dtype=torch.float64), gaussian(0.5 / 1.414))


def _checkerboard(n: int, generator: Generator | None) -> Tensor:
    column, pair = torch.randint(4, (n,), generator=generator), torch.randint(2, (n,), generator=generator)
    corner = torch.stack([column, 2 * pair + column % 2], 1)
    return 2 * (corner + torch.rand(n, 2, generator=generator)) - 4


def _checkerboard_log_prob(x: Tensor) -> Tensor:
    cell = (x.double() / 2).floor()
    inside = (cell.sum(-1) % 2 == 0) & (cell >= -2).all(-1) & (cell <= 1).all(-1)
    return torch.where(inside, -math.log(32), -math.inf)


def _concentric(name: str, radii: tuple[float, ...], sigma: float) -> Density:
    draw, log_density = partial(_circles, radii=radii, sigma=sigma), partial(circles_log_prob, radii=radii, sigma=sigma)
    return Density(name, draw, log_density, sigma, radii[0] + 6 * sigma)


_ALL = {
    d.name: d
    for d in (
        # (t cos t, t sin t)/5 with t uniform from 1.5π to 4.5π, noise 0.2
        Density("swissroll", _roll, lambda x: roll_log_prob(x, 0.2, 256), 0.2, 4.2),
        _concentric("circles", (3.0, 1.5), 0.24),
        _concentric("rings", (3.0, 2.25, 1.5, 0.75), 0.08),
        # two interleaved half circles of radius 2, angle uniform, noise 0.2
        Density("moons", _moons, lambda x: moons_log_prob(x, 0.2, 96), 0.2, 4.2),
        # eight Gaussians of standard deviation 0.5 on a circle of radius 4, all divided by 1.414
        Density("8gaussians", _gaussians, _gaussians_log_prob, 0.5 / 1.414, 5.2),
        # five Gaussian blades, ρ ~ N(1, 0.3²) by τ ~ N(0, 0.1²), turned by ¼e^ρ, times 2
        Density("pinwheel", pinwheel, pinwheel_log_prob, 0.12, 5.2),
        # (−t cos t, t sin t)/3 with t = 3π√U, plus a uniform point of [0, 1/6]², or its mirror image; noise 0.1
        Density("2spirals", _spirals, lambda x: spirals_log_prob(x, 1 / 6, 0.1, 384), 0.1, 4.0),
        # uniform on eight of the sixteen squares of side 2 in [−4, 4]²
        Density("checkerboard", _checkerboard, _checkerboard_log_prob, 2.0, 4.0),
    )
}
DENSITIES = tuple(_ALL)


def density(name: str) -> Density:
    """The density of that name.

    Raises:
        ValueError: when it is none of `DENSITIES`.
    """
    return choose(_ALL, name, "density")
