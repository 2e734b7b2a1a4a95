"""A step size for every row of a batch: each sample is accepted or rejected on its own.

With one step size for all, the stiffest sample sets the pace of the batch and samples influence one another's error.
Here t and dt are tensors of shape (batch, 1, …) and func receives t in that shape, ready to broadcast against y. Rows
that are done wait with dt = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odelab.solvers import diagnosis
from odelab.solvers.errors import MaxStepsExceeded
from odelab.solvers.inputs import VectorField
from odelab.solvers.loops import StepRecord
from odelab.solvers.plan import Plan
from odelab.solvers.stepping import Step


@dataclass
class RowStats:
    """Accepted and rejected steps of every row, each (batch,)."""

    accepted: Tensor
    rejected: Tensor


def solve_rows(plan: Plan, f: VectorField, y0: Tensor, times: list[float]) -> tuple[Tensor, RowStats]:
    """States at the output times, (len(times), batch, …), differentiable by backpropagation.

    Raises:
        ValueError: for states without a batch axis, or options that hold for the whole batch only.
        NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: naming the first row that failed.
    """
    _check(plan, y0)
    rows = (len(y0), *[1] * (y0.ndim - 1))
    control = _RowControl(plan, y0)
    direction = math.copysign(1.0, times[-1] - times[0])
    t = torch.full(rows, times[0], dtype=torch.float64, device=y0.device)
    grid = torch.tensor(times, dtype=torch.float64, device=y0.device)
    y, slope = y0, f(t, y0)
    dt = control.first_step(f, t, y, slope, direction)
    pending = torch.ones(len(y0), dtype=torch.long, device=y0.device)  # next output of each row
    outputs: list[list[Tensor]] = [[] for _ in times]  # pieces that sum to an output, one per step that served it
    stats = RowStats(torch.zeros_like(pending), torch.zeros_like(pending))
    real = f.time_dtype
    for _ in range(plan.step_limit(len(times) - 1)):
        active = (pending < len(times)).view(rows)
        if not bool(active.any()):
            break
        rest = grid[-1] - t
        ending = (rest * direction <= dt.abs() * (1 + 1e-9)) & active
        h = torch.where(active, torch.where(ending, rest, dt), torch.zeros_like(dt))
        t1 = torch.where(ending, grid[-1].expand_as(t), t + h)
        _refuse_stuck(t, t1, h, y, slope, active, f)
        step = plan.method.step(f, t, t1, h.to(real), y, slope)
        ratio = control.error_ratio(plan.method.error(step), y, step.y1)
        accepted = (ratio <= 1) & active
        _log(f, t, h, ratio, accepted, stats, active)
        _sample(plan, f, step, t, t1, accepted, grid, pending, outputs, direction)
        dt = torch.where(active, control.next_dt(torch.where(ending & (ratio <= 1), dt, h), ratio), dt)
        slope1 = step.slope1 if step.slope1 is not None else f(t1, step.y1)
        t = torch.where(accepted, t1, t)
        y, slope = torch.where(accepted, step.y1, y), torch.where(accepted, slope1, slope)
    else:
        row = int((pending < len(times)).nonzero()[0])
        raise MaxStepsExceeded(
            f"max_num_steps were not enough for row {row}",
            t=float(t.view(-1)[row]),
            dt=float(dt.view(-1)[row]),
            nfe=f.stats.nfe,
            hint="loosen the tolerance, or raise options=dict(max_num_steps=…)",
        )
    f.stats.accepted, f.stats.rejected = int(stats.accepted.sum()), int(stats.rejected.sum())
    return torch.stack([y0, *[torch.stack(pieces).sum(0) for pieces in outputs[1:]]]), stats


class _RowControl:
    """`control.Controller` with one norm, one ratio and one dt per row, all (batch, 1, …)."""

    def __init__(self, plan: Plan, y0: Tensor) -> None:
        self.c, self.axes = plan.controller, tuple(range(1, y0.ndim))

    def norm(self, x: Tensor, size: Tensor) -> Tensor:
        x = x / (self.c.atol + self.c.rtol * size)
        if not self.axes:
            return x.abs().double()
        return torch.linalg.vector_norm(x, dim=self.axes, keepdim=True).double() / math.sqrt(x[0].numel())

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

    def first_step(self, f: VectorField, t: Tensor, y0: Tensor, slope: Tensor, direction: float) -> Tensor:
        y0, slope = y0.detach(), slope.detach()
        size = y0.abs()
        d0, d1 = self.norm(y0, size), self.norm(slope, size)
        if not bool(torch.isfinite(d0 + d1).all()):
            raise diagnosis.non_finite(float(t.view(-1)[0]), 0.0, y0, slope, f.stats)
        h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
        slope1 = f(t + direction * h0, y0 + (direction * h0).to(f.time_dtype) * slope).detach()
        d2 = self.norm(slope1 - slope, size) / h0
        largest = torch.maximum(d1, d2)
        h1 = torch.where(largest <= 1e-15, (h0 * 1e-3).clamp_min(1e-6), (0.01 / largest) ** (1.0 / self.c.order))
        return self.clip(direction * torch.minimum(100 * h0, h1))


def _check(plan: Plan, y0: Tensor) -> None:
    if plan.method.family != "runge_kutta" or not plan.adaptive:
        raise ValueError(f"per_sample needs an adaptive Runge–Kutta method, not {plan.name!r}")
    if y0.ndim == 0:
        raise ValueError("per_sample needs a batch axis: y0 of shape (batch, …)")
    for name in ("step_t", "jump_t", "first_step", "norm", "compile"):
        if plan.options.get(name) is not None:
            raise ValueError(f"option {name!r} does not go together with per_sample")


def _refuse_stuck(t: Tensor, t1: Tensor, h: Tensor, y: Tensor, slope: Tensor, active: Tensor, f: VectorField) -> None:
    stuck = (active & (t1 == t)).view(-1)
    if bool(stuck.any()):
        row = int(stuck.nonzero()[0])
        where = float(t.view(-1)[row]), float(h.view(-1)[row])
        if not diagnosis.all_finite(y[row], slope[row]):
            raise diagnosis.non_finite(*where, y[row], slope[row], f.stats)
        raise diagnosis.underflow(*where, y[row], slope[row], f, f.stats)


def _log(
    f: VectorField, t: Tensor, h: Tensor, ratio: Tensor, accepted: Tensor, stats: RowStats, active: Tensor
) -> None:
    """One record per attempt of the batch (its slowest row); the counts are kept per row."""
    stats.accepted += accepted.view(-1)
    stats.rejected += (active & ~accepted).view(-1)
    row = int(torch.where(active, ratio, -math.inf).argmax())
    values: list[Any] = [x.reshape(-1)[row].item() for x in (t, h, ratio, accepted)]
    f.stats.steps.append(StepRecord(*values))


def _sample(
    plan: Plan,
    f: VectorField,
    step: Step,
    t: Tensor,
    t1: Tensor,
    accepted: Tensor,
    grid: Tensor,
    pending: Tensor,
    outputs: list[list[Tensor]],
    direction: float,
) -> None:
    """Write the outputs that lie in this step, row by row in time but all rows at once; moves `pending` on."""
    solution, end = None, len(grid)
    while True:
        goal = grid[pending.clamp_max(end - 1)].view_as(t)
        due = accepted & (pending < end).view_as(t) & ((t1 - goal) * direction >= 0)
        if not bool(due.any()):
            return
        at_end = goal == t1
        if bool((due & ~at_end).any()):
            solution = solution or plan.interpolate(step, f)
            x = torch.where(due, (goal - t) / torch.where(due, t1 - t, 1.0), 0.0)
            values = torch.where(at_end, step.y1, solution(x.to(f.time_dtype)))
        else:
            values = step.y1
        for index in pending[due.view(-1)].unique().tolist():
            mine = due & (pending == index).view_as(t)
            outputs[index].append(torch.where(mine, values, torch.zeros_like(values)))
        pending += due.view(-1)
