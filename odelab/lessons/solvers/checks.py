"""Exercises of lesson 02: a midpoint step, RK4 as a table, a step-size controller, implicit Euler.

Each check accepts every right answer it can recognise (any explicit fourth-order table, any sensible safety
factor, any way to solve the implicit equation) and answers the usual slips with the reason they are slips.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, tensor_of

Field = Callable[[Any, Tensor], Tensor]
Step = Callable[[Field, float, Tensor, float], Tensor]


def _pushed_pendulum(t: Any, y: Tensor) -> Tensor:
    """A field that depends on t and is not linear in y: slips with either show."""
    return torch.stack([y[1] + t, -torch.sin(y[0]) + t * t])


@exercise
def midpoint_step(step: Step) -> None:
    """One step of the explicit midpoint rule, ``step(f, t, y, h) -> new y``."""
    f, t, h = _pushed_pendulum, 0.7, 0.2
    y = torch.tensor([0.4, -0.3], dtype=torch.float64)
    k1 = f(t, y)
    middle = y + h / 2 * k1
    better = f(t + h / 2, middle)
    wrong = {
        "this is Euler's step: it only uses the slope at the start": y + h * k1,
        "the slope is taken at the right state but at time t; the middle is at t + h/2": y + h * f(t, middle),
        "the slope is taken at the right time but at the old state; go half a step first": y + h * f(t + h / 2, y),
        "you stopped in the middle: that half step is only there to read off a better slope": middle,
        "the better slope is good for the whole step h, not for half of it": y + h / 2 * better,
        "you walked to the end of the step before reading the slope; go half-way": y + h * f(t + h, y + h * k1),
        "this is Heun's method: right order, other table": y + h / 2 * (k1 + f(t + h, y + h * k1)),
        "this is the increment; the step returns y plus it": h * better,
    }
    otherwise = "not the midpoint rule yet: half an Euler step, the slope there, then the whole step with that slope"
    compare("the new state", step(f, t, y, h), y + h * better, wrong, otherwise=otherwise)


@exercise
def rk4(c: Sequence[float], a: Sequence[Sequence[float]], b: Sequence[float]) -> None:
    """The table (c, a, b) of any explicit Runge–Kutta method of order four with four stages."""
    if not len(c) == len(a) == len(b) == 4:
        raise Hint(f"four stages need four nodes, four rows and four weights; yours has {len(c)}, {len(a)}, {len(b)}")
    nodes, weights = (torch.tensor([float(x) for x in row], dtype=torch.float64) for row in (c, b))
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    for i, row in enumerate(a):
        if len(row) not in (i, 4) or any(float(x) for x in row[i:]):
            raise Hint(f"row {i} of a may only use the stages before it: {i} numbers, yours has {len(row)}")
        matrix[i, :i] = torch.tensor([float(x) for x in row[:i]], dtype=torch.float64)
    sums = matrix.sum(1)
    for i in range(4):
        if abs(sums[i] - nodes[i]) > 1e-9:
            raise Hint(
                f"row {i} of a sums to {sums[i]:.4g} but its node c[{i}] is {nodes[i]:.4g}: stage and time differ"
            )
    for order, name, left, right in order_conditions(nodes, matrix, weights):
        if abs(left - right) > 1e-9:
            raise Hint(f"the condition {name} of order {order} is broken: {left:.4g} instead of {right:.4g}")


def order_conditions(c: Tensor, a: Tensor, b: Tensor) -> list[tuple[int, str, float, float]]:
    """(order, name, left side, right side) of the eight conditions for order four (Butcher 1964).

    Args:
        c, b: nodes and weights, shape (s,).
        a: matrix of the table, shape (s, s).
    """
    conditions = [
        (1, "Σ b = 1", b.sum(), 1),
        (2, "Σ b c = 1/2", b @ c, 1 / 2),
        (3, "Σ b c² = 1/3", b @ c**2, 1 / 3),
        (3, "Σ b a c = 1/6", b @ a @ c, 1 / 6),
        (4, "Σ b c³ = 1/4", b @ c**3, 1 / 4),
        (4, "Σ b c a c = 1/8", (b * c) @ a @ c, 1 / 8),
        (4, "Σ b a c² = 1/12", b @ a @ c**2, 1 / 12),
        (4, "Σ b a a c = 1/24", b @ a @ a @ c, 1 / 24),
    ]
    return [(order, name, float(left), right) for order, name, left, right in conditions]


@exercise
def controller(next_step: Callable[[float, float, int], float]) -> None:
    """``next_step(h, error_ratio, order) -> h``: any safety factor in [0.5, 1) and any clamp of at least a factor 2."""

    def factor(error_ratio: float, order: int = 5, h: float = 0.1) -> float:
        value = float(next_step(h, error_ratio, order))
        if not math.isfinite(value) or value <= 0:
            raise Hint(f"an error ratio of {error_ratio:g} gave the step {value:g}: a step is positive and finite")
        return value / h

    if abs(factor(2.0, h=0.7) / factor(2.0) - 1) > 1e-9:
        raise Hint("the new step is a multiple of the old one: the factor must not depend on h itself")
    if factor(100.0) >= 1:
        raise Hint("the error was 100 times too large and the step did not shrink: look at the sign of the exponent")
    for order in (2, 5):
        power = math.log(factor(1.1, order) / factor(1.6, order)) / math.log(1.1 / 1.6)
        if abs(power + 1 / (order + 1)) < 1e-6:
            raise Hint("the estimate shrinks like h^order, so the exponent is -1/order, not -1/(order + 1)")
        if abs(power + 1 / order) > 1e-6:
            raise Hint(
                f"for order {order} the factor must be ∝ error_ratio^(-1/{order}); yours has the power {power:.3g}"
            )
    safety = factor(1.1, 1) * 1.1
    if safety > 1 - 1e-6:
        raise Hint(
            "aim a little below the tolerance (a safety factor of 0.9, say), or every second step is a coin toss"
        )
    if safety < 0.5:
        raise Hint(f"a safety factor of {safety:.2g} wastes work; 0.8 to 0.9 is usual")
    if factor(1e-30) > 100 or factor(1e30) < 1e-3:
        raise Hint("one lucky or hopeless estimate moved the step by more than a hundredfold: clamp the factor")
    try:
        factor(0.0)
    except (ZeroDivisionError, Hint) as error:
        raise Hint(
            "on y' = 0 the estimate is exactly 0; an error of 0 deserves the largest factor, not a crash"
        ) from error


@exercise
def implicit_euler_step(step: Step) -> None:
    """``step(f, t, y, h) -> new y`` with new y = y + h f(t + h, new y), for any smooth f and y of shape (dim,)."""
    rate = 1000.0
    y = torch.tensor([1.0, -2.0], dtype=torch.float64)
    fast = tensor_of("the new state", step(lambda t, x: -rate * x, 0.0, y, 1.0), y.shape)
    exact = y / (1 + rate)
    wrong = {
        "this is the explicit step: its slope is taken at the old state": y * (1 - rate),
        "this is the trapezoidal rule: it averages both slopes, use only the new one": (
            y * (1 - rate / 2) / (1 + rate / 2)
        ),
        "the sign of h·J is wrong in the linear solve: the matrix is I - h J": y / (1 - rate),
    }
    otherwise = f"y' = -1000 y, h = 1, y = 1: {float(exact[0]):.3g} expected, yours is {float(fast[0]):.3g}"
    if not bool(torch.isfinite(fast).all()) or fast.abs().max() > 10:
        otherwise = (
            "y' = -1000 y with h = 1 grew: iterating y ← y + h f(y) diverges on stiff problems, use Newton's method"
        )
    compare("the new state", fast, exact, wrong, rtol=1e-5, otherwise=otherwise)
    f, t, h = _pushed_pendulum, 0.7, 0.5
    y = torch.tensor([0.4, -0.3], dtype=torch.float64)
    new = tensor_of("the new state", step(f, t, y, h), y.shape)
    if _residual(f, t, h, y, new) < 1e-8:
        return
    if _residual(f, t - h, h, y, new) < 1e-8:
        raise Hint("f must be evaluated at the end of the step, t + h; yours is solved at time t")
    raise Hint(
        f"on a nonlinear field new y - y - h f(t + h, new y) is {_residual(f, t, h, y, new):.1e}, not 0: "
        "one linear solve is only Newton's first iterate, repeat it"
    )


def _residual(f: Field, t: float, h: float, y: Tensor, new: Tensor) -> float:
    return float((new - y - h * f(t + h, new)).abs().max())
