"""From what the caller passed to a `Solution`: check it, solve it with the gradient asked for, check the numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.compiled import may_compile, solve_compiled
from odelab.solvers.errors import NonFiniteState, SolverError
from odelab.solvers.events import solve_to_event
from odelab.solvers.gradients import GRADIENTS, follow_outputs, follow_start
from odelab.solvers.inputs import (
    Call,
    Layout,
    Stats,
    VectorField,
    check_times,
    find_callbacks,
    in_the_dark,
    pack_state,
)
from odelab.solvers.loops import Problem, Scheme, make_scheme
from odelab.solvers.per_sample import solve_rows
from odelab.solvers.solution import DenseSolution, Solution
from odelab.warning import warn


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
    direction: float | Sequence[float] | None = None,
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
        t: (n,) strictly increasing or decreasing times; the first is the start. With per_sample also (batch, n), times
            of every row, y[i, b] at t[b, i], which may repeat.
        method: a key of `METHODS`; "dopri5" by default. For stiff problems "kvaerno5", "radauIIA5", "kvaerno3",
            "trbdf2", "sdirk2" and "rodas3" choose their steps; they decompose a dense Jacobian (`methods.implicit`).
            Outputs within the long steps of "dopri8" are less exact than those: options=dict(step_t=t).
        rtol, atol: error allowed per step and entry, atol + rtol · |y|; numbers, tensors that broadcast to y0, or one
            entry per item of a tuple y0.
        gradient: "backprop", "adjoint" or "checkpoint", see `gradients`. Gradients reach y0, t and parameters in each.
            "backprop" and "checkpoint" can be differentiated a second time, except for implicit Runge–Kutta methods.
        options: of the method. Adaptive: first_step, min_step, max_step, safety, ifactor, dfactor, max_num_steps (per
            output interval; by default 100 000 and 1000 more for each), step_t, jump_t, norm, compile, and per_sample:
            a step size for every row of a batch y0, (batch, …), where func gets t as (batch, 1, …).
            Fixed grid: step_size, grid_constructor, interp ("linear", "cubic"), perturb. Adams: max_order, max_iters.
            Implicit: max_iters (of Newton); adaptive, which is True for methods with an error estimate unless an option
            of fixed grids is given.
            scipy_solver: solver, min_step, max_step.
        event_fn: (t, y) -> tensor; the solve runs in the direction of t until one of its entries changes sign. The
            event time and the state there are differentiable, also in parameters of event_fn. Where it crosses zero
            twice within a step nothing is seen: options=dict(max_step=…). A start on the event does not count. With
            per_sample it returns (batch, …), and each row goes to its own event: event_t (batch,), t (batch, 2).
        direction: 1 for events where event_fn rises, in the direction of the solve, −1 where it falls, 0 for both; one
            for all entries or one each. Else the attribute event_fn.direction, as in SciPy, or 0.
        dense: keep the interpolants for `Solution.dense`.
        params: what the adjoint and checkpoint gradients differentiate besides y0 and t, where func is no Module.
        adjoint_rtol, adjoint_atol, adjoint_method, adjoint_options: for the backward solve; else the forward ones.

    Raises:
        ValueError, TypeError: what was passed cannot be solved; the message names the argument.
        SolverError: the solve failed; NonFiniteState, StepSizeUnderflow and MaxStepsExceeded carry t, dt, nfe, hint,
            and how far it came in times and states.

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
    backward = {"rtol": adjoint_rtol, "atol": adjoint_atol, "method": adjoint_method, "options": adjoint_options}
    return run(
        Call(func, y0, t, method, rtol, atol, gradient, options, event_fn, dense, params, backward, direction=direction)
    )


def run(call: Call) -> Solution:
    """One call from top to bottom; steps per sample and events leave it at the top.

    Raises:
        ValueError, TypeError, SolverError: see `solve`.
    """
    if call.gradient not in GRADIENTS:
        raise ValueError(f"gradient must be one of {', '.join(GRADIENTS)}, got {call.gradient!r}")
    per_sample = isinstance(call.options, Mapping) and bool(call.options.get("per_sample"))
    y0, layout = pack_state(call.y0, per_sample)
    t, times = check_times(call.t, y0, per_sample)
    scheme = make_scheme(call.method, call.rtol, call.atol, call.options, layout, y0, strict=call.strict)
    _check_together(call, scheme)
    loose = isinstance(scheme.controller.rtol, float) and scheme.controller.rtol >= 1e-4  # there dopri5 errs as much
    if len(times) > 2 and scheme.name == "dopri8" and "step_t" not in scheme.options and not loose:
        way_out = "" if per_sample else "pass options=dict(step_t=t), which ends a step at every output time, or "
        warn(
            "dopri8 takes long steps, and interpolates outputs within a step by a polynomial of degree 4. Their error "
            f"can be a thousand times rtol and atol: {way_out}take method='tsit5'"
        )
    if in_the_dark(y0):
        _check_in_the_dark(call, scheme)
    if len(times) == 1 and not (call.dense or call.event_fn):
        return Solution(t, layout.unpack(y0[None], (1,)), Stats(scheme.name))
    f = VectorField(layout.field(call.func), y0, Stats(method=scheme.name))
    called = () if per_sample else scheme.callback_names
    callbacks = find_callbacks(call.func, layout.unpack, "", called, scheme.name)
    problem = Problem(f, times, scheme, callbacks, eps=torch.finfo(t.dtype).eps)
    dense = None
    if call.dense:
        dense = DenseSolution(layout)
        problem.watch = lambda step, marks: dense.add(step, scheme.interpolate(step, f))

    try:
        by_graph = bool(scheme.options.get("compile")) and may_compile(problem, call)
        if per_sample:
            t, y, extras = solve_rows(problem, y0, t, call, layout, by_graph)
            return _finish(layout, t, y, f.stats, **extras)
        if call.event_fn is not None:
            event_t, y = solve_to_event(problem, y0, t, call, layout)
            return _finish(layout, torch.stack([t[0], event_t]), y, f.stats, event_t=event_t, _dense=dense)

        moving_t = t if torch.is_grad_enabled() else t.detach()
        own_grid = scheme.options.get("step_size") is not None or scheme.options.get("grid_constructor") is not None
        if t.requires_grad and not (scheme.method.adaptive or own_grid) and call.gradient == "backprop":
            # The output times are the grid of a method that autograd records, so it sees t in the steps themselves.
            problem.times = list(t.to(f.time_dtype).unbind())
            moving_t = t.detach()
        start = follow_start(f, moving_t, y0) if moving_t.requires_grad else y0
        solve_all = solve_compiled if by_graph else GRADIENTS[call.gradient]
        y = solve_all(problem, start, call, layout)
        if moving_t.requires_grad:
            y = follow_outputs(f, moving_t, y, y0, record=call.gradient != "adjoint")
        return _finish(layout, t, y, f.stats, _dense=dense)
    except SolverError as error:
        if isinstance(error.states, Tensor):
            error.states = layout.unpack(error.states, (len(error.states),))
        raise


def _check_together(call: Call, scheme: Scheme) -> None:
    """What is allowed by itself and not together."""
    if call.direction is not None and call.event_fn is None:
        raise ValueError("direction says which events count: give an event_fn, or leave direction away")
    if scheme.method.family == "scipy" and (call.event_fn is not None or call.dense):
        raise ValueError(
            "scipy_solver offers neither events nor dense output here; take 'dopri5', or 'kvaerno5' for stiff problems"
        )
    if scheme.method.family == "scipy" and call.gradient == "checkpoint":
        raise ValueError("scipy_solver keeps no steps to replay; use gradient='adjoint'")
    if scheme.options.get("per_sample") and call.dense:
        raise ValueError("per_sample keeps no dense output: leave dense=True away, and give the times you need in t")
    if scheme.options.get("per_sample") and call.gradient != "backprop":
        raise ValueError(f"per_sample goes with gradient='backprop' only, not {call.gradient!r}")
    if call.dense and len(call.t) == 1:
        raise ValueError("dense output needs a start and an end, as t = [0., 1.], but t has a single time")
    if call.dense and call.gradient != "backprop":
        raise ValueError("dense output needs gradient='backprop' (under torch.no_grad() it keeps no graph)")


def _check_in_the_dark(call: Call, scheme: Scheme) -> None:
    """What does without a look at numbers: explicit steps on a fixed grid."""
    explicit = scheme.method.family in ("runge_kutta", "symplectic") or scheme.name == "explicit_adams"
    what = "" if explicit and not scheme.method.adaptive else f"{scheme.name!r} goes"
    if not what and call.event_fn is not None:
        what = "the search for an event goes"
    if not what and call.gradient != "backprop":
        what = f"gradient={call.gradient!r} goes"
    if what:
        raise ValueError(
            f"{what} by numbers, which torch.func.vmap and torch.export do not show: take an explicit method on a "
            "fixed grid, as 'rk4', with gradient='backprop'; or options=dict(per_sample=True) in place of vmap"
        )


def _finish(layout: Layout, t: Tensor, y: Tensor, stats: Stats, **extras: Any) -> Solution:
    """The solution in the caller's layout.

    Raises:
        NonFiniteState: where y is not finite; fixed grids have no error estimate to notice that numbers overflowed.
    """
    if in_the_dark(y) or math.isfinite(abs(y.detach().sum().item())):  # of all at once, which is soon done
        return Solution(t, layout.unpack(y, (len(y),)), stats, **extras)
    finite = torch.isfinite(y.detach())
    if not bool(finite.all()):
        index = next(i for i, state in enumerate(finite) if not bool(state.all()))
        now, dt = t.detach()[..., index].reshape(-1)[0], stats.steps[-1].dt if stats.steps else 0.0
        hint = "a fixed step may be too large for this problem: try a smaller step_size or an adaptive method"
        error = NonFiniteState("the solution became NaN or infinite", t=float(now), dt=dt, nfe=stats.nfe, hint=hint)
        error.times, error.states = t.detach()[..., :index], y.detach()[:index]
        raise error
    return Solution(t, layout.unpack(y, (len(y),)), stats, **extras)
