"""Fields whose flows are known, and the same field with and without a derivative of its own."""

import torch
from torch import Tensor, nn

from odelab.nets import MLPField


class LinearField(nn.Module):
    """dz/dt = A z: z(t) = e^{tA} z(0), and the divergence is tr A everywhere."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix, self.dim = nn.Parameter(matrix), len(matrix)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return z @ self.matrix.T


class Plain(nn.Module):
    """A field that hides how it can be differentiated."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field, self.dim = field, field.dim

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.field(t, z)


class Reversed(nn.Module):
    """f(t, z) = −g(1 − t, z): the flow of g, backwards."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field, self.dim = field, field.dim

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return -self.field(1 - t, z)


def mlp(dim: int = 2, hidden: tuple[int, ...] = (8, 8), seed: int = 0, scale: float = 2.0, **how: str) -> MLPField:
    """A small field in float64 that bends paths visibly."""
    torch.manual_seed(seed)
    field = MLPField(dim, hidden, **how).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.mul_(scale)
    return field


def points(n: int = 6, dim: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gradient(value: Tensor, module: nn.Module) -> Tensor:
    """d value / d parameters, flat."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, tuple(module.parameters()))])
