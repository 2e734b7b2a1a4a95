"""The two loops: steps on a fixed grid, and steps that choose their own size.

Both are generators of accepted `Step`s and know nothing of outputs, gradients or events; whoever consumes the steps
interpolates, stores or differentiates them. Times are Python floats and dt carries the sign of the direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from odelab.solvers import diagnosis
from odelab.solvers.control import Controller
from odelab.solvers.stepping import Field, Step, Time, as_float


class StepRecord(NamedTuple):
    """One attempted step: where it started, its (signed) size, its error in units of the tolerance, its fate."""

    t: float
    dt: float
    error_ratio: float
    accepted: bool


@dataclass
class Stats:
    """What a solve cost.

    Attributes:
        method: name of the method.
        nfe: evaluations of ``func`` forward; nfe_backward: during the backward pass (filled in by ``backward()``).
        accepted, rejected: numbers of steps forward.
        steps: the log, one `StepRecord` per attempt.
    """

    method: str = ""
    nfe: int = 0
    nfe_backward: int = 0
    accepted: int = 0
    rejected: int = 0
    steps: list[StepRecord] = field(default_factory=list)
    next_dt: float | None = field(default=None, repr=False)  # where a continuing solve should start

    def record(self, t: float, dt: float, error_ratio: float, accepted: bool) -> None:
        self.steps.append(StepRecord(t, dt, error_ratio, accepted))
        if accepted:
            self.accepted += 1
        else:
            self.rejected += 1


@dataclass(frozen=True)
class Callbacks:
    """Functions of (t0, y0, dt) called before each step and after its acceptance or rejection."""

    step: Callable[..., Any] | None = None
    accept_step: Callable[..., Any] | None = None
    reject_step: Callable[..., Any] | None = None


NO_CALLBACKS = Callbacks()
Attempt = Callable[[float, float, float, Tensor, Tensor], tuple[Step, float]]


class Stop(NamedTuple):
    """A time no step may cross; at a jump, f is evaluated on either side of it and never at it."""

    t: float
    jump: bool = False


def just_before(t: float, direction: float, dtype: torch.dtype) -> float:
    """The last time before t that func, which sees time in the state's precision, can tell from t."""
    number = np.float64 if dtype in (torch.float64, torch.complex128) else np.float32
    return float(np.nextafter(number(t), number(-direction * math.inf)))


def fixed_steps(
    f: Field,
    y: Tensor,
    grid: Iterable[Time],
    method: Any,
    stats: Stats,
    *,
    perturb: bool = False,
    callbacks: Callbacks = NO_CALLBACKS,
) -> Iterator[Step]:
    """One step per interval of the grid.

    Args:
        grid: floats, or 0-d tensors when the solution must be differentiable with respect to them.
        perturb: evaluate f just inside both ends of each interval, for fields that jump at grid points.
    """
    slope: Tensor | None = None
    for t0, t1 in pairwise(grid):
        dt = t1 - t0
        if callbacks.step is not None:
            callbacks.step(t0, y, dt)
        if perturb:
            direction = math.copysign(1.0, dt)
            seen = just_before(as_float(t0), -direction, y.dtype), just_before(as_float(t1), direction, y.dtype)
            step = method.step(f, *seen, dt, y, f(seen[0], y))
            step.t0, step.t1, step.seen = t0, t1, seen
        else:
            step = method.step(f, t0, t1, dt, y, slope)
        stats.record(as_float(t0), as_float(dt), 0.0, True)
        yield step
        y = step.y1
        slope = None if perturb else step.slope1


def adaptive_steps(
    f: Field,
    y: Tensor,
    t: float,
    stops: Sequence[Stop],
    method: Any,
    controller: Controller,
    stats: Stats,
    *,
    direction: float,
    first_step: float | None = None,
    after_jump: bool = False,
    max_num_steps: int = 100_000,
    attempt: Attempt | None = None,
    callbacks: Callbacks = NO_CALLBACKS,
) -> Iterator[Step]:
    """Steps whose estimated error stays within the controller's tolerance.

    Args:
        stops: where steps must end, in the order of integration; the last one ends the solve. Without any, the steps
            go on until the consumer has seen enough.
        first_step: size of the first step; chosen from f where it is None.
        after_jump: f jumps at the start, so it is evaluated just behind it.
        attempt: (t0, t1, dt, y0, slope0) -> (step, error ratio); the method's own step by default.

    Raises:
        NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: see `errors`.
    """
    if attempt is None:

        def attempt(t0: float, t1: float, dt: float, y0: Tensor, slope0: Tensor) -> tuple[Step, float]:
            step = method.step(f, t0, t1, dt, y0, slope0)
            with torch.no_grad():
                return step, controller.error_ratio(method.error(step), y0, step.y1)

    seen0 = just_before(t, -direction, y.dtype) if after_jump else t
    start = f(seen0, y)
    slope: Tensor | None = start
    if first_step is None:
        dt = controller.first_step(f, seen0, y, start, direction)
        if not math.isfinite(dt):
            raise diagnosis.non_finite(t, 0.0, y, start, stats)
    else:
        dt = controller.clip(math.copysign(first_step, direction))

    goals = iter(stops)
    stop = next(goals, None)
    for _ in range(max_num_steps):
        if stop is None and stops:
            return
        if slope is None:
            slope = f(seen0, y)
        wish, t1 = dt, t + dt
        # A step that would end within rounding of a stop ends on it.
        at_jump = on_stop = False
        if stop is not None and (stop.t - t) * direction <= abs(dt) * (1 + 1e-9):
            t1, dt, on_stop, at_jump = stop.t, stop.t - t, True, stop.jump
        elif t1 == t:
            raise diagnosis.underflow(t, dt, y, slope, f, stats)
        if callbacks.step is not None:
            callbacks.step(t, y, dt)
        seen1 = just_before(t1, direction, y.dtype) if at_jump else t1
        step, error_ratio = attempt(seen0, seen1, dt, y, slope)
        accepted = error_ratio <= 1 or abs(dt) <= controller.min_step
        stats.record(t, dt, error_ratio, accepted)
        if not accepted:
            if callbacks.reject_step is not None:
                callbacks.reject_step(t, y, dt)
            if not math.isfinite(error_ratio) and not diagnosis.all_finite(y, slope):
                raise diagnosis.non_finite(t, dt, y, slope, stats)
            dt = controller.next_dt(dt, error_ratio)
            continue
        if callbacks.accept_step is not None:
            callbacks.accept_step(t, y, dt)
        dt = controller.next_dt(dt, error_ratio)
        if on_stop:  # a step cut short says nothing against the longer one it was cut from
            dt = max(dt, wish, key=abs)
            stop = next(goals, None)
        if seen0 != t or seen1 != t1:
            step.t0, step.t1, step.seen = t, t1, (seen0, seen1)
        stats.next_dt = dt
        yield step
        t, y, slope = t1, step.y1, step.slope1
        seen0 = t
        if at_jump:
            seen0, slope = just_before(t, -direction, y.dtype), None
    if stop is not None or not stops:
        endless = stop is None or math.isinf(stop.t)
        raise diagnosis.too_many_steps(max_num_steps, t, dt, y, f, stats, endless)
