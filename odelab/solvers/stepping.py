"""One step of an explicit Runge–Kutta method, its error, and the solution between its ends.

Time is a Python float; the state never leaves its device. A step costs one evaluation of f per stage and, for each
nonzero weight, one fused `torch.add(y, k, alpha=dt * w)`, which keeps nothing for the backward pass. The interpolant is
built only for steps in which somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.inputs import Field, Time
from odelab.solvers.tableaus import ButcherTableau, Weights

Interpolant = Callable[[Time], Tensor]  # fraction x of the step, 0 ≤ x ≤ 1 -> state; can be pickled


@dataclass(slots=True)
class Step:
    """A step from (t0, y0) to (t1, y1).

    Attributes:
        stages: the k_i of a Runge–Kutta method; of others nothing.
        slope0, slope1: f(t0, y0) and f(t1, y1) where the method knows them.
        error: the embedded error estimate where the step itself computed it, same shape as y.
        sides: where func was asked for t0 and t1: there, or just inside the step where it jumps; None means there.
        inner: (x, y(t0 + x dt)) for some x between 0 and 1, where the method knows such states.
        next_dt: the (signed) size that the controller proposes for the step after this one.
    """

    t0: Time
    t1: Time
    dt: Time
    y0: Tensor
    y1: Tensor
    stages: list[Tensor] = field(default_factory=list)
    slope0: Tensor | None = None
    slope1: Tensor | None = None
    error: Tensor | None = None
    sides: tuple[Time, Time] | None = None
    inner: list[tuple[float, Tensor]] = field(default_factory=list)
    next_dt: float | None = None


def combine(y: Tensor, dt: Time, weights: Weights, stages: Sequence[Tensor]) -> Tensor:
    """y + dt Σᵢ wᵢ kᵢ, for y and every kᵢ of one shape."""
    if isinstance(dt, Tensor):
        for i, w in weights:
            y = torch.addcmul(y, dt, stages[i], value=w)
        return y
    # All sums but the first can be taken in place, except for a graph, and in torch.func's transforms, where a stage
    # may have an axis that y has not.
    in_place, plain = False, not (torch.is_grad_enabled() or torch._C._functorch.peek_interpreter_stack())
    for i, w in weights:
        y = y.add_(stages[i], alpha=dt * w) if in_place else torch.add(y, stages[i], alpha=dt * w)
        in_place = plain
    return y


def increment(dt: Time, weights: Weights, stages: Sequence[Tensor]) -> Tensor:
    """dt Σᵢ wᵢ kᵢ."""
    i, w = weights[0]
    return combine(stages[i] * (dt * w), dt, weights[1:], stages)


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge–Kutta method, driven by its tableau."""

    tableau: ButcherTableau
    order: int = field(init=False, repr=False, compare=False)
    adaptive: bool = field(init=False, repr=False, compare=False)
    family = "runge_kutta"
    one_step = True  # a step depends on (t, dt, y) alone, so it can be replayed

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", self.tableau.order)
        object.__setattr__(self, "adaptive", self.tableau.adaptive)

    def fresh(self) -> RungeKutta:
        """A method for one solve: itself, because it remembers nothing."""
        return self

    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step:
        """Advance y0 from t0 to t1 = t0 + dt.

        Args:
            slope0: f(t0, y0) where it is known.
            end: also evaluate what only the error estimate and dense output need (the last stage of an FSAL method).
        """
        tableau = self.tableau
        stages = [f(t0, y0) if slope0 is None else slope0]
        y = y0
        last = tableau.stages if end or not tableau.fsal else tableau.stages - 1
        for c, row in zip(tableau.c[1:last], tableau.rows[1:last], strict=True):
            y = combine(y0, dt, row, stages)
            stages.append(f(t1 if c == 1.0 else t0 + c * dt, y))
        if not tableau.fsal:
            # The sum before y: in float32, one rounding of y per step instead of one per stage.
            return Step(t0, t1, dt, y0, y0 + increment(dt, tableau.solution, stages), stages, stages[0])
        y1 = y if end else combine(y0, dt, tableau.solution, stages)
        return Step(t0, t1, dt, y0, y1, stages, stages[0], stages[-1] if end else None)

    def error(self, step: Step) -> Tensor:
        """Estimate of y1's local error, the shape of y."""
        return increment(step.dt, self.tableau.error, step.stages)


