"""A step size for every row of a batch: each sample is accepted or rejected on its own.

With one step size for all, the stiffest sample sets the pace of the batch and samples influence one another's error.
Here t and dt are tensors of shape (batch, 1, …) and func receives t in that shape, ready to broadcast against y. Rows
that are done wait with dt = 0.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odelab.solvers import errors
from odelab.solvers.control import Controller
from odelab.solvers.gradients import follow_outputs, follow_start
from odelab.solvers.inputs import Layout, StepRecord, VectorField, as_float
from odelab.solvers.loops import Problem, Scheme
from odelab.solvers.stepping import Step


@dataclass
class RowStats:
    """Accepted and rejected steps of every row, each (batch,)."""

    accepted: Tensor
    rejected: Tensor


def solve_rows(problem: Problem, y0: Tensor, t: Tensor, layout: Layout) -> tuple[Tensor, RowStats]:
    """States at the output times t, (len(t), batch, …), differentiable by backpropagation, also in t.

    Raises:
        ValueError: for states that may be no batch, and options that hold for the whole batch only.
        NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: naming the first row that failed.
    """
    _check(problem.scheme, y0, layout)
    y, stats = _integrate_rows(problem, follow_start(problem.f, t, y0), layout)
    return follow_outputs(problem.f, t, y, y0, record=True), stats


def _integrate_rows(problem: Problem, y0: Tensor, layout: Layout) -> tuple[Tensor, RowStats]:
    f, method = problem.f, problem.scheme.method
    control = _RowControl(problem.scheme.controller, layout)
    outputs = _Outputs(problem, y0)
    end, direction = outputs.times[-1], problem.direction
    t = torch.full((len(y0), *[1] * (y0.ndim - 1)), as_float(problem.times[0]), dtype=torch.float64, device=y0.device)
    y, slope = y0, f(t, y0)
    dt = control.first_step(f, t, y, slope, end - t)
    zeros = torch.zeros(len(y0), dtype=torch.long, device=y0.device)
    stats = RowStats(zeros, zeros.clone())
    for _ in range(problem.step_limit):
        active = outputs.open.view_as(t)
        if not bool(active.any()):
            break
        rest = end - t
        ending = (rest * direction <= dt.abs() * (1 + 1e-9)) & active
        h = torch.where(active, torch.where(ending, rest, dt), torch.zeros_like(dt))
        t1 = torch.where(ending, end.expand_as(t), t + h)
        _refuse_stuck(t, t1, h, y, slope, active, f)
        step = method.step(f, t, t1, h.to(f.time_dtype), y, slope)
        ratio = control.error_ratio(method.error(step), y, step.y1)
        accepted = (ratio <= 1) & active
        _log(f, t, h, ratio, accepted, stats, active)
        outputs.read(step, t, t1, accepted)
        dt = torch.where(active, control.next_dt(torch.where(ending & (ratio <= 1), dt, h), ratio), dt)
        slope1 = step.slope1 if step.slope1 is not None else f(t1, step.y1)
        t = torch.where(accepted, t1, t)
        y, slope = torch.where(accepted, step.y1, y), torch.where(accepted, slope1, slope)
    else:
        row = int(outputs.open.nonzero()[0])
        where = {"t": float(t.view(-1)[row]), "dt": float(dt.view(-1)[row])}
        hint = "loosen the tolerance, or raise options=dict(max_num_steps=…)"
        message = f"max_num_steps were not enough for row {row}"
        raise errors.MaxStepsExceeded(message, **where, nfe=f.stats.nfe, hint=hint)
    f.stats.accepted, f.stats.rejected = int(stats.accepted.sum()), int(stats.rejected.sum())
    return outputs.states(), stats


class _Outputs:
    """States at the output times, row by row in time but all rows at once."""

    def __init__(self, problem: Problem, y0: Tensor) -> None:
        self.problem, self.y0 = problem, y0
        times = [as_float(t) for t in problem.times]
        self.times = torch.tensor(times, dtype=torch.float64, device=y0.device)
        self.index = torch.ones(len(y0), dtype=torch.long, device=y0.device)  # next output of each row
        self.pieces: list[list[Tensor]] = [[] for _ in times]  # sum to an output; one per step that served it

    @property
    def open(self) -> Tensor:
        """Which rows have outputs before them, (batch,)."""
        return self.index < len(self.times)

    def read(self, step: Step, t: Tensor, t1: Tensor, accepted: Tensor) -> None:
        """Take the outputs that lie in this step, for the rows of which it is accepted."""
        solution, f = None, self.problem.f
        while True:
            goal = self.times[self.index.clamp_max(len(self.times) - 1)].view_as(t)
            due = accepted & self.open.view_as(t) & ((t1 - goal) * self.problem.direction >= 0)
            if not bool(due.any()):
                return
            values, at_end = step.y1, goal == t1
            if bool((due & ~at_end).any()):
                if solution is None:
                    solution = self.problem.scheme.interpolate(step, f)
                x = torch.where(due, (goal - t) / torch.where(due, t1 - t, 1.0), 0.0)
                values = torch.where(at_end, step.y1, solution(x.to(f.time_dtype)))
            for i in self.index[due.view(-1)].unique().tolist():
                rows = due & (self.index == i).view_as(t)
                self.pieces[i].append(torch.where(rows, values, torch.zeros_like(values)))
            self.index += due.view(-1)

    def states(self) -> Tensor:
        """(number of times, batch, …), once all rows are through."""
        return torch.stack([self.y0, *[torch.stack(pieces).sum(0) for pieces in self.pieces[1:]]])


class _RowControl:
    """`control.Controller` with one norm, one ratio and one dt per row, all (batch, 1, …)."""

    def __init__(self, controller: Controller, layout: Layout) -> None:
        self.c, self.sizes = controller, layout.sizes

    def norm(self, x: Tensor, size: Tensor) -> Tensor:
        """Root mean square of every row, for a tuple state the largest among its pieces."""
        x = x / (self.c.atol + self.c.rtol * size)
        norms = []
        for piece in x.split(self.sizes, dim=-1) if self.sizes else (x,):
            axes = tuple(range(1, piece.ndim))
            norms.append(torch.linalg.vector_norm(piece, dim=axes, keepdim=True).double() / math.sqrt(piece[0].numel()))
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

    def first_step(self, f: VectorField, t: Tensor, y0: Tensor, slope: Tensor, span: Tensor) -> Tensor:
        y0, slope = y0.detach(), slope.detach()
        size = y0.abs()
        d0, d1 = self.norm(y0, size), self.norm(slope, size)
        if not bool(torch.isfinite(d0 + d1).all()):
            raise errors.non_finite(float(t.view(-1)[0]), 0.0, y0, slope, f.stats)
        h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
        h0, direction = torch.minimum(h0, span.abs()).clamp_max(self.c.max_step), span.sign()
        slope1 = f(t + direction * h0, y0 + (direction * h0).to(f.time_dtype) * slope).detach()
        d2 = self.norm(slope1 - slope, size) / h0
        largest = torch.maximum(d1, d2)
        h1 = torch.where(largest <= 1e-15, (h0 * 1e-3).clamp_min(1e-6), (0.01 / largest) ** (1.0 / self.c.order))
        return self.clip(direction * torch.minimum(100 * h0, h1))


def _check(scheme: Scheme, y0: Tensor, layout: Layout) -> None:
    if scheme.method.family != "runge_kutta" or not scheme.method.adaptive:
        raise ValueError(f"per_sample needs an adaptive Runge–Kutta method, not {scheme.name!r}")
    if y0.ndim < 2:
        shapes = ", ".join(str(tuple(shape)) for shape in layout.shapes or (y0.shape,))
        raise ValueError(
            "per_sample steps every row of a batch by itself: y0 must be (batch, …) with at least two axes, in a tuple "
            f"one batch for all, got {shapes}; a batch of numbers is (batch, 1)"
        )
    for name in ("step_t", "jump_t", "first_step", "norm", "compile"):
        if scheme.options.get(name) is not None:
            raise ValueError(f"option {name!r} does not go together with per_sample")


def _refuse_stuck(t: Tensor, t1: Tensor, h: Tensor, y: Tensor, slope: Tensor, active: Tensor, f: VectorField) -> None:
    stuck = (active & (t1 == t)).view(-1)
    if bool(stuck.any()):
        row = int(stuck.nonzero()[0])
        where = float(t.view(-1)[row]), float(h.view(-1)[row])
        if not errors.all_finite(y[row], slope[row]):
            raise errors.non_finite(*where, y[row], slope[row], f.stats)
        raise errors.underflow(*where, y[row], slope[row], f.stats)


def _log(
    f: VectorField, t: Tensor, h: Tensor, ratio: Tensor, accepted: Tensor, stats: RowStats, active: Tensor
) -> None:
    """One record per attempt of the batch (its slowest row); the counts are kept per row."""
    stats.accepted += accepted.view(-1)
    stats.rejected += (active & ~accepted).view(-1)
    row = int(torch.where(active, ratio, -math.inf).argmax())
    values: list[Any] = [x.reshape(-1)[row].item() for x in (t, h, ratio, accepted)]
    f.stats.steps.append(StepRecord(*values))
