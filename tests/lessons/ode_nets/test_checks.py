"""Lesson 04: its exercises take right answers only."""

from collections.abc import Callable

import numpy as np
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


def by_unfolding(weight, bias, t, x):
    """Both convolutions as matrix products."""

    def product(image, filters):
        columns = F.unfold(image, 3, padding=1)
        return torch.einsum("ok,nkl->nol", filters.flatten(1), columns)

    of_time = product(torch.ones(1, 1, *x.shape[2:]), weight[:, :1])
    return (product(x, weight[:, 1:]) + t * of_time + bias[:, None]).unflatten(-1, x.shape[2:])


def by_shifts(weight, bias, t, x):
    """Nine shifted images, each times its entry of the filter."""
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    inside = F.pad(torch.ones(height, width), (1, 1, 1, 1))
    total = bias[:, None, None]
    for i in range(3):
        for j in range(3):
            part = padded[:, :, i : i + height, j : j + width]
            total = total + torch.einsum("oc,nchw->nohw", weight[:, 1:, i, j], part)
            total = total + t * weight[:, 0, i, j, None, None] * inside[i : i + height, j : j + width]
    return total


def one_by_one(weight, bias, t, x):
    ones = torch.ones_like(x[0, :1])
    of_time = t * F.conv2d(ones, weight[:, :1], bias / t, padding=1)
    return torch.stack([F.conv2d(image, weight[:, 1:], padding=1) + of_time for image in x])


def channel_by_channel(weight, bias, t, x):
    parts = [torch.full_like(x[:, :1], t), *x.split(1, dim=1)]
    return sum(F.conv2d(part, weight[:, k : k + 1], padding=1) for k, part in enumerate(parts)) + bias.view(1, -1, 1, 1)


def corrected_at_the_rim(weight, bias, t, x):
    """The sum of the filter, less what hangs over the rim."""
    result = F.conv2d(x, weight[:, 1:], bias, padding=1) + t * weight[:, 0].sum((1, 2))[:, None, None]
    hangs_over = F.conv2d(F.pad(torch.zeros_like(x[:1, :1]), (1, 1, 1, 1), value=1.0), weight[:, :1])
    return result - t * hangs_over


def by_linearity(weight, bias, t, x):
    """(4.4) as the lesson's own check has it, and glued three times."""
    nothing = torch.zeros_like(x)
    return glued(weight, bias, 0.0, x) + t * (glued(weight, None, 1.0, nothing))


def glued_in_place(weight, bias, t, x):
    image = torch.empty(len(x), 1 + x.shape[1], *x.shape[2:])
    image[:, 0] = t
    image[:, 1:] = x
    return F.conv2d(image, weight, bias, padding=1)


def glued_by_padding(weight, bias, t, x):
    return F.conv2d(F.pad(x, (0, 0, 0, 0, 1, 0), value=t), weight, bias, padding=1)


def summed(weight, bias, t, x):
    of_time = weight[:, :1].sum((1, 2, 3))[:, None, None]
    return F.conv2d(x, weight[:, 1:], bias, padding=1) + t * of_time


def bias_twice(weight, bias, t, x):
    return split(weight, bias, t, x) + bias[:, None, None]


def bias_in_both(weight, bias, t, x):
    ones = torch.ones_like(x[:1, :1])
    return F.conv2d(x, weight[:, 1:], bias, padding=1) + t * F.conv2d(ones, weight[:, :1], bias, padding=1)


TIME_CHANNEL = {
    "right": (split, None),
    "right, by unfolding": (by_unfolding, None),
    "right, by shifts": (by_shifts, None),
    "right, image by image": (one_by_one, None),
    "right, channel by channel": (channel_by_channel, None),
    "right, corrected at the rim": (corrected_at_the_rim, None),
    "glued": (glued, "the time was glued"),
    "glued three times": (by_linearity, "the time was glued"),
    "glued in place": (glued_in_place, "the time was glued"),
    "glued by padding": (glued_by_padding, "the time was glued"),
    "glued, by unfolding": (
        lambda w, b, t, x: (
            torch.einsum(
                "ok,nkl->nol", w.flatten(1), F.unfold(torch.cat([t * torch.ones_like(x[:, :1]), x], 1), 3, padding=1)
            ).view(len(x), -1, *x.shape[2:])
            + b[:, None, None]
        ),
        "the time was glued",
    ),
    "sum of the filter": (summed, "rim"),
    "time last": (lambda w, b, t, x: glued(torch.cat([w[:, 3:], w[:, :3]], 1), b, t, x), "first channel"),
    "time forgotten": (lambda w, b, t, x: F.conv2d(x, w[:, 1:], b, padding=1), "does not arrive"),
    "ones": (lambda w, b, t, x: glued(w, b, 1.0, x), "holds t"),
    "no bias": (lambda w, b, t, x: glued(w, None, t, x), "bias is missing"),
    "bias twice": (bias_twice, "twice"),
    "bias in both": (bias_in_both, "one of the two"),
    "no padding": (lambda w, b, t, x: F.conv2d(x, w[:, 1:], b), "padding"),
    "minus": (lambda w, b, t, x: 2 * F.conv2d(x, w[:, 1:], b, padding=1) - split(w, b, t, x), "by none of the usual"),
    "stub": (lambda w, b, t, x: ..., "not attempted"),
}


