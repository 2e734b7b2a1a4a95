"""Exercises of lesson 05: a planar layer's determinant, û, a trace in one backward pass, a density by the trace."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare

vector = torch.tensor
Z = vector([[0.3, -0.7], [-1.1, 0.4], [0.9, 1.6]], dtype=torch.float64)
W, U, B = (vector(value, dtype=torch.float64) for value in ([1.2, -0.5], [-0.4, 0.9], 0.3))
A = vector([[0.4, -1.1], [0.6, -0.9]], dtype=torch.float64)  # neither symmetric nor traceless


@exercise
def planar_log_det(answer: Callable[..., Any]) -> None:
    """log |det ∂f/∂z| of z + u tanh(wᵀz + b) for answer(z, w, u, b), z (n, 2); shape (n,)."""
    for u in (U, -2.5 * W):  # the second one folds: the determinant is negative, its logarithm needs the bars
        h = torch.tanh(Z @ W + B)
        slope = 1 - h**2
        det = 1 + slope * (W @ u)
        wrong = {
            "this is the determinant itself: its logarithm is asked for": det,
            "1 + is missing: the layer keeps z, so its Jacobian is I + u ψᵀ": (slope * (W @ u)).abs().log(),
            "the derivative of tanh(a) is 1 − tanh²(a), not tanh(a)": (1 + h * (W @ u)).abs().log(),
            "its sign: log |det| of the layer is asked for, not what log p gains": -det.abs().log(),
            "the direction is w: tanh(wᵀz + b) changes along w, so ψ = h′ w": (1 + slope * (u @ u)).abs().log(),
            "each layer has one determinant, the product over both directions is not it": (
                (1 + slope[:, None] * W * u).abs().log().sum(-1)
            ),
        }
        compare("log |det|", answer(Z, W, u, B), det.abs().log(), wrong)


@exercise
def reparametrized(answer: Callable[..., Any]) -> None:
    """û for answer(w, u) with wᵀû = −1 + softplus(wᵀu), changed along w only."""
    for w, u in ((W, U), (2 * W, -3 * W), (W, vector([1.5, 2.0], dtype=torch.float64))):
        a = w @ u
        change = F.softplus(a) - 1 - a
        exact = u + change * w / (w @ w)
        wrong = {
            "divide by ‖w‖², not by ‖w‖: wᵀw/‖w‖² is 1": u + change * w / w.norm(),
            "divide by ‖w‖²: only then does wᵀû change by what you add": u + change * w,
            "u moves along w, or wᵀû does not become −1 + softplus(wᵀu)": u + change * u / (u @ u),
            "take away the wᵀu that u has already": u + (F.softplus(a) - 1) * w / (w @ w),
            "−1 + softplus: the bound is −1, not 0": u + (F.softplus(a) - a) * w / (w @ w),
            "û keeps the part of u that is across w": (F.softplus(a) - 1) * w / (w @ w),
        }
        compare("û", answer(w, u), exact, wrong)


@exercise
def trace_in_one_pass(answer: Callable[..., Any]) -> None:
    """tr ∂f/∂z, (n,), for answer(f, z) with an elementwise f, by a single backward pass."""
    passes = []

    def f(z: Tensor) -> Tensor:
        out = torch.sin(2 * z) + z**3 / 3
        if out.requires_grad:
            out.register_hook(lambda gradient: passes.append(gradient.shape))
        return out

    diagonal = 2 * torch.cos(2 * Z) + Z**2
    wrong = {
        "this is the diagonal: the trace is its sum": diagonal,
        "one trace for every row of the batch: sum over the last dimension only": diagonal.sum(),
        "this is the sum of f, not of its derivatives": f(Z).sum(-1),
        "this is the determinant, the product of the diagonal": diagonal.prod(-1),
        "the trace is a sum, not a mean": diagonal.mean(-1),
    }
    compare("the trace", answer(f, Z.clone()), diagonal.sum(-1), wrong)
    if len(passes) > 1:
        raise Hint(
            f"the values are right, but that took {len(passes)} backward passes; f is elementwise, so one with a "
            "vector of ones gives every diagonal entry at once"
        )


@exercise
def linear_flow_log_prob(answer: Callable[..., Any]) -> None:
    """log p(x) at time T, (n,), for answer(A, T, x) when dz/dt = A z starts from a standard normal at time 0."""
    T = 0.7
    back = Z @ torch.linalg.matrix_exp(-A * T).mT
    there = Z @ torch.linalg.matrix_exp(A * T).mT
    trace = A.trace()
    wrong = {
        "the sign of the trace: an expanding flow thins the density out": _normal(back) + T * trace,
        "the trace acts for the whole time: multiply it by T": _normal(back) - trace,
        "the direction: the base density is evaluated where x came FROM": _normal(there) - T * trace,
        "the trace is missing: this is only the base density at the start": _normal(back),
        "where x came from matters: the base density is not evaluated at x itself": _normal(Z) - T * trace,
        "the transpose: every row of x is a point z, and A acts on columns": _normal(
            Z @ torch.linalg.matrix_exp(-A * T)
        )
        - T * trace,
        "the constant: a standard normal in d dimensions has −d/2 · log 2π": -(back**2).sum(-1) / 2 - T * trace,
        "log det exp(A T) is T tr A; this took the determinant of A": _normal(back) - T * A.det().abs().log(),
    }
    compare("log p", answer(A, T, Z), _normal(back) - T * trace, wrong)


def _normal(z: Tensor) -> Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
