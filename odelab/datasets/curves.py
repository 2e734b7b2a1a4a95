"""Densities of points scattered around curves and centres: mixtures whose sum, or integral, has one dimension.

Each function takes points x (…, 2) and returns log-densities (…,) in float64. An integral over a curve's parameter is
replaced by Gauss–Legendre nodes, which makes it a finite mixture too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.special import i0e

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
    each = [i0e(r * R / sigma**2).log() - (r - R) ** 2 / (2 * sigma**2) for R in radii]
    return torch.stack(each).logsumexp(0) - math.log(len(radii) * 2 * math.pi * sigma**2)


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
