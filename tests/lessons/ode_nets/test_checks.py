"""Lesson 04: its exercises take right answers only."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from tests.lessons.kit.answers import every_answer, judge

# Exercises: (answer, a word of the hint it must get), or None for right answers.


def glued(weight, bias, t, x):
    return F.conv2d(torch.cat([torch.full_like(x[:, :1], t), x], 1), weight, bias, padding=1)


def split(weight, bias, t, x):
    ones = torch.ones_like(x[:1, :1])
    return F.conv2d(x, weight[:, 1:], bias, padding=1) + t * F.conv2d(ones, weight[:, :1], padding=1)


def summed(weight, bias, t, x):
    of_time = weight[:, :1].sum((1, 2, 3))[:, None, None]
    return F.conv2d(x, weight[:, 1:], bias, padding=1) + t * of_time


def bias_twice(weight, bias, t, x):
    return split(weight, bias, t, x) + bias[:, None, None]


TIME_CHANNEL = {
    "right": (split, None),
    "right, glued after all": (glued, None),
    "right, by unfolding": (
        lambda w, b, t, x: (
            torch.einsum(
                "ok,nkl->nol", w.flatten(1), F.unfold(torch.cat([t * torch.ones_like(x[:, :1]), x], 1), 3, padding=1)
            ).view(len(x), -1, *x.shape[2:])
            + b[:, None, None]
        ),
        None,
    ),
    "sum of the filter": (summed, "rim"),
    "time last": (lambda w, b, t, x: glued(torch.cat([w[:, 3:], w[:, :3]], 1), b, t, x), "first channel"),
    "time forgotten": (lambda w, b, t, x: F.conv2d(x, w[:, 1:], b, padding=1), "does not arrive"),
    "ones": (lambda w, b, t, x: glued(w, b, 1.0, x), "holds t"),
    "no bias": (lambda w, b, t, x: glued(w, None, t, x), "bias is missing"),
    "bias twice": (bias_twice, "twice"),
    "no padding": (lambda w, b, t, x: F.conv2d(x, w[:, 1:], b), "padding"),
    "stub": (lambda w, b, t, x: ..., "not attempted"),
}


def bill(nfe=None, backprop=None, checkpoint=None, adjoint=None):
    def answer(a, r, m, z):
        right = (2 + 6 * (a + r), 6 * a * m, a * z, 2 * z)
        given = (nfe, backprop, checkpoint, adjoint)
        return tuple(right[k] if given[k] is None else given[k](a, r, m, z) for k in range(4))

    return answer


BILL = {
    "right": (bill(), None),
    "right, another order of thought": (
        lambda a, r, m, z: [(a + r) * 7 - (a + r - 1) + 1, m * sum(6 for _ in range(a)), a * z, z + z],
        None,
    ),
    "seven stages": (bill(nfe=lambda a, r, m, z: 7 * (a + r)), "FSAL"),
    "no first guess": (bill(nfe=lambda a, r, m, z: 6 * (a + r)), "before the first step"),
    "rejected are free": (bill(nfe=lambda a, r, m, z: 2 + 6 * a), "rejected step has been paid"),
    "rejected are kept": (bill(backprop=lambda a, r, m, z: 6 * (a + r) * m), "rejected"),
    "states only": (bill(backprop=lambda a, r, m, z: 6 * a * z), "activations"),
    "one evaluation a step": (bill(backprop=lambda a, r, m, z: a * m), "six new stages"),
    "checkpoint keeps activations": (bill(checkpoint=lambda a, r, m, z: a * m), "computed again"),
    "checkpoint keeps one": (bill(checkpoint=lambda a, r, m, z: 2 * z), "per accepted step"),
    "adjoint keeps the path": (bill(adjoint=lambda a, r, m, z: a * z), "solved anew"),
    "adjoint keeps nothing": (bill(adjoint=lambda a, r, m, z: 0), "start somewhere"),
    "three numbers": (lambda a, r, m, z: (1, 2, 3), "four numbers"),
    "stub": (lambda a, r, m, z: (..., ..., ..., ...), "not attempted"),
}


def rate_error(wrong):
    p = wrong.double().mean()
    return (p * (1 - p) / len(wrong)).sqrt()


def disagreement(a, b):
    return (a & ~b).sum() + (b & ~a).sum()


PAIRED = {
    "right": (lambda a, b: (a.double() - b.double()).std() / len(a) ** 0.5, None),
    "right, McNemar": (lambda a, b: disagreement(a, b).sqrt() / len(a), None),
    "right, by variances and covariance": (
        lambda a, b: (
            (torch.cov(torch.stack([a.double(), b.double()])) * torch.tensor([[1, -1], [-1, 1]])).sum() / len(a)
        ).sqrt(),
        None,
    ),
    "independent": (lambda a, b: (rate_error(a) ** 2 + rate_error(b) ** 2).sqrt(), "different test sets"),
    "no root of n": (lambda a, b: (a.double() - b.double()).std(), "√n"),
    "variance": (lambda a, b: (a.double() - b.double()).var() / len(a), "variance"),
    "one net": (lambda a, b: rate_error(a), "one net alone"),
    "images": (lambda a, b: disagreement(a, b).sqrt(), "divided by n"),
    "points": (lambda a, b: 100 * disagreement(a, b).sqrt() / len(a), "points"),
    "a vector": (lambda a, b: a.double() - b.double(), "one number"),
    "stub": (lambda a, b: ..., "not attempted"),
}
EXERCISES = {
    "time_channel": TIME_CHANNEL,
    "solver_bill": BILL,
    "paired_error": PAIRED,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
