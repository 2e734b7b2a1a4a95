"""What can go wrong while solving, each with the place (t, dt), the cost so far (NFE) and one hint.

Mistakes in what the caller passed raise ``ValueError`` or ``TypeError`` (see `inputs`); the errors here are
failures of a well-posed call: the numbers stopped being finite, or the tolerance cannot be met.

The functions below the classes turn the state at a failure into an error with a useful hint. They run once, on the way
to an exception, so they may spend a few evaluations of func on a better answer.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.inputs import Field, State, Stats, Time

STIFF_METHODS = "method='kvaerno5', 'radauIIA5' or 'rodas3', or 'scipy_solver' with options=dict(solver='BDF')"

LOOSER = "loosen the tolerance, or raise options=dict(max_num_steps=…)"


class SolverError(RuntimeError):
    """A solve that could not go on.

    Attributes:
        t: time at which it stopped.
        dt: the last step tried (0.0 where no step had been chosen yet).
        nfe: evaluations of ``func`` so far.
        hint: what to try.
        times, states: how far a forward solve came: the start, the output times that were reached and the end of the
            last accepted step, (k,), with the states there, (k, *y0.shape) or a tuple of such, detached. With
            per_sample the output times, and states that are NaN where a row had not got there.
    """

    times: Tensor | None = None
    states: State | None = None

    def __init__(self, what: str, *, t: float, dt: float = 0.0, nfe: int = 0, hint: str = "") -> None:
        self.t, self.dt, self.nfe, self.hint = t, dt, nfe, hint
        where = f"at t = {t:.6g} with dt = {dt:.3g} after {nfe} evaluations of func"
        super().__init__(f"{what} {where}." + (f" Hint: {hint}" if hint else ""))

    def __reduce__(self):  # keyword-only arguments do not survive pickling (multiprocessing, lightning) by themselves
        return _rebuild, (type(self), self.args[0], vars(self))


def _rebuild(cls: type[SolverError], message: str, attributes: dict[str, Any]) -> SolverError:
    error = cls.__new__(cls, message)
    error.args = (message,)
    vars(error).update(attributes)
    return error


class NonFiniteState(SolverError):
    """The state or its derivative is NaN or infinite."""


class StepSizeUnderflow(SolverError):
    """The tolerance asks for a step that floating-point time cannot represent."""


class MaxStepsExceeded(SolverError):
    """``max_num_steps`` steps did not reach the next output time."""


class NewtonFailure(SolverError):
    """The equations of an implicit method's stages were not solved."""


def all_finite(*tensors: Tensor) -> bool:
    """Whether no entry of any of them is NaN or infinite."""
    return all(bool(torch.isfinite(x).all()) for x in tensors)


def check_finite(t: float, dt: float, y: Tensor, slope: Tensor, stats: Stats) -> None:
    """After a step whose error is NaN or infinite: a smaller one may help, unless its start is so already.

    Raises:
        NonFiniteState: when y or slope, the state and func at the start of the step, has such an entry.
    """
    if not all_finite(y, slope):
        raise non_finite(t, dt, y, slope, stats)


def non_finite(t: float, dt: float, y: Tensor, slope: Tensor | None, stats: Stats) -> SolverError:
    """The state, or func at a finite state, is NaN or infinite."""
    if not all_finite(y):
        what, hint = (
            "the state became NaN or infinite",
            "check y0 and the parameters; a smaller step may keep it finite",
        )
    elif slope is not None and all_finite(slope):
        what = "the error norm is NaN or infinite for a finite state and slope"
        hint = (
            "where y is 0 and atol too, nothing is measured: give atol a positive value; else rtol and atol may be too "
            "small for this dtype, or options['norm'] no norm"
        )
    else:
        what = "func returned NaN or infinity for a finite state"
        hint = "look for a division by zero, log or sqrt of a negative number, or overflowing weights in func"
    return NonFiniteState(what, t=t, dt=dt, nfe=stats.nfe, hint=hint)


def underflow(t: float, dt: float, y: Tensor, slope: Tensor, stats: Stats) -> SolverError:
    """Rejections made dt smaller than time can resolve."""
    last = stats.steps[-1].error_ratio if stats.steps else math.nan
    if not math.isfinite(last):
        hint = "func is NaN or infinite right behind this point, whatever the step: is the solution defined beyond it?"
        return NonFiniteState("every further step gives NaN or infinity", t=t, dt=dt, nfe=stats.nfe, hint=hint)
    hint = _why_small(t, y, slope)
    return StepSizeUnderflow("the step size became too small for the tolerance", t=t, dt=dt, nfe=stats.nfe, hint=hint)


def stuck_row(row: int, t: Tensor, dt: Tensor, y: Tensor, slope: Tensor, stats: Stats) -> SolverError:
    """A row of a batch that cannot go on; t and dt hold one number per row."""
    how = float(t.view(-1)[row]), float(dt.view(-1)[row]), y[row], slope[row], stats
    return underflow(*how) if all_finite(y[row], slope[row]) else non_finite(*how)


