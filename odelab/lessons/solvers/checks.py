"""Exercises of lesson 02: a midpoint step, the weights of a table, a step-size controller, implicit Euler.

Each check accepts every right answer it can recognise (any explicit fourth-order table, any sensible margin and limit,
any way to solve the implicit equation) and answers the usual slips with the reason they are slips.
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


def _one_step(step: Step, f: Field, t: float, y: Tensor, h: float) -> Any:
    """What the answer returns; a hint when it writes into the state that it was given."""

    def asked(time: Any, state: Any) -> Tensor:
        if not isinstance(state, Tensor) or (isinstance(time, Tensor) and time.ndim):
            raise Hint("f takes the time first, then the state: f(t, y)")
        return f(time, state)

    given = y.clone()
    new = step(asked, t, given, h)
    if not torch.equal(given, y):
        raise Hint("your function changes y itself (y += …), and the caller loses the old state: bind a new name")
    return new


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
        "the time is that of the middle, but the state is that of the end: both belong to the middle": (
            y + h * f(t + h / 2, y + h * k1)
        ),
        "the state is that of the middle, but the time is that of the end: both belong to the middle": (
            y + h * f(t + h, middle)
        ),
        "this is Heun's method: right order, other table": y + h / 2 * (k1 + f(t + h, y + h * k1)),
        "this is the increment; the step returns y plus it": h * better,
        "this is the slope in the middle; now walk with it": better,
        "the whole step begins at y again, not in the middle": middle + h * better,
        "the average of both slopes is the slope at a quarter of the step; use the one in the middle alone": (
            y + h / 2 * (k1 + better)
        ),
        "you subtract the move; add it": y - h * better,
        "to reach the middle, the slope is multiplied by h/2; yours by 1/2": y + h * f(t + h / 2, y + k1 / 2),
        "the time is half of t + h; the middle of the step is h/2 after t": y + h * f((t + h) / 2, middle),
        "the time is 1/2 after t; the middle of the step is h/2 after t": y + h * f(t + 1 / 2, middle),
        "both slopes are read at the old state; the second belongs to a state that lies half a step further": (
            y + h / 2 * (k1 + f(t + h, y))
        ),
        "the middle is reached with h/2 times the slope, not with h/2 alone": y + h * f(t + h / 2, y + h / 2),
    }
    otherwise = "it is none of the usual slips: at which time and state is each slope read, and how long is each walk?"
    compare("the new state", _one_step(step, f, t, y, h), y + h * better, wrong, otherwise=otherwise)


@exercise
def rk4(c: Sequence[float], a: Sequence[Sequence[float]], b: Sequence[float]) -> None:
    """The table (c, a, b) of any explicit Runge–Kutta method of order four with four stages."""
    if not len(c) == len(a) == len(b) == 4:
        raise Hint(f"four stages need four nodes, four rows and four weights; yours has {len(c)}, {len(a)}, {len(b)}")
    nodes, weights = (tensor_of(name, [float(x) for x in row]) for name, row in (("c", c), ("b", b)))
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
    for power in range(4):
        total = float(weights @ nodes**power)
        if abs(total - 1 / (power + 1)) > 1e-9:
            function = ("1", "t", "t²", "t³")[power]
            raise Hint(
                f"the integral of {function} from 0 to 1 is {1 / (power + 1):.4g}; with your b and c it is {total:.4g}"
            )
    trees = [
        ("Σ b a c = 1/6", weights @ matrix @ nodes, 1 / 6),
        ("Σ b c a c = 1/8", (weights * nodes) @ matrix @ nodes, 1 / 8),
        ("Σ b a c² = 1/12", weights @ matrix @ nodes**2, 1 / 12),
        ("Σ b a a c = 1/24", weights @ matrix @ matrix @ nodes, 1 / 24),
    ]
    for name, left, right in trees:  # Butcher 1963; what fields that depend on the state add
        if abs(left - right) > 1e-9:
            raise Hint(f"b fits c, but not a: the condition {name} is broken, {left:.4g} instead of {right:.4g}")


@exercise
def controller(next_step: Callable[[float, float, int], float]) -> None:
    """``next_step(h, error_ratio, order) -> h``, which never shrinks after an accepted step.

    Any margin in [0.5, 1) passes, and any limits that let a step grow, and shrink after a rejection, at least twofold.
    """

    def factor(error_ratio: float, order: int = 5, h: float = 0.1) -> float:
        value = next_step(h, error_ratio, order)
        if isinstance(value, complex):
            raise Hint("a negative number to a broken power is complex; is a sign inside the power?")
        value = float(tensor_of("the new step", value, ()))
        if not math.isfinite(value) or value <= 0:
            raise Hint(f"an error ratio of {error_ratio:g} gave the step {value:g}: a step is positive and finite")
        return value / h

    if abs(7 * factor(2.0, h=0.7) / factor(2.0) - 1) < 1e-9:
        raise Hint("your answer is the factor alone; the new step is a multiple of the old one, h")
    if abs(factor(2.0, h=0.7) / factor(2.0) - 1) > 1e-9:
        raise Hint("the new step is a multiple of the old one: the factor must not depend on h itself")
    if factor(100.0) == factor(1e-4):
        raise Hint(f"the factor is {factor(100.0):g} for a large error and for a small one; are min and max in place?")
    if factor(100.0) == 1:
        raise Hint("the error was 100 times too large, and the step stayed as it was: which m belongs to E > 1?")
    if factor(100.0) > 1:
        raise Hint("the error was 100 times too large and the step did not shrink: look at the sign of the exponent")
    if factor(1e30) > 0.5:
        raise Hint("the error was hopeless and the step did not even halve: m is 0.2 after a rejected step")
    for order in (5, 2):
        power = math.log(factor(1.1, order) / factor(1.6, order)) / math.log(1.1 / 1.6)
        if abs(power) < 1e-9:
            raise Hint("an error ratio of 1.1 and one of 1.6 gave the same step: it should depend on the error ratio")
        if abs(power + 1 / (order + 1)) < 1e-6:
            raise Hint(
                "-1/(order + 1) belongs to the better answer, of order p; E estimates the error of the other one"
            )
        if abs(power + 1 / (order - 1)) < 1e-6:
            raise Hint("E belongs to the answer of order p - 1, and the local error of that one is not O(h^(p - 1))")
        if abs(power + 1) < 1e-6:
            raise Hint("this is right if E is proportional to h; to which power of h is it proportional?")
        if abs(power + 1 / order) > 1e-6:
            raise Hint(
                f"with order {order} your step is proportional to E^{power:.3g}; solve E(q h) = 1 for q once more"
            )
    margin = factor(1.1) * 1.1 ** (1 / 5)
    if margin > 1 - 1e-6:
        raise Hint("aim a little below the tolerance (a margin of 0.9, say), or every second step is a coin toss")
    if margin < 0.5:
        raise Hint(f"a margin of {margin:.2g} wastes work; 0.8 to 0.9 is usual")
    if factor(1e-30) > 100 or factor(1e30) < 1e-3:
        raise Hint("one lucky or hopeless estimate moved the step by more than a hundredfold: limit the factor")
    if factor(1e-30) < 2:
        raise Hint("the error was far too small and the step did not even double: where is the limit of 10?")
    if factor(0.9) < 1:
        raise Hint(f"an accepted step (E = 0.9) was followed by one {factor(0.9):.3g} times as long: what is m then?")
    try:
        largest = factor(0.0)
    except (ZeroDivisionError, Hint) as error:
        raise Hint("if f = 0, the estimate is exactly 0: give the largest factor, not a crash") from error
    if largest < 0.999 * factor(1e-30):
        raise Hint(f"an error ratio of exactly 0 gave a factor of {largest:g}; it deserves the largest one")


@exercise
def implicit_euler_step(step: Step) -> None:
    """``step(f, t, y, h) -> new y`` with new y = y + h f(t + h, new y), for any smooth f and y of shape (dim,)."""
    rate, h = 1000.0, 0.5
    y = torch.tensor([1.0, -2.0], dtype=torch.float64)
    name = "the new state"
    fast = tensor_of(name, _one_step(step, lambda t, x: -rate * x, 0.0, y, h), y.shape)
    exact = y / (1 + h * rate)
    wrong = {
        "this is the explicit step: its slope is taken at the old state": y * (1 - h * rate),
        "this uses the old and the new state by halves (trapezoidal or midpoint rule); use the new one only": (
            y * (1 - h * rate / 2) / (1 + h * rate / 2)
        ),
        "the residual needs h: it is y1 - y0 - h f": y / (1 + rate),
        "this is y0 itself: no repetition changed it": y,
        "this is the increment; the step returns y plus it": exact - y,
        "this is the slope at the end; the step returns y plus h times it": -rate * exact,
        "the sign of h f in the residual: it is y1 - y0 - h f": y / (1 - h * rate),
    }
    otherwise = f"y' = -1000 y, h = 0.5, y = 1: {float(exact[0]):.3g} expected, yours is {float(fast[0]):.3g}"
    # With I + h J in place of I - h J, each iteration multiplies the distance by the same number.
    growth = float((fast - exact)[0] / (y - exact)[0])
    iterations = math.log(max(growth, 1e-9)) / math.log(2 * h * rate / (h * rate - 1))
    if iterations > 0.5 and abs(iterations - round(iterations)) < 1e-6:
        otherwise = "the sign of h·J is wrong in the linear solve: the matrix is I - h J"
    elif _repetitions(fast, y, exact, h * rate) > 0.5:
        otherwise = (
            "y' = -1000 y with h = 0.5 grew: repeating y ← y0 + h f(y) diverges on stiff fields, use Newton's method"
        )
    elif not bool(torch.isfinite(fast).all()) or fast.abs().max() > 10:
        otherwise = (
            "y' = -1000 y with h = 0.5 grew: Newton's step is minus J⁻¹ r (a linear system), with the Jacobian J of "
            "the whole residual r"
        )
    elif fast.abs().max() < 1e-4:
        otherwise = "y has shrunk too often: the residual contains the old state y0, which no repetition changes"
    compare(name, fast, exact, wrong, rtol=1e-5, otherwise=otherwise)
    f, t = _pushed_pendulum, 0.7
    y = torch.tensor([0.4, -0.3], dtype=torch.float64)
    new = tensor_of(name, _one_step(step, f, t, y, h), y.shape)
    if _residual(f, t, h, y, new) < 1e-8:
        return
    if _residual(f, t - h, h, y, new) < 1e-8:
        raise Hint("f must be evaluated at the end of the step, t + h; yours is solved at time t")
    if torch.allclose(new, _newton_once(f, t, h, y), atol=1e-9):
        raise Hint("this is Newton's first iterate, enough for a linear field only: repeat it")
    raise Hint(f"on a nonlinear field y1 - y0 - h f(t + h, y1) is {_residual(f, t, h, y, new):.1e}, not 0")


def _repetitions(state: Tensor, y: Tensor, exact: Tensor, factor: float) -> float:
    """How often the distance from the exact state was multiplied by minus this factor, on the way from y; or 0."""
    growth = float(((state - exact) / (y - exact)).abs().max())
    times = math.log(growth) / math.log(factor) if 0 < growth < math.inf else 0.0
    return times if abs(times - round(times)) < 1e-6 else 0.0


def _newton_once(f: Field, t: float, h: float, y: Tensor) -> Tensor:
    """The first iterate for the implicit equation, from y."""
    jacobian = torch.func.jacrev(lambda x: x - y - h * f(t + h, x))(y)
    return y + torch.linalg.solve(jacobian, h * f(t + h, y))


def _residual(f: Field, t: float, h: float, y: Tensor, new: Tensor) -> float:
    return float((new - y - h * f(t + h, new)).abs().max())
