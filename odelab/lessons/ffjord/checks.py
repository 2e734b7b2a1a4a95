"""Checks of the FFJORD lesson's exercises: log-density, Hutchinson's estimator, grey levels, bits per pixel."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, parts

ENDS = torch.tensor([[0.3, -1.2, 0.5], [2.0, 0.1, -0.7], [0.0, 0.4, 1.1], [-1.5, 0.9, 0.2]], dtype=torch.float64)
INTEGRALS = torch.tensor([0.7, -1.3, 0.2, 2.1], dtype=torch.float64)
WEIGHT = torch.tensor([[0.8, -1.1, 0.4], [0.7, 0.3, -0.6], [-0.2, 0.9, 0.5]], dtype=torch.float64)
PROBE = torch.tensor([[1.0, -1.0, 1.0], [0.5, 2.0, -1.0], [1.0, 1.0, -1.0], [-0.3, 1.0, 0.4]], dtype=torch.float64)


@exercise
def flow_log_prob(answer: Callable[..., Any]) -> None:
    """log p(x) (n,) for answer(z1, integral): ends of the paths (n, d), base N(0, I), and ∫ div f dt (n,)."""
    squares, constant = ENDS.square().sum(-1) / 2, 1.5 * math.log(2 * math.pi)
    exact = INTEGRALS - squares - constant
    wrong = {
        "the sign of the integral: where the flow spreads points out on its way to the base, data are dense": exact
        - 2 * INTEGRALS,
        "the constant of the Gaussian is missing: the density of N(0, I) integrates to one": exact + constant,
        "the Gaussian's ½ log 2π counts once for every dimension": exact + constant - math.log(2 * math.pi) / 2,
        "the Gaussian's constant is ½ log 2π for every dimension; yours is twice that": exact - constant,
        "the Gaussian's exponent has a factor ½": exact - squares,
        "the squares of all coordinates are added: ‖z‖², not their mean": exact + squares - squares / 3,
        "the exponent has the square of the distance from the origin, not the distance": exact
        + squares
        - (2 * squares).sqrt() / 2,
        "log p, not p: do not take the exponential": exact.exp(),
        "this adds (6.4)'s determinant itself; the integral is already its logarithm": exact
        - INTEGRALS
        + INTEGRALS.abs().log(),
        "this is the negative: log p is asked for, not the loss": -exact,
        "the integral is missing": exact - INTEGRALS,
        "one number for each point is asked for, not for all together": exact.sum(),
        "one number for each point is asked for, not their mean": exact.mean(),
    }
    compare("log p", answer(ENDS.clone(), INTEGRALS.clone()), exact, wrong)


@exercise
def hutchinson_estimate(answer: Callable[..., Any]) -> None:
    """(f (n, d), εᵀJε (n,)) for answer(f, t, z, eps), one probe for each row, and differentiable in f's parameters."""
    weight = WEIGHT.clone().requires_grad_()

    def f(t: Tensor | float, z: Tensor) -> Tensor:
        return torch.tanh(z @ weight.T) + t

    returned = answer(f, 0.5, ENDS.clone(), PROBE.clone())
    slope, estimate = parts(returned, 2, "return two things: f itself and the estimate")
    gate = 1 - torch.tanh(ENDS @ weight.T).square()
    pulled = (PROBE * gate) @ weight  # εᵀJ, J = diag(gate) W
    exact = (pulled * PROBE).sum(-1)
    compare("f", slope, torch.tanh(ENDS @ WEIGHT.T) + 0.5, {})
    wrong = {
        "multiply by ε once more before you sum: this is the sum of the entries of εᵀJ": pulled.sum(-1),
        "keep the rows apart: sum over the entries of a point, not over the batch": exact.sum(),
        "that is a mean over the batch; each point has an estimate of its own": exact.mean(),
        "a trace is a sum over the entries of a point, not their mean": exact / 3,
        "this is the exact trace; use the probe that is given, one product instead of d": gate @ WEIGHT.diagonal(),
        "products of ε with the vector εᵀJ, entry by entry: sum them": pulled * PROBE,
        "this is ‖εᵀJ‖², an estimate of the Frobenius norm: one of the two factors is ε itself": pulled.square().sum(
            -1
        ),
    }
    compare("the estimate", estimate, exact.detach(), wrong)
    if not (isinstance(estimate, Tensor) and estimate.requires_grad):
        raise Hint(
            "right numbers, but no gradient would reach the weights: create_graph=True keeps the product's graph"
        )
    (mine,) = torch.autograd.grad(exact.sum(), weight)
    (theirs,) = torch.autograd.grad(estimate.sum(), weight, allow_unused=True)
    if theirs is None or not torch.allclose(mine, theirs):
        raise Hint("the numbers are right, their gradient with respect to the weights is not: was something detached?")


