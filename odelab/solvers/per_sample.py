"""A step size for every row of a batch: each sample is accepted or rejected on its own.

With one step size for all, the stiffest sample sets the pace of the batch and samples influence one another's error.
Here t and dt are tensors of shape (batch, 1, …) and func receives t in that shape, ready to broadcast against y. Rows
that are done wait with dt = 0. Each row may have output times of its own, or end at its own event.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odelab.solvers import errors
from odelab.solvers.compiled.rows import rows_compiled
from odelab.solvers.control import Controller, tell_of_min_step
from odelab.solvers.events import direction_of, link_gradients, margin, observed, signs_behind
from odelab.solvers.gradients import follow_outputs, follow_start
from odelab.solvers.inputs import Call, Layout, StepRecord, VectorField, precise
from odelab.solvers.loops import Problem, Scheme
from odelab.solvers.stepping import Interpolant, RungeKutta, Step
from odelab.solvers.stiffness import EVERY, StiffnessWatch

MIXED = 1e-2  # of a slope, by which other rows may change it


@dataclass
class RowStats:
    """Accepted and rejected steps of every row, each (batch,)."""

    accepted: Tensor
    rejected: Tensor


def solve_rows(
    problem: Problem, y0: Tensor, t: Tensor, call: Call, layout: Layout, by_graph: bool
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Times, states there, and what else `Solution` has; differentiable by backpropagation, also in t.

    Args:
        t: (n,), or of every row, (batch, n). With an event each row starts at its first and runs towards its second.
        by_graph: let `compiled.rows` do it, if it can.

    Returns:
        t as it was, and states (n, batch, …); with an event the times (batch, 2) of the start and the event, states
        (2, batch, …) and the event times (batch,).

    Raises:
        ValueError: for states that may be no batch, and options that hold for the whole batch only.
        NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: naming the first row that failed.
    """
    _check(problem.scheme, y0, layout)
    f, batch = problem.f, len(y0)
    rows = t.expand(batch, -1) if t.ndim == 1 else t
    moving = rows.T.reshape(rows.shape[1], batch, *[1] * (y0.ndim - 1))  # (n, batch, 1, …)
    moves = t.requires_grad and torch.is_grad_enabled()
    problem.times = list(moving.detach().to(precise(f.device)))
    start = follow_start(f, moving, y0) if moves else y0
    if batch > 1 and y0.numel():
        _refuse_mixing(f, problem.times[0], y0)
    if call.event_fn is None:
        found = rows_compiled(problem, start, call, layout) if by_graph else None
        if found is not None:
            y, stats = found[0], RowStats(*found[1:])
        else:
            y, stats = _integrate_rows(problem, start, layout, _Outputs(problem, start))
        y = follow_outputs(f, moving, y, y0, record=True) if moves else y
        return t, y, {"rows": stats}
    if rows.shape[1] != 2:
        raise ValueError(
            f"with event_fn, t must be two times, the start and one for the direction; got {rows.shape[1]}"
        )
    crossings = _Crossings(problem, y0, call, layout)
    y, stats = _integrate_rows(problem, start, layout, crossings)
    event_t, end = crossings.t.to(t.dtype), y[-1]
    event_t, end = link_gradients(f, layout.event(call.event_fn), event_t, end)
    event_t = event_t.reshape(batch)
    times = torch.stack([rows[:, 0], event_t], dim=1)
    return times, torch.stack([y0, end if call.strict else y[-1]]), {"rows": stats, "event_t": event_t}


def _integrate_rows(
    problem: Problem, y0: Tensor, layout: Layout, goals: "_Outputs | _Crossings"
) -> tuple[Tensor, RowStats]:
    try:
        stats = _steps_of_rows(problem, y0, layout, goals)
    except errors.SolverError as error:
        error.times = goals.times.view(len(goals.times), -1).T
        error.states = goals.states().detach().masked_fill(~goals.reached, math.nan)
        raise
    return goals.states(), stats


