"""Lesson 09: its exercises take right answers only."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.func import jacrev, jvp, vmap

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


def by_split(f):
    """Right, with split and a positive dimension."""

    def field(t, z):
        s, v = z.split(z.shape[-1] // 2, dim=z.ndim - 1)
        return torch.cat([v, f(s, v)], dim=z.ndim - 1)

    return field


def by_unflatten(f):
    """Right, with an axis for the pair."""

    def field(t, z):
        pair = z.unflatten(-1, (2, -1))
        return torch.stack((pair[..., 1, :], f(pair[..., 0, :], pair[..., 1, :])), -2).flatten(-2)

    return field


def by_columns(f):
    """Right, entry by entry."""

    def field(t, z):
        q = z.shape[-1] // 2
        force = f(z[..., :q], z[..., q:])
        return torch.stack([z[..., q + k] for k in range(q)] + [force[..., k] for k in range(q)], -1)

    return field


def rows_only(f):
    return lambda t, z: torch.cat((z[:, 2:], f(z[:, :2], z[:, 2:])), 1)


SECOND_ORDER = {
    "right": (second(lambda f, s, v: torch.cat((v, f(s, v)), -1)), None),
    "right, by slices": (by_slices, None),
    "right, by split": (by_split, None),
    "right, by unflatten": (by_unflatten, None),
    "right, by columns": (by_columns, None),
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


def one_state(f, s, v):
    """Right, state by state."""
    traces = []
    for k in range(len(s)):
        jacobian = torch.autograd.functional.jacobian(lambda b, k=k: f(s[k], b), v[k], create_graph=True)
        traces.append(torch.trace(jacobian))
    return torch.stack(traces)


def by_pushing(f, s, v):
    """Right, by forward mode."""
    columns = [jvp(lambda b: f(s, b), (v,), (unit.expand_as(v),))[1] for unit in torch.eye(v.shape[1]).to(v)]
    return sum(column[:, i] for i, column in enumerate(columns))


TRACE = {
    "right": (lambda f, s, v: by_v(f, s, v).diagonal(dim1=1, dim2=2).sum(-1), None),
    "right, by backward passes": (one_by_one, None),
    "right, by einsum": (lambda f, s, v: torch.einsum("nii->n", by_v(f, s, v)), None),
    "right, by pushing unit vectors": (by_pushing, None),
    "right, one state after the other": (one_state, None),
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


def band(low, high):
    """An answer that counts what lies between two quantiles, functions of the level."""

    def answer(draws, truth, level):
        edges = torch.quantile(draws, torch.tensor([low(level), high(level)], dtype=draws.dtype), dim=0)
        return ((edges[0] < truth) & (truth < edges[1])).double().mean()

    return answer


def lower(level):
    return (1 - level) / 2


def upper(level):
    return (1 + level) / 2


def by_sorting(draws, truth, level):
    """Right, with sorted draws."""
    ordered = draws.sort(0).values
    out = round(lower(level) * (len(draws) - 1))
    return ((ordered[out] <= truth) & (truth <= ordered[-1 - out])).float().mean().item()


def by_loop(draws, truth, level):
    """Right, value by value, in Python."""
    hits = 0
    for column, value in zip(draws.flatten(1).T, truth.flatten(), strict=True):
        below = (column < value).double().mean().item()
        hits += lower(level) <= below <= upper(level)
    return hits / truth.numel()


def by_rank(draws, truth, level):
    """Right, by the share of draws below."""
    return ((2 * (draws < truth).double().mean(0) - 1).abs() <= level).double().mean()


def by_numpy(draws, truth, level):
    """Right, with NumPy."""
    low, high = np.quantile(draws.numpy(), [lower(level), upper(level)], axis=0)
    return np.mean((truth.numpy() > low) & (truth.numpy() < high))


def normal_band(draws, truth, level):
    width = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(upper(level)))
    return ((truth - draws.mean(0)).abs() < width * draws.std(0)).double().mean()


COVERAGE = {
    "right, by quantiles": (band(lower, upper), None),
    "right, by sorting": (by_sorting, None),
    "right, by a loop": (by_loop, None),
    "right, by ranks": (by_rank, None),
    "right, by NumPy": (by_numpy, None),
    "open below": (band(lambda level: 0.0, lambda level: level), "open at one end"),
    "whole tail above": (band(lambda level: 0.0, upper), "at one end"),
    "whole tail below": (band(lower, lambda level: 1.0), "lower end only"),
    "both tails too large": (band(lambda level: 1 - level, lambda level: level), "0.2 at each"),
    "outside": (lambda d, x, p: 1 - band(lower, upper)(d, x, p), "outside the band"),
    "count": (lambda d, x, p: 15 * band(lower, upper)(d, x, p), "divide by"),
    "percent": (lambda d, x, p: 100 * band(lower, upper)(d, x, p), "not percent"),
    "extremes": (lambda d, x, p: ((d.amin(0) < x) & (x < d.amax(0))).double().mean(), "smallest to the largest"),
    "a normal": (normal_band, "of a \\*normal"),
    "each value": (lambda d, x, p: (2 * (d < x).double().mean(0) - 1).abs() <= p, "now their share"),
    "each column": (lambda d, x, p: ((2 * (d < x).double().mean(0) - 1).abs() <= p).double().mean(0), "each column"),
    "always 80 %": (lambda d, x, p: band(lower, upper)(d, x, 0.8), "follow the level"),
    "stub": (lambda d, x, p: ..., "not attempted"),
}


def by_covariance(spread, noise, frames):
    """Right, from the covariance of all frames."""
    covariance = spread**2 * torch.ones(frames, frames).double() + noise**2 * torch.eye(frames).double()
    return (covariance.sum() / frames**2).sqrt()


STD = {
    "right": (lambda s, n, k: (s**2 + n**2 / k).sqrt(), None),
    "right, by math": (lambda s, n, k: math.sqrt(s**2 + n**2 / k), None),
    "right, by hypot": (lambda s, n, k: math.hypot(s, n / math.sqrt(k)), None),
    "right, by a power": (lambda s, n, k: float(s * s + n * n / k) ** 0.5, None),
    "right, by a covariance": (by_covariance, None),
    "one frame": (lambda s, n, k: math.hypot(s, n), "width of one frame"),
    "all averaged": (lambda s, n, k: math.hypot(s, n) / math.sqrt(k), "does not average out"),
    "no path": (lambda s, n, k: n / math.sqrt(k), "path is missing"),
    "no noise": (lambda s, n, k: s, "noise is missing"),
    "deviations added": (lambda s, n, k: s + n / math.sqrt(k), "variances"),
    "by frames": (lambda s, n, k: math.hypot(s, n / k), "like its root"),
    "variance": (lambda s, n, k: s**2 + n**2 / k, "take the root"),
    "sum": (lambda s, n, k: math.sqrt(s**2 + k * n**2), "of the sum"),
    "other way round": (lambda s, n, k: math.sqrt(s**2 / k + n**2), "other way round"),
    "stub": (lambda s, n, k: ..., "not attempted"),
}


def centring(mean):
    """An answer that takes away `mean(x, m)`."""
    return lambda x, m: (x - mean(x, m), mean(x, m).expand(len(x), 1, x.shape[2]))


CENTRE = {
    "right": (lambda x, m: (x - x[:, :m].mean(1, keepdim=True), x[:, :m].mean(1, keepdim=True)), None),
    "right, by a sum": (centring(lambda x, m: (x[:, :m].sum(1) / m)[:, None]), None),
    "right, by einsum": (centring(lambda x, m: torch.einsum("ntc->nc", x[:, :m])[:, None] / m), None),
    "right, one walk after the other": (
        centring(lambda x, m: torch.stack([walk[:m].mean(0, keepdim=True) for walk in x])),
        None,
    ),
    "right, as a list": (lambda x, m: [x - x[:, :m].mean(1)[:, None], x[:, :m].mean(1)[:, None]], None),
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
EXERCISES = {
    "second_order": SECOND_ORDER,
    "trace_over_velocity": TRACE,
    "coverage": COVERAGE,
    "std_of_mean": STD,
    "causal_centre": CENTRE,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
