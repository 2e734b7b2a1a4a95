"""Lesson 02: its exercises take right answers however they are written, and answer each slip with its own hint."""

import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.optimize import root

from odelab.lessons.kit import check
from odelab.solvers import TABLEAUS, odeint
from tests.lessons.kit.answers import every_answer, judge

# Exercises: (answer, a word of the hint it must get), or None for right answers.


def midpoint(f, t, y, h):
    return y + h * f(t + h / 2, y + h / 2 * f(t, y))


def midpoint_with_half(f, t, y, half):
    return y + 2 * half * f(t + half, torch.lerp(y, y + f(t, y), half))


def midpoint_by_table(f, t, y, h):
    table = TABLEAUS["midpoint"]
    k = []
    for c, row in zip(table.c, table.a, strict=True):
        k.append(f(t + c * h, y + h * sum(a * slope for a, slope in zip(row, k, strict=True))))
    return y + h * sum(b * slope for b, slope in zip(table.b, k, strict=True))


def midpoint_in_place(f, t, y, h):
    y += h * f(t + h / 2, y + h / 2 * f(t, y))
    return y


def midpoint_on_a_copy(f, t, y, h):
    new = y.clone()
    new += h * f(t + h / 2, y + h / 2 * f(t, y))
    return new


MIDPOINT = {
    "right": (midpoint, None),
    "right, as two half steps": (lambda f, t, y, h: 2 * (y + h / 2 * f(t + h / 2, y + h / 2 * f(t, y))) - y, None),
    "right, by its table": (midpoint_by_table, None),
    "right, in place on a copy": (midpoint_on_a_copy, None),
    "right, entry by entry": (lambda f, t, y, h: [*midpoint(f, t, y, h)], None),
    "right, by the library": (
        lambda f, t, y, h: odeint(f, y, torch.tensor([t, t + h], dtype=y.dtype), method="midpoint")[-1],
        None,
    ),
    "euler": (lambda f, t, y, h: y + h * f(t, y), "Euler"),
    "forgot the time": (lambda f, t, y, h: y + h * f(t, y + h / 2 * f(t, y)), "t \\+ h/2"),
    "forgot the state": (lambda f, t, y, h: y + h * f(t + h / 2, y), "old state"),
    "stopped half-way": (lambda f, t, y, h: y + h / 2 * f(t, y), "middle"),
    "half a step": (lambda f, t, y, h: y + h / 2 * f(t + h / 2, y + h / 2 * f(t, y)), "whole step"),
    "from the middle": (
        lambda f, t, y, h: y + h / 2 * f(t, y) + h * f(t + h / 2, y + h / 2 * f(t, y)),
        "begins at y again",
    ),
    "average of both": (
        lambda f, t, y, h: y + h / 2 * (f(t, y) + f(t + h / 2, y + h / 2 * f(t, y))),
        "quarter of the step",
    ),
    "middle without slope": (lambda f, t, y, h: y + h * f(t + h / 2, y + h / 2), "h/2 times the slope"),
    "guess goes a whole step": (lambda f, t, y, h: y + h * f(t + h, y + h * f(t, y)), "before reading the slope"),
    "guess goes a whole step, time half": (
        lambda f, t, y, h: y + h * f(t + h / 2, y + h * f(t, y)),
        "state is that of the end",
    ),
    "guess goes half a step, time whole": (
        lambda f, t, y, h: y + h * f(t + h, y + h / 2 * f(t, y)),
        "time is that of the end",
    ),
    "right, with another h": (lambda f, t, y, h: midpoint_with_half(f, t, y, h / 2), None),
    "subtracted": (lambda f, t, y, h: 2 * y - midpoint(f, t, y, h), "subtract"),
    "slope times a half": (lambda f, t, y, h: y + h * f(t + h / 2, y + f(t, y) / 2), "yours by 1/2"),
    "half of the end's time": (lambda f, t, y, h: y + h * f((t + h) / 2, y + h / 2 * f(t, y)), r"half of t \+ h"),
    "half a second later": (lambda f, t, y, h: y + h * f(t + 1 / 2, y + h / 2 * f(t, y)), "1/2 after t"),
    "two slopes at one state": (lambda f, t, y, h: y + h / 2 * (f(t, y) + f(t + h, y)), "read at the old state"),
    "a pair": (lambda f, t, y, h: (t + h, midpoint(f, t, y, h)), "one tensor, yours is a tuple of 2"),
    "heun": (lambda f, t, y, h: y + h / 2 * (f(t, y) + f(t + h, y + h * f(t, y))), "Heun"),
    "increment only": (lambda f, t, y, h: h * f(t + h / 2, y + h / 2 * f(t, y)), "increment"),
    "slope only": (lambda f, t, y, h: f(t + h / 2, y + h / 2 * f(t, y)), "now walk"),
    "in place": (midpoint_in_place, "changes y itself"),
    "state before time": (lambda f, t, y, h: y + h * f(y + h / 2 * f(y, t), t + h / 2), "time first"),
    "a number": (lambda f, t, y, h: 0.0, r"shape \(2,\)"),
    "something else": (lambda f, t, y, h: y - h, "none of the usual slips"),
    "stub": (lambda f, t, y, h: ..., "not attempted"),
}

