"""Lesson 10: its exercises take right answers only, also those whose answer is a check that finds a bug."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal
from torch.nn.functional import binary_cross_entropy

from odelab.latent import SecondOrder
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
    "right, by einsum": (
        lambda p, x, seen: torch.einsum("ntij,nt->n", x * p.log() + (1 - x) * (1 - p).log(), seen.double()),
        None,
    ),
    "right, one by one": (
        lambda p, x, seen: torch.stack([likelihood(p, x)[n][seen[n]].sum() for n in range(len(x))]),
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
    "right, apart": (lambda ll, kl0, kl, n: n * ll.mean() - n * kl0.mean() - kl, None),
    "right, scaled": (lambda ll, kl0, kl, n: ((ll - kl0 - kl / n) * (n / len(ll))).sum(), None),
    "right, a loop": (lambda ll, kl0, kl, n: sum(n / 20 * (a - b) for a, b in zip(ll, kl0, strict=True)) - kl, None),
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


def remembered(bytes_of, limit):
    one, two = map(bytes_of, (1, 2))
    return 1 + int((limit - one) // (two - one))


def by_fit(bytes_of, limit):
    each, fixed = np.polyfit([1, 2], [bytes_of(1), bytes_of(2)], 1)
    return int((limit - fixed) / each + 1e-6)


def counted_up(bytes_of, limit):
    memory, batch = bytes_of(2), 2
    each = memory - bytes_of(1)
    while memory + each <= limit:
        memory, batch = memory + each, batch + 1
    return batch


BATCH = {
    "right": (line, None),
    "right, elsewhere": (line_at_three, None),
    "three, though right": (
        lambda bytes_of, limit: 1 + int((limit - bytes_of(1)) // (bytes_of(2) - bytes_of(1))),
        "you measured 3",
    ),
    "right, remembered": (remembered, None),
    "right, by a fit": (by_fit, None),
    "right, counted up": (counted_up, None),
    "proportional": (lambda bytes_of, limit: math.floor(limit / bytes_of(1)), "start at nothing"),
    "nothing fixed": (lambda bytes_of, limit: math.floor(limit / (bytes_of(2) - bytes_of(1))), "always there"),
    "rounded up": (lambda bytes_of, limit: line(bytes_of, limit) + 1, "round down"),
    "too careful": (lambda bytes_of, limit: line(bytes_of, limit) - 1, "one more"),
    "a fraction": (lambda bytes_of, limit: line(bytes_of, limit) + 0.4, "whole"),
    "trials": (trials, "does not fit"),
    "three": (lambda bytes_of, limit: line(bytes_of, limit) + 0 * bytes_of(3), "two are enough"),
    "stub": (lambda bytes_of, limit: ..., "not attempted"),
}
# Answers that are checks.


def moments(n=4, std=0.6):
    mean, log_std = torch.randn(n, 3), torch.full((n, 3), math.log(std))
    return mean, log_std


def by_torch(log_q):
    mean, log_std = moments()
    z = torch.randn(4, 3)
    return torch.allclose(log_q(z, mean, log_std), Normal(mean, log_std.exp()).log_prob(z).sum(-1), atol=1e-4)


def by_slope(log_q):
    mean, log_std = torch.zeros(1000, 2), torch.full((2,), -0.5, requires_grad=True)
    z = mean + log_std.exp() * torch.randn(1000, 2)
    (slope,) = torch.autograd.grad(log_q(z, mean, log_std).mean(), log_std)
    return (slope + 1).abs().max() < 0.01


def by_mass(log_q):
    z = torch.linspace(-9, 9, 2001)[:, None]
    density = log_q(z, torch.zeros_like(z), torch.full_like(z, math.log(0.3))).exp()
    return abs(torch.trapezoid(density, z[:, 0]).item() - 1) < 1e-3


def by_difference(log_q):
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    return (log_q(zero, zero, -one) - log_q(zero, zero, zero)).item() == pytest.approx(1, abs=1e-5)


def by_assertion(log_q):
    mean, log_std = moments()
    off = log_q(mean, mean, log_std) - Normal(mean, log_std.exp()).log_prob(mean).sum(-1)
    assert off.abs().max() < 1e-3
    return True


def at_one(log_q):
    z = torch.randn(4, 3)
    return torch.allclose(log_q(z, 0 * z, 0 * z), Normal(0.0, 1.0).log_prob(z).sum(-1), atol=1e-4)


def finite(log_q):
    mean, log_std = moments()
    return bool(log_q(mean, mean, log_std).isfinite().all())


def one_sided(log_q):
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    return (log_q(zero, zero, -one) - log_q(zero, zero, one)).item() > 0.5


ENTROPY = {
    "right, against torch": (by_torch, None),
    "right, by its slope": (by_slope, None),
    "right, by its mass": (by_mass, None),
    "right, by two widths": (by_difference, None),
    "right, by an assertion": (by_assertion, None),
    "sigma is one": (at_one, "forgets how wide"),
    "finite": (finite, "forgets how wide"),
    "one side": (one_sided, "too wide"),
    "always": (lambda log_q: True, "forgets how wide"),
    "never": (lambda log_q: False, "refuses what is right"),
    "a number": (lambda log_q: log_q(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1)), "True or False"),
    "stub": (lambda log_q: ..., "not attempted"),
}
V = torch.tensor([-4.0, -1.0, 2.0])
SPREAD = {
    "right, squared": (lambda std_of: torch.allclose(std_of(V) ** 2, V.exp()), None),
    "right, logarithm": (lambda std_of: torch.allclose(2 * std_of(V).log(), V, atol=1e-5), None),
    "right, one number": (lambda std_of: abs(std_of(torch.tensor(-4.0)).item() - math.exp(-2)) < 1e-4, None),
    "right, by draws": (
        lambda std_of: ((std_of(V) * torch.randn(100_000, 3)).var(0) / V.exp() - 1).abs().max() < 0.05,
        None,
    ),
    "right, list": (lambda std_of: all(((std_of(V) / (V / 2).exp() - 1).abs() < 1e-4).tolist()), None),
    "zero": (lambda std_of: std_of(torch.zeros(3)).eq(1).all(), "the variance in place"),
    "positive": (lambda std_of: (std_of(V) > 0).all(), "the variance in place"),
    "grows": (lambda std_of: (std_of(V).diff() > 0).all(), "the variance in place"),
    "right, to the last digit": (lambda std_of: torch.equal(std_of(V), (V / 2).exp()), None),
    "the square": (lambda std_of: torch.allclose(std_of(V), V.exp() ** 2), "the square where"),
    "several": (lambda std_of: (std_of(V) ** 2 - V.exp()).abs() < 1e-4, "one verdict"),
    "stub": (lambda std_of: ..., "not attempted"),
}


def over_a_pass(estimate, gains, kl):
    mean = torch.stack([estimate(part, kl) for part in gains.split(20)]).mean()
    return torch.isclose(mean, gains.sum() - kl)


COUNTS = {
    "right, a pass": (over_a_pass, None),
    "right, loop": (
        lambda e, g, kl: abs(sum(e(g[k : k + 10], kl) for k in range(0, 100, 10)) / 10 - (g.sum() - kl)) < 1e-6,
        None,
    ),
    "right, two halves": (lambda e, g, kl: ((e(g[:50], kl) + e(g[50:], kl)) / 2).isclose(g.sum() - kl), None),
    "right, singles": (lambda e, g, kl: torch.stack([e(x[None], kl) for x in g]).mean().isclose(g.sum() - kl), None),
    "right, shuffled": (lambda e, g, kl: over_a_pass(e, g[torch.randperm(100)], kl), None),
    "all at once": (lambda e, g, kl: e(g, kl).isclose(g.sum() - kl), "batch alone"),
    "too generous": (lambda e, g, kl: e(g[:20], kl) < 0, "number of batches"),
    "one batch": (lambda e, g, kl: e(g[:20], kl).isclose(g.sum() - kl, rtol=0.1), "once for every batch"),
    "no divergence": (lambda e, g, kl: over_a_pass(e, g, 0 * kl), "once for every batch"),
    "never": (lambda e, g, kl: e(g[:20], kl) > 0, "refuses what is right"),
    "right, by the formula": (lambda e, g, kl: abs(e(g[:20], kl) - 5 * g[:20].sum() + kl) < 1e-6, None),
    "stub": (lambda e, g, kl: ..., "not attempted"),
}
COMPANY = {
    "right, alone": (lambda f, x: (f(x)[:1] - f(x[:1])).abs().max() < 1e-4, None),
    "right, others": (lambda f, x: torch.allclose(f(x)[0], f(torch.cat([x[:1], 1 - x[1:]]))[0], atol=1e-4), None),
    "right, halves": (lambda f, x: torch.allclose(f(x), torch.cat([f(x[:4]), f(x[4:])]), atol=1e-4), None),
    "right, one by one": (lambda f, x: torch.allclose(f(x), torch.cat([f(one[None]) for one in x]), atol=1e-4), None),
    "right, slope": (
        lambda f, x: (
            torch.autograd.functional.jacobian(lambda other: f(torch.cat([x[:1], other]))[0], x[1:]).abs().max() < 1e-6
        ),
        None,
    ),
    "twice the same": (lambda f, x: torch.allclose(f(x), f(x)), "the company another one"),
    "another order": (lambda f, x: torch.allclose(f(x.flip(0)).flip(0), f(x), atol=1e-4), "the company another one"),
    "exactly": (lambda f, x: torch.equal(f(x)[:1], f(x[:1])), "a small change"),
    "the others": (lambda f, x: torch.allclose(f(x)[1:], f(1 - x)[1:], atol=1e-4), "refuses"),
    "means": (lambda f, x: (f(x).mean() - f(x[:4]).mean()).abs() < 1.0, "the company another one"),
    "stub": (lambda f, x: ..., "not attempted"),
}


def backwards(velocity, film):
    return torch.dist(velocity(film[:, 4:]), velocity(film[:, :5].flip(1))) > 1e-3


def other_frames(velocity, film):
    return not torch.allclose(velocity(film), velocity(torch.cat([film[:, :1], 1 - film[:, 1:]], 1)))


def by_gradient(velocity, film):
    x = film.clone().requires_grad_()
    out = velocity(x).sum()
    return out.requires_grad and bool(torch.autograd.grad(out, x)[0][:, 1:].abs().max() > 0)


MOTION = {
    "right, backwards": (backwards, None),
    "right, other frames": (other_frames, None),
    "right, by gradient": (by_gradient, None),
    "right, frozen": (
        lambda v, film: (v(film) - v(film[:, :1].expand_as(film))).abs().max().item() > 1e-4,
        None,
    ),
    "right, shuffled": (lambda v, film: not v(film).equal(v(film[:, [0, 8, 7, 6, 5, 4, 3, 2, 1]])), None),
    "two films": (lambda v, film: torch.dist(v(film[:2]), v(film[2:])) > 1e-3, "begin with the same frame"),
    "one later": (lambda v, film: torch.dist(v(film), v(film[:, 1:])) > 1e-3, "begin with the same frame"),
    "reversed whole": (lambda v, film: torch.dist(v(film), v(film.flip(1))) > 1e-3, "begin with the same frame"),
    "not zero": (lambda v, film: v(film).abs().max() > 0, "frame 0 alone"),
    "last frames": (
        lambda v, film: torch.dist(v(film), v(torch.cat([film[:, :5], 1 - film[:, 5:]], 1))) > 0,
        "refuses",
    ),
    "stub": (lambda v, film: ..., "not attempted"),
}


def drawn(q, hidden):
    weights = SecondOrder(q, hidden).draw().weights
    return sum(w.numel() for w in (*weights.matrices, *weights.biases))


def by_assertion_of_weights(beta_of):
    assert beta_of(3, (30, 30)) * drawn(3, (30, 30)) / 6 == pytest.approx(1)
    return True


WEIGHTS = {
    "right, draw": (lambda b: abs(b(8, (50, 50)) * drawn(8, (50, 50)) - 16) < 1e-6, None),
    "right, by hand": (lambda b: math.isclose(b(2, (3, 5)), 4 / (3 * 5 + 5 * 4 + 2 * 6)), None),
    "right, one layer": (lambda b: math.isclose(b(4, (7,)), 8 / (8 * 7 + 7 + 7 * 4 + 4)), None),
    "right, parameters": (
        lambda b: math.isclose(
            b(2, (5, 5)),
            4
            / sum(
                p.numel()
                for p in torch.nn.Sequential(
                    torch.nn.Linear(4, 5), torch.nn.Linear(5, 5), torch.nn.Linear(5, 2)
                ).parameters()
            ),
        ),
        None,
    ),
    "right, by an assertion": (by_assertion_of_weights, None),
    "small": (lambda b: b(8, (50, 50)) < 0.1, "one hidden layer too many"),
    "matrices": (
        lambda b: math.isclose(b(8, (50, 50)), 16 / (50 * 16 + 50 * 50 + 8 * 50)),
        "no biases",
    ),
    "positions": (lambda b: math.isclose(b(8, (50, 50)), 8 / drawn(8, (50, 50))), "positions and velocities"),
    "many": (lambda b: b(8, (50, 50)) * drawn(8, (50, 50)) > 12, "no biases"),
    "the bug": (lambda b: math.isclose(b(8, (50, 50)), 16 / 6358), "one hidden layer too many"),
    "never": (lambda b: b(8, (50, 50)) > 1, "refuses what is right"),
    "stub": (lambda b: ..., "not attempted"),
}
EXERCISES = {
    "seen_log_likelihood": SEEN,
    "elbo_of_all": ELBO,
    "largest_batch": BATCH,
    "knows_the_entropy": ENTROPY,
    "knows_the_spread": SPREAD,
    "counts_sequences": COUNTS,
    "keeps_to_itself": COMPANY,
    "sees_motion": MOTION,
    "counts_weights": WEIGHTS,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
