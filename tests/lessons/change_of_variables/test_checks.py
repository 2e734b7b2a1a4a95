"""Lesson 05: its exercises take right answers only."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchdiffeq
from torch.distributions import MultivariateNormal

from tests.lessons.kit.answers import every_answer, judge

exp = torch.linalg.matrix_exp


def log_normal(z):
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)


def by_jacobian(z, w, u, b):
    """Right, by another route: autograd's Jacobian and a determinant of every point."""

    def layer(z):
        return z + u * torch.tanh(z @ w + b)

    return torch.linalg.slogdet(torch.func.vmap(torch.func.jacrev(layer))(z)).logabsdet


def by_matrices(z, w, u, b):
    """Right: I + u ψᵀ written out for every point."""
    psi = (1 - torch.tanh(z @ w + b) ** 2)[:, None] * w
    return (torch.eye(2) + u[:, None] * psi[:, None, :]).det().abs().log()


def by_areas(z, w, u, b):
    """Right: the area of a small parallelogram's image."""
    corners = z[:, None] + 1e-5 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    image = corners + u * torch.tanh(corners @ w + b)[..., None]
    sides = (image[:, 1:] - image[:, :1]) / 1e-5
    return sides.det().abs().log()


def det(z, w, u, b):
    return 1 + (1 - torch.tanh(z @ w + b) ** 2) * (w @ u)


def on_the_diagonal(z, w, u, b):
    return (1 + (1 - torch.tanh(z @ w + b) ** 2)[:, None] * w * u).abs().log().sum(-1)


PLANAR = {
    "right": (lambda z, w, u, b: det(z, w, u, b).abs().log(), None),
    "right, by Jacobians": (by_jacobian, None),
    "right, by matrices": (by_matrices, None),
    "right, with cosh": (lambda z, w, u, b: (1 + (w @ u) / torch.cosh(z @ w + b) ** 2).abs().log(), None),
    "right, half the log of the square": (lambda z, w, u, b: (det(z, w, u, b) ** 2).log() / 2, None),
    "right, by NumPy": (lambda z, w, u, b: np.log(np.abs(det(z, w, u, b).numpy())), None),
    "right, as a list": (lambda z, w, u, b: [math.log(abs(d)) for d in det(z, w, u, b).tolist()], None),
    "right, by areas": (by_areas, None),
    "no logarithm": (lambda z, w, u, b: det(z, w, u, b).abs(), "not its logarithm"),
    "no bars": (lambda z, w, u, b: det(z, w, u, b).log(), "NaN at some points"),
    "log1p without bars": (lambda z, w, u, b: torch.log1p(det(z, w, u, b) - 1), "NaN at some points"),
    "no identity": (lambda z, w, u, b: (det(z, w, u, b) - 1).abs().log(), "the push alone"),
    "tanh for its slope": (lambda z, w, u, b: (1 + torch.tanh(z @ w + b) * (w @ u)).abs().log(), "tanh stands where"),
    "slope without the square": (
        lambda z, w, u, b: (1 + (1 - torch.tanh(z @ w + b)) * (w @ u)).abs().log(),
        "not 1 − tanh",
    ),
    "sign": (lambda z, w, u, b: -det(z, w, u, b).abs().log(), "the sign"),
    "u for w": (lambda z, w, u, b: (1 + (det(z, w, u, b) - 1) / (w @ u) * (u @ u)).abs().log(), "changes along w"),
    "tanh of u": (lambda z, w, u, b: (1 + (1 - torch.tanh(z @ u + b) ** 2) * (w @ u)).abs().log(), "reads uᵀz"),
    "no b": (lambda z, w, u, b: det(z, w, u, 0.0).abs().log(), "leaves out b"),
    "diagonal entries": (on_the_diagonal, "one determinant for a point"),
    "trace": (lambda z, w, u, b: 1 + det(z, w, u, b), "this is the trace"),
    "one number": (lambda z, w, u, b: det(z, w, u, b).abs().log().sum(), "shape"),
    "a column": (lambda z, w, u, b: det(z, w, u, b).abs().log()[:, None], r"shape \(3,\), yours has shape \(3, 1\)"),
    "an error": (lambda z, w, u, b: det(z, w, u, b) @ w, "RuntimeError"),
    "stub": (lambda z, w, u, b: ..., "not attempted"),
}


def moved(change: Callable, along: Callable) -> Callable:
    return lambda w, u: u + change(w @ u) * along(w, u)


def m(a):
    return F.softplus(a) - 1


def split(w, u):
    """Right, from its two parts: what is across w stays, along w it is m(wᵀu)."""
    return u - (w @ u) / (w @ w) * w + m(w @ u) / (w @ w) * w


def by_projection(w, u):
    """Right, with matrices that project on w and across it."""
    on_w = torch.outer(w, w) / (w @ w)
    return (torch.eye(2) - on_w) @ u + w * m(w @ u) / (w @ w)


