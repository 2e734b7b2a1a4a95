"""solve: from what the caller passed to a `Solution`, through problem, plan, loop and gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.solvers import events, gradients
from odelab.solvers.diagnosis import all_finite
from odelab.solvers.errors import NonFiniteState
from odelab.solvers.gradients import Forward
from odelab.solvers.inputs import (
    CALLBACK_NAMES,
    Layout,
    VectorField,
    check_times,
    find_callbacks,
    pack_state,
)
from odelab.solvers.interpolation import Interpolant
from odelab.solvers.loops import Stats
from odelab.solvers.parameters import adjoint_settings, find_parameters
from odelab.solvers.per_sample import solve_rows
from odelab.solvers.plan import Plan, make_plan
from odelab.solvers.solution import DenseSolution, Solution
from odelab.solvers.stepping import Step

GRADIENTS = ("backprop", "adjoint", "checkpoint")


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
            output interval; by default 100 000 and 1000 more for each), step_t, jump_t, norm, per_sample, compile.
            Fixed grid: step_size, grid_constructor, interp ("linear", "cubic"), perturb. Adams: max_order, max_iters.
            scipy_solver: solver, min_step, max_step.
        event_fn: (t, y) -> tensor; the solve runs in the direction of t until one of its entries changes sign. The
            event time and the state there are differentiable, also in parameters of event_fn. Where it crosses zero
            twice within a step nothing is seen: options=dict(max_step=…).
        dense: keep the interpolants for `Solution.dense`.
        params: what the adjoint and checkpoint gradients differentiate besides y0 and t, where func is no Module.
        adjoint_rtol, adjoint_atol, adjoint_method, adjoint_options: for the backward solve; else the forward ones.

    Raises:
        ValueError, TypeError: what was passed cannot be solved; the message names the argument.
        SolverError: the solve failed; NonFiniteState, StepSizeUnderflow and MaxStepsExceeded carry t, dt, nfe, hint.

    Example:
        >>> import torch
        >>> from odelab import solve
        >>> t = torch.linspace(0, 1, 3, dtype=torch.float64)
        >>> solution = solve(lambda t, y: -y, torch.ones(2, dtype=torch.float64), t, rtol=1e-8, atol=1e-10)
        >>> solution.y.shape
        torch.Size([3, 2])
        >>> (solution.y[:, 0] - torch.exp(-t)).abs().max() < 1e-6
        tensor(True)
    """
    adjoint = {"rtol": adjoint_rtol, "atol": adjoint_atol, "method": adjoint_method, "options": adjoint_options}
    return run_solve(func, y0, t, method, rtol, atol, gradient, options, event_fn, dense, params, adjoint, strict=True)


def run_solve(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    method: str | None,
    rtol: Any,
    atol: Any,
    gradient: str,
    options: dict | None,
    event_fn: Any,
    dense: bool,
    params: Any,
    adjoint: dict,
    *,
    strict: bool,
) -> Solution:
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
        forward.callbacks = find_callbacks(func, layout.unpack, "", supported, plan.name)
    else:
        find_callbacks(func, layout.unpack, "", (), plan.name)
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
        at = torch.as_tensor(forward.event_t, dtype=t.dtype, device=t.device)
        event_t, end = events.link_gradients(f, layout.event(event_fn), at, y[-1])
        t = torch.stack([t[0], event_t])
        y = torch.stack([y0, end if strict else y[-1]])  # torchdiffeq's odeint holds the event time fixed
    elif t.requires_grad and not exact_times:
        with torch.set_grad_enabled(torch.is_grad_enabled() and gradient == "backprop"):
            slopes = torch.stack([f(now, state) for now, state in zip(times[1:], y[1:], strict=True)])
        moved = (t - t.detach())[1:].view(-1, *[1] * (y.ndim - 1)) * slopes
        y = torch.cat([y0[None], y[1:] + moved.to(y.dtype)])
    _require_finite(y, t, stats)
    return Solution(t, layout.unpack(y, (len(y),)), stats, event_t, rows, record)


def _differentiate(
    forward: Forward,
    func: Any,
    layout: Layout,
    y0: Tensor,
    gradient: str,
    params: Any,
    adjoint: dict,
    record: DenseSolution | None,
    strict: bool,
) -> Tensor:
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
    raise NonFiniteState(
        "the solution became NaN or infinite", t=float(t[index].detach()), dt=dt, nfe=stats.nfe, hint=hint
    )
