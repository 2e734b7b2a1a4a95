"""Digits of 14 × 14 pixels: a field that is told a label, guidance, and what is measured of its images."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from odelab.datasets import Images

SIDE, CLASSES = 14, 10
DROPPED = 0.15  # share of the images whose label is hidden in training
FREQUENCIES = 8  # of the time, cosine and sine each


class DigitField(nn.Module):
    """f(t, z, label) for flat images z (…, dim): a residual perceptron, scaled and shifted by time and label.

    Args:
        dim: of z and f.
        hidden: width; blocks: residual blocks of two layers each; told: width of what time and label say.
        classes: of the labels, which come as one-hot rows (…, classes); a row of zeros says nothing.
    """

    def __init__(self, dim: int, hidden: int = 256, blocks: int = 2, told: int = 64, classes: int = CLASSES) -> None:
        super().__init__()
        self.dim, self.classes = dim, classes
        self.time = nn.Linear(2 * FREQUENCIES, told)
        self.label = nn.Linear(classes, told, bias=False)
        self.enter, self.leave = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden, elementwise_affine=False) for _ in range(blocks))
        self.gates = nn.ModuleList(nn.Linear(told, 2 * hidden) for _ in range(blocks))
        self.ups = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(blocks))
        self.downs = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(blocks))

    def forward(self, t: Tensor | float, z: Tensor, context: Tensor) -> Tensor:
        """t one time, or (…, 1) one for each z; z (…, dim), context (…, classes) -> f (…, dim)."""
        t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
        if t.ndim == 0:
            t = t.view(1)
        phase = t * math.pi * torch.arange(FREQUENCIES, dtype=z.dtype, device=z.device)
        told = F.silu(self.time(torch.cat([phase.cos(), phase.sin()], -1)) + self.label(context))
        h = self.enter(z)
        for norm, gate, up, down in zip(self.norms, self.gates, self.ups, self.downs, strict=True):
            scale, shift = gate(told).chunk(2, -1)
            h = h + down(F.silu(up(norm(h) * (1 + scale) + shift)))
        return self.leave(h)


class Guided(nn.Module):
    """f(t, z, no label) + w (f(t, z, label) − f(t, z, no label)): classifier-free guidance (Ho and Salimans 2022).

    Args:
        weight: w; 0 ignores the label, 1 is the conditional field, more exaggerates the label.
    """

    def __init__(self, field: nn.Module, weight: float) -> None:
        super().__init__()
        self.field, self.weight, self.dim = field, weight, field.dim

    def forward(self, t: Tensor | float, z: Tensor, context: Tensor) -> Tensor:
        with_label = self.field(t, z, context)
        without = self.field(t, z, torch.zeros_like(context))
        return without + self.weight * (with_label - without)


def shrunk(images: Images) -> tuple[Tensor, Tensor]:
    """MNIST images as (n, 196) in [−1, 1], means of 2 × 2 pixels, and their labels (n,)."""
    return 2 * F.avg_pool2d(images.scaled(), 2).flatten(1) - 1, images.y


def one_hot(labels: Tensor) -> Tensor:
    """(n, CLASSES), float32."""
    return F.one_hot(labels, CLASSES).float()


def guided_loss(field: Any, x: Tensor, label: Tensor) -> Tensor:
    """Flow matching of images x (n, dim) with one-hot labels (n, classes), some of which are hidden."""
    z = torch.randn_like(x)
    t = torch.rand(len(x), 1, dtype=x.dtype, device=x.device)
    known = (torch.rand(len(x), 1, device=x.device) > DROPPED).to(x.dtype)
    velocity = field(t, (1 - t) * x + t * z, known * label)
    return (velocity - (z - x)).square().mean()