def by_equations(w, u):
    """Right, as the solution of two linear equations: wᵀû = m(wᵀu), and nothing changes across w."""
    across = torch.stack((-w[1], w[0]))
    return torch.linalg.solve(torch.stack((w, across)), torch.stack((m(w @ u), across @ u)))


def unit(w, u):
    """Right, with the unit vector along w."""
    e = w / w.norm()
    return u + (m(w @ u) - w @ u) / w.norm() * e


U_HAT = {
    "right": (moved(lambda a: m(a) - a, lambda w, u: w / (w @ w)), None),
    "right, from two parts": (split, None),
    "right, by projections": (by_projection, None),
    "right, by equations": (by_equations, None),
    "right, with a unit vector": (unit, None),
    "right, log and exp": (moved(lambda a: torch.log1p(a.exp()) - 1 - a, lambda w, u: w / w.norm() ** 2), None),
    "right, softplus(−a)": (moved(lambda a: F.softplus(-a) - 1, lambda w, u: w / (w @ w)), None),
    "by the norm": (moved(lambda a: m(a) - a, lambda w, u: w / w.norm()), r"what is wᵀ times w/‖w‖\?"),
    "not normalised": (moved(lambda a: m(a) - a, lambda w, u: w), r"what is wᵀ times w\?"),
    "backwards": (moved(lambda a: a - m(a), lambda w, u: w / (w @ w)), "wrong direction"),
    "along u": (moved(lambda a: m(a) - a, lambda w, u: u / (u @ u)), "along itself"),
    "m alone": (moved(m, lambda w, u: w / (w @ w)), "had its wᵀu already"),
    "bound at zero": (moved(lambda a: F.softplus(a) - a, lambda w, u: w / (w @ w)), "bound is −1"),
    "nothing across": (lambda w, u: m(w @ u) * w / (w @ w), "perpendicular to w has gone"),
    "unchanged": (lambda w, u: u, "still folds"),
    "cut off": (moved(lambda a: a.clamp_min(-1) - a, lambda w, u: w / (w @ w)), "cut off at −1|û is u itself"),
    "sign in m": (moved(lambda a: -F.softplus(a) - 1 - a, lambda w, u: w / (w @ w)), "a sign in m"),
    "a number": (lambda w, u: m(w @ u), "shape"),
    "twice": (lambda w, u: split(w, split(w, u)), "off by"),
    "stub": (lambda w, u: u + ... * w, "not attempted"),
}


def one_pass(reduce: Callable, of: Callable = torch.sum) -> Callable:
    def answer(f, z):
        z = z.requires_grad_()
        return reduce(torch.autograd.grad(of(f(z)), z)[0])

    return answer


def passes(f, z):
    """The right value for too high a price: a pass for each of the dimensions."""
    z = z.requires_grad_()
    return sum(torch.autograd.grad(f(z)[:, i].sum(), z)[0][:, i] for i in range(z.shape[1]))


def with_jacobian(f, z):
    """The right value by the whole Jacobian of the batch, a pass for each of its rows."""
    full = torch.autograd.functional.jacobian(f, z)
    return torch.einsum("ndnd->n", full)


def with_vjp(f, z):
    """Right, by torch.func."""
    value, pull = torch.func.vjp(f, z)
    return pull(torch.ones_like(value))[0].sum(1)


def forwards(f, z):
    """Right, in forward mode: J times a vector of ones has the row sums."""
    return torch.func.jvp(f, (z,), (torch.ones_like(z),))[1].sum(-1)


def with_backward(f, z):
    """Right, from .grad."""
    z = z.requires_grad_()
    f(z).backward(torch.ones_like(z))
    return z.grad.sum(-1)


def with_outputs(f, z):
    """Right, with grad_outputs."""
    z = z.requires_grad_()
    return torch.autograd.grad(f(z), z, grad_outputs=torch.ones_like(z))[0].sum(dim=1)


def with_vector(of):
    def answer(f, z):
        z = z.requires_grad_()
        out = f(z)
        return torch.autograd.grad(out, z, of(out, z).detach())[0].sum(-1)

    return answer


TRACE = {
    "right": (one_pass(lambda diagonal: diagonal.sum(-1)), None),
    "right, by torch.func": (with_vjp, None),
    "right, forwards": (forwards, None),
    "right, by backward": (with_backward, None),
    "right, with grad_outputs": (with_outputs, None),
    "right, as a product": (one_pass(lambda diagonal: diagonal @ torch.ones(2, dtype=torch.float64)), None),
    "too many passes": (passes, "2 backward passes"),
    "whole Jacobian": (with_jacobian, "6 backward passes"),
    "diagonal": (one_pass(lambda diagonal: diagonal), "entries of the diagonal"),
    "over the batch": (one_pass(lambda diagonal: diagonal.sum()), "not one for all"),
    "over the rows": (one_pass(lambda diagonal: diagonal.sum(0)), "sums over the rows"),
    "mean": (one_pass(lambda diagonal: diagonal.mean(-1)), "not a mean"),
    "gradient of a mean": (one_pass(lambda diagonal: diagonal.sum(-1), torch.mean), "mean over all entries"),
    "determinant": (one_pass(lambda diagonal: diagonal.prod(-1)), "determinant"),
    "first column": (one_pass(lambda diagonal: diagonal[:, 0]), "only the first derivative"),
    "f itself": (lambda f, z: f(z).sum(-1), "sum of f"),
    "times z": (with_vector(lambda out, z: z), "with v = z"),
    "times f": (with_vector(lambda out, z: out), r"with v = f\(z\)"),
    "a tuple": (lambda f, z: torch.autograd.grad(f(z.requires_grad_()).sum(), z).sum(-1), "AttributeError"),
    "stub": (lambda f, z: ..., "not attempted"),
}