def bill(nfe=None, backprop=None, checkpoint=None, adjoint=None):
    def answer(a, r, m, z):
        right = (2 + 6 * (a + r), 6 * a * m, a * z, 2 * z)
        given = (nfe, backprop, checkpoint, adjoint)
        return tuple(right[k] if given[k] is None else given[k](a, r, m, z) for k in range(4))

    return answer


def step_by_step(accepted, rejected, evaluation, state):
    nfe, kept, states = 2, 0.0, 0.0
    for step in range(accepted + rejected):
        nfe += 6
        if step < accepted:
            kept += 6 * evaluation
            states += state
    return nfe, kept, states, state + state


BILL = {
    "right": (bill(), None),
    "right, another order of thought": (
        lambda a, r, m, z: [(a + r) * 7 - (a + r - 1) + 1, m * sum(6 for _ in range(a)), a * z, z + z],
        None,
    ),
    "right, step by step": (step_by_step, None),
    "right, as a tensor": (lambda a, r, m, z: torch.tensor([2 + 6 * (a + r), 6 * a * m, a * z, 2 * z]).tolist(), None),
    "right, as NumPy's numbers": (
        lambda a, r, m, z: tuple(np.array([[6, 6], [6 * m, 0], [z, 0], [0, 0]]) @ [a, r] + [2, 0, 0, 2 * z]),
        None,
    ),
    "right, memory from the backward pass": (
        lambda a, r, m, z: (2 + 6 * a + 6 * r, m * (7 * a - a), sum([z] * a), sum([z, z])),
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


def bootstrap(a, b):
    difference = a.double() - b.double()
    drawn = torch.randint(len(a), (3000, len(a)), generator=torch.Generator().manual_seed(0))
    return difference[drawn].mean(1).std()


PAIRED = {
    "right": (lambda a, b: (a.double() - b.double()).std() / len(a) ** 0.5, None),
    "right, McNemar": (lambda a, b: disagreement(a, b).sqrt() / len(a), None),
    "right, by variances and covariance": (
        lambda a, b: (
            (torch.cov(torch.stack([a.double(), b.double()])) * torch.tensor([[1, -1], [-1, 1]])).sum() / len(a)
        ).sqrt(),
        None,
    ),
    "right, by squares": (lambda a, b: (((a * 1.0 - b * 1.0) ** 2).mean() / len(a)) ** 0.5, None),
    "right, NumPy": (
        lambda a, b: np.std(a.numpy().astype(int) - b.numpy().astype(int), ddof=1) / np.sqrt(len(a)),
        None,
    ),
    "right, where they disagree": (lambda a, b: (a ^ b).double().std() / len(a) ** 0.5, None),
    "right, by drawing images anew": (bootstrap, None),
    "independent": (lambda a, b: (rate_error(a) ** 2 + rate_error(b) ** 2).sqrt(), "different test sets"),
    "no root of n": (lambda a, b: (a.double() - b.double()).std(), "√n"),
    "variance": (lambda a, b: (a.double() - b.double()).var() / len(a), "variance"),
    "one net": (lambda a, b: rate_error(a), "one net alone"),
    "images": (lambda a, b: disagreement(a, b).sqrt(), "divided by n"),
    "points": (lambda a, b: 100 * disagreement(a, b).sqrt() / len(a), "points"),
    "errors added": (lambda a, b: rate_error(a) + rate_error(b), "add as squares"),
    "of the sum": (lambda a, b: (a.double() + b.double()).std() / len(a) ** 0.5, "of a sum"),
    "the difference": (lambda a, b: (a.double().mean() - b.double().mean()).abs(), "the difference itself"),
    "the disagreement": (lambda a, b: disagreement(a, b) / len(a), "the rate at which they disagree"),
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
