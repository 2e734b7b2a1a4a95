"""Points in the plane in two classes, the small tasks on which a network's whole work can be seen."""

from __future__ import annotations

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
    radius = torch.where(labels == 0, 0.6 * share.sqrt(), 0.8 + 0.4 * share)
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1), labels
