"""The pinwheel: Gaussian blades bent by a rotation that grows with the radius; its density by change of variables."""

import math

import torch
from torch import Tensor

BLADES, RADIAL, TANGENTIAL, RATE = 5, 0.3, 0.1, 0.25
ROWS = 512
BRACKETS = 128  # in which solutions are looked for
BISECTIONS, NEWTON = 12, 3  # steps by which they are refined


def pinwheel(n: int, generator: torch.Generator | None) -> Tensor:
    """x = 2 R(ρ, τ) with ρ ~ N(1, 0.3²), τ ~ N(0, 0.1²), R turning by −(2πk/5 + ¼e^ρ) and k uniform: (n, 2)."""
    rho, tau = torch.randn(2, n, generator=generator) * torch.tensor([[RADIAL], [TANGENTIAL]])
    rho = rho + 1
    angle = 2 * math.pi / BLADES * torch.randint(BLADES, (n,), generator=generator) + RATE * rho.exp()
    cos, sin = angle.cos(), angle.sin()
    return 2 * torch.stack([rho * cos + tau * sin, tau * cos - rho * sin], -1)


def pinwheel_log_prob(x: Tensor) -> Tensor:
    """Log-density, x (…, 2) to (…,), float64; first derivatives are right, second ones are not.

    A point with |x| = 2r is reached by blade k from every ρ that solves r cos(θ + 2πk/5 + ¼e^ρ) = ρ, θ its polar
    angle; there is at least one solution in [−r, r]. All are found, by bisection and Newton's steps, and their
    densities summed, each divided by |det| = 4 |1 + ¼e^ρ τ|, τ = r sin(…). Two solutions meet where the plane folds,
    ¼e^ρ τ = −1: more than five standard deviations out.
    """
    parts = [_log_prob(part) for part in x.reshape(-1, 2).double().split(ROWS)]
    return torch.cat(parts).reshape(x.shape[:-1])


def _unbend(x: Tensor, blade: Tensor, rho: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turns x back by the angle that belongs to ρ: what is left along ρ, along τ, and the angle's derivative."""
    slope = RATE * rho.exp()
    angle = 2 * math.pi / BLADES * blade + slope
    cos, sin = angle.cos(), angle.sin()
    u, v = x[..., 0] / 2, x[..., 1] / 2
    return u * cos - v * sin, u * sin + v * cos, slope


def _log_prob(x: Tensor) -> Tensor:
    point, blade, rho = _solutions(x.detach())
    there = x[point]
    for _ in range(NEWTON):
        along, tau, slope = _unbend(there, blade, rho)
        rho = rho + (along - rho) / (1 + slope * tau).detach()  # the gradient flows through the last step
    _, tau, slope = _unbend(there, blade, rho)
    exponent = -(((rho - 1) / RADIAL) ** 2 + (tau / TANGENTIAL) ** 2) / 2 - (4 * (1 + slope * tau).abs()).log()
    largest = torch.full_like(x[:, 0], -math.inf).scatter_reduce(0, point, exponent.detach(), "amax")
    total = torch.zeros_like(x[:, 0]).index_add(0, point, (exponent - largest[point]).exp())
    return largest + total.log() - math.log(BLADES * 2 * math.pi * RADIAL * TANGENTIAL)


@torch.no_grad()
def _solutions(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of points (n, 2), every ρ that some blade turns to the right place: which point, which blade, ρ; each (m,)."""
    reach = x.norm(dim=-1) / 2 + 1e-9  # a little more than r: the residual then changes sign even for τ = 0
    edges = reach[:, None] * torch.linspace(-1, 1, BRACKETS + 1, dtype=x.dtype, device=x.device)
    blades = torch.arange(BLADES, device=x.device)[:, None, None]
    turned = torch.atan2(x[:, 1], x[:, 0])[:, None] + RATE * edges.exp() + 2 * math.pi / BLADES * blades
    positive = turned.cos() * (reach[:, None] - 1e-9) > edges
    blade, point, cell = (positive[..., 1:] != positive[..., :-1]).nonzero(as_tuple=True)
    low, high, falls = edges[point, cell], edges[point, cell + 1], positive[blade, point, cell]
    there = x[point]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        right = (_unbend(there, blade, middle)[0] > middle) == falls
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    return point, blade, (low + high) / 2
