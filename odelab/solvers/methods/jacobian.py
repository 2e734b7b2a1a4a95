"""Jacobians of func, all rows in one batch of vector–Jacobian products (vmap over the backward pass)."""

import torch
from torch import Tensor

LARGEST = 2048  # unknowns of one linear system: beyond it a dense Jacobian is the wrong tool
CHUNK = 256  # vector–Jacobian products at a time


def jacobians(slopes: Tensor, points: Tensor, differentiable: bool = False) -> Tensor:
    """∂slopes_k/∂points_j, (…, n, m), of slopes (…, n) each of which depends on its own of the points (…, m) alone.

    Args:
        differentiable: with a graph of its own.
    """
    n = slopes.shape[-1]
    if not (slopes.requires_grad and slopes.numel()):
        return slopes.new_zeros(*slopes.shape, points.shape[-1])
    units = torch.eye(n, dtype=slopes.dtype, device=slopes.device).view(n, *[1] * (slopes.ndim - 1), n)
    rows: list[Tensor] = []
    for chunk in units.expand(n, *slopes.shape).split(CHUNK):
        rows.append(_products(slopes, points, chunk, differentiable))
    return torch.cat(rows).movedim(0, -2)


def _products(slopes: Tensor, points: Tensor, chunk: Tensor, differentiable: bool) -> Tensor:
    """The vector–Jacobian products of all vectors of a chunk, in one batch where func's operations allow it."""

    def products(vectors: Tensor, batched: bool) -> Tensor:
        (product,) = torch.autograd.grad(
            slopes,
            points,
            vectors,
            create_graph=differentiable,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
        shape = (len(vectors), *points.shape) if batched else points.shape
        return points.new_zeros(shape) if product is None else product

    try:
        return products(chunk, True)
    except (RuntimeError, ValueError):  # a custom autograd.Function without a rule for vmap, say
        return torch.stack([products(vector, False) for vector in chunk])


def real(y: Tensor) -> Tensor:
    """y, or its real and imaginary parts side by side."""
    return torch.view_as_real(y) if y.is_complex() else y


def unreal(x: Tensor, like: Tensor) -> Tensor:
    """The inverse of `real`, in the shape of like."""
    if like.is_complex():
        return torch.view_as_complex(x.reshape(*like.shape, 2).contiguous())
    return x.reshape(like.shape)
