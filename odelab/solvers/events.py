"""Stopping where a function of the state crosses zero."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from odelab.solvers.errors import NonFiniteState
from odelab.solvers.gradients import GRADIENTS, Moved, follow_start
from odelab.solvers.inputs import Call, Layout, VectorField, as_float, unchanged
from odelab.solvers.loops import Mark, Problem, steps
from odelab.solvers.stepping import Step

EventFn = Callable[[float, Tensor], Tensor]
EARLY = 2.0**-10  # fraction of the first step that counts as just behind the start
EVENT_ONCE = "the time of an event, and the state there, can be differentiated once, and this is a second derivative"
ROUNDINGS = 100.0  # how many of them the interpolation between two states may make


def solve_to_event(problem: Problem, y0: Tensor, t: Tensor, call: Call, layout: Layout) -> tuple[Tensor, Tensor]:
    """The event time, 0-d, and the states at t[0] and there, (2, *y0.shape).

    Both are differentiable; in torchdiffeq's functions the state is that at a fixed event time.

    Args:
        t: (2,), the start and a time in the direction in which the solve runs.

    Raises:
        ValueError: when t has not two times, or direction is none.
    """
    if len(t) != 2:
        raise ValueError(f"with event_fn, t must hold two times (start and direction), got {len(t)}")
    event_fn = layout.event(call.event_fn)
    start = as_float(problem.times[0])
    times = [start, problem.direction * math.inf]
    values = observed(event_fn, problem.f)
    wanted = _direction(call, values(start, y0))
    to_event = EventProblem(
        problem.f, times, problem.scheme, problem.callbacks, watch=problem.watch, values=values, wanted=wanted
    )
    y = GRADIENTS[call.gradient](to_event, follow_start(problem.f, t, y0), call, layout)
    event_t = torch.as_tensor(to_event.times[1], dtype=t.dtype, device=t.device)
    event_t, end = link_gradients(problem.f, event_fn, event_t, y[-1])
    return event_t, torch.stack([y0, end if call.strict else y[-1]])


def _direction(call: Call, values: Tensor) -> Tensor:
    """Of the sign changes that count: 1 upwards, −1 downwards, 0 both; one for all entries of event_fn or one each."""
    given = getattr(call.event_fn, "direction", 0) if call.direction is None else call.direction
    try:
        wanted = torch.as_tensor(given, dtype=values.dtype, device=values.device)
        torch.broadcast_to(wanted, values.shape)
    except (TypeError, ValueError, RuntimeError):
        wanted = torch.tensor(math.nan)
    if bool(wanted.isnan().any()):
        raise ValueError(f"direction must be −1, 0 or 1, or one such per entry of event_fn, got {given!r}")
    return wanted


@dataclass(kw_only=True)
class EventProblem(Problem):
    """A problem that ends where an entry of event_fn changes sign; its last time is infinite until it is solved.

    Two crossings within one step are not seen; a smaller max_step finds them.

    Attributes:
        values: the entries of event_fn at (t, y), flat.
        wanted: `_direction`.
    """

    values: EventFn
    wanted: Tensor

    def marked_steps(self, y0: Tensor) -> Iterator[tuple[Step, list[Mark]]]:
        """The steps up to the event; it lies in the last one and is the only output."""
        signs: Tensor | None = None
        for step in steps(self, y0):
            if signs is None:
                signs = self._signs_behind(step)
            now = self.values(float(step.t1), step.y1)
            if self._margin(now, signs) > 0:
                signs = torch.where(now == 0, signs, now.sign())
                yield step, []
                continue
            fraction = self._bisect(step, signs)
            self.times = [self.times[0], float(step.t0) + fraction * float(step.dt)]
            yield step, [(1, fraction)]
            return

    def _margin(self, values: Tensor, signs: Tensor) -> float:
        """Positive until one of the entries that may do so has changed its sign; one that was zero has none yet."""
        active = (signs != 0) & (self.wanted * signs <= 0)
        return float(torch.where(active, values * signs, math.inf).min())

    @torch.no_grad()
    def _signs_behind(self, step: Step) -> Tensor:
        """The signs at the start; those just behind it where the event lies on the start, to rounding.

        A solve that goes on from an event starts there, and leaves it.
        """
        t0, dt = float(step.t0), float(step.dt)
        early = self.scheme.interpolate(step, self.f)(EARLY)
        before, after = self.values(t0, step.y0), self.values(t0 + EARLY * dt, early)
        change = float((early - step.y0).abs().max())
        roundings = [abs(t0 / dt)] + ([EARLY * float(step.y0.abs().max()) / change] if change else [])
        eps = torch.finfo(self.f.time_dtype).eps
        crossing = EARLY * before.abs() / (after - before).abs()  # fraction of the step at which it is zero
        own = (before == 0) | ((before * after < 0) & (crossing <= ROUNDINGS * eps * max(roundings)))
        return torch.where(own, after, before).sign()

    @torch.no_grad()
    def _bisect(self, step: Step, signs: Tensor, iterations: int = 52) -> float:
        """Fraction of the step at which the event happens, to rounding."""
        t0, dt = float(step.t0), float(step.dt)
        solution = self.scheme.interpolate(step, self.f)
        before, after = 0.0, 1.0
        for _ in range(iterations):
            middle = 0.5 * (before + after)
            if t0 + middle * dt in (t0 + before * dt, t0 + after * dt):
                break
            if self._margin(self.values(t0 + middle * dt, solution(middle)), signs) > 0:
                before = middle
            else:
                after = middle
        return after


def observed(event_fn: Callable[[Tensor, Tensor], Tensor], field: VectorField) -> EventFn:
    """event_fn at a float time: its entries, flat and without gradient.

    Raises:
        ValueError: when event_fn does not return a real tensor.
        NonFiniteState: when it returns NaN.
    """

    @torch.no_grad()
    def values(t: float, y: Tensor) -> Tensor:
        time = torch.scalar_tensor(t, dtype=field.time_dtype, device=field.device)
        with unchanged(y, "event_fn") as y:
            value = event_fn(time, y)
        if not isinstance(value, Tensor) or value.is_complex() or value.numel() == 0:
            raise ValueError(f"event_fn must return a real tensor, got {value!r}")
        if bool(value.isnan().any()):
            hint = "look for a division by zero, or log or sqrt of a negative number, in event_fn"
            raise NonFiniteState("event_fn returned NaN", t=t, nfe=field.stats.nfe, hint=hint)
        return value.detach().reshape(-1)  # a view taken under no_grad still carries its base's graph

    return values


def link_gradients(
    func: VectorField, event_fn: Callable[[Tensor, Tensor], Tensor], event_t: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the event time its gradient, and the state at the event the part that comes from the moving event time.

    With g(t*, y(t*)) = 0 the implicit function theorem gives dt* = −(∂g/∂y · dy|ₜ) / (∂g/∂t + ∂g/∂y · f), and the state
    moves by dy = dy|ₜ + f dt* (Chen, Amos & Nickel 2021, Appendix). Parameters of event_fn receive gradients too.

    Args:
        event_t: 0-d, or of every row (batch, 1, …), without gradient.
        state: y(event_t) with the gradient of the solve up to that fixed time.

    Returns:
        Both unchanged where nothing is differentiable, or where event_fn is a constant around the event.

    Raises:
        ValueError: where the solution touches the event surface without crossing it (no derivative exists).
    """
    t, y = event_t.detach(), state
    count = t.numel()
    values = event_fn(t, y).reshape(count, -1)
    if not values.requires_grad:
        return t, y
    fired = values.detach().abs().argmin(1, keepdim=True)  # the component that did
    with torch.enable_grad():
        t_leaf, y_leaf = t.clone().requires_grad_(True), y.detach().clone().requires_grad_(True)
        value = event_fn(t_leaf, y_leaf).reshape(count, -1).gather(1, fired)
        g_t, g_y = torch.autograd.grad(value.sum(), (t_leaf, y_leaf), allow_unused=True)
    if g_t is None and g_y is None:
        return t, y
    with torch.no_grad():
        slope = func(t, y)
        speed = torch.zeros_like(t) if g_t is None else g_t
        if g_y is not None:
            speed = speed + (g_y * slope.conj()).real.sum_to_size(t.shape)
    if not bool(speed.all()):
        raise ValueError("the solution only touches the event surface, so its time has no derivative")
    linked = Moved.apply(t, -1 / speed, values.gather(1, fired).view_as(t), EVENT_ONCE)
    return linked, Moved.apply(y, slope, linked, EVENT_ONCE)
