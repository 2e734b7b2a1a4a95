"""solve, and the four functions of torchdiffeq 0.2.5 under their own names and signatures.

`solve` returns a `Solution` with what the solve cost, and refuses options it does not know. `odeint` and its kin are
drop-ins: the same arguments, options, callbacks and results, so that changing one import moves a script over.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from odelab.solvers import events, gradients
from odelab.solvers.diagnosis import all_finite
from odelab.solvers.errors import NonFiniteState
from odelab.solvers.gradients import Forward
from odelab.solvers.integrate import Stats
from odelab.solvers.interpolation import Interpolant
from odelab.solvers.parameters import adjoint_settings, find_parameters
from odelab.solvers.per_sample import solve_rows
from odelab.solvers.plan import Plan, make_plan
from odelab.solvers.problem import (
    CALLBACK_NAMES,
    Layout,
    State,
    VectorField,
    check_times,
    find_callbacks,
    pack_state,
)
from odelab.solvers.stepping import Step

GRADIENTS = ("backprop", "adjoint", "checkpoint")


@dataclass
class DenseSolution:
    """The solution as a function of time, piecewise polynomial; between the first and the last time of the solve."""

    layout: Layout
    starts: list[float] = field(default_factory=list)
    pieces: list[tuple[Any, Any, Interpolant]] = field(default_factory=list)

    def add(self, step: Step, solution: Interpolant) -> None:
        self.starts.append(float(step.t0))
        self.pieces.append((step.t0, step.dt, solution))

    def __call__(self, t: float | Tensor) -> State:
        """y(t): for a number or 0-d tensor of the shape of y0, for times (n,) of shape (n, *y0.shape).

        Raises:
            ValueError: for times outside the interval that was solved.
        """
        if isinstance(t, Tensor) and t.ndim == 1:
            return self.layout.unpack(torch.stack([self._at(x) for x in t]), (len(t),))
        return self.layout.unpack(self._at(t))

    def _at(self, t: float | Tensor) -> Tensor:
        now, forward = float(t), float(self.pieces[0][1]) > 0
        starts = self.starts if forward else [-x for x in self.starts]
        index = max(bisect.bisect_right(starts, now if forward else -now) - 1, 0)
        t0, dt, solution = self.pieces[index]
        x = (t - t0) / dt
        if not -1e-6 <= float(x) <= 1 + 1e-6:
            last_t0, last_dt, _ = self.pieces[-1]
            raise ValueError(
                f"t = {now:g} lies outside the solved interval [{self.starts[0]:g}, {float(last_t0 + last_dt):g}]"
            )
        return solution(x)


@dataclass
class Solution:
    """What `solve` returns.

    Attributes:
        t: output times, (n,); with an event, the start and the event time.
        y: states at these times, (n, *y0.shape), or a tuple of such for a tuple y0.
        stats: what it cost.
        event_t: when event_fn crossed zero, 0-d; None without an event.
        rows: accepted and rejected steps of every row, with per_sample.
    """

    t: Tensor
    y: State
    stats: Stats
    event_t: Tensor | None = None
    rows: Any = None
    _dense: DenseSolution | None = field(default=None, repr=False)

    @property
    def dense(self) -> DenseSolution:
        """The solution at any time; needs solve(…, dense=True)."""
        if self._dense is None:
            raise ValueError("this solve kept no dense output; call solve(…, dense=True)")
        return self._dense


def solve(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *,
    method: str | None = None,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    gradient: str = "backprop",
    options: dict[str, Any] | None = None,
    event_fn: Callable[..., Tensor] | None = None,
    dense: bool = False,
    params: Sequence[Tensor] | None = None,
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: dict[str, Any] | None = None,
) -> Solution:
    """Solve dy/dt = func(t, y), y(t[0]) = y0.

    Args:
        func: (t: 0-d tensor, y) -> dy/dt, shaped like y. Its parameters are found when it is an `nn.Module`.
        y0: tensor of any shape, real or complex floating point, or a tuple of such.
        t: (n,) strictly increasing or decreasing times, n ≥ 2; the first is the start.
        method: a key of `METHODS`; "dopri5" by default.
        rtol, atol: error allowed per step and entry, atol + rtol · |y|; numbers, tensors that broadcast to y0, or one
            entry per item of a tuple y0.
        gradient: "backprop", "adjoint" or "checkpoint", see `gradients`. Gradients reach y0, t and parameters in each.
        options: of the method. Adaptive: first_step, min_step, max_step, safety, ifactor, dfactor, max_num_steps (per
            output interval), step_t, jump_t, norm, per_sample, compile. Fixed grid: step_size, grid_constructor, interp
            ("linear", "cubic"), perturb. Adams: max_order, max_iters. scipy_solver: solver, min_step, max_step.
        event_fn: (t, y) -> tensor; the solve runs in the direction of t until one of its entries changes sign.
        dense: keep the interpolants for `Solution.dense`.
        params: what the adjoint and checkpoint gradients differentiate besides y0 and t, where func is no Module.
        adjoint_rtol, adjoint_atol, adjoint_method, adjoint_options: for the backward solve; the forward ones by default.

    Raises:
        ValueError, TypeError: what was passed cannot be solved; the message names the argument.
        SolverError: the solve failed; NonFiniteState, StepSizeUnderflow and MaxStepsExceeded carry t, dt, nfe, hint.
    """
    adjoint = {"rtol": adjoint_rtol, "atol": adjoint_atol, "method": adjoint_method, "options": adjoint_options}
    return _solve(func, y0, t, method, rtol, atol, gradient, options, event_fn, dense, params, adjoint, strict=True)


def _solve(
    func: Callable[..., Any], y0: Any, t: Any, method: str | None, rtol: Any, atol: Any, gradient: str,
    options: dict | None, event_fn: Any, dense: bool, params: Any, adjoint: dict, *, strict: bool,
) -> Solution:  # fmt: skip
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient must be one of {', '.join(GRADIENTS)}, got {gradient!r}")
    y0, layout = pack_state(y0)
    t, times = check_times(t, y0)
    if len(times) == 1:
        if strict:
            raise ValueError("t has a single time; give at least a start and an end, e.g. torch.tensor([0., 1.])")
        return Solution(t, layout.unpack(y0[None], (1,)), Stats(method or "dopri5"))
    if event_fn is not None and len(times) != 2:
        raise ValueError(f"with event_fn, t must hold two times (start and direction), got {len(times)}")
    plan = make_plan(method, rtol, atol, options, layout, y0, strict=strict)
    stats = Stats(method=plan.name)
    f = VectorField(layout.field(func), y0, stats)
    forward = Forward(plan, f, times)
    if plan.method.family != "scipy":
        supported = CALLBACK_NAMES if plan.adaptive else CALLBACK_NAMES[:1]
        forward.callbacks = find_callbacks(func, layout, "", supported, plan.name)
    else:
        find_callbacks(func, layout, "", (), plan.name)
        _check_scipy(plan, gradient, event_fn, dense)
    if event_fn is not None:
        forward.event = events.first_of(layout.event(event_fn), f, times[0], y0)

    own_grid = plan.adaptive or any(plan.options.get(name) is not None for name in ("step_size", "grid_constructor"))
    exact_times = t.requires_grad and not own_grid and gradient == "backprop" and event_fn is None
    if exact_times:  # the steps themselves move with t
        forward.times = list(t.to(f.time_dtype).unbind())
    start = y0
    if t.requires_grad and not exact_times:  # a later start shortens the way: dy/dt0 = −f(t0, y0)
        start = y0 - ((t[0] - t[0].detach()) * f(times[0], y0)).to(y0.dtype)

    rows, record = None, DenseSolution(layout) if dense else None
    if plan.options.get("per_sample"):
        if gradient != "backprop" or event_fn is not None or dense:
            raise ValueError("per_sample offers gradient='backprop', and neither events nor dense output")
        y, rows = solve_rows(plan, f, start, times)
    else:
        y = _differentiate(forward, func, layout, start, gradient, params, adjoint, record, strict)

    event_t = None
    if event_fn is not None:
        event_t = torch.as_tensor(forward.event_t, dtype=t.dtype, device=t.device)
        t = torch.stack([t[0], event_t])
        y = torch.cat([y0[None], y[1:]])
    elif t.requires_grad and not exact_times:
        with torch.set_grad_enabled(torch.is_grad_enabled() and gradient == "backprop"):
            slopes = torch.stack([f(now, state) for now, state in zip(times[1:], y[1:], strict=True)])
        moved = (t - t.detach())[1:].view(-1, *[1] * (y.ndim - 1)) * slopes
        y = torch.cat([y0[None], y[1:] + moved.to(y.dtype)])
    _require_finite(y, t, stats)
    return Solution(t, layout.unpack(y, (len(y),)), stats, event_t, rows, record)


def _differentiate(
    forward: Forward, func: Any, layout: Layout, y0: Tensor, gradient: str, params: Any, adjoint: dict,
    record: DenseSolution | None, strict: bool,
) -> Tensor:  # fmt: skip
    """Run the solve with the gradient asked for."""
    if gradient == "backprop":

        def keep(step: Step, marks: Any, solution: Interpolant | None) -> None:
            assert record is not None
            record.add(step, solution or forward.plan.interpolate(step, forward.f))

        return gradients.backprop(forward, y0, keep if record is not None else None)
    if record is not None:
        raise ValueError("dense output needs gradient='backprop' (under torch.no_grad() it keeps no graph)")
    params = find_parameters(func, params, gradient)
    if gradient == "checkpoint":
        if not forward.plan.method.one_step:
            raise ValueError(
                f"gradient='checkpoint' replays single steps, and {forward.plan.name!r} is not a one-step method; "
                "use 'adjoint' or 'backprop'"
            )
        return gradients.checkpoint(forward, y0, params)
    plan, how = adjoint_settings(forward, func, layout, y0, adjoint, strict)
    return gradients.adjoint(forward, plan, y0, params, **how)


def _check_scipy(plan: Plan, gradient: str, event_fn: Any, dense: bool) -> None:
    if event_fn is not None or dense:
        raise ValueError("scipy_solver offers neither events nor dense output here")
    if gradient == "checkpoint":
        raise ValueError("scipy_solver keeps no steps to replay; use gradient='adjoint'")


def _require_finite(y: Tensor, t: Tensor, stats: Stats) -> None:
    """Fixed grids have no error estimate to notice that the numbers overflowed."""
    if all_finite(y.detach()):
        return
    index = next(i for i, state in enumerate(y.detach()) if not all_finite(state))
    dt = stats.steps[-1].dt if stats.steps else 0.0
    hint = "a fixed step may be too large for this problem: try a smaller step_size or an adaptive method"
    raise NonFiniteState("the solution became NaN or infinite", t=float(t[index]), dt=dt, nfe=stats.nfe, hint=hint)


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    event_fn: Callable[..., Tensor] | None = None,
    gradient: str = "backprop",
    params: Sequence[Tensor] | None = None,
) -> Any:
    """torchdiffeq's odeint: the states at t, (len(t), *y0.shape) or a tuple of such; see `solve`.

    With event_fn, (event_t, states at t[0] and event_t). Options the method does not know are warned about.
    """
    solution = _solve(func, y0, t, method, rtol, atol, gradient, options, event_fn, False, params, {}, strict=False)
    return solution.y if event_fn is None else (solution.event_t, solution.y)


def odeint_adjoint(
    func: Callable[..., Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    event_fn: Callable[..., Tensor] | None = None,
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: dict[str, Any] | None = None,
    adjoint_params: Sequence[Tensor] | None = None,
) -> Any:
    """torchdiffeq's odeint_adjoint: as `odeint`, with gradients by the continuous adjoint.

    Raises:
        ValueError: when func is no `nn.Module` and adjoint_params is not given.
    """
    adjoint = {"rtol": adjoint_rtol, "atol": adjoint_atol, "method": adjoint_method, "options": adjoint_options}
    solution = _solve(
        func, y0, t, method, rtol, atol, "adjoint", options, event_fn, False, adjoint_params, adjoint, strict=False
    )
    return solution.y if event_fn is None else (solution.event_t, solution.y)


def odeint_dense(
    func: Callable[..., Any],
    y0: Any,
    t0: Any,
    t1: Any,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
) -> DenseSolution:
    """torchdiffeq's odeint_dense: the solution between t0 and t1 as a function of time."""
    t = torch.as_tensor([float(t0), float(t1)], dtype=torch.float64)
    if isinstance(t0, Tensor):
        t = t.to(t0)
    return _solve(func, y0, t, method, rtol, atol, "backprop", options, None, True, None, {}, strict=False).dense


