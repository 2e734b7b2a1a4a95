"""Checks of lesson 13's exercises: one Euler step, the score of a flow, the shortest turn of an angle."""

import math
from collections.abc import Callable
from typing import Any

import torch

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, tensor_of


@exercise
def one_euler_step(answer: Callable[..., Any]) -> None:
    """Samples (n, 2) of a perfect flow of independent pairs by one Euler step, for answer(z (n, 2), mean (2,))."""
    z = torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.9]], dtype=torch.float64)
    mean = torch.tensor([0.8, -0.4], dtype=torch.float64)
    wrong = {
        "this is the velocity at t = 1; the step goes back by it from z": z - mean,
        "you step forwards: from t = 1 to t = 0 the time changes by −1": 2 * z - mean,
        "this stays at z: the field at t = 1 is not zero": z,
        "the sign of the mean: the field is the mean of z − x, so z minus it is x in the mean": -mean.expand_as(z),
        "half a step: from t = 1 to t = 0 its length is 1": (z + mean) / 2,
        "the points move by the mean, they do not go to it: z itself is a part of the velocity": z + mean,
        "this is the origin, which is the mean of the noise; where is the mean of the data?": torch.zeros_like(z),
    }
    value = tensor_of("the samples", answer(z.clone(), mean.clone()))
    if value.shape == (2,):
        raise Hint("one point for each of the n starts is asked for, (n, 2): repeat it, for instance by expand_as")
    compare("the samples", value, mean.expand_as(z), wrong)


@exercise
def score_from_velocity(answer: Callable[..., Any]) -> None:
    """∇ log ρ_t(y) (n, 2) from the flow's velocity, for answer(t, y (n, 2), velocity (n, 2)) and straight pairs."""
    y = torch.tensor([[0.4, -1.2], [1.5, 0.3], [-0.6, 0.9]], dtype=torch.float64)
    for t, s in ((0.3, 0.5), (0.75, 1.7)):
        variance = (1 - t) ** 2 * s**2 + t**2  # data N(0, s²): all is known
        velocity = y * (t - (1 - t) * s**2) / variance
        noise = y + (1 - t) * velocity
        exact = -y / variance
        wrong = {
            "this is the mean noise; the score is minus that, over t": noise,
            "the sign: the score points to where the density is higher, against the noise": noise / t,
            "σ is t here: divide by it": -noise,
            "divided by t²: the mean noise z is a unit normal, not t z": -noise / t**2,
            "this divides by 1 − t, which belongs to the data; the noise has the factor t": -noise / (1 - t),
            "this is the mean of the data over t; you need that of the noise, E[z | y] = y + (1 − t) f": -(
                y - t * velocity
            )
            / t,
            "E[z | y] from y = (1 − t) x + t z and f = z − x: z = y + (1 − t) f, not y + t f": -(y + t * velocity) / t,
            "E[z | y] = y + (1 − t) f, with a plus: put x = z − f into y": -(y - (1 - t) * velocity) / t,
            "this is minus the velocity: it is the score only where the flow is a gradient flow": -velocity,
            "this is minus y, the score of the base at t = 1; the density at t is another": -y,
        }
        compare(f"the score at t = {t}", answer(t, y.clone(), velocity.clone()), exact, wrong)


@exercise
def shortest_turn(answer: Callable[..., Any]) -> None:
    """The turn in [−π, π] that carries the angle a to the angle b, for answer(a, b) of any shape."""
    degrees = math.pi / 180
    a = torch.tensor([10.0, 170.0, -170.0, 20.0, -100.0, 500.0, -30.0], dtype=torch.float64) * degrees
    b = torch.tensor([50.0, -170.0, 170.0, -40.0, 120.0, 170.0, -390.0], dtype=torch.float64) * degrees
    exact = torch.tensor([40.0, 20.0, -20.0, -60.0, -140.0, 30.0, 0.0], dtype=torch.float64) * degrees
    plain = b - a
    wrong = {
        "this is b − a as if angles were numbers: from 170° to −170° it turns by −340°, and 20° would do": plain,
        "from a to b, not from b to a": -exact,
        "the turn has lost its sign: some turns are negative": exact.abs(),
        "all turns are positive here: from 20° to −40° it is shorter to turn back": torch.remainder(plain, 2 * math.pi),
        "this wraps a half turn: the period is 2π": torch.remainder(plain + math.pi / 2, math.pi) - math.pi / 2,
        "shifted by π: after the remainder take the π off again": torch.remainder(plain + math.pi, 2 * math.pi),
        "once 2π is not always enough: angles may have turned several times": torch.where(
            plain >= math.pi, plain - 2 * math.pi, torch.where(plain < -math.pi, plain + 2 * math.pi, plain)
        ),
        "this is the sine of the turn; the turn itself is asked for": plain.sin(),
        "fmod keeps the sign of what is divided: for turns below −π it leaves the interval; see torch.remainder": (
            torch.fmod(plain + math.pi, 2 * math.pi) - math.pi
        ),
    }
    value = tensor_of("the turns", answer(a.clone(), b.clone()))
    compare("the turns", value, exact, wrong, atol=1e-6, rtol=1e-6)
