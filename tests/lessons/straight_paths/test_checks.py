"""Lesson 07's exercises take right answers only, whichever way they were found."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from torch.func import jacrev, jvp, vmap

from tests.lessons.kit.answers import every_answer, judge

# Exercises: (answer, a word of the hint it must get), or None for right answers.


def pieces(t, z):
    return (z[1:] - z[:-1]).square().sum(-1), (t[1:] - t[:-1])[:, None]


def energy(combine):
    def answer(t, z):
        way, step = pieces(t, z)
        return combine(way, step)

    return answer


def energy_by_gradient(t, z):
    """Right, by other formulas: central differences and the trapezoidal rule."""
    speed = np.gradient(z.numpy(), t.numpy(), axis=0)
    return np.trapezoid((speed**2).sum(-1), t.numpy(), axis=0).mean()


ENERGY = {
    "right": (energy(lambda way, step: (way / step).sum(0).mean()), None),
    "right, a number": (energy(lambda way, step: float((way / step).sum() / way.shape[1])), None),
    "right, by central differences": (energy_by_gradient, None),
    "length": (energy(lambda way, step: way.sqrt().sum(0).mean()), "length"),
    "no duration": (energy(lambda way, step: way.sum(0).mean()), "not divided"),
    "speed squared": (energy(lambda way, step: (way / step**2).sum(0).mean()), "twice"),
    "equal steps": (energy(lambda way, step: (way / step.mean()).sum(0).mean()), "equally spaced"),
    "sum over points": (energy(lambda way, step: (way / step).sum()), "sum"),
    "mean over entries": (energy(lambda way, step: (way / step).sum(0).mean() / 3), "entries"),
    "ends only": (lambda t, z: (z[-1] - z[0]).square().sum(-1).mean(), "ends"),
    "one per point": (energy(lambda way, step: (way / step).sum(0)), "shape"),
    "stub": (lambda t, z: ..., "not attempted"),
}


def sqrtm(matrix):
    return torch.from_numpy(scipy.linalg.sqrtm(matrix.numpy()).real)


def by_scipy(source, target):
    back = torch.linalg.inv(sqrtm(source))
    return back @ sqrtm(sqrtm(source) @ target @ sqrtm(source)) @ back


def from_the_other_side(source, target):
    """Right, by another formula: Σ₂^½ (Σ₂^½ Σ₁ Σ₂^½)^-½ Σ₂^½."""
    b = sqrtm(target)
    return b @ torch.linalg.inv(sqrtm(b @ source @ b)) @ b


def by_product(source, target):
    """Right, by a third: Σ₁⁻¹ (Σ₁ Σ₂)^½, which is how geometric means are written."""
    return torch.linalg.inv(source) @ sqrtm(source @ target)


MAP = {
    "right": (by_scipy, None),
    "right, from the other side": (from_the_other_side, None),
    "right, by the product": (by_product, None),
    "right, an array": (lambda source, target: by_scipy(source, target).numpy(), None),
    "exchanged": (lambda source, target: by_scipy(target, source), "exchange"),
    "not symmetric": (lambda source, target: sqrtm(target) @ torch.linalg.inv(sqrtm(source)), "not symmetric"),
    "Cholesky": (
        lambda source, target: torch.linalg.cholesky(target) @ torch.linalg.inv(torch.linalg.cholesky(source)),
        "Cholesky",
    ),
    "roots of entries": (lambda source, target: target.abs().sqrt() / source.sqrt(), "entries"),
    "outer factors": (lambda source, target: sqrtm(sqrtm(source) @ target @ sqrtm(source)), "outer"),
    "negative": (lambda source, target: -by_scipy(source, target), "not cheapest"),
    "ratio": (lambda source, target: target @ torch.linalg.inv(source), "does not arrive"),
    "a vector": (lambda source, target: target[0], "shape"),
    "stub": (lambda source, target: ..., "not attempted"),
}


def pulled(f, z, probes):
    z = z.detach().requires_grad_()
    return torch.stack([torch.autograd.grad((f(z) * probe).sum(), z)[0] for probe in probes])


def pushed(f, z, probes):
    return torch.stack([jvp(f, (z,), (probe,))[1] for probe in probes])


NORM = {
    "right, backward": (lambda f, z, v: pulled(f, z, v).square().sum(-1).mean(0), None),
    "right, forward": (lambda f, z, v: pushed(f, z, v).square().sum(-1).mean(0), None),
    "trace": (lambda f, z, v: (pulled(f, z, v) * v).sum(-1).mean(0), "trace"),
    "square of the trace": (lambda f, z, v: (pulled(f, z, v) * v).sum(-1).square().mean(0), "not the squared length"),
    "root": (lambda f, z, v: pulled(f, z, v).square().sum(-1).mean(0).sqrt(), "without its root"),
    "sum": (lambda f, z, v: pulled(f, z, v).square().sum(-1).sum(0), "their sum"),
    "mean over entries": (lambda f, z, v: pulled(f, z, v).square().mean(-1).mean(0), "scaling"),
    "without probes": (lambda f, z, v: vmap(jacrev(lambda z: f(z[None])[0]))(z).square().sum((1, 2)), "two Gaussian"),
    "one number": (lambda f, z, v: pulled(f, z, v).square().sum(-1).mean(), "shape"),
    "stub": (lambda f, z, v: ..., "not attempted"),
}

WEIGHTS = {
    "right": (lambda k, j, d: (2 * d * k, d * j), None),
    "right, a list of tensors": (lambda k, j, d: [torch.tensor(2.0 * d * k), torch.tensor(j) * d], None),
    "no half": (lambda k, j, d: (d * k, d * j), "missing"),
    "half of the wrong one": (lambda k, j, d: (2 * d * k, 2 * d * j), "kinetic term alone"),
    "half on the wrong side": (lambda k, j, d: (d * k / 2, d * j), "twice the weight"),
    "no d": (lambda k, j, d: (2 * k, j), "d"),
    "divided": (lambda k, j, d: (2 * k / d, j / d), "d"),
    "copied": (lambda k, j, d: (k, j), "d"),
    "one number": (lambda k, j, d: 2 * d * k, "two numbers"),
    "stub": (lambda k, j, d: ..., "not attempted"),
}
EXERCISES = {"kinetic_energy": ENERGY, "optimal_map": MAP, "frobenius_estimate": NORM, "reference_weights": WEIGHTS}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
