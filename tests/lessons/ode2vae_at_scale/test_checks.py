"""Lesson 10: its exercises take right answers only; costs are counted as they arise; tables say what is missing."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.distributions import Bernoulli, Independent
from torch.nn.functional import binary_cross_entropy

from tests.lessons.kit.answers import every_answer, judge

# Exercises: (answer, a word of the hint it must get), or None for right answers.


def likelihood(p, x):
    return (x * p.log() + (1 - x) * (1 - p).log()).sum((2, 3))


SEEN = {
    "right": (lambda p, x, seen: (likelihood(p, x) * seen).sum(1), None),
    "right, by where": (
        lambda p, x, seen: (
            -torch.where(
                seen[..., None, None], binary_cross_entropy(p, x, reduction="none"), torch.zeros(()).double()
            ).sum((1, 2, 3))
        ),
        None,
    ),
    "right, by distributions": (
        lambda p, x, seen: (
            Independent(Bernoulli(p, validate_args=False), 2, validate_args=False).log_prob(x).mul(seen).sum(1)
        ),
        None,
    ),
    "strict distribution": (lambda p, x, seen: Bernoulli(p).log_prob(x).sum((2, 3)).mul(seen).sum(1), "grey"),
    "all frames": (lambda p, x, seen: likelihood(p, x).sum(1), "nobody saw"),
    "black and black": (lambda p, x, seen: likelihood(p, x * seen[..., None, None]).sum(1), "nobody saw"),
    "mean of seen": (lambda p, x, seen: (likelihood(p, x) * seen).sum(1) / seen.sum(1), "mean over those seen"),
    "others": (lambda p, x, seen: (likelihood(p, x) * ~seen).sum(1), "the others"),
    "no white": (lambda p, x, seen: (x * p.log() * seen[..., None, None]).sum((1, 2, 3)), "white pixels"),
    "loss": (lambda p, x, seen: -(likelihood(p, x) * seen).sum(1), "sign"),
    "pixel means": (lambda p, x, seen: (likelihood(p, x) * seen).sum(1) / 8, "averaged"),
    "one number": (lambda p, x, seen: (likelihood(p, x) * seen).sum(), "each sequence"),
    "stub": (lambda p, x, seen: ..., "not attempted"),
}


ELBO = {
    "right": (lambda ll, kl0, kl, n: n / len(ll) * (ll - kl0).sum() - kl, None),
    "right, by means": (lambda ll, kl0, kl, n: n * ((ll - kl0).mean() - kl / n), None),
    "batches": (lambda ll, kl0, kl, n: n / len(ll) * (ll - kl0).mean() - kl, "number of batches"),
    "kl every batch": (lambda ll, kl0, kl, n: n / len(ll) * ((ll - kl0).sum() - kl), "once for every batch"),
    "kl every sequence": (lambda ll, kl0, kl, n: n * ((ll - kl0).mean() - kl), "every sequence"),
    "this batch": (lambda ll, kl0, kl, n: (ll - kl0).sum() - kl, "the rest"),
    "sign of kl": (lambda ll, kl0, kl, n: n * (ll - kl0).mean() + kl, "sign"),
    "no kl": (lambda ll, kl0, kl, n: n * ll.mean() - kl, "missing"),
    "loss": (lambda ll, kl0, kl, n: kl - n * (ll - kl0).mean(), "bound"),
    "no sum": (lambda ll, kl0, kl, n: n * (ll - kl0) - kl, "shape"),
    "stub": (lambda ll, kl0, kl, n: ..., "not attempted"),
}


def line(bytes_of, limit):
    one, two = bytes_of(1), bytes_of(2)
    return math.floor((limit - (2 * one - two)) / (two - one))


def line_at_three(bytes_of, limit):
    """Right: other places, an integer tensor."""
    here, there = bytes_of(3), bytes_of(7)
    each = (there - here) / 4
    return torch.tensor((limit - here) / each + 3 + 1e-9).floor().int()


def trials(bytes_of, limit):
    batch = 1
    while bytes_of(batch + 1) <= limit:
        batch += 1
    return batch


BATCH = {
    "right": (line, None),
    "right, elsewhere": (line_at_three, None),
    "proportional": (lambda bytes_of, limit: math.floor(limit / bytes_of(1)), "start at nothing"),
    "nothing fixed": (lambda bytes_of, limit: math.floor(limit / (bytes_of(2) - bytes_of(1))), "always there"),
    "rounded up": (lambda bytes_of, limit: line(bytes_of, limit) + 1, "round down"),
    "too careful": (lambda bytes_of, limit: line(bytes_of, limit) - 1, "one more"),
    "a fraction": (lambda bytes_of, limit: line(bytes_of, limit) + 0.4, "whole"),
    "trials": (trials, "does not fit"),
    "three": (lambda bytes_of, limit: line(bytes_of, limit) + 0 * bytes_of(3), "two are enough"),
    "stub": (lambda bytes_of, limit: ..., "not attempted"),
}
EXERCISES = {
    "seen_log_likelihood": SEEN,
    "elbo_of_all": ELBO,
    "largest_batch": BATCH,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
