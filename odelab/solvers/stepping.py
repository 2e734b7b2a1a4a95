"""One step of a Runge–Kutta method.

Time is a Python float; the state never leaves its device. A step costs one evaluation of f per stage and, for each
nonzero weight, one fused `torch.add(y, k, alpha=dt * w)`, which keeps nothing for the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from odelab.solvers.tableaus import ButcherTableau, Weights

Time = float | Tensor  # 0-d tensors only when a grid needs its gradient; (batch, 1, …) per sample
Field = Callable[[Time, Tensor], Tensor]


def as_float(t: Time) -> float:
    """The number, without the gradient that a time may carry."""
    return float(t.detach()) if isinstance(t, Tensor) else t


@dataclass(slots=True)
class Step:
    """A step from (t0, y0) to (t1, y1).

    Attributes:
        stages: the k_i of a Runge–Kutta method; otherwise only [f(t0, y0)], or nothing.
        slope1: f(t1, y1) where the method computed it.
        error: the embedded error estimate where the step itself computed it, same shape as y.
        seen: the two end times as func saw them, where a jump of func moved them inside the step.
    """

    t0: Time
    t1: Time
    dt: Time
    y0: Tensor
    y1: Tensor
    stages: list[Tensor] = field(default_factory=list)
    slope1: Tensor | None = None
    error: Tensor | None = None
    seen: tuple[Time, Time] | None = None


def combine(y: Tensor, dt: Time, weights: Weights, stages: Sequence[Tensor]) -> Tensor:
    """y + dt Σᵢ wᵢ kᵢ, for y and every kᵢ of one shape."""
    if isinstance(dt, Tensor):
        for i, w in weights:
            y = y + (dt * w) * stages[i]
        return y
    for i, w in weights:
        y = torch.add(y, stages[i], alpha=dt * w)
    return y


def increment(dt: Time, weights: Weights, stages: Sequence[Tensor]) -> Tensor:
    """dt Σᵢ wᵢ kᵢ."""
    (i, w), *rest = weights
    return combine(stages[i] * (dt * w), dt, tuple(rest), stages)


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge–Kutta method, driven by its tableau."""

    tableau: ButcherTableau
    family = "runge_kutta"
    one_step = True  # a step depends on (t, dt, y) alone, so it can be replayed

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def adaptive(self) -> bool:
        return self.tableau.adaptive

    def fresh(self) -> RungeKutta:
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
            return Step(t0, t1, dt, y0, y0 + increment(dt, tableau.solution, stages), stages)
        y1 = y if end else combine(y0, dt, tableau.solution, stages)
        return Step(t0, t1, dt, y0, y1, stages, slope1=stages[-1] if end else None)

    def error(self, step: Step) -> Tensor:
        """Estimate of y1's local error, the shape of y."""
        return increment(step.dt, self.tableau.error, step.stages)
