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


def energy_by_einsum(t, z):
    velocity = torch.diff(z, dim=0) / torch.diff(t)[:, None, None]
    return torch.einsum("knd,knd,k->n", velocity, velocity, torch.diff(t)).mean()


def energy_by_loop(t, z):
    total = 0.0
    for k in range(len(t) - 1):
        velocity = (z[k + 1] - z[k]) / (t[k + 1] - t[k])
        total += (velocity**2).sum() * (t[k + 1] - t[k])
    return total / z.shape[1]


ENERGY = {
    "right": (energy(lambda way, step: (way / step).sum(0).mean()), None),
    "right, a number": (energy(lambda way, step: float((way / step).sum() / way.shape[1])), None),
    "right, by central differences": (energy_by_gradient, None),
    "right, by einsum": (energy_by_einsum, None),
    "right, by a loop": (energy_by_loop, None),
    "length": (energy(lambda way, step: way.sqrt().sum(0).mean()), "length"),
    "no duration": (energy(lambda way, step: way.sum(0).mean()), "not divided"),
    "speed squared": (energy(lambda way, step: (way / step**2).sum(0).mean()), "twice"),
    "equal steps": (energy(lambda way, step: (way / step.mean()).sum(0).mean()), "equally spaced"),
    "sum over points": (energy(lambda way, step: (way / step).sum()), "their sum"),
    "mean over entries": (energy(lambda way, step: (way / step).sum(0).mean() / 3), "entries"),
    "ends only": (lambda t, z: (z[-1] - z[0]).square().sum(-1).mean(), "ends"),
    "half, as in physics": (energy(lambda way, step: (way / step).sum(0).mean() / 2), "½ of physics"),
    "mean over time": (energy(lambda way, step: (way / step).sum(0).mean() / step.sum()), "whole duration"),
    "mean over pieces": (energy(lambda way, step: (way / step**2).mean()), "as long as it lasts"),
    "mean speed": (energy(lambda way, step: (way.sqrt().sum(0) ** 2 / step.sum()).mean()), "as if the speed"),
    "one per point": (energy(lambda way, step: (way / step).sum(0)), "shape"),
    "stub": (lambda t, z: ..., "not attempted"),
}


def by_regression(t, y, s):
    """Right, by solving for the linear map: Cov(z − x, y) / Var(y) from a table of variances."""
    rows = np.array([[s, 0.0], [0.0, 1.0]])  # x and z as multiples of independent normals
    line, velocity = np.array([1 - t, t]) @ rows, np.array([-1.0, 1.0]) @ rows
    return y * float(velocity @ line / (line @ line))


def by_integral(t, y, s):
    """Right, by the integral over x, on a grid."""
    x = np.linspace(-12, 12, 4001)
    mean = []
    for value in y.numpy():
        z = (value - (1 - t) * x) / t
        weight = np.exp(-(x**2) / (2 * s**2) - z**2 / 2)
        mean.append((weight * (z - x)).sum() / weight.sum())
    return np.array(mean)


def by_two_means(t, y, s):
    variance = (1 - t) ** 2 * s**2 + t**2
    return t / variance * y - (1 - t) * s**2 / variance * y


def by_score(t, y, s):
    """Right, from the mean of x alone: z = (y − (1 − t) x) / t."""
    x = (1 - t) * s**2 * y / ((1 - t) ** 2 * s**2 + t**2)
    return (y - (1 - t) * x) / t - x


def spread(t, s):
    return (1 - t) ** 2 * s**2 + t**2