def odeint_event(
    func: Callable[..., Any],
    y0: Any,
    t0: Tensor,
    *,
    event_fn: Callable[..., Tensor],
    reverse_time: bool = False,
    odeint_interface: Callable[..., Any] = odeint,
    **kwargs: Any,
) -> tuple[Tensor, Any]:
    """torchdiffeq's odeint_event: (event_t, states at t0 and event_t), both differentiable.

    Args:
        t0: 0-d or (1,) start time; the solve runs until event_fn changes sign, backwards with reverse_time.
        odeint_interface: `odeint` or `odeint_adjoint`; kwargs go to it.
    """
    t0 = t0.reshape(-1)
    t = torch.cat([t0, t0.detach() + (-1.0 if reverse_time else 1.0)])
    event_t, states = odeint_interface(func, y0, t, event_fn=event_fn, **kwargs)
    packed, layout = pack_state(tuple(s[-1] for s in states) if isinstance(states, tuple) else states[-1])
    f = VectorField(layout.field(func), packed, Stats())
    event_t, end = events.link_gradients(f, layout.event(event_fn), event_t, packed)
    if not isinstance(states, tuple):
        return event_t, torch.cat([states[:-1], end[None]])
    ends = layout.unpack(end)
    return event_t, tuple(torch.cat([s[:-1], e[None]]) for s, e in zip(states, ends, strict=True))
