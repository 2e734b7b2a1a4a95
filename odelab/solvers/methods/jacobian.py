"""Jacobians of func, all rows in one batch of vector–Jacobian products (vmap over the backward pass)."""

import torch
from torch import Tensor

FEW = 16  # eigenvalues of so small a matrix cost little beside its Jacobian
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


@torch.no_grad()
def passes_a_pole(matrix: Tensor, lu: Tensor, pivots: Tensor) -> Tensor:
    """Whether I − h A ⊗ J was singular for some step shorter than h, (rows,): the stages have a pole there.

    At h = 0 all eigenvalues are 1, and one that has become negative went through 0. What is behind that pole belongs to
    no solution from y0: one with J > 0 grows, there it would have changed its sign. Of large matrices only the
    determinant is looked at, which does not tell of two eigenvalues at once.

    Args:
        matrix: (rows, n, n), for the step h; lu, pivots: decomposed.
    """
    n = matrix.shape[-1]
    if not bool(matrix.isfinite().all()):
        return torch.zeros_like(pivots[..., 0], dtype=torch.bool)
    if n <= FEW and matrix.device.type == "cpu":
        roots = torch.linalg.eigvals(matrix)
        return ((roots.real <= 0) & (roots.imag.abs() <= 1e-3 * roots.real.abs())).any(-1)
    diagonal = lu.diagonal(dim1=-2, dim2=-1)
    swaps = pivots != torch.arange(1, n + 1, device=pivots.device)
    return (((diagonal < 0).sum(-1) + swaps.sum(-1)) % 2 == 1) | (diagonal == 0).any(-1)