@exercise
def dequantized(answer: Callable[..., Any]) -> None:
    """Grey levels 0 … levels − 1 as numbers spread evenly over [0, 1), for answer(x, levels); x integer."""
    levels, generator = 5, torch.Generator().manual_seed(0)
    x = torch.randint(levels, (400, 30), generator=generator)
    y, again = answer(x.clone(), levels), answer(x.clone(), levels)
    if not isinstance(y, Tensor) or y.shape != x.shape or not y.is_floating_point():
        raise Hint(f"a floating-point tensor of the images' shape {tuple(x.shape)} is asked for")
    _steps_are_right(y, x, levels)
    noise = y * levels - x
    _noise_is_drawn_for_every_pixel(noise, same_again=torch.equal(y, again))
    reach = float((noise - noise.mean()).abs().max() / noise.std())
    if reach > 2.2:
        raise Hint(
            f"this noise is not spread evenly over a step: some of it lies {reach:.1f} standard deviations from its "
            "mean, and of uniform noise nothing lies farther than 1.7"
        )
    if noise.min() < -1e-4 or noise.max() > 1 + 1e-4:
        raise Hint(
            f"some pixels left their own grey level, the noise runs from {noise.min():.2f} to {noise.max():.2f} steps: "
            "floor(y · levels) must give x back"
        )
    if abs(noise.mean() - 0.5) > 0.02 or abs(noise.std() - 12**-0.5) > 0.02:
        raise Hint(
            f"the noise fills only a part of each step, from {noise.min():.2f} to {noise.max():.2f}: the whole step, "
            "from 0 to 1, is meant"
        )
    if torch.equal(y, again):
        raise Hint("the same noise at every call: draw it anew, or the flow can learn it by heart")


def _steps_are_right(y: Tensor, x: Tensor, levels: int) -> None:
    """Whether one grey level is a step of 1/levels in y, as far as the noise lets it be told.

    Raises:
        Hint: for another width, where the noise fits into that.
    """
    slope = float(((x - x.float().mean()) * y).mean() / x.float().var())  # of y over x, whatever the noise is
    if abs(slope * levels - 1) < 0.08:
        return
    if abs(slope * (levels - 1) - 1) < 0.08:
        raise Hint(f"the largest y is {y.max():.2f}; count the levels from 0 to {levels - 1}, and make room for each")
    if abs(slope - 1) < 0.08:
        raise Hint(f"values from {y.min():.2f} to {y.max():.2f}: divide, so that all of them lie in [0, 1)")
    if abs(slope * 256 - 1) < 0.08:
        raise Hint("the number of levels is given; these images do not have 256")
    raise Hint(f"neighbouring grey levels are {slope:.2f} apart in y; the steps of all levels together fill [0, 1)")


def _noise_is_drawn_for_every_pixel(noise: Tensor, *, same_again: bool) -> None:
    """
    Raises:
        Hint: for no noise, or noise that pixels share.
    """
    if noise.std() < 1e-3 and same_again:
        shift = float(noise.mean())
        what = "no noise" if abs(shift) < 1e-3 else f"every pixel is shifted by {shift:.2f} steps, which is no noise"
        raise Hint(f"{what}: a flow could put an infinite density on these few values")
    if noise.std() < 1e-3:
        raise Hint("one u for all pixels of all images: draw as many numbers as x has")
    if noise.std(1).max() < 1e-3:
        raise Hint("all pixels of an image have the same u: draw as many numbers as x has")
    if noise.std(0).max() < 1e-3:
        raise Hint("a pixel has the same u in all images: draw as many numbers as x has")


@exercise
def bits_per_dim(answer: Callable[..., Any]) -> None:
    """Bits per pixel for answer(log_prob, dim, levels), log_prob in nats of images dequantized to [0, 1]^dim."""
    log_prob, dim, levels = 91.0, 64, 17
    nats = math.log(levels) - log_prob / dim
    exact = nats / math.log(2)
    wrong = {
        "these are nats: divide by ln 2": nats,
        "the width 1/levels of a grey level is missing: a density is not a probability": -log_prob / dim / math.log(2),
        "levels come from the data: these images do not have 256": (math.log(256) - log_prob / dim) / math.log(2),
        "the sign: a larger likelihood needs fewer bits": (math.log(levels) + log_prob / dim) / math.log(2),
        "the sign of the levels: a density on [0, 1] is larger than the probability of a level": (
            -math.log(levels) - log_prob / dim
        )
        / math.log(2),
        "per dimension: log p is that of the whole image": (math.log(levels) - log_prob) / math.log(2),
        "these are bits for the whole image": dim * exact,
        "the unit is the bit: divide by ln 2, not by ln levels": nats / math.log(levels),
        "multiply or divide? One bit is ln 2 = 0.69 nats, so there are more bits than nats": nats * math.log(2),
        "the logarithm of the levels belongs there, not their number": (levels - log_prob / dim) / math.log(2),
    }
    compare("bits per pixel", answer(log_prob, dim, levels), exact, wrong)
    several = answer(torch.tensor([91.0, 40.0], dtype=torch.float64), 64, 17)
    compare("for two images", several, (math.log(17) - torch.tensor([91.0, 40.0]).double() / 64) / math.log(2), {})
