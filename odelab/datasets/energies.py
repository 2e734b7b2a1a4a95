"""Unnormalised densities in the plane, given by energies: U1, U2, U3 of the planar-flow papers, with a smooth wall."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from odelab.choices import choose
from odelab.datasets.plane import plane_grid


@dataclass(frozen=True, eq=False)
class Energy:
    """An energy U in the plane; p(z) = exp(−U(z))/Z. Call it with z (…, 2) for U (…,).

    Attributes:
        name: one of `ENERGIES`.
        formula: U as text.
        half_width: [−half_width, half_width]² shows it whole.
        reach: outside [−reach, reach]² lies less than 1e-9 of the mass.
    """

    name: str
    formula: str
    energy: Callable[[Tensor, Tensor], Tensor]
    half_width: float = 5.0
    reach: float = 8.0

    def __call__(self, z: Tensor) -> Tensor:
        """U at z (…, 2): (…,), of z's dtype, differentiable.

        Raises:
            ValueError: when the last axis of z does not have two entries.
        """
        if z.shape[-1:] != (2,):
            raise ValueError(f"{self.name} takes points (…, 2), got a tensor of shape {tuple(z.shape)}")
        return self.energy(z[..., 0], z[..., 1])

    @cached_property
    def log_z(self) -> float:
        """ln ∫ exp(−U) over the plane, by the midpoint rule in float64 on 800 × 800 cells; right to 1e-6."""
        points, area = self.grid(800, self.reach)
        return (-self(points)).flatten().logsumexp(0).item() + math.log(area)

    def log_prob(self, z: Tensor) -> Tensor:
        """The normalised log-density −U − ln Z at z (…, 2): (…,)."""
        return -self(z) - self.log_z

    def grid(self, n: int, half_width: float | None = None) -> tuple[Tensor, float]:
        """Centres of n × n cells, (n, n, 2), float64, and a cell's area; the plot window unless told."""
        return plane_grid(self.half_width if half_width is None else half_width, n)

    def kl_from(self, log_q: Callable[[Tensor], Tensor], n: int = 400, half_width: float | None = None) -> float:
        """KL(q‖p) in nats by the midpoint rule, for a normalised log-density log_q of points (m, 2) to (m,).

        The grid reaches to `reach` unless told; mass that q has further out is not counted.
        """
        points, area = self.grid(n, self.reach if half_width is None else half_width)
        points = points.flatten(0, 1)
        with torch.no_grad():
            log_q_there = log_q(points).double()
        gap = torch.where(log_q_there == -math.inf, 0.0, log_q_there - self.log_prob(points))  # 0 · (−∞) counts as 0
        return (log_q_there.exp() * gap).sum().item() * area


def wall(z1: Tensor) -> Tensor:
    """½(max(|z₁| − 4, 0)/0.4)²: makes U2 and U3, which no z₁ bounds, normalisable, with a finite KL everywhere."""
    return ((z1.abs() - 4).clamp(min=0) / 0.4) ** 2 / 2


def _two(a: Tensor, b: Tensor, width: float) -> Tensor:
    """−ln(exp(−½(a/width)²) + exp(−½(b/width)²))."""
    return -torch.logaddexp(-((a / width) ** 2) / 2, -((b / width) ** 2) / 2)


def _u1(z1: Tensor, z2: Tensor) -> Tensor:
    radius = torch.stack([z1, z2], -1).norm(dim=-1)  # unlike that of hypot, its gradient at the origin is no NaN
    return ((radius - 2) / 0.4) ** 2 / 2 + _two(z1 - 2, z1 + 2, 0.6)


def _u2(z1: Tensor, z2: Tensor) -> Tensor:
    return ((z2 - torch.sin(math.pi * z1 / 2)) / 0.4) ** 2 / 2 + wall(z1)


def _u3(z1: Tensor, z2: Tensor) -> Tensor:
    from_wave = z2 - torch.sin(math.pi * z1 / 2)
    bump = 3 * torch.exp(-(((z1 - 1) / 0.6) ** 2) / 2)
    return _two(from_wave, from_wave + bump, 0.35) + wall(z1)


_WALL = " + ½(max(|z₁| − 4, 0)/0.4)²"
_ALL = {
    e.name: e
    for e in (
        # U1 grows with ‖z‖² by itself and has no wall.
        Energy("U1", "½((‖z‖ − 2)/0.4)² − ln(exp(−½((z₁ − 2)/0.6)²) + exp(−½((z₁ + 2)/0.6)²))", _u1),
        Energy("U2", "½((z₂ − w₁)/0.4)², w₁ = sin(πz₁/2)" + _WALL, _u2),
        Energy(
            "U3",
            "−ln(exp(−½((z₂ − w₁)/0.35)²) + exp(−½((z₂ − w₁ + w₂)/0.35)²)), w₂ = 3 exp(−½((z₁ − 1)/0.6)²)" + _WALL,
            _u3,
        ),
    )
}
ENERGIES = tuple(_ALL)


def energy(name: str) -> Energy:
    """The energy of that name.

    Raises:
        ValueError: when it is none of `ENERGIES`.
    """
    return choose(_ALL, name, "energy")
