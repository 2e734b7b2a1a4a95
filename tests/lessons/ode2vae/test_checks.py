"""Lesson 09: its exercises take right answers only."""

from collections.abc import Callable

import pytest
import torch
from torch.func import jacrev, vmap

from tests.lessons.kit.answers import every_answer, judge

# Exercises: (answer, a word of the hint it must get), or None for right answers.


def second(make):
    """An answer whose field puts together `make(f, s, v)`."""
    return lambda f: lambda t, z: make(f, *z.chunk(2, -1))


def by_slices(f):
    """Right, with slices and a preallocated result."""

    def field(t, z):
        q = z.shape[-1] // 2
        slope = torch.empty_like(z)
        slope[..., :q], slope[..., q:] = z[..., q:], f(z[..., :q], z[..., q:])
        return slope

    return field


def rows_only(f):
    return lambda t, z: torch.cat((z[:, 2:], f(z[:, :2], z[:, 2:])), 1)


SECOND_ORDER = {
    "right": (second(lambda f, s, v: torch.cat((v, f(s, v)), -1)), None),
    "right, by slices": (by_slices, None),
    "position as its own slope": (second(lambda f, s, v: torch.cat((s, f(s, v)), -1)), "not the position"),
    "halves swapped": (second(lambda f, s, v: torch.cat((f(s, v), v), -1)), "come first"),
    "arguments swapped": (second(lambda f, s, v: torch.cat((v, f(v, s)), -1)), "position first"),
    "f twice": (second(lambda f, s, v: torch.cat((f(s, v), f(s, v)), -1)), "as it is"),
    "acceleration alone": (second(lambda f, s, v: f(s, v)), "shape"),
    "every second entry": (
        lambda f: lambda t, z: torch.stack((z[..., 1::2], f(z[..., ::2], z[..., 1::2])), -1).flatten(-2),
        "every second",
    ),
    "rows only": (rows_only, "does not fit|shape|Error"),
    "not a field": (lambda f: f(torch.zeros(1, 2).double(), torch.zeros(1, 2).double()), "function of"),
    "stub": (lambda f: lambda t, z: ..., "not attempted"),
    "nothing": (lambda f: ..., "not attempted"),
}


def by_v(f, s, v):
    """∂f/∂v (n, q, q)."""
    return vmap(lambda a, b: jacrev(lambda x: f(a, x))(b))(s, v)


def one_by_one(f, s, v):
    """Right, by backward passes."""
    v = v.requires_grad_()
    out = f(s, v)
    return sum(torch.autograd.grad(out[:, i].sum(), v, create_graph=True)[0][:, i] for i in range(v.shape[1]))


TRACE = {
    "right": (lambda f, s, v: by_v(f, s, v).diagonal(dim1=1, dim2=2).sum(-1), None),
    "right, by backward passes": (one_by_one, None),
    "over positions": (
        lambda f, s, v: by_v(lambda a, b: f(b, a), v, s).diagonal(dim1=1, dim2=2).sum(-1),
        "over the positions",
    ),
    "all entries": (lambda f, s, v: by_v(f, s, v).sum((1, 2)), "all entries"),
    "sign": (lambda f, s, v: -one_by_one(f, s, v), "minus"),
    "summed over the batch": (lambda f, s, v: one_by_one(f, s, v).sum(), "all together"),
    "mean": (lambda f, s, v: one_by_one(f, s, v).mean(), "mean"),
    "determinant": (lambda f, s, v: torch.linalg.det(by_v(f, s, v)), "determinant"),
    "not summed": (lambda f, s, v: by_v(f, s, v).diagonal(dim1=1, dim2=2), "add them up"),
    "no graph": (lambda f, s, v: one_by_one(f, s, v).detach(), "create_graph"),
    "half of it": (lambda f, s, v: 0.5 * one_by_one(f, s, v), "off by"),
    "stub": (lambda f, s, v: ..., "not attempted"),
}


def centring(mean):
    """An answer that takes away `mean(x, m)`."""
    return lambda x, m: (x - mean(x, m), mean(x, m).expand(len(x), 1, x.shape[2]))


CENTRE = {
    "right": (lambda x, m: (x - x[:, :m].mean(1, keepdim=True), x[:, :m].mean(1, keepdim=True)), None),
    "right, by a sum": (centring(lambda x, m: (x[:, :m].sum(1) / m)[:, None]), None),
    "whole future": (centring(lambda x, m: x.mean(1, keepdim=True)), "whole future"),
    "over walks": (centring(lambda x, m: x[:, :m].mean((0, 1), keepdim=True)), "over walks"),
    "first frame": (centring(lambda x, m: x[:, :1]), "frame 0"),
    "last known frame": (centring(lambda x, m: x[:, m - 1 : m]), "last known"),
    "over channels": (centring(lambda x, m: x[:, :m].mean((1, 2), keepdim=True)), "every channel"),
    "one too many": (centring(lambda x, m: x[:, : m + 1].mean(1, keepdim=True)), "too many"),
    "added": (lambda x, m: (x + x[:, :m].mean(1, keepdim=True), x[:, :m].mean(1, keepdim=True)), "add it back"),
    "no mean": (lambda x, m: x - x[:, :m].mean(1, keepdim=True), "two things"),
    "dropped dimension": (lambda x, m: (x - x[:, :m].mean(1, keepdim=True), x[:, :m].mean(1)), "shape"),
    "stub": (lambda x, m: ..., "not attempted"),
}
EXERCISES = {"second_order": SECOND_ORDER, "trace_over_velocity": TRACE, "causal_centre": CENTRE}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
