"""Stopping where a function of the state crosses zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from odelab.solvers.errors import NonFiniteState
from odelab.solvers.gradients import GRADIENTS, follow_start
from odelab.solvers.inputs import Call, Layout, VectorField, as_float, unchanged
from odelab.solvers.loops import Mark, Problem, steps
from odelab.solvers.stepping import Step

EventFn = Callable[[float, Tensor], float]


def solve_to_event(problem: Problem, y0: Tensor, t: Tensor, call: Call, layout: Layout) -> tuple[Tensor, Tensor]:
    """The event time, 0-d, and the states at t[0] and there, (2, *y0.shape).

    Both are differentiable; in torchdiffeq's functions the state is that at a fixed event time.

    Args:
        t: (2,), the start and a time in the direction in which the solve runs.

    Raises:
        ValueError: when t has not two times.
    """
    if len(t) != 2:
        raise ValueError(f"with event_fn, t must hold two times (start and direction), got {len(t)}")
    event_fn = layout.event(call.event_fn)
    start = as_float(problem.times[0])
    times = [start, problem.direction * math.inf]
    event = first_of(event_fn, problem.f, start, y0)
    to_event = EventProblem(problem.f, times, problem.scheme, problem.callbacks, watch=problem.watch, event=event)
    y = GRADIENTS[call.gradient](to_event, follow_start(problem.f, t, y0), call, layout)
    event_t = torch.as_tensor(to_event.times[1], dtype=t.dtype, device=t.device)
    event_t, end = link_gradients(problem.f, event_fn, event_t, y[-1])
    return event_t, torch.stack([y0, end if call.strict else y[-1]])


@dataclass(kw_only=True)
class EventProblem(Problem):
    """A problem that ends where event turns non-positive; its last time is infinite, and that of the event once solved.

    Two crossings within one step are not seen; a smaller max_step finds them.
    """

    event: EventFn

    def marked_steps(self, y0: Tensor) -> Iterator[tuple[Step, list[Mark]]]:
        """The steps up to the event; it lies in the last one and is the only output."""
        for step in steps(self, y0):
            if self.event(float(step.t1), step.y1) > 0:
                yield step, []
                continue
            fraction = self._bisect(step)
            self.times = [self.times[0], float(step.t0) + fraction * float(step.dt)]
            yield step, [(1, fraction)]
            return

    @torch.no_grad()
    def _bisect(self, step: Step, iterations: int = 52) -> float:
        """Fraction of the step at which the event turns non-positive, to rounding."""
        t0, dt = float(step.t0), float(step.dt)
        if self.event(t0, step.y0) <= 0:  # the solve started on it
            return 0.0
        solution = self.scheme.interpolate(step, self.f)
        before, after = 0.0, 1.0
        for _ in range(iterations):
            middle = 0.5 * (before + after)
            if t0 + middle * dt in (t0 + before * dt, t0 + after * dt):
                break
            if self.event(t0 + middle * dt, solution(middle)) > 0:
                before = middle
            else:
                after = middle
        return after


def first_of(event_fn: Callable[[Tensor, Tensor], Tensor], field: VectorField, t0: float, y0: Tensor) -> EventFn:
    """A scalar event function that starts positive and turns negative when any component of event_fn changes sign.

    Raises:
        ValueError: when event_fn does not return a real tensor.
        NonFiniteState: when it returns NaN.
    """

    @torch.no_grad()
    def evaluate(t: float, y: Tensor) -> Tensor:
        time = torch.scalar_tensor(t, dtype=field.time_dtype, device=field.device)
        with unchanged(y, "event_fn") as y:
            value = event_fn(time, y)
        if not isinstance(value, Tensor) or value.is_complex() or value.numel() == 0:
            raise ValueError(f"event_fn must return a real tensor, got {value!r}")
        return value.detach()  # a view taken under no_grad still carries its base's graph

    signs = torch.sign(evaluate(t0, y0))

    def first(t: float, y: Tensor) -> float:
        value = float((evaluate(t, y) * signs).min())
        if math.isnan(value):
            hint = "look for a division by zero, or log or sqrt of a negative number, in event_fn"
            raise NonFiniteState("event_fn returned NaN", t=t, nfe=field.stats.nfe, hint=hint)
        return value

    return first


def link_gradients(
    func: VectorField, event_fn: Callable[[Tensor, Tensor], Tensor], event_t: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the event time its gradient, and the state at the event the part that comes from the moving event time.

    With g(t*, y(t*)) = 0 the implicit function theorem gives dt* = −(∂g/∂y · dy|ₜ) / (∂g/∂t + ∂g/∂y · f), and the state
    moves by dy = dy|ₜ + f dt* (Chen, Amos & Nickel 2021, Appendix). Parameters of event_fn receive gradients too.

    Args:
        event_t: 0-d, without gradient; state: y(event_t) with the gradient of the solve up to that fixed time.

    Returns:
        Both unchanged where nothing is differentiable, or where event_fn is a constant around the event.

    Raises:
        ValueError: where the solution touches the event surface without crossing it (no derivative exists).
    """
    t, y = event_t.detach(), state
    values = event_fn(t, y).reshape(-1)
    if not values.requires_grad:
        return t, y
    index = int(values.detach().abs().argmin())  # the component that fired
    with torch.enable_grad():
        t_leaf, y_leaf = t.clone().requires_grad_(True), y.detach().clone().requires_grad_(True)
        value = event_fn(t_leaf, y_leaf).reshape(-1)[index]
        g_t, g_y = torch.autograd.grad(value, (t_leaf, y_leaf), allow_unused=True)
    if g_t is None and g_y is None:
        return t, y
    with torch.no_grad():
        slope = func(t, y)
        speed = torch.zeros_like(t) if g_t is None else g_t
        if g_y is not None:
            speed = speed + (g_y * slope.conj()).sum().real
    if float(speed) == 0:
        raise ValueError("the solution only touches the event surface, so its time has no derivative")
    linked = t - (values[index] - values[index].detach()) / speed
    return linked, y + slope * (linked - linked.detach())
