"""Checks of lesson 07's exercises: an energy, a mean velocity, the optimal map, a norm by probes, two scalings."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, parts, tensor_of
from odelab.lessons.straight_paths.explorables import gaussian_map, root

SOURCE = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
TARGET = torch.tensor([[0.7, -0.5], [-0.5, 1.9]], dtype=torch.float64)  # does not commute with the other
WEIGHT = torch.tensor([[0.3, -1.1, 0.4], [0.7, 0.4, -0.2], [0.1, 0.5, 0.9]], dtype=torch.float64)


@exercise
def kinetic_energy(answer: Callable[..., Any]) -> None:
    """Mean over the points of ∫‖dz/dt‖² dt, for answer(t (T,), z (T, n, d)) with unequal times."""
    duration = 2.6  # no small number, so that no two slips give one value
    t = duration * torch.linspace(0, 1, 801, dtype=torch.float64) ** 1.5
    rate = torch.tensor([0.5, 1.5, 3.0], dtype=torch.float64)
    turned = rate * t[:, None]
    z = torch.stack([torch.cos(turned), torch.sin(turned), 0.5 * rate * t[:, None] ** 2], dim=-1)
    step, way = (t[1:] - t[:-1])[:, None], (z[1:] - z[:-1]).square().sum(-1)
    exact = (rate.square() * (duration + duration**3 / 3)).mean()  # speed² = rate² (1 + t²)
    wrong = {
        "this is the length of the paths: square the speed, do not integrate the speed itself": way.sqrt().sum(0),
        "the squared pieces are not divided by their duration: a speed is a way over a time": way.sum(0),
        "divided by the duration twice: that is the speed squared; its integral multiplies by the duration once": (
            way / step**2
        ).sum(0),
        "this is the squared distance between the ends: paths may bend": (z[-1] - z[0]).square().sum(-1),
        "the times are not equally spaced: each piece has its own duration": (way / step.mean()).sum(0),
        "the mean runs over the points alone: sum over the d entries of a velocity": (way / step).sum(0) / 3,
        "divided by the whole duration: the integral over time is asked for, not a mean over it": (way / step).sum(0)
        / duration,
        "half of it: the ½ of physics is not in this lesson's kinetic energy": (way / step).sum(0) / 2,
        "a mean over the pieces is asked for nowhere: each piece counts as long as it lasts": (way / step**2).mean(0),
        "this is the squared length over the duration, as if the speed were the same all the time": (
            way.sqrt().sum(0).square() / duration
        ),
        "a mean over the points is asked for, this is their sum": 3 * (way / step).sum(0),
    }
    slips = {advice: value.mean() for advice, value in wrong.items()}
    compare("the energy", answer(t, z), exact, slips, rtol=2e-3)


@exercise
def gaussian_velocity(answer: Callable[..., Any]) -> None:
    """The mean of z − x over the lines through y at the time t, for answer(t, y, s); x ~ N(0, s²), z ~ N(0, 1)."""
    y = torch.tensor([-1.5, 0.2, 2.0], dtype=torch.float64)
    for t, s in ((0.3, 0.5), (0.8, 1.7), (0.35, 1.0)):
        variance = (1 - t) ** 2 * s**2 + t**2
        wrong = {
            "this is the mean of x − z: the velocity of a line that ends in z is z − x": y
            * ((1 - t) * s**2 - t)
            / variance,
            "this is the covariance of z − x and y alone: divide it by the variance of y": y * (t - (1 - t) * s**2),
            "s is a standard deviation: covariances have s², here and in the variance of y": y
            * (t - (1 - t) * s)
            / ((1 - t) ** 2 * s + t**2),
            "standard deviations do not add up, variances do: (1 − t)² s² + t²": y
            * (t - (1 - t) * s**2)
            / ((1 - t) * s + t) ** 2,
            "this is the velocity on the lines from x to x/s; here z does not depend on x": y
            * (1 / s - 1)
            / (1 - t + t / s),
            "this has the data at t = 1: in this course they stand at t = 0": y
            * ((1 - t) - t * s**2)
            / (t**2 * s**2 + (1 - t) ** 2),
            "this is the mean of z alone: the mean of x has to be taken off": y * t / variance,
            "this is the mean of −x alone: the mean of z is missing": -y * (1 - t) * s**2 / variance,
        }
        compare(f"the velocity for t = {t}, s = {s}", answer(t, y, s), y * (t - (1 - t) * s**2) / variance, wrong)


@exercise
def optimal_map(answer: Callable[..., Any]) -> None:
    """The symmetric positive definite A (d, d) with A source Aᵀ = target, for answer(source, target)."""
    matrix = tensor_of("A", answer(SOURCE.clone(), TARGET.clone()))
    a, b = root(SOURCE), root(TARGET)
    back, exact = torch.linalg.inv(a), gaussian_map(SOURCE, TARGET)
    wrong = {
        "this map carries the target to the source: exchange their roles": torch.linalg.inv(exact),
        "it delivers the right covariance but is not symmetric, so it turns: see the formula for A": b @ back,
        "a Cholesky factor is a root, but not the symmetric one: A comes out triangular": torch.linalg.cholesky(TARGET)
        @ torch.linalg.inv(torch.linalg.cholesky(SOURCE)),
        "roots of matrices, not of their entries: eigenvalues get the root, see torch.linalg.eigh": (
            TARGET.abs().sqrt() / SOURCE.sqrt()
        ),
        "the outer factors are missing: Σ₁^(-1/2) on both sides": root(a @ TARGET @ a),
    }
    otherwise = "A Σ₁ Aᵀ is not Σ₂: the mass does not arrive where it should"
    if matrix.shape == (2, 2) and torch.allclose(matrix @ SOURCE @ matrix.T, TARGET, atol=1e-6):
        otherwise = "A Σ₁ Aᵀ is Σ₂, so the mass arrives; but A is not symmetric and positive definite: not cheapest"
    compare("A", matrix, exact, wrong, atol=1e-6, otherwise=otherwise)


@exercise
def frobenius_estimate(answer: Callable[..., Any]) -> None:
    """An estimate (n,) of ‖∇f‖²_F at every row, for answer(f, z (n, d), probes (K, n, d)); unbiased over the probes."""

    def f(z: Tensor) -> Tensor:
        return torch.tanh(z @ WEIGHT.T)

    z = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)
    signs = torch.tensor([[1.0 - 2 * (k >> i & 1) for i in range(3)] for k in range(8)], dtype=torch.float64)
    probes = signs[:, None, :].expand(8, 4, 3).clone()  # all sign vectors: their mean is the expectation
    jacobian = (1 - f(z) ** 2)[:, :, None] * WEIGHT
    exact = jacobian.square().sum((1, 2))
    trace = jacobian.diagonal(dim1=1, dim2=2).sum(-1)
    quadratic = torch.einsum("kni,nij,knj->kn", probes, jacobian, probes)
    wrong = {
        "εᵀ J ε estimates the trace; the norm needs the squared length of the vector εᵀ J": trace,
        "the square of εᵀ J ε is not the squared length of εᵀ J: square the entries, then add them up": (
            quadratic.square().mean(0)
        ),
        "a norm without its root is asked for: ‖∇f‖², which is what the probes estimate": exact.sqrt(),
        "the mean over the probes is asked for, this is their sum": 8 * exact,
        "the mean over the d entries is the reference's scaling; the notes add them up": exact / 3,
        "this is tr J², the trace of the Jacobian times itself: one of the two factors must be transposed": (
            jacobian @ jacobian
        )
        .diagonal(dim1=1, dim2=2)
        .sum(-1),
    }
    compare("the estimate with all sign vectors", answer(f, z, probes), exact, wrong, rtol=1e-6)
    few = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    value = tensor_of("the estimate", answer(f, z, few), (4,))
    rows = torch.einsum("kni,nij->knj", few, jacobian).square().sum(-1).mean(0)
    columns = torch.einsum("nij,knj->kni", jacobian, few).square().sum(-1).mean(0)
    if not any(torch.allclose(value, right, rtol=1e-6) for right in (rows, columns)):
        raise Hint("with two Gaussian probes it is neither the mean of ‖εᵀJ‖² nor of ‖Jε‖²: does it use them as given?")


@exercise
def reference_weights(answer: Callable[..., Any]) -> None:
    """(μ_K, μ_J) with the minimiser of the notes' objective, for answer(lam_kinetic, lam_jacobian, d)."""
    for lam_kinetic, lam_jacobian, d in ((0.03, 0.05, 3), (0.01, 0.2, 784)):  # for d = 2 slips would coincide
        two = parts(answer(lam_kinetic, lam_jacobian, d), 2, "two numbers are asked for: μ_K and μ_J")
        for name, value, exact, half in (
            ("μ_K", two[0], 2 * d * lam_kinetic, True),
            ("μ_J", two[1], d * lam_jacobian, False),
        ):
            lam = lam_kinetic if half else lam_jacobian
            wrong = {
                "the ½ is missing: the reference halves the kinetic term": d * lam,
                "the ½ belongs to the kinetic term alone": 2 * d * lam,
                "the ½ on the wrong side: a halved term needs twice the weight": d * lam / 2,
                "the notes divide the NLL by d too, here the reference does not: multiply through by d": lam,
                "this converts the reference's weight to the notes', the way back": lam / (2 * d) if half else lam / d,
                "multiplied by d where it should be divided, or the other way round": lam / d,
                "this is one over the weight: solve for μ, not for 1/μ": 1 / exact,
                "this is turned upside down: λ belongs above the bar": exact / lam**2,
                "d is missing: a mean over d entries is a d-th of their sum": 2 * lam,
                "d on the wrong side: a smaller term needs a larger weight": 2 * lam / d,
            }
            compare(f"{name} for d = {d}", value, exact, wrong, rtol=1e-5)