def quartic(step: Step, y_mid: Tensor, f: Field) -> Interpolant:
    """Through y0, y(½) = y_mid and y1 with the slopes f0 and f1 at its ends (Shampine 1986).

    The basis is evaluated in numbers, so that one output costs four additions.
    """
    return partial(_quartic, step.y0, step.dt, (step.y1 - step.y0, y_mid - step.y0, *end_slopes(step, f)))


def _quartic(y0: Tensor, dt: Time, terms: Sequence[Tensor], x: Time) -> Tensor:
    rise = x * x * (-5 + x * (14 - 8 * x))
    bend = 16 * (x * (1 - x)) ** 2
    start = dt * x * (1 + x * (-4 + x * (5 - 2 * x)))
    end = dt * x * x * (1 + x * (-3 + 2 * x))
    y = y0
    for weight, term in zip((rise, bend, start, end), terms, strict=True):
        y = torch.addcmul(y, weight, term) if isinstance(weight, Tensor) else torch.add(y, term, alpha=weight)
    return y


def hermite(step: Step, f: Field) -> Interpolant:
    """The cubic with y(0) = y0, y(1) = y1, y'(0) = dt f0, y'(1) = dt f1."""
    return partial(_hermite, step.y0, step.y1, step.dt, *end_slopes(step, f))


def _hermite(y0: Tensor, y1: Tensor, dt: Time, slope0: Tensor, slope1: Tensor, x: Time) -> Tensor:
    rest = 1 - x
    return (
        (1 + 2 * x) * rest**2 * y0
        + (x * rest**2 * dt) * slope0
        + x * x * (3 - 2 * x) * y1
        - (x * x * rest * dt) * slope1
    )


def through_states(step: Step, f: Field, method: Any) -> Interpolant:
    """The polynomial through y0, y1 and states between them, for methods that solve stiff problems.

    There a slope says nothing about the solution: it holds the error of y times |∂f/∂y|. So what lies between is
    stepped to, from y0 by the method itself, beside what inner states it knows anyway; a polynomial of degree four.
    """
    t0 = step.t0 if step.sides is None else step.sides[0]
    inner = list(step.inner)
    for x in (0.4,) if inner else (0.25, 0.5, 0.75):
        part = method.step(f, t0, t0 + x * step.dt, x * step.dt, step.y0, step.slope0, end=False)
        inner.append((x, part.y1))
    nodes, states = zip(*inner, (1.0, step.y1), strict=True)
    return partial(_lagrange, step.y0, nodes, [state - step.y0 for state in states])


def _lagrange(y0: Tensor, nodes: Sequence[float], rises: Sequence[Tensor], x: Time) -> Tensor:
    y = y0
    for node, rise in zip(nodes, rises, strict=True):
        weight = x / node
        for other in nodes:
            if other != node:
                weight = weight * ((x - other) / (node - other))
        y = y + weight * rise
    return y


def linear(step: Step) -> Interpolant:
    """The straight line from y0 to y1."""
    return partial(_linear, step.y0, step.y1)


def _linear(y0: Tensor, y1: Tensor, x: Time) -> Tensor:
    return y0 + x * (y1 - y0)


def end_slopes(step: Step, f: Field) -> tuple[Tensor, Tensor]:
    """f at both ends of the step, evaluated only where the method has not done so."""
    if step.slope0 is None:
        step.slope0 = f(step.t0, step.y0)
    if step.slope1 is None:
        step.slope1 = f(step.t1, step.y1)
    return step.slope0, step.slope1
