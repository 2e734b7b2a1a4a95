"""Torsion angles of two molecules: model energies in closed form, and flows on the torus that these angles live on."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, constraints

from odelab.choices import choose
from odelab.flows import CNF
from odelab.nets import MLPField

TEMPERATURE = 300.0  # kelvin
#: c₁, c₂, c₃ over Boltzmann's constant, in kelvin: TraPPE-UA, CHx–CH2–CH2–CHy (Martin and Siepmann 1998).
BUTANE = (355.03, -68.19, 791.32)
#: A model made for this course: wells where alanine dipeptide has some. Offset in kT; φ, ψ in degrees; sharpness.
WELLS = (
    (-7.5, -150.0, 160.0, 5.0, 4.0),  # extended
    (-13.0, -72.0, 150.0, 9.0, 6.0),  # polyproline II
    (-13.2, -78.0, -25.0, 9.0, 6.0),  # right-handed helix
    (-20.5, 57.0, 40.0, 12.0, 9.0),  # left-handed helix
)


def wrap(angle: Tensor) -> Tensor:
    """The same angle in [−π, π)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def butane_energy(angles: Tensor) -> Tensor:
    """E/kT of the torsion φ (…, 1) of butane, (…,); 0 at φ = ±π (trans)."""
    phi = angles[..., 0]
    c1, c2, c3 = BUTANE
    energy = c1 * (1 + phi.cos()) + c2 * (1 - (2 * phi).cos()) + c3 * (1 + (3 * phi).cos())
    return energy / TEMPERATURE


def dipeptide_energy(angles: Tensor) -> Tensor:
    """E/kT of the torsions φ, ψ (…, 2), (…,): −ln Σ exp(a + κ cos(φ − φ₀) + λ cos(ψ − ψ₀)) over `WELLS`."""
    wells = torch.tensor(WELLS, dtype=angles.dtype)
    away = angles[..., None, :] - torch.deg2rad(wells[:, 1:3])
    return -(wells[:, 0] + (wells[:, 3:] * away.cos()).sum(-1)).logsumexp(-1)


@dataclass(frozen=True)
class Molecule:
    """Torsion angles with the density exp(−E/kT) / Z on the torus [−π, π)^dim.

    Attributes:
        energy: angles (…, dim) -> E/kT (…,).
    """

    name: str
    dim: int
    energy: Callable[[Tensor], Tensor]

    def grid(self, n: int) -> tuple[Tensor, float]:
        """Centres of n^dim equal cells, (n^dim, dim), and the measure of one."""
        line = (torch.arange(n, dtype=torch.float64) + 0.5) * (2 * math.pi / n) - math.pi
        return torch.cartesian_prod(*[line] * self.dim).view(-1, self.dim), (2 * math.pi / n) ** self.dim

    @cached_property
    def log_z(self) -> float:
        """ln ∫ exp(−E/kT), by the midpoint rule, which is exact to rounding for so smooth a periodic function."""
        points, cell = self.grid(400)
        return (-self.energy(points)).logsumexp(0).item() + math.log(cell)

    def log_prob(self, angles: Tensor) -> Tensor:
        """ln p at angles (…, dim): (…,)."""
        return -self.energy(angles) - self.log_z

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """n independent draws (n, dim) in [−π, π), by rejection of uniform ones."""
        highest = self.log_prob(self.grid(400)[0]).max().item() + 0.01
        parts: list[Tensor] = []
        while sum(map(len, parts)) < n:
            angles = (2 * torch.rand(20 * n, self.dim, generator=generator) - 1) * math.pi
            keep = torch.rand(20 * n, generator=generator).log() < self.log_prob(angles) - highest
            parts.append(angles[keep])
        return torch.cat(parts)[:n]


MOLECULES = {
    "butane": Molecule("butane", 1, butane_energy),
    "dipeptide": Molecule("dipeptide", 2, dipeptide_energy),
}


def molecule(name: str) -> Molecule:
    """A molecule by its name.

    Raises:
        ValueError: when there is none of that name.
    """
    return choose(MOLECULES, name, "molecule")


class UniformTorus(Distribution):
    """The uniform density on a torus of `dim` angles; an angle that has run past ±π is the same angle."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, dim: int) -> None:
        super().__init__(event_shape=torch.Size((dim,)), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return (2 * torch.rand(*sample_shape, *self.event_shape) - 1) * math.pi

    def log_prob(self, value: Tensor) -> Tensor:
        return value.new_full(value.shape[:-1], -self.event_shape[0] * math.log(2 * math.pi))


class TorusField(nn.Module):
    """f(t, angles) (…, dim) that has the period 2π in every angle.

    A network moves the points (cos φ, sin φ) in the plane of each angle; what of it runs along the circle is dφ/dt.

    Args:
        odd: f(t, −φ) = −f(t, φ), so that a mirrored start is carried to the mirrored end.
    """

    def __init__(self, dim: int, hidden: tuple[int, ...] = (64, 64, 64), odd: bool = False) -> None:
        super().__init__()
        self.dim, self.odd = dim, odd
        self.network = MLPField(2 * dim, hidden)

    def forward(self, t: Tensor | float, angles: Tensor) -> Tensor:
        f = self._along(t, angles)
        return (f - self._along(t, -angles)) / 2 if self.odd else f

    def _along(self, t: Tensor | float, angles: Tensor) -> Tensor:
        cos, sin = angles.cos(), angles.sin()
        across, up = self.network(t, torch.cat([cos, sin], -1)).chunk(2, -1)
        return cos * up - sin * across


def torus_flow(dim: int, odd: bool = False) -> CNF:
    """A flow from angles at t = 0 to uniform ones at t = 1."""
    return CNF(TorusField(dim, odd=odd), UniformTorus(dim))


def torus_pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (n, dim) and a uniform partner for each, moved by turns of 2π to where the straight way is the shortest."""
    z = UniformTorus(x.shape[-1]).sample((len(x),))
    return x, x + wrap(z - x)


def folded(flow: CNF, points: Tensor) -> Tensor:
    """The density (n,) on the torus of a flow over all of ℝ^dim: summed over each point and its copies 2π away."""
    shifts = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * points.shape[-1]).view(-1, points.shape[-1])
    with torch.no_grad():
        return torch.stack([flow.log_prob(points + 2 * math.pi * shift).exp() for shift in shifts]).sum(0)


def kernel_density(x: Tensor, points: Tensor, kappa: float) -> Tensor:
    """The density (m,) at points (m, dim) as a mean of von Mises kernels round the draws x (n, dim)."""
    log_norm = math.log(2 * math.pi) + torch.special.i0e(torch.tensor(kappa)).log().item()
    parts = []
    for part in points.split(500):
        away = part[:, None] - x[None]
        parts.append((kappa * (away.cos() - 1)).sum(-1).logsumexp(1) - math.log(len(x)) - x.shape[-1] * log_norm)
    return torch.cat(parts).exp()
