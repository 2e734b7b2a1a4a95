"""Lesson 05: its exercises take right answers only."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
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


def det(z, w, u, b):
    return 1 + (1 - torch.tanh(z @ w + b) ** 2) * (w @ u)


PLANAR = {
    "right": (lambda z, w, u, b: det(z, w, u, b).abs().log(), None),
    "right, by Jacobians": (by_jacobian, None),
    "right, with cosh": (lambda z, w, u, b: (1 + (w @ u) / torch.cosh(z @ w + b) ** 2).abs().log(), None),
    "no logarithm": (det, "determinant itself"),
    "no bars": (lambda z, w, u, b: det(z, w, u, b).log(), "off by"),
    "no identity": (lambda z, w, u, b: (det(z, w, u, b) - 1).abs().log(), r"1 \+ is missing"),
    "tanh for its slope": (lambda z, w, u, b: (1 + torch.tanh(z @ w + b) * (w @ u)).abs().log(), "derivative"),
    "sign": (lambda z, w, u, b: -det(z, w, u, b).abs().log(), "sign"),
    "u for w": (lambda z, w, u, b: (1 + (det(z, w, u, b) - 1) / (w @ u) * (u @ u)).abs().log(), "direction is w"),
    "one number": (lambda z, w, u, b: det(z, w, u, b).abs().log().sum(), "shape"),
    "stub": (lambda z, w, u, b: ..., "not attempted"),
}


def moved(change: Callable, along: Callable) -> Callable:
    return lambda w, u: u + change(w @ u) * along(w, u)


def m(a):
    return F.softplus(a) - 1


def split(w, u):
    """Right, from its two parts: what is across w stays, along w it is m(wᵀu)."""
    return u - (w @ u) / (w @ w) * w + m(w @ u) / (w @ w) * w


U_HAT = {
    "right": (moved(lambda a: m(a) - a, lambda w, u: w / (w @ w)), None),
    "right, from two parts": (split, None),
    "right, log and exp": (moved(lambda a: torch.log1p(a.exp()) - 1 - a, lambda w, u: w / w.norm() ** 2), None),
    "by the norm": (moved(lambda a: m(a) - a, lambda w, u: w / w.norm()), r"not by ‖w‖:"),
    "not normalised": (moved(lambda a: m(a) - a, lambda w, u: w), "divide by"),
    "along u": (moved(lambda a: m(a) - a, lambda w, u: u / (u @ u)), "along w"),
    "m alone": (moved(m, lambda w, u: w / (w @ w)), "has already"),
    "bound at zero": (moved(lambda a: F.softplus(a) - a, lambda w, u: w / (w @ w)), "bound is −1"),
    "nothing across": (lambda w, u: m(w @ u) * w / (w @ w), "across w"),
    "unchanged": (lambda w, u: u, "off by"),
    "stub": (lambda w, u: u + ... * w, "not attempted"),
}


def one_pass(reduce: Callable) -> Callable:
    def answer(f, z):
        z = z.requires_grad_()
        return reduce(torch.autograd.grad(f(z).sum(), z)[0])

    return answer


def passes(f, z):
    """The right value for too high a price: a pass for each of the dimensions."""
    z = z.requires_grad_()
    return sum(torch.autograd.grad(f(z)[:, i].sum(), z)[0][:, i] for i in range(z.shape[1]))


def with_vjp(f, z):
    """Right, by torch.func."""
    value, pull = torch.func.vjp(f, z)
    return pull(torch.ones_like(value))[0].sum(1)


TRACE = {
    "right": (one_pass(lambda diagonal: diagonal.sum(-1)), None),
    "right, by torch.func": (with_vjp, None),
    "too many passes": (passes, "2 backward passes"),
    "diagonal": (one_pass(lambda diagonal: diagonal), "diagonal"),
    "over the batch": (one_pass(lambda diagonal: diagonal.sum()), "every row"),
    "mean": (one_pass(lambda diagonal: diagonal.mean(-1)), "not a mean"),
    "determinant": (one_pass(lambda diagonal: diagonal.prod(-1)), "determinant"),
    "f itself": (lambda f, z: f(z).sum(-1), "sum of f"),
    "stub": (lambda f, z: ..., "not attempted"),
}


def linear(sign=-1.0, time=True, back=-1.0, transpose=True):
    def answer(A, T, x):
        flow = exp(back * A * T)
        return log_normal(x @ (flow.T if transpose else flow)) + sign * (T if time else 1) * A.trace()

    return answer


def as_gaussian(A, T, x):
    """Right, without a flow: a linear image of a Gaussian is a Gaussian."""
    flow = exp(A * T)
    return MultivariateNormal(torch.zeros(2, dtype=x.dtype), flow @ flow.T).log_prob(x)


LINEAR = {
    "right": (linear(), None),
    "right, as a Gaussian": (as_gaussian, None),
    "sign": (linear(sign=1.0), "sign of the trace"),
    "no trace": (linear(sign=0.0), "trace is missing"),
    "no time": (linear(time=False), "whole time"),
    "wrong direction": (linear(back=1.0), "came FROM"),
    "not transposed": (linear(transpose=False), "transpose"),
    "at x": (lambda A, T, x: log_normal(x) - T * A.trace(), "not evaluated at x"),
    "determinant of A": (
        lambda A, T, x: log_normal(x @ exp(-A * T).T) - T * A.det().abs().log(),
        "took the determinant",
    ),
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
