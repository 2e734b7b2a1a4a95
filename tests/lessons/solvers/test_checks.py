"""Lesson 02: its exercises take right answers only, and answer each slip with its own hint."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from odelab.lessons.kit import check

# Exercises: (answer, a word of the hint it must get), or None for right answers.


def midpoint(f, t, y, h):
    return y + h * f(t + h / 2, y + h / 2 * f(t, y))


MIDPOINT = {
    "right": (midpoint, None),
    "right, as two half steps": (lambda f, t, y, h: 2 * (y + h / 2 * f(t + h / 2, y + h / 2 * f(t, y))) - y, None),
    "euler": (lambda f, t, y, h: y + h * f(t, y), "Euler"),
    "forgot the time": (lambda f, t, y, h: y + h * f(t, y + h / 2 * f(t, y)), "t \\+ h/2"),
    "forgot the state": (lambda f, t, y, h: y + h * f(t + h / 2, y), "old state"),
    "stopped half-way": (lambda f, t, y, h: y + h / 2 * f(t, y), "middle"),
    "half a step": (lambda f, t, y, h: y + h / 2 * f(t + h / 2, y + h / 2 * f(t, y)), "whole step"),
    "heun": (lambda f, t, y, h: y + h / 2 * (f(t, y) + f(t + h, y + h * f(t, y))), "Heun"),
    "increment only": (lambda f, t, y, h: h * f(t + h / 2, y + h / 2 * f(t, y)), "increment"),
    "a number": (lambda f, t, y, h: 0.0, r"shape \(2,\)"),
    "something else": (lambda f, t, y, h: y - h, "not the midpoint"),
    "stub": (lambda f, t, y, h: ..., "not attempted"),
}


@pytest.mark.parametrize(("answer", "hint"), MIDPOINT.values(), ids=MIDPOINT)
def test_midpoint_step(answer: Callable, hint: str | None) -> None:
    verify(check.midpoint_step(answer), hint)


CLASSIC = ((0, 0.5, 0.5, 1), ((), (0.5,), (0, 0.5), (0, 0, 1)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
THIRDS = ((0, 1 / 3, 2 / 3, 1), ((), (1 / 3,), (-1 / 3, 1), (1, -1, 1)), (1 / 8, 3 / 8, 3 / 8, 1 / 8))
SQUARE = tuple((*row, *[0] * (4 - len(row))) for row in CLASSIC[1])
RK4 = {
    "classical": (CLASSIC, None),
    "3/8 rule": (THIRDS, None),
    "square matrix": ((CLASSIC[0], SQUARE, CLASSIC[2]), None),
    "mistyped node": (((0, 1 / 3, 1 / 3, 1), *THIRDS[1:]), "row 2"),
    "weights of Heun": ((*CLASSIC[:2], (0.5, 0, 0, 0.5)), "order 3"),
    "weights swapped": ((*CLASSIC[:2], (1 / 3, 1 / 6, 1 / 6, 1 / 3)), "order"),
    "weights sum to 7/6": ((*CLASSIC[:2], (1 / 6, 1 / 3, 1 / 3, 1 / 3)), "b = 1"),
    "third row uses k1": ((CLASSIC[0], ((), (0.5,), (0.5, 0), (0, 0, 1)), CLASSIC[2]), "order"),
    "three stages": (((0, 0.5, 1), ((), (0.5,), (-1, 2)), (1 / 6, 2 / 3, 1 / 6)), "four"),
    "implicit": ((CLASSIC[0], ((0.0,), *CLASSIC[1][1:]), CLASSIC[2]), "row 0"),
    "stub": ((..., ..., ...), "not attempted"),
}


@pytest.mark.parametrize(("answer", "hint"), RK4.values(), ids=RK4)
def test_rk4(answer: tuple, hint: str | None) -> None:
    verify(check.rk4(*answer), hint)


def clamped(h, ratio, order, safety=0.9, low=0.2, high=10.0, power=1.0):
    return h * (high if ratio == 0 else min(high, max(low, safety * ratio ** (-power / order))))


CONTROLLER = {
    "right": (clamped, None),
    "never shrinks after acceptance": (lambda h, e, p: clamped(h, e, p, low=1.0 if e < 1 else 0.2), None),
    "other safety and clamp": (lambda h, e, p: clamped(h, e, p, safety=0.8, low=0.1, high=5.0), None),
    "sign of the exponent": (lambda h, e, p: clamped(h, e, p, power=-1.0), "sign"),
    "1/(p + 1)": (lambda h, e, p: clamped(h, e, p + 1), "1/\\(order \\+ 1\\)"),
    "square root": (lambda h, e, p: clamped(h, e, 2), "power"),
    "no safety": (lambda h, e, p: clamped(h, e, p, safety=1.0), "safety"),
    "timid": (lambda h, e, p: clamped(h, e, p, safety=0.3), "wastes"),
    "no clamp": (lambda h, e, p: h * 0.9 * max(e, 1e-99) ** (-1 / p), "clamp"),
    "division by zero": (lambda h, e, p: h * min(10, max(0.2, 0.9 * e ** (-1 / p))), "exactly 0"),
    "forgot h": (lambda h, e, p: clamped(1.0, e, p), "multiple of the old"),
    "stub": (lambda h, e, p: ..., "not attempted"),
}


@pytest.mark.parametrize(("answer", "hint"), CONTROLLER.values(), ids=CONTROLLER)
def test_controller(answer: Callable, hint: str | None) -> None:
    verify(check.controller(answer), hint)


def implicit(f, t, y, h, iterations=10, shift=1.0, sign=-1.0):
    new = y
    for _ in range(iterations):
        jacobian = torch.func.jacrev(lambda x: f(t + shift * h, x))(new)
        residual = new - y - h * f(t + shift * h, new)
        new = new - torch.linalg.solve(torch.eye(len(y), dtype=y.dtype) + sign * h * jacobian, residual)
    return new


def picard(f, t, y, h):
    new = y
    for _ in range(20):
        new = y + h * f(t + h, new)
    return new


def by_scipy(f, t, y, h):
    from scipy.optimize import root

    def residual(x: np.ndarray) -> np.ndarray:
        return x - y.numpy() - h * f(t + h, torch.from_numpy(x)).numpy()

    return torch.from_numpy(root(residual, y.numpy(), tol=1e-12).x)


IMPLICIT = {
    "right": (implicit, None),
    "by a root finder": (by_scipy, None),
    "explicit": (lambda f, t, y, h: y + h * f(t, y), "explicit"),
    "trapezoidal": (
        lambda f, t, y, h: implicit(lambda s, x: (f(t, y) + f(s, x)) / 2, t, y, h),
        "trapezoidal",
    ),
    "fixed-point iteration": (picard, "Newton"),
    "at the old time": (lambda f, t, y, h: implicit(f, t, y, h, shift=0.0), "end of the step"),
    "one iteration": (lambda f, t, y, h: implicit(f, t, y, h, iterations=1), "repeat"),
    "no step": (lambda f, t, y, h: y, "expected"),
    "stub": (lambda f, t, y, h: ..., "not attempted"),
}


@pytest.mark.parametrize(("answer", "hint"), IMPLICIT.values(), ids=IMPLICIT)
def test_implicit_euler_step(answer: Callable, hint: str | None) -> None:
    verify(check.implicit_euler_step(answer), hint)


def verify(verdict, hint: str | None) -> None:
    if hint is None:
        assert verdict, verdict.message
    else:
        assert not verdict and re.search(hint, verdict.message), verdict.message
