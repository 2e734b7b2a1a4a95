"""The weights of a perceptron, or of many at once, and the divergence of the field that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Activation(NamedTuple):
    """φ, φ in place, and φ' out of y = φ(a)."""

    value: Callable[[Tensor], Tensor]
    in_place: Callable[[Tensor], object]
    slope: Callable[[Tensor], Tensor]


ACTIVATIONS: Mapping[str, Activation] = {
    "tanh": Activation(torch.tanh, torch.tanh_, lambda y: 1 - y * y),
    "relu": Activation(torch.relu, torch.relu_, lambda y: (y > 0).to(y.dtype)),
    "elu": Activation(F.elu, lambda a: F.elu(a, inplace=True), lambda y: torch.where(y > 0, torch.ones_like(y), y + 1)),
    "softplus": Activation(F.softplus, lambda a: a.copy_(F.softplus(a)), lambda y: -torch.expm1(-y)),
}


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one network, or of `shape` many.

    Attributes:
        matrices: W_l (*shape, dim_out, dim_in), from the first layer to the last.
        biases: b_l (*shape, dim_out).
    """

    matrices: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def shape(self) -> torch.Size:
        return self.biases[0].shape[:-1]

    @cached_property
    def flat(self) -> tuple[list[Tensor], list[Tensor]]:
        """Matrices (draws, dim_out, dim_in) and biases (draws, 1, dim_out); without `draws` where there is one."""
        if not self.shape:
            return list(self.matrices), list(self.biases)
        matrices = [matrix.reshape(-1, *matrix.shape[-2:]) for matrix in self.matrices]
        return matrices, [bias.reshape(-1, 1, bias.shape[-1]) for bias in self.biases]

    def affine(self, layer: int, x: Tensor) -> Tensor:
        """W_l x + b_l for rows x (draws, rows, dim_in), or (rows, dim_in) where there is one."""
        matrices, biases = self.flat
        add = torch.addmm if x.ndim == 2 else torch.baddbmm
        return add(biases[layer], x, matrices[layer].mT)

    def divergence(self, slopes: Sequence[Tensor], columns: slice | Sequence[int]) -> Tensor:
        """Σ_i ∂f_i/∂x_c(i), c = columns, out of the slopes φ' of the hidden layers, (…, draws, rows, width) each.

        Without a backward pass. The Jacobian of two hidden layers is W₃ diag(d₂) W₂ diag(d₁) W₁, hence the sum
        d₁ᵀ M d₂ with M = W₂ᵀ ∘ (W₁[:, c] W₃), which is made once for given weights.

        Returns:
            (…, draws, rows); rows is 1 where there is no hidden layer.
        """
        matrices = self.flat[0]
        first, last = matrices[0][..., columns], matrices[-1]  # (…, h1, q) and (…, q, h)
        if not slopes:
            return first.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None]
        if len(slopes) == 1:
            return torch.matmul(slopes[0], (first * last.mT).sum(-1)[..., None])[..., 0]
        if len(slopes) == 2:
            pairs = matrices[1].mT * torch.matmul(first, last)
            return (torch.matmul(slopes[0], pairs) * slopes[1]).sum(-1)
        # Deeper: push the q columns forward layer by layer, and close the loop with the last matrix.
        pushed = slopes[0][..., None, :] * first.mT[..., None, :, :]  # (…, rows, q, h1)
        for matrix, slope in zip(matrices[1:-1], slopes[1:], strict=True):
            rows = torch.matmul(pushed.flatten(-3, -2), matrix.mT)
            pushed = rows.unflatten(-2, pushed.shape[-3:-1]) * slope[..., None, :]
        return (pushed * last[..., None, :, :]).sum((-2, -1))