def too_many_steps(
    limit: int, t: float, dt: float, y: Tensor, f: Field, stats: Stats, endless: bool = False, intervals: int = 1
) -> SolverError:
    """So many steps were not enough, to reach the end of all output intervals or, without one, an event."""
    if endless:
        return no_event(limit, t, dt, stats)
    hint = _why_many(t, dt, y, f, stats) + "; options=dict(max_num_steps=…) raises the limit"
    return MaxStepsExceeded(not_enough(limit, intervals), t=t, dt=dt, nfe=stats.nfe, hint=hint)


def not_enough(limit: int, intervals: int) -> str:
    """max_num_steps holds for each output interval."""
    if intervals == 1:
        return f"max_num_steps = {limit} steps were not enough"
    if limit % intervals:  # the default, which is no number per interval
        return f"{limit} steps were not enough for {intervals} output intervals"
    return (
        f"{limit} steps were not enough, max_num_steps = {limit // intervals} for each of {intervals} output intervals,"
    )


def unfinished_row(what: str, row: int, t: Tensor, dt: Tensor, hint: str, stats: Stats) -> SolverError:
    """A row of a batch that did not come to its end; t and dt hold one number per row."""
    where = {"t": float(t.view(-1)[row]), "dt": float(dt.view(-1)[row])}
    return MaxStepsExceeded(f"{what} for row {row}", **where, nfe=stats.nfe, hint=hint)


def no_event(limit: int, t: float, dt: float, stats: Stats) -> SolverError:
    """event_fn kept its sign."""
    hint = "does event_fn change its sign? options=dict(max_num_steps=…) looks further"
    return MaxStepsExceeded(f"no event happened in {limit} steps", t=t, dt=dt, nfe=stats.nfe, hint=hint)


def _why_small(t: float, y: Tensor, slope: Tensor) -> str:
    size, speed = float(y.detach().abs().max()), float(slope.detach().abs().max())
    if speed > 1e3 * size and (size > 1e6 or speed > 1e12):
        grown = f"|y| has grown to {size:.1e}, and its slope to {speed:.1e}"
        return f"{grown}: the solution may blow up in finite time near t = {t:.6g}"
    precision = " or use float64" if y.dtype in (torch.float32, torch.complex64) else ""
    return (
        f"func may jump or be singular near t = {t:.6g}: name known jumps in options=dict(jump_t=…), "
        f"loosen rtol and atol{precision}"
    )


def _why_many(t: float, dt: float, y: Tensor, f: Field, stats: Stats) -> str:
    recent = stats.steps[-200:]
    rejected = sum(not step.accepted for step in recent) / max(len(recent), 1)
    stiffness = abs(dt) * lipschitz(f, t, y)
    if 0.5 < stiffness < 50 and rejected < 0.6:
        return (
            f"dt · |∂f/∂y| = {stiffness:.1f}, so stability and not accuracy limits the step: the problem looks stiff; "
            f"try {STIFF_METHODS}"
        )
    if rejected > 0.3:
        return f"{rejected:.0%} of the last steps were rejected: func may be discontinuous (options=dict(jump_t=…))"
    return "loosen rtol and atol, or shorten the interval"


@torch.no_grad()
def lipschitz(f: Field, t: Time, y: Tensor, iterations: int = 12) -> float:
    """A rough |∂f/∂y| at (t, y) by power iteration on finite differences."""
    base = f(t, y)
    scale = float(torch.finfo(y.abs().dtype).eps) ** 0.5 * max(float(y.abs().max()), 1.0)
    direction = torch.randn(y.shape, dtype=y.dtype, device=y.device, generator=torch.Generator(y.device).manual_seed(0))
    growth = 0.0
    for _ in range(iterations):
        direction = direction * (scale / max(float(torch.linalg.vector_norm(direction)), 1e-30))
        direction = f(t, y + direction) - base
        growth = float(torch.linalg.vector_norm(direction)) / scale
        if not math.isfinite(growth) or growth == 0:
            break
    return growth


def differentiated_once(
    backward: Callable[..., tuple[Tensor | None, ...]], ctx: Any, *grads: Tensor, message: str
) -> tuple[Tensor | None, ...]:
    """What a backward that keeps no graph gives where one was asked for: its results, which say so when used.

    torch's own `once_differentiable` does so only where the incoming gradient is in a graph; where that is constant,
    as of a sum, second derivatives would be without this part, and nobody would know.
    """
    with torch.no_grad():
        results = backward(ctx, *grads)
    given = [x.detach().requires_grad_() for x in results if x is not None]
    behind = [x for x in (*grads, *ctx.saved_tensors) if x.requires_grad]  # whoever asks for these is told, too
    marked = iter(_Once.apply(message, len(given), *given, *behind))
    return tuple(None if x is None else next(marked) for x in results)


class _Once(torch.autograd.Function):
    """Passes the first tensors on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, message: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.message = message
        return tuple(x.view_as(x) for x in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError(ctx.message)
