"""Stopping where a function of the state crosses zero."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.errors import NonFiniteState
from odelab.solvers.gradients import GRADIENTS, Moved, follow_start
from odelab.solvers.inputs import Call, Layout, VectorField, as_float, unchanged
from odelab.solvers.loops import Mark, Problem, steps
from odelab.solvers.stepping import Interpolant, Step

EventFn = Callable[[Any, Tensor], Tensor]
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
    if y0.numel() == 0:
        raise ValueError("y0 is empty, so no event can happen in it; with per_sample a batch may have no rows")
    if len(t) != 2:
        raise ValueError(f"with event_fn, t must be two times, the start and one for the direction; got {len(t)}")
    event_fn = layout.event(call.event_fn)
    start = as_float(problem.times[0])
    times = [start, problem.direction * math.inf]
    values = observed(event_fn, problem.f)
    wanted = direction_of(call, values(start, y0))
    to_event = EventProblem(
        problem.f, times, problem.scheme, problem.callbacks, watch=problem.watch, values=values, wanted=wanted
    )
    state = follow_start(problem.f, t, y0) if t.requires_grad and torch.is_grad_enabled() else y0
    y = GRADIENTS[call.gradient](to_event, state, call, layout)
    event_t = torch.as_tensor(to_event.times[1], dtype=t.dtype, device=t.device)
    event_t, end = link_gradients(problem.f, event_fn, event_t, y[-1])
    return event_t, torch.stack([y0, end if call.strict else y[-1]])


def direction_of(call: Call, values: Tensor) -> Tensor:
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
        wanted: `direction_of`.
    """

    values: EventFn
    wanted: Tensor

    def marked_steps(self, y0: Tensor) -> Iterator[tuple[Step, list[Mark]]]:
        """The steps up to the event; it lies in the last one and is the only output."""
        signs: Tensor | None = None
        for step in steps(self, y0):
            t0, dt = float(step.t0), float(step.dt)
            if signs is None:
                solution = self.scheme.interpolate(step, self.f)
                signs = signs_behind(self.values, self.f, solution, t0, dt, step.y0.detach())
            now = self.values(float(step.t1), step.y1)
            if float(margin(now, signs, self.wanted)) > 0:
                signs = torch.where(now == 0, signs, now.sign())
                yield step, []
                continue
            # Outside of no_grad, because the slopes that it asks for are those of the step.
            fraction = self._bisect(self.scheme.interpolate(step, self.f), t0, dt, signs)
            self.times = [self.times[0], t0 + fraction * dt]
            yield step, [(1, fraction)]
            return

    @torch.no_grad()
    def _bisect(self, solution: Interpolant, t0: float, dt: float, signs: Tensor, iterations: int = 52) -> float:
        """Fraction of the step at which the event happens, to rounding."""
        before, after = 0.0, 1.0
        for _ in range(iterations):
            middle = 0.5 * (before + after)
            if t0 + middle * dt in (t0 + before * dt, t0 + after * dt):
                break
            if float(margin(self.values(t0 + middle * dt, solution(middle)), signs, self.wanted)) > 0:
                before = middle
            else:
                after = middle
        return after


def margin(values: Tensor, signs: Tensor, wanted: Tensor) -> Tensor:
    """Positive until one of the entries that may do so has changed its sign; one that was zero has none yet.

    Args:
        values, signs: (…, entries).
    """
    active = (signs != 0) & (wanted * signs <= 0)
    return torch.where(active, values * signs, math.inf).amin(-1)


@torch.no_grad()
def signs_behind(
    values: EventFn, f: VectorField, solution: Interpolant, t0: Any, dt: Any, y0: Tensor, rows: bool = False
) -> Tensor:
    """The signs at the start of a step; those just behind it where the event lies on the start, to rounding.

    A solve that goes on from an event starts there, and leaves it.

    Args:
        solution: over the step from (t0, y0) by dt.
        rows: of every row of a batch by itself; t0 and dt are (batch, 1, …) then.
    """
    early = solution(torch.full_like(t0, EARLY, dtype=f.time_dtype) if rows else EARLY)
    before, after = values(t0, y0), values(t0 + EARLY * dt, early)
    axes = tuple(range(int(rows), y0.ndim))
    change, size = (torch.linalg.vector_norm(x, dim=axes) for x in (early - y0, y0))
    beginning = (t0 / dt).abs().view_as(size) if rows else abs(t0 / dt)
    roundings = torch.where(change > 0, EARLY * size / change, 0.0).clamp_min(beginning)[..., None]
    crossing = EARLY * before.abs() / (after - before).abs()  # fraction of the step at which it is zero
    close = crossing <= ROUNDINGS * torch.finfo(f.time_dtype).eps * roundings
    return torch.where((before == 0) | ((before * after < 0) & close), after, before).sign()


def observed(event_fn: Callable[[Tensor, Tensor], Tensor], field: VectorField, rows: int | None = None) -> EventFn:
    """event_fn without gradient, at a float time: its entries, flat; or (rows, entries), at times (rows, 1, …).

    Raises:
        ValueError: when event_fn does not return a real tensor, or not one of entries for every row.
        NonFiniteState: when it returns NaN.
    """

    @torch.no_grad()
    def values(t: Any, y: Tensor) -> Tensor:
        time = torch.as_tensor(t, dtype=field.time_dtype, device=field.device)
        with unchanged(y, "event_fn") as y:
            value = event_fn(time, y)
        if not isinstance(value, Tensor) or not value.is_floating_point() or (value.numel() == 0 and rows != 0):
            raise ValueError(
                f"event_fn must return a real tensor, one that changes its sign at the event, got {value!r}"
            )
        if rows is not None and (value.ndim == 0 or len(value) != rows):
            raise ValueError(
                f"with per_sample event_fn must return entries for each of the {rows} rows, ({rows}, …), got a tensor "
                f"of shape {tuple(value.shape)}"
            )
        if bool(value.isnan().any()):
            hint = "look for a division by zero, or log or sqrt of a negative number, in event_fn"
            where = t if rows is None else float(time.view(-1)[value.isnan().view(rows, -1).any(1)][0])
            raise NonFiniteState("event_fn returned NaN", t=where, nfe=field.stats.nfe, hint=hint)
        # A view taken under no_grad still carries its base's graph.
        return value.detach().reshape(-1) if rows is None else value.detach().reshape(rows, value[:1].numel())

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
    if count == 0:  # a batch without rows
        return t, y
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
        raise ValueError(
            f"the solution only touches the event surface at t = {float(t.reshape(-1)[0]):.6g}, so that time has no "
            "derivative: solve under torch.no_grad(), or take another event_fn"
        )
    linked = Moved.apply(t, -1 / speed, values.gather(1, fired).view_as(t), EVENT_ONCE)
    return linked, Moved.apply(y, slope, linked, EVENT_ONCE)