VELOCITY = {
    "right": (lambda t, y, s: y * (t - (1 - t) * s**2) / spread(t, s), None),
    "right, by regression": (by_regression, None),
    "right, by an integral": (by_integral, None),
    "right, two means": (by_two_means, None),
    "right, from the mean of x": (by_score, None),
    "sign": (lambda t, y, s: y * ((1 - t) * s**2 - t) / spread(t, s), "x − z"),
    "not divided": (lambda t, y, s: y * (t - (1 - t) * s**2), "divide"),
    "s for s²": (lambda t, y, s: y * (t - (1 - t) * s) / ((1 - t) ** 2 * s + t**2), "standard deviation"),
    "deviations added": (lambda t, y, s: y * (t - (1 - t) * s**2) / ((1 - t) * s + t) ** 2, "variances do"),
    "optimal lines": (lambda t, y, s: y * (1 / s - 1) / (1 - t + t / s), "does not depend"),
    "time reversed": (lambda t, y, s: y * ((1 - t) - t * s**2) / spread(1 - t, s), "data at t = 1"),
    "z alone": (lambda t, y, s: y * t / spread(t, s), "z alone"),
    "a random line": (lambda t, y, s: torch.zeros_like(y), "usual slips"),
    "stub": (lambda t, y, s: ..., "not attempted"),
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


def by_eigenvalues(source, target):
    """Right, with roots from the eigenvalues, and solves in place of an inverse."""

    def root(matrix):
        values, vectors = torch.linalg.eigh(matrix)
        return (vectors * values.sqrt()) @ vectors.mT

    a = root(source)
    return torch.linalg.solve(a, torch.linalg.solve(a, root(a @ target @ a)).mT)


MAP = {
    "right": (by_scipy, None),
    "right, from the other side": (from_the_other_side, None),
    "right, by the product": (by_product, None),
    "right, an array": (lambda source, target: by_scipy(source, target).numpy(), None),
    "right, by eigenvalues": (by_eigenvalues, None),
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


def by_jacobian(f, z, probes):
    rows = vmap(jacrev(lambda z: f(z[None])[0]))(z)
    return torch.einsum("kni,nij->knj", probes, rows).square().sum(-1).mean(0)


def by_points(f, z, probes):
    values = []
    for n in range(len(z)):
        jacobian = jacrev(lambda one: f(one[None])[0])(z[n])
        values.append(torch.stack([(probe @ jacobian).square().sum() for probe in probes[:, n]]).mean())
    return torch.stack(values)


NORM = {
    "right, backward": (lambda f, z, v: pulled(f, z, v).square().sum(-1).mean(0), None),
    "right, forward": (lambda f, z, v: pushed(f, z, v).square().sum(-1).mean(0), None),
    "right, by the full Jacobian": (by_jacobian, None),
    "right, a list": (lambda f, z, v: list(pulled(f, z, v).square().sum(-1).mean(0)), None),
    "right, one point at a time": (by_points, None),
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
    "right, an array": (lambda k, j, d: tuple(d * np.array([2 * k, j])), None),
    "right, by solving": (lambda k, j, d: (k / (1 / (2 * d)), j / (1 / d)), None),
    "right, by logarithms": (lambda k, j, d: (np.exp(np.log([2, d, k]).sum()), np.exp(np.log([d, j]).sum())), None),
    "no half": (lambda k, j, d: (d * k, d * j), "missing"),
    "half of the wrong one": (lambda k, j, d: (2 * d * k, 2 * d * j), "kinetic term alone"),
    "half on the wrong side": (lambda k, j, d: (d * k / 2, d * j), "twice the weight"),
    "no d": (lambda k, j, d: (2 * k, j), "d is missing"),
    "divided": (lambda k, j, d: (2 * k / d, j / d), "d on the wrong side"),
    "copied": (lambda k, j, d: (k, j), "multiply through"),
    "the way back": (lambda k, j, d: (k / (2 * d), j / d), "the way back"),
    "inverted": (lambda k, j, d: (1 / (2 * d * k), 1 / (d * j)), "one over"),
    "upside down": (lambda k, j, d: (2 * d / k, d / j), "upside down"),
    "one number": (lambda k, j, d: 2 * d * k, "two numbers"),
    "stub": (lambda k, j, d: ..., "not attempted"),
}
EXERCISES = {
    "kinetic_energy": ENERGY,
    "gaussian_velocity": VELOCITY,
    "optimal_map": MAP,
    "frobenius_estimate": NORM,
    "reference_weights": WEIGHTS,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)
