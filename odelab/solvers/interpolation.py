"""Dense output: the solution between the two ends of a step.

A quartic through y0, y(t0 + dt/2), y1 with the slopes f0, f1 where the tableau has a midpoint (Shampine 1986), else the
cubic Hermite polynomial of y0, f0, y1, f1. Built only for steps in which somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from odelab.solvers.stepping import Field, RungeKutta, Step, Time, combine

Interpolant = Callable[[Time], Tensor]  # fraction x of the step, 0 ≤ x ≤ 1 -> state


def linear(step: Step) -> Interpolant:
    return lambda x: step.y0 + x * (step.y1 - step.y0)


def hermite(step: Step, f: Field) -> Interpolant:
    """Cubic with y(0) = y0, y(1) = y1, y'(0) = dt f0, y'(1) = dt f1."""
    slope0, slope1 = end_slopes(step, f)
    y0, y1, dt = step.y0, step.y1, step.dt

    def evaluate(x: Time) -> Tensor:
        rest = 1 - x
        return (
            (1 + 2 * x) * rest**2 * y0
            + (x * rest**2 * dt) * slope0
            + x * x * (3 - 2 * x) * y1
            - (x * x * rest * dt) * slope1
        )

    return evaluate


def quartic(step: Step, y_mid: Tensor, f: Field) -> Interpolant:
    """As the cubic, and y(½) = y_mid; the basis is evaluated in numbers, so that one output costs four additions."""
    slope0, slope1 = end_slopes(step, f)
    terms, dt = (step.y1 - step.y0, y_mid - step.y0, slope0, slope1), step.dt

    def evaluate(x: Time) -> Tensor:
        rise = x * (-5 + x * (14 - 8 * x))  # each times x
        bend = 16 * x * (1 - x) ** 2
        start = dt * (1 + x * (-4 + x * (5 - 2 * x)))
        end = dt * x * (1 + x * (-3 + 2 * x))
        weights: Any = tuple(enumerate((rise, bend, start, end)))  # numbers, or as x and dt are
        return combine(step.y0, x, weights, terms)

    return evaluate


def end_slopes(step: Step, f: Field) -> tuple[Tensor, Tensor]:
    """f at both ends of the step, evaluated only where the method has not done so."""
    if not step.stages:
        step.stages.append(f(step.t0, step.y0))
    if step.slope1 is None:
        step.slope1 = f(step.t1, step.y1)
    return step.stages[0], step.slope1


def interpolant(method: object, step: Step, f: Field) -> Interpolant:
    """The best dense output the method offers."""
    if isinstance(method, RungeKutta) and method.tableau.middle:
        return quartic(step, combine(step.y0, step.dt, method.tableau.middle, step.stages), f)
    return hermite(step, f)