CLASSIC = ((0, 0.5, 0.5, 1), ((), (0.5,), (0, 0.5), (0, 0, 1)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
NODES, ROWS = (0, 1 / 3, 2 / 3, 1), ((), (1 / 3,), (-1 / 3, 1), (1, -1, 1))
THIRDS = (NODES, ROWS, (1 / 8, 3 / 8, 3 / 8, 1 / 8))
SQUARE = tuple((*row, *[0] * (4 - len(row))) for row in CLASSIC[1])
EIGHTHS = torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 8
RK4 = {
    "3/8 rule": (THIRDS, None),
    "as a tensor": ((NODES, ROWS, EIGHTHS), None),
    "as a column": ((NODES, ROWS, EIGHTHS[:, None]), None),
    "as an array": ((NODES, ROWS, EIGHTHS.numpy()), None),
    "as decimals": ((NODES, ROWS, [0.125, 0.375, 0.375, 0.125]), None),
    "as fractions": ((NODES, ROWS, [Fraction(n, 8) for n in (1, 3, 3, 1)]), None),
    "another method: the classical": (CLASSIC, None),
    "square matrix": ((CLASSIC[0], SQUARE, CLASSIC[2]), None),
    "classical weights on these nodes": ((NODES, ROWS, CLASSIC[2]), "integral of t²"),
    "all alike": ((NODES, ROWS, (0.25,) * 4), "integral of t²"),
    "not divided by 8": ((NODES, ROWS, (1, 3, 3, 1)), "integral of 1 from"),
    "rounded": ((NODES, ROWS, (0.13, 0.37, 0.37, 0.13)), "integral of t²"),
    "the wrong way round": ((NODES, ROWS, (3 / 8, 1 / 8, 1 / 8, 3 / 8)), "integral of t²"),
    "transposed equations": (
        (NODES, ROWS, np.linalg.solve(np.vander(NODES, increasing=True), [1, 1 / 2, 1 / 3, 1 / 4])),
        "integral of 1 from",
    ),
    "three weights": ((NODES, ROWS, (1 / 6, 2 / 3, 1 / 6)), "four weights"),
    "mistyped node": (((0, 1 / 3, 1 / 3, 1), *THIRDS[1:]), "row 2"),
    "weights of Heun": ((*CLASSIC[:2], (0.5, 0, 0, 0.5)), "integral of t²"),
    "third row uses k1": ((CLASSIC[0], ((), (0.5,), (0.5, 0), (0, 0, 1)), CLASSIC[2]), "not a: the condition"),
    "three stages": (((0, 0.5, 1), ((), (0.5,), (-1, 2)), (1 / 6, 2 / 3, 1 / 6)), "four"),
    "implicit": ((CLASSIC[0], ((0.0,), *CLASSIC[1][1:]), CLASSIC[2]), "row 0"),
    "stub": ((NODES, ROWS, ...), "not attempted"),
}


def rule(h, ratio, order, margin=0.9, low=0.2, accepted_low=1.0, high=10.0, power=1.0, at_zero=None):
    if ratio == 0:
        return h * (high if at_zero is None else at_zero)
    smallest = accepted_low if ratio < 1 else low
    return h * min(high, max(smallest, margin * ratio ** (-power / order)))


def by_logarithms(h, ratio, order):
    exponent = -torch.log(torch.tensor(max(ratio, 1e-300), dtype=torch.float64)) / order
    factor = 0.9 * torch.exp(exponent)
    return h * factor.clamp(1.0 if ratio < 1 else 0.2, 10.0)


def with_ifs(h, ratio, order):
    if ratio > 1:
        return max(0.2 * h, 0.9 * h / ratio ** (1 / order))
    if ratio < 1e-9:
        return 10 * h
    return h * np.clip(0.9 * np.power(ratio, -1 / order), 1, 10)


CONTROLLER = {
    "right": (rule, None),
    "right, by logarithms": (by_logarithms, None),
    "right, with ifs": (with_ifs, None),
    "right, other margin and limits": (lambda h, e, p: rule(h, e, p, margin=0.8, low=0.1, high=5.0), None),
    "right, a tiny number against zero": (lambda h, e, p: rule(h, max(e, 1e-20), p), None),
    "right, with a root": (lambda h, e, p: h * 10 if e == 0 else rule(h, e ** (1 / p), 1), None),
    "shrinks after acceptance": (lambda h, e, p: rule(h, e, p, accepted_low=0.2), "accepted step"),
    "sign of the exponent": (lambda h, e, p: rule(h, e, p, power=-1.0), "sign"),
    "right, the middle one of three": (
        lambda h, e, p: h * float(np.median([1.0 if e < 1 else 0.2, 10, 0.9 * np.float64(max(e, 1e-99)) ** (-1 / p)])),
        None,
    ),
    "never shrinks": (lambda h, e, p: rule(h, e, p, low=1.0), "which m"),
    "m exchanged": (lambda h, e, p: rule(h, e, p, accepted_low=0.2, low=1.0), "which m"),
    "1/(p - 1)": (lambda h, e, p: rule(h, e, p - 1), r"answer of order p - 1"),
    "always order 5": (lambda h, e, p: rule(h, e, 5), r"order 2 your step is proportional to E\^-0.2"),
    "1/(p + 1)": (lambda h, e, p: rule(h, e, p + 1), r"1/\(order \+ 1\)"),
    "E proportional to h": (lambda h, e, p: rule(h, e, 1), "which power of h"),
    "square root": (lambda h, e, p: rule(h, e, 2), r"E\^-0.5"),
    "no margin": (lambda h, e, p: rule(h, e, p, margin=1.0), "coin toss"),
    "timid": (lambda h, e, p: rule(h, e, p, margin=0.3), "wastes"),
    "no limits": (lambda h, e, p: h * 0.9 * max(e, 1e-99) ** (-1 / p), "hundredfold"),
    "never grows": (lambda h, e, p: rule(h, e, p, high=1.0), "not even double"),
    "hardly shrinks": (lambda h, e, p: rule(h, e, p, low=0.8), "not even halve"),
    "min and max exchanged": (lambda h, e, p: h * max(10, min(0.2, 0.9 * max(e, 1e-9) ** (-1 / p))), "min and max"),
    "doubles and halves": (lambda h, e, p: h * (0.5 if e > 1 else 2), "depend on the error ratio"),
    "division by zero": (lambda h, e, p: h * min(10, max(1 if e < 1 else 0.2, 0.9 * e ** (-1 / p))), "exactly 0"),
    "stays at zero error": (lambda h, e, p: rule(h, e, p, at_zero=1.0), "deserves the largest"),
    "forgot h": (lambda h, e, p: rule(1.0, e, p), "factor alone"),
    "limits in seconds": (lambda h, e, p: min(10, max(0.2, h * max(e, 1e-9) ** (-1 / p))), "multiple of the old"),
    "a pair": (lambda h, e, p: (rule(h, e, p), True), "one number"),
    "minus inside the power": (lambda h, e, p: h * min(10, abs(0.9 * (-e) ** (1 / p))), "sign"),
    "complex": (lambda h, e, p: h * 0.9 * (-e) ** (1 / p), "complex"),
    "stub": (lambda h, e, p: ..., "not attempted"),
}


def implicit(f, t, y, h, iterations=10, shift=1.0, sign=-1.0, scale=1.0):
    new = y
    for _ in range(iterations):
        jacobian = torch.func.jacrev(lambda x: f(t + shift * h, x))(new)
        residual = new - y - scale * h * f(t + shift * h, new)
        new = new - torch.linalg.solve(torch.eye(len(y), dtype=y.dtype) + sign * scale * h * jacobian, residual)
    return new


def until_small(f, t, y, h):
    """By another function for Jacobians, from an Euler step, until the residual is small."""
    new = y + h * f(t, y)
    while (residual := new - y - h * f(t + h, new)).abs().max() > 1e-10:
        jacobian = torch.autograd.functional.jacobian(lambda x: x - h * f(t + h, x), new)
        new = new - torch.linalg.inv(jacobian) @ residual
    return new


def by_differences(f, t, y, h):
    """With a Jacobian of finite differences."""
    new = y
    for _ in range(20):
        residual = new - y - h * f(t + h, new)
        columns = [(f(t + h, new + 1e-6 * e) - f(t + h, new)) / 1e-6 for e in torch.eye(len(y), dtype=y.dtype)]
        new = new - torch.linalg.solve(torch.eye(len(y), dtype=y.dtype) - h * torch.stack(columns, 1), residual)
    return new


def picard(f, t, y, h):
    new = y
    for _ in range(20):
        new = y + h * f(t + h, new)
    return new


def by_scipy(f, t, y, h):
    def residual(x: np.ndarray) -> np.ndarray:
        return x - y.numpy() - h * f(t + h, torch.from_numpy(x)).numpy()

    return torch.from_numpy(root(residual, y.numpy(), tol=1e-12).x)


def with_one_jacobian(f, t, y, h):
    """Newton's method with the Jacobian of its start, and more iterations for that."""
    inverse = torch.linalg.inv(torch.func.jacrev(lambda x: x - h * f(t + h, x))(y))
    new = y
    for _ in range(40):
        new = new - inverse @ (new - y - h * f(t + h, new))
    return new


def implicit_in_place(f, t, y, h):
    y += implicit(f, t, y.clone(), h) - y
    return y


def end_slope(f, t, y, h):
    """The slope at the end as the unknown of Newton's method."""
    slope = torch.zeros_like(y)
    for _ in range(12):
        jacobian = torch.func.jacrev(lambda k: k - f(t + h, y + h * k))(slope)
        slope = slope - torch.linalg.solve(jacobian, slope - f(t + h, y + h * slope))
    return slope


def newton(update):
    """An answer whose repetitions move by update(jacobian, residual)."""

    def answer(f, t, y, h):
        def residual(x):
            return x - y - h * f(t + h, x)

        new = y
        for _ in range(10):
            new = new + update(torch.func.jacrev(residual)(new), residual(new))
        return new

    return answer


def old_state_moved(f, t, y, h):
    for _ in range(10):
        y = implicit(f, t, y, h, iterations=1)
    return y


IMPLICIT = {
    "right": (implicit, None),
    "right, until small": (until_small, None),
    "right, by differences": (by_differences, None),
    "right, by a root finder": (by_scipy, None),
    "right, with one Jacobian": (with_one_jacobian, None),
    "explicit": (lambda f, t, y, h: y + h * f(t, y), "explicit"),
    "trapezoidal": (
        lambda f, t, y, h: implicit(lambda s, x: (f(t, y) + f(s, x)) / 2, t, y, h),
        "trapezoidal",
    ),
    "implicit midpoint": (
        lambda f, t, y, h: 2 * implicit(f, t, y, h / 2) - y,
        "midpoint rule",
    ),
    "right, solved for the slope": (lambda f, t, y, h: y + h * end_slope(f, t, y, h), None),
    "fixed-point iteration": (picard, "repeating y ← "),
    "fixed-point iteration, twice": (lambda f, t, y, h: y + h * f(t + h, y + h * f(t + h, y)), "repeating y ← "),
    "Newton with plus": (newton(lambda J, r: torch.linalg.solve(J, r)), "step is minus"),
    "Newton multiplied": (newton(lambda J, r: -J @ r), "step is minus"),
    "Newton, the old state moved": (old_state_moved, "no repetition changes"),
    "sign of the residual": (lambda f, t, y, h: implicit(f, t, y, h, scale=-1.0), "sign of h f"),
    "slope": (lambda f, t, y, h: (implicit(f, t, y, h) - y) / h, "slope at the end"),
    "at the old time": (lambda f, t, y, h: implicit(f, t, y, h, shift=0.0), "end of the step"),
    "one iteration": (lambda f, t, y, h: implicit(f, t, y, h, iterations=1), "repeat"),
    "two iterations": (lambda f, t, y, h: implicit(f, t, y, h, iterations=2), "nonlinear field"),
    "without h": (lambda f, t, y, h: implicit(f, t, y, h, scale=1 / h), "needs h"),
    "sign in the matrix": (lambda f, t, y, h: implicit(f, t, y, h, sign=1.0), "I - h J"),
    "sign in the matrix, once": (lambda f, t, y, h: implicit(f, t, y, h, iterations=1, sign=1.0), "I - h J"),
    "no step": (lambda f, t, y, h: y, "no repetition"),
    "increment": (lambda f, t, y, h: implicit(f, t, y, h) - y, "increment"),
    "in place": (implicit_in_place, "changes y itself"),
    "something else": (lambda f, t, y, h: y / 3, "expected"),
    "stub": (lambda f, t, y, h: ..., "not attempted"),
}

EXERCISES = {"midpoint_step": MIDPOINT, "controller": CONTROLLER, "implicit_euler_step": IMPLICIT}


@every_answer(EXERCISES)
def test_each_answer_gets_its_hint(exercise: str, answer: Callable, hint: str | None, capsys) -> None:
    judge(exercise, answer, hint, capsys)


@pytest.mark.parametrize(("table", "hint"), RK4.values(), ids=RK4)
def test_each_table_gets_its_hint(table: tuple, hint: str | None) -> None:
    verdict = check.rk4(*table)
    assert bool(verdict) == (hint is None), verdict.message
    assert hint is None or re.search(hint, verdict.message), verdict.message