def _steps_of_rows(problem: Problem, y0: Tensor, layout: Layout, goals: "_Outputs | _Crossings") -> RowStats:
    f, method = problem.f, problem.scheme.method
    control = _RowControl(problem.scheme.controller, layout)
    t, end, direction = goals.times[0], goals.end, goals.direction
    y, slope = y0, f(t, y0)
    dt = control.first_step(f, t, y, slope, end - t, direction)
    zeros = torch.zeros(len(y0), dtype=torch.long, device=y0.device)
    stats, limit = RowStats(zeros, zeros.clone()), problem.step_limit
    watch: StiffnessWatch | None = None
    sizes, warned = problem.scheme.controller, False
    for attempt in range(1, limit + 1):
        active = goals.open.view_as(t)
        if not bool(active.any()):
            break
        rest = end - t
        ending = (rest * direction <= dt.abs() * (1 + 1e-9)) & active
        h = torch.where(active, torch.where(ending, rest, dt), torch.zeros_like(dt))
        t1 = torch.where(ending, end, t + h)
        _refuse_stuck(t, t1, h, y, slope, active, f)
        step = method.step(f, t, t1, h.to(f.time_dtype), y, slope)
        ratio = control.error_ratio(method.error(step), y, step.y1)
        fine = (ratio <= 1) | (ratio.isfinite() & (h.abs() <= sizes.least))  # a step that may not be shorter is taken
        accepted = fine & active
        if sizes.min_step and not warned and bool((accepted & (ratio > 1)).any()):
            warned = True
            row = int(torch.where(accepted, ratio, 0.0).argmax())
            tell_of_min_step(sizes.min_step, float(t.view(-1)[row]), float(ratio.view(-1)[row]))
        if math.isinf(_log(f, t, h, ratio, accepted, stats, active)):
            # A row that overflowed waits: 0 · NaN would reach the gradients of all.
            step = method.step(f, t, t1, torch.where(ratio.isinf(), 0.0, h).to(f.time_dtype), y, slope)
        goals.read(step, t, t1, accepted)
        dt = torch.where(active, control.next_dt(torch.where(ending & (ratio <= 1), dt, h), ratio), dt)
        slope1 = step.slope1 if step.slope1 is not None else f(t1, step.y1)
        t = torch.where(accepted, t1, t)
        y, slope = torch.where(accepted, step.y1, y), torch.where(accepted, slope1, slope)
        if attempt % EVERY == 0 and isinstance(method, RungeKutta):
            if watch is None:
                watch = StiffnessWatch(f, method.tableau, limit, "max_num_steps" in problem.scheme.options)
            row = int(torch.where(active, h.abs(), math.inf).argmin())  # the stiffest
            now, size, left = (float(x.view(-1)[row]) for x in (t, h.abs(), rest.abs()))
            watch.look(now, y, [size], left, t)
    if bool(goals.open.any()):
        row = int(goals.open.nonzero()[0])
        raise errors.unfinished_row(goals.missing(limit), row, t, dt, goals.hint, f.stats)
    f.stats.accepted, f.stats.rejected = int(stats.accepted.sum()), int(stats.rejected.sum())
    return stats


class _Goals:
    """Where the rows of a batch go, and what is read off their steps on the way.

    Attributes:
        end: (batch, 1, …), the time that no step crosses; direction: 1 or −1 towards it.
        pieces: of each output, states that sum to it; one per step that served some of its rows.
    """

    hint = errors.LOOSER

    def __init__(self, problem: Problem, y0: Tensor) -> None:
        self.problem, self.y0 = problem, y0
        self.times = torch.stack(list(problem.times))  # type: ignore[arg-type]
        self.end = self.times[-1]
        self.direction = torch.where(self.end < self.times[0], -1.0, 1.0).to(self.end.dtype)
        self.pieces: list[list[Tensor]] = [[] for _ in problem.times]

    def interpolate(self, step: Step) -> Interpolant:
        return self.problem.scheme.interpolate(step, self.problem.f)

    def keep(self, index: int, rows: Tensor, values: Tensor) -> None:
        """Take the values of these rows, (batch, 1, …), for output index."""
        self.pieces[index].append(torch.where(rows, values, torch.zeros_like(values)))

    def states(self) -> Tensor:
        """(number of outputs, batch, …); zero for rows that were not there."""
        outputs = []
        for pieces in self.pieces[1:]:
            outputs.append(torch.stack(pieces).sum(0) if pieces else torch.zeros_like(self.y0))
        return torch.stack([self.y0, *outputs])


class _Outputs(_Goals):
    """States at the output times, row by row in time but all rows at once."""

    def __init__(self, problem: Problem, y0: Tensor) -> None:
        super().__init__(problem, y0)
        self.index = torch.ones(len(y0), dtype=torch.long, device=y0.device)  # next output of each row
        t = self.times[0]
        self.read(Step(t, t, 0.0, y0, y0), t, t, torch.ones_like(t, dtype=torch.bool))  # repetitions of the start

    @property
    def open(self) -> Tensor:
        """Which rows have outputs before them, (batch,)."""
        return self.index < len(self.times)

    @property
    def reached(self) -> Tensor:
        """Which rows were at which outputs, (number of outputs, batch, 1, …)."""
        numbers = torch.arange(len(self.times), device=self.index.device)
        return numbers.view(-1, *[1] * (self.times.ndim - 1)) < self.index.view_as(self.end)

    def missing(self, limit: int) -> str:
        return errors.not_enough(limit, len(self.times) - 1)

    def read(self, step: Step, t: Tensor, t1: Tensor, accepted: Tensor) -> None:
        """Take the outputs that lie in this step, for the rows of which it is accepted."""
        solution, f = None, self.problem.f
        while True:
            index = self.index.clamp_max(len(self.times) - 1).view_as(t)
            goal = self.times.gather(0, index[None])[0]
            due = accepted & self.open.view_as(t) & ((t1 - goal) * self.direction >= 0)
            if not bool(due.any()):
                return
            values, at_end = step.y1, goal == t1
            if bool((due & ~at_end).any()):
                if solution is None:
                    solution = self.interpolate(step)
                x = torch.where(due, (goal - t) / torch.where(due, t1 - t, 1.0), 0.0)
                values = torch.where(at_end, step.y1, solution(x.to(f.time_dtype)))
            for i in self.index[due.view(-1)].unique().tolist():
                self.keep(i, due & (self.index == i).view_as(t), values)
            self.index += due.view(-1)