def linear(sign=-1.0, time=True, back=-1.0, transpose=True, exp=exp, T_back=True):
    def answer(A, T, x):
        flow = exp(back * A * (T if T_back else 1))
        return log_normal(x @ (flow.T if transpose else flow)) + sign * (T if time else 1) * A.trace()

    return answer


def as_gaussian(A, T, x):
    """Right, without a flow: a linear image of a Gaussian is a Gaussian."""
    flow = exp(A * T)
    return MultivariateNormal(torch.zeros(2, dtype=x.dtype), flow @ flow.T).log_prob(x)


def by_determinant(A, T, x):
    """Right, with the determinant of the whole flow."""
    flow = exp(A * T)
    return log_normal(torch.linalg.solve(flow, x.T).T) - torch.linalg.slogdet(flow).logabsdet


def solved(A, T, x):
    """Right, by somebody else's solver."""
    times = torch.tensor([T, 0.0], dtype=x.dtype)
    start = torchdiffeq.odeint(lambda t, z: z @ A.T, x, times, rtol=1e-10, atol=1e-12)[-1]
    return log_normal(start) - T * A.trace()


def by_eigenvectors(A, T, x):
    """Right: in the eigenvectors' coordinates the flow multiplies by numbers."""
    values, vectors = torch.linalg.eig(A)
    start = (vectors @ torch.diag(torch.exp(-T * values)) @ torch.linalg.inv(vectors)).real @ x.T
    return log_normal(start.T) - T * values.sum().real


def by_small_steps(A, T, x):
    """Right to six digits: the series of e^{−AT}, and the trace as a sum of diagonal entries."""
    total = term = x
    for n in range(1, 25):
        term = -T / n * term @ A.T
        total = total + term
    return log_normal(total) - T * (A[0, 0] + A[1, 1])


LINEAR = {
    "right": (linear(), None),
    "right, as a Gaussian": (as_gaussian, None),
    "right, by a determinant": (by_determinant, None),
    "right, solved": (solved, None),
    "right, by eigenvectors": (by_eigenvectors, None),
    "right, by its series": (by_small_steps, None),
    "sign": (linear(sign=1.0), "sign of the trace"),
    "no trace": (linear(sign=0.0), "trace is missing"),
    "no time at the trace": (linear(time=False), "whole time"),
    "no time on the way back": (linear(T_back=False), "T is missing where x came from"),
    "no time at all": (linear(time=False, T_back=False), "T is missing, in both places"),
    "wrong direction": (linear(back=1.0), "came FROM"),
    "not transposed": (linear(transpose=False), "transpose"),
    "not transposed, wrong direction": (linear(transpose=False, back=1.0), "transpose.*direction"),
    "entrywise": (linear(exp=torch.exp), "not the matrix of e to its entries"),
    "entrywise, not transposed": (linear(exp=torch.exp, transpose=False), "not the matrix of e to its entries"),
    "entrywise, no time": (linear(exp=torch.exp, T_back=False), "its entries, and T is missing"),
    "one Euler step": (lambda A, T, x: log_normal(x - T * x @ A.T) - T * A.trace(), "one Euler step"),
    "at x": (lambda A, T, x: log_normal(x) - T * A.trace(), "at x itself"),
    "no constant": (lambda A, T, x: -((x @ exp(-A * T).T) ** 2).sum(-1) / 2 - T * A.trace(), "the constant"),
    "determinant of A": (
        lambda A, T, x: log_normal(x @ exp(-A * T).T) - T * A.det().abs().log(),
        "not that of the flow",
    ),
    "trace of the flow": (lambda A, T, x: log_normal(x @ exp(-A * T).T) - exp(A * T).trace(), "the integral of tr A"),
    "a density": (lambda A, T, x: as_gaussian(A, T, x).exp(), "not its logarithm"),
    "one number": (lambda A, T, x: linear()(A, T, x).sum(), "shape"),
    "stub": (lambda A, T, x: -(... ** 2) - ..., "not attempted"),
}
EXERCISES = {
    "planar_log_det": PLANAR,
    "reparametrized": U_HAT,
    "trace_in_one_pass": TRACE,
    "linear_flow_log_prob": LINEAR,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
