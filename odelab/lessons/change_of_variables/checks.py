"""Exercises of lesson 05: a planar layer's determinant, û, a trace in one backward pass, a density by the trace."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, tensor_of

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
            "this is the determinant, not its logarithm": det,
            "the layer adds a push to z, and z itself has a Jacobian, too; yours is that of the push alone": (
                (slope * (W @ u)).abs().log()
            ),
            "tanh stands where its derivative should": (1 + h * (W @ u)).abs().log(),
            "the derivative of tanh is not 1 − tanh: look at its value far out, at −5": (
                (1 + (1 - h) * (W @ u)).abs().log()
            ),
            "the sign: log |det| of the layer is asked for, not what log p gains": -det.abs().log(),
            "the push changes along w; yours takes it to change along u": (1 + slope * (u @ u)).abs().log(),
            "tanh reads wᵀz + b; yours reads uᵀz + b": (1 + (1 - torch.tanh(Z @ u + B) ** 2) * (W @ u)).abs().log(),
            "tanh reads wᵀz + b; yours leaves out b": (1 + (1 - torch.tanh(Z @ W) ** 2) * (W @ u)).abs().log(),
            "there is one determinant for a point; the product of the diagonal entries of its matrix is another": (
                (1 + slope[:, None] * W * u).abs().log().sum(-1)
            ),
            "this is the trace of the Jacobian, not log |det|": 2 + slope * (W @ u),
        }
        value = answer(Z, W, u, B)
        if bool(tensor_of("log |det|", value).isnan().any()):
            raise Hint("log |det| is NaN at some points, for a layer that folds: which number has no logarithm?")
        compare("log |det|", value, det.abs().log(), wrong, rtol=1e-4, atol=1e-5)


@exercise
def reparametrized(answer: Callable[..., Any]) -> None:
    """û for answer(w, u) with wᵀû = −1 + softplus(wᵀu), changed along w only."""
    for w, u in ((W, U), (2 * W, -3 * W), (W, vector([1.5, 2.0], dtype=torch.float64))):
        a = w @ u
        change = F.softplus(a) - 1 - a
        exact = u + change * w / (w @ w)
        wrong = {
            "it moves along w, but by the wrong length: what is wᵀ times w/‖w‖?": u + change * w / w.norm(),
            "it moves along w, but by the wrong length: what is wᵀ times w?": u + change * w,
            "it moves along w, but in the wrong direction": u - change * w / (w @ w),
            "u has to move along w; yours moves along itself": u + change * u / (u @ u),
            "wᵀû is now wᵀu + m(wᵀu): u had its wᵀu already": u + (F.softplus(a) - 1) * w / (w @ w),
            "wᵀû stays above 0 here; the bound is −1": u + (F.softplus(a) - a) * w / (w @ w),
            "the part of u that is perpendicular to w has gone": (F.softplus(a) - 1) * w / (w @ w),
            "û is u itself, so a layer with wᵀu < −1 still folds": u,
            "wᵀû is cut off at −1; it should be m(wᵀu), which is smooth": u + (a.clamp_min(-1) - a) * w / (w @ w),
            "wᵀû goes to −1 − log(1 + eᵃ) here: a sign in m": u + (-F.softplus(a) - 1 - a) * w / (w @ w),
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
        "these are the entries of the diagonal, not their sum": diagonal,
        "one trace for every row of the batch is asked for, not one for all": diagonal.sum(),
        "one trace for every row of the batch is asked for; yours sums over the rows": diagonal.sum(0),
        "this is the sum of f, not of its derivatives": f(Z).sum(-1),
        "this is the determinant, the product of the diagonal": diagonal.prod(-1),
        "the trace is a sum, not a mean": diagonal.mean(-1),
        "the gradient is that of a mean over all entries: each derivative is divided by their number": (
            diagonal.sum(-1) / Z.numel()
        ),
        "this is vᵀJ with v = z; which v leaves the diagonal as it is?": (diagonal * Z).sum(-1),
        "this is vᵀJ with v = f(z); which v leaves the diagonal as it is?": (diagonal * f(Z)).sum(-1),
        "only the first derivative of each row is in it": diagonal[:, 0],
    }
    compare("the trace", answer(f, Z.clone()), diagonal.sum(-1), wrong)
    if len(passes) > 1:
        raise Hint(
            f"the values are right, but that took {len(passes)} backward passes; a single one gives vᵀJ, a whole row "
            "of numbers, for any v"
        )


@exercise
def linear_flow_log_prob(answer: Callable[..., Any]) -> None:
    """log p(x) at time T, (n,), for answer(A, T, x) when dz/dt = A z starts from a standard normal at time 0."""
    T = 0.7
    exp = torch.linalg.matrix_exp
    back, there = Z @ exp(-A * T).mT, Z @ exp(A * T).mT
    lost = T * A.trace()
    entrywise = "e to a matrix is not the matrix of e to its entries"
    no_time = "T is missing where x came from: yours goes back for one unit of time"
    transposed = "the transpose: every row of x is a point, and A acts on points as columns"
    wrong = {
        "the sign of the trace: an expanding flow thins the density out": _normal(back) + lost,
        "the trace acts for the whole time, not for one unit of it": _normal(back) - A.trace(),
        "the direction: the base density is evaluated where x came FROM, and yours is where x would go": (
            _normal(there) - lost
        ),
        "the trace is missing: this is only the base density at the start": _normal(back),
        "where x came from matters: yours evaluates the base density at x itself": _normal(Z) - lost,
        transposed: _normal(Z @ exp(-A * T)) - lost,
        f"{transposed} (and the direction is the wrong one, too)": _normal(Z @ exp(A * T)) - lost,
        entrywise: _normal(Z @ torch.exp(-A * T).mT) - lost,
        f"{entrywise}. There is a function of torch for it": _normal(Z @ torch.exp(-A * T)) - lost,
        f"{entrywise}, and T is missing": _normal(Z @ torch.exp(-A).mT) - lost,
        no_time: _normal(Z @ exp(-A).mT) - lost,
        "T is missing, in both places": _normal(Z @ exp(-A).mT) - A.trace(),
        "one Euler step back is not the way back": _normal(Z - T * Z @ A.mT) - lost,
        "the constant of the standard normal is missing": -(back**2).sum(-1) / 2 - lost,
        "the determinant of A is not that of the flow": _normal(back) - T * A.det().abs().log(),
        "the trace of exp(A T) is not the integral of tr A": _normal(back) - exp(A * T).trace(),
        "this is the density, not its logarithm": (_normal(back) - lost).exp(),
    }
    compare("log p", answer(A, T, Z), _normal(back) - lost, wrong)


def _normal(z: Tensor) -> Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