class _Crossings(_Goals):
    """Each row up to its own event, where an entry of event_fn (batch, …) changes sign in it.

    Attributes:
        t: (batch, 1, …), when.
        open: which rows are before it, (batch,).
    """

    hint = "does event_fn change its sign in this row? options=dict(max_num_steps=…) looks further"

    def __init__(self, problem: Problem, y0: Tensor, call: Call, layout: Layout) -> None:
        super().__init__(problem, y0)
        start = self.times[0]
        self.end = torch.full_like(start, math.inf) * self.direction
        self.t, self.open = start.clone(), torch.ones(len(y0), dtype=torch.bool, device=y0.device)
        self.values = observed(layout.event(call.event_fn), problem.f, rows=len(y0))
        first = self.values(start, y0)
        self.wanted = direction_of(call, first)
        self.signs = torch.full_like(first, math.nan)  # (batch, entries); NaN before a row's first step

    @property
    def reached(self) -> Tensor:
        """Which rows were at the start, and at the event, (2, batch, 1, …)."""
        return torch.stack([torch.ones_like(self.open), ~self.open]).view_as(self.times)

    def missing(self, limit: int) -> str:
        return f"no event happened in {limit} steps"

    @torch.no_grad()
    def _bisect(self, solution: Interpolant, t: Tensor, dt: Tensor) -> Tensor:
        """Fractions of the step at which the events happen, to rounding, (batch, 1, …)."""
        before, after = torch.zeros_like(t), torch.ones_like(t)
        for _ in range(52):
            middle = 0.5 * (before + after)
            state = solution(middle.to(self.problem.f.time_dtype))
            ahead = (margin(self.values(t + middle * dt, state), self.signs, self.wanted) > 0).view_as(t)
            before, after = torch.where(ahead, middle, before), torch.where(ahead, after, middle)
        return after

    def read(self, step: Step, t: Tensor, t1: Tensor, accepted: Tensor) -> None:
        """Note the rows that cross in this step, of those of which it is accepted."""
        now, dt, solution = torch.where(accepted, t1, t), t1 - t, None
        rows = accepted.view(-1, 1)
        fresh = rows & self.signs.isnan()
        if bool(fresh.any()):
            solution = self.interpolate(step)
            behind = signs_behind(self.values, self.problem.f, solution, t, dt, step.y0.detach(), rows=True)
            self.signs = torch.where(fresh, behind, self.signs)
        values = self.values(now, torch.where(accepted, step.y1, step.y0))
        crossed = accepted & (margin(values, self.signs, self.wanted) <= 0).view_as(t)
        if bool(crossed.any()):
            solution = solution or self.interpolate(step)
            x = torch.where(crossed, self._bisect(solution, t, dt), 0.0)
            self.t = torch.where(crossed, t + x * dt, self.t)
            self.keep(1, crossed, solution(x.to(self.problem.f.time_dtype)))
            self.open = self.open & ~crossed.view(-1)
        self.signs = torch.where(rows & (values != 0), values.sign(), self.signs)


