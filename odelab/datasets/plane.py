"""Points in the plane in two classes, the small tasks on which a network's whole work can be seen."""

import math

import torch
from torch import Tensor


def two_moons(n: int, seed: int, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Two interleaved half circles around the origin: points (n, 2), float32, and labels (n,), 0 above and 1 below."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    angle = math.pi * torch.rand(n, generator=generator)
    moon = torch.stack([angle.cos(), angle.sin()], 1) - torch.tensor([0.5, 0.25])
    points = torch.where(labels[:, None] == 0, moon, -moon)
    return points + noise * torch.randn(n, 2, generator=generator), labels


def disc_and_ring(
    n: int, seed: int, disc: float = 0.6, ring: tuple[float, float] = (0.8, 1.2)
) -> tuple[Tensor, Tensor]:
    """A disc of radius ``disc`` inside a ring: points (n, 2), float32, and labels (n,), 1 in the ring.

    Uniform over the area of the disc, and over radius and angle in the ring.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    share, angle = torch.rand(n, generator=generator), 2 * math.pi * torch.rand(n, generator=generator)
    inner, outer = ring
    radius = torch.where(labels == 0, disc * share.sqrt(), inner + (outer - inner) * share)
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1), labels


def plane_grid(half_width: float, n: int) -> tuple[Tensor, float]:
    """Centres of n × n cells on [−half_width, half_width]²: points (n, n, 2), float64, and the area of a cell.

    ``points[i, j]`` is (x_j, y_i), rows from bottom to top, as matplotlib draws with ``origin="lower"``. A sum of
    values times the area is the midpoint rule, which converges very fast for a smooth function that dies out inside.
    """
    side = 2 * half_width / n
    centres = -half_width + side * (torch.arange(n, dtype=torch.float64) + 0.5)
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], -1), side * side
