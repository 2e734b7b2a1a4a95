"""What can happen to an image: noise, blur, rotation, and projected gradient descent against a net."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Net = Callable[[Tensor], Tensor]  # images (n, 1, h, w) of grey levels in [0, 1] -> logits (n, classes)


def noisy(images: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise of this standard deviation, and grey levels clipped to [0, 1]."""
    return (images + level * torch.randn(images.shape, generator=generator, dtype=images.dtype)).clamp(0, 1)


def blurred(images: Tensor, level: float) -> Tensor:
    """Gaussian blur of this standard deviation in pixels."""
    if level == 0:
        return images
    reach = math.ceil(3 * level)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype)
    kernel = torch.exp(-(places**2) / (2 * level**2))
    kernel = kernel / kernel.sum()
    rows = F.conv2d(images, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, reach))


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Turned counter-clockwise about the middle; what comes in from outside is black."""
    turn = math.radians(degrees)
    rows = [[math.cos(turn), -math.sin(turn), 0.0], [math.sin(turn), math.cos(turn), 0.0]]
    matrix = torch.tensor(rows, dtype=images.dtype).expand(len(images), 2, 3)
    return F.grid_sample(images, F.affine_grid(matrix, list(images.shape), align_corners=False), align_corners=False)


def pgd(
    net: Net, x: Tensor, labels: Tensor, epsilon: float, *, steps: int, rate: float | None = None, bounds: bool = True
) -> Tensor:
    """Projected gradient descent (Madry et al. 2018): inputs within ε of x, entry by entry, of high cross-entropy.

    Args:
        x: (n, …); labels: (n,).
        rate: size of a step; ε / 4 by default.
        bounds: keep entries in [0, 1], as grey levels are.
    """
    if epsilon == 0:
        return x
    rate = epsilon / 4 if rate is None else rate
    moved = x
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        loss = F.cross_entropy(net(moved), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = x + (moved.detach() + rate * gradient.sign() - x).clamp(-epsilon, epsilon)
        moved = moved.clamp(0, 1) if bounds else moved
    return moved.detach()