class _RowControl:
    """`control.Controller` with one norm, one ratio and one dt per row, all (batch, 1, …)."""

    def __init__(self, controller: Controller, layout: Layout) -> None:
        self.c, self.sizes = controller, layout.sizes

    def norm(self, x: Tensor, size: Tensor) -> Tensor:
        """Root mean square of every row, for a tuple state the largest among its pieces."""
        x = x / (self.c.atol + self.c.rtol * size)
        norms = []
        for piece in x.split(self.sizes, dim=-1) if self.sizes else (x,):
            norm = torch.linalg.vector_norm(piece, dim=tuple(range(1, piece.ndim)), keepdim=True)
            norms.append(norm.to(precise(x.device)) / math.sqrt(max(piece.shape[1:].numel(), 1)))
        return torch.stack(norms).amax(0)

    @torch.no_grad()
    def error_ratio(self, error: Tensor, y0: Tensor, y1: Tensor) -> Tensor:
        return self.norm(error, torch.maximum(y0.abs(), y1.abs())).nan_to_num(nan=math.inf)

    @torch.no_grad()
    def next_dt(self, dt: Tensor, ratio: Tensor) -> Tensor:
        smallest = torch.where(ratio < 1, 1.0, self.c.dfactor)
        factor = (self.c.safety * ratio.clamp_min(1e-300) ** (-1.0 / self.c.order)).clamp_max(self.c.ifactor)
        return self.clip(dt * torch.maximum(factor, smallest))

    def clip(self, dt: Tensor) -> Tensor:
        return dt.sign() * dt.abs().clamp(self.c.min_step, self.c.max_step)

    def first_step(
        self, f: VectorField, t: Tensor, y0: Tensor, slope: Tensor, span: Tensor, direction: Tensor
    ) -> Tensor:
        y0, slope = y0.detach(), slope.detach()
        size = y0.abs()
        d0, d1 = self.norm(y0, size), self.norm(slope, size)
        if not bool(torch.isfinite(d0 + d1).all()):
            raise errors.non_finite(float(t.view(-1)[0]), 0.0, y0, slope, f.stats)
        self.c.tell_of_small_rows(d0, d1, span, y0)
        h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
        h0 = torch.minimum(h0, span.abs()).clamp_max(self.c.max_step)
        slope1 = f(t + direction * h0, y0 + (direction * h0).to(f.time_dtype) * slope).detach()
        d2 = self.norm(slope1 - slope, size) / h0
        largest = torch.maximum(d1, d2)
        h1 = torch.where(largest <= 1e-15, (h0 * 1e-3).clamp_min(1e-6), (0.01 / largest) ** (1.0 / self.c.order))
        return self.clip(direction * torch.minimum(100 * h0, h1))


def _check(scheme: Scheme, y0: Tensor, layout: Layout) -> None:
    if scheme.method.family not in ("runge_kutta", "implicit") or not scheme.method.adaptive:
        raise ValueError(f"per_sample needs an adaptive Runge–Kutta method, as 'dopri5', not {scheme.name!r}")
    if y0.ndim < 2:
        shapes = ", ".join(str(tuple(shape)) for shape in layout.shapes or (y0.shape,))
        raise ValueError(
            "per_sample steps every row of a batch by itself: y0 must be (batch, …) with at least two axes, in a tuple "
            f"one batch for all, got {shapes}; a batch of numbers is (batch, 1)"
        )
    for name in ("step_t", "jump_t", "first_step", "norm"):
        if scheme.options.get(name) is not None:
            raise ValueError(f"option {name!r} does not go together with per_sample: leave one of them away")


def _refuse_mixing(f: VectorField, t: Any, y0: Tensor) -> None:
    """Raise where the slope of the first row changes with the other rows, which are at other times than it.

    A field that draws random numbers is not asked, because its slopes change anyway.
    """
    generators: list[Any] = [torch.random, *([] if y0.device.type == "cpu" else [torch.get_device_module(y0.device)])]
    states = [generator.get_rng_state() for generator in generators]
    y0 = y0.detach()
    before, after = (f(t, y)[0].detach() for y in (y0, torch.cat([y0[:1], 1.1 * y0[1:] + 0.1])))
    drawn = False
    for generator, state in zip(generators, states, strict=True):
        drawn = drawn or not torch.equal(state, generator.get_rng_state())
        generator.set_rng_state(state)
    if not drawn and bool((after - before).abs().max() > MIXED * before.abs().max()):
        raise ValueError(
            "per_sample steps every row of a batch by itself, but in func the slope of one row depends on the others "
            "(batch norm, a mean over the batch, attention between rows?): leave per_sample away"
        )


def _refuse_stuck(t: Tensor, t1: Tensor, h: Tensor, y: Tensor, slope: Tensor, active: Tensor, f: VectorField) -> None:
    stuck = (active & (t1 == t)).view(-1)
    if bool(stuck.any()):
        raise errors.stuck_row(int(stuck.nonzero()[0]), t, h, y, slope, f.stats)


def _log(
    f: VectorField, t: Tensor, h: Tensor, ratio: Tensor, accepted: Tensor, stats: RowStats, active: Tensor
) -> float:
    """One record per attempt of the batch (its slowest row), of which the ratio; the counts are kept per row."""
    stats.accepted += accepted.view(-1)
    stats.rejected += (active & ~accepted).view(-1)
    row = int(torch.where(active, ratio, -math.inf).argmax())
    values: list[Any] = [x.reshape(-1)[row].item() for x in (t, h, ratio, accepted)]
    f.stats.steps.append(StepRecord(*values))
    return values[2]
