"""options=dict(compile=True): the whole adaptive solve as one graph, made into machine code by torch.compile.

Off by default: the first solve compiles for half a minute, and func must be traceable. What cannot be compiled is
solved by the ordinary loop, and a warning of one line says why. Read tracing, loop and this file, in this order; rows
gives every sample its own step size.

For every explicit adaptive method: forward, and with gradient="checkpoint", whose backward pass is compiled likewise;
per_sample with the gradients of backprop, once.
One compilation serves all solves whose func does the same operations on tensors of the same layout, whatever these
hold, and any number of output times. PyTorch keeps what it compiled on disk, for other processes, too.

The same graphs are meant for CUDA, where nobody has tried them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from odelab.solvers import errors
from odelab.solvers.compiled.loop import advancing, replaying
from odelab.solvers.compiled.tracing import Refused, Traced, trace
from odelab.solvers.control import tell_of_min_step
from odelab.solvers.gradients import GRADIENTS, _Checkpoint
from odelab.solvers.inputs import (
    NO_CALLBACKS,
    Call,
    Layout,
    StepRecord,
    Surroundings,
    as_float,
    find_surroundings,
)
from odelab.solvers.loops import Mark, Problem
from odelab.solvers.stepping import RungeKutta
from odelab.solvers.stiffness import EVERY, StiffnessWatch
from odelab.warning import warn

BYTES = 2**25  # of the buffers for the steps of one call of the graph
Chunk = tuple[Tensor, ...]  # of one call of the graph: number of accepted steps; their starts, states, slopes


@dataclass
class Solve:
    """One solve on its way through the graphs.

    Attributes:
        func, tensors: func as a graph, and what it uses beside (t, y); norm, norm_tensors: the caller's norm likewise.
        wanted: which of tensors get gradients, by number; places: where these stand among here.params.
        times: start and output times, float64, on the device of the state.
    """

    problem: Problem
    layout: Layout
    here: Surroundings | None
    func: Traced
    tensors: tuple[Tensor, ...]
    norm: Traced | None
    norm_tensors: tuple[Tensor, ...]
    wanted: tuple[int, ...]
    places: tuple[int, ...]
    times: Tensor


def may_compile(problem: Problem, call: Call) -> bool:
    """Whether the arguments ask for what a graph does; a warning says why not."""
    method, options, device = problem.scheme.method, problem.scheme.options, problem.f.device.type
    reasons = {
        "it is for explicit adaptive Runge–Kutta methods": method.family == "runge_kutta" and method.adaptive,
        "a graph does not stop at the times in options['step_t'] and ['jump_t']": not {"step_t", "jump_t"} & {*options},
        "a graph looks for no events": call.event_fn is None,
        "a graph keeps no interpolants for dense output": not call.dense,
        "a graph calls no callbacks": problem.callbacks == NO_CALLBACKS,
        f"it is for cpu and cuda, not {device}": device in ("cpu", "cuda"),
        "it does not go together with torch.inference_mode(); use torch.no_grad()": not problem.f.inference,
        "y0 is empty": problem.f.shape.numel() > 0,
        "PyTorch compiles no complex numbers; give their real and imaginary parts": not problem.f.dtype.is_complex,
    }
    for reason, holds in reasons.items():
        if not holds:
            tell(reason)
            return False
    return True


def tell(reason: Any, what: str = "solve") -> None:
    """Warn that the ordinary loop takes over."""
    warn(f"the {what} is not compiled: {reason}. The ordinary one takes over")


def solve_compiled(problem: Problem, y0: Tensor, call: Call, layout: Layout) -> Tensor:
    """What `GRADIENTS[call.gradient]` gives, by compiled graphs where that can be.

    Raises:
        ValueError, NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: as the ordinary loop.
    """
    try:
        solve = _prepare(problem, y0, call, layout)
        if solve.here is None:
            with torch.no_grad():
                return forward(solve, y0.detach())
        return _Replayed.apply(solve, y0, *solve.here.params)
    except Refused as why:
        tell(why)
        return GRADIENTS[call.gradient](problem, y0, call, layout)


def _prepare(problem: Problem, y0: Tensor, call: Call, layout: Layout) -> Solve:
    """func and norm traced, and what is to be differentiated.

    Raises:
        Refused: for what cannot be compiled.
    """
    f, recording, norm = problem.f, torch.is_grad_enabled(), problem.scheme.options.get("norm")
    y = y0.detach().contiguous()
    if recording:
        y.requires_grad_()
    func, tensors = trace(call.func, f.func, any_time(f.time_dtype, f.device), y)
    func.require(y0)
    times = torch.tensor(problem.times, dtype=torch.float64, device=f.device)
    traced_norm, norm_tensors = (None, ()) if norm is None else trace(norm, problem.scheme.controller.norm, y.detach())
    wanted = tuple(i for i, x in enumerate(tensors) if x.requires_grad and recording)
    here, places = None, list[int]()
    if wanted or (y0.requires_grad and recording):
        if call.gradient != "checkpoint":
            raise Refused(f"gradient={call.gradient!r} has every step by itself; gradient='checkpoint' is compiled")
        here = find_surroundings(call.func, call.params, call.gradient, f.device)
        numbers = {id(p): i for i, p in enumerate(here.params)}
        places = [numbers.get(id(tensors[i]), -1) for i in wanted]
        if -1 in places:
            raise Refused("func depends on a tensor that requires grad and is not among its parameters")
    tensors = tuple(x.detach() for x in tensors)
    return Solve(problem, layout, here, func, tensors, traced_norm, norm_tensors, wanted, tuple(places), times)


@lru_cache(maxsize=16)
def any_time(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Something to trace func with."""
    return torch.zeros((), dtype=dtype, device=device)


def capacity(y: Tensor) -> int:
    """Attempts for which one call of the graph has room."""
    return min(max(BYTES // (3 * y.numel() * y.element_size()), 16), 256)


def split_tolerances(problem: Problem) -> tuple[float, float, tuple[Tensor, ...]]:
    """rtol and atol as numbers, or as tensors where one of them is none."""
    c, f = problem.scheme.controller, problem.f
    if isinstance(c.rtol, float) and isinstance(c.atol, float):
        return c.rtol, c.atol, ()
    return (
        0.0,
        0.0,
        tuple(torch.as_tensor(x, dtype=f.time_dtype, device=f.device).contiguous() for x in (c.rtol, c.atol)),
    )


def forward(solve: Solve, y: Tensor, chunks: list[Chunk] | None = None) -> Tensor:
    """The states at all output times, (n, *y.shape); the steps go to chunks.

    Raises:
        Refused: where it cannot be compiled.
        NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: as the ordinary loop.
    """
    problem, f, stats = solve.problem, solve.problem.f, solve.problem.f.stats
    c, options = problem.scheme.controller, problem.scheme.options
    method: Any = problem.scheme.method
    size, shapes = capacity(y), solve.layout.shapes if solve.norm is None else None
    rtol, atol, tolerances = split_tolerances(problem)
    circumstances = torch.get_num_threads(), *(x.shape for x in tolerances)
    graph = advancing(solve.func, solve.norm, shapes, method, size, *circumstances)
    y = y.contiguous()
    out = y.expand(len(solve.times), *y.shape).clone()
    limit, attempts, t, end = problem.step_limit, 0, as_float(problem.times[0]), as_float(problem.times[-1])
    watch, warned = StiffnessWatch(f, method.tableau, limit, "max_num_steps" in options), False
    first = problem.first_step or options.get("first_step")
    dt = c.clip(math.copysign(first, problem.direction)) if first else 0.0
    while True:
        room = min(size, limit - attempts)
        settings = c.safety, c.ifactor, c.dfactor, c.min_step, c.max_step, room, end, problem.direction, rtol, atol
        numbers = torch.tensor([*settings, t, dt, 0.0, 0.0, 0.0], dtype=torch.float64, device=f.device)
        log, starts = numbers.new_empty(size, 4), numbers.new_empty(size + 1)
        states, slopes = y.new_empty(size + 1, *y.shape), y.new_empty(size + 1, *y.shape)
        middles = y.new_empty(size if method.tableau.middle else 0, *y.shape)
        start = y
        clock, y, slope, out = graph(
            numbers,
            tolerances,
            solve.times,
            y,
            out,
            solve.tensors,
            solve.norm_tensors,
            (log, starts, states, slopes, middles),
        )
        t, dt, ratio, n, accepted, d0, d1 = clock.tolist()
        n, accepted = int(n), int(accepted)
        if not (first or attempts):
            c.tell_of_small_start(d0, d1 * abs(end - as_float(problem.times[0])), start)
        *columns, fates = log[:n].T.tolist()
        stats.steps += map(StepRecord, *columns, map(bool, fates))
        stats.accepted += accepted
        stats.rejected += n - accepted
        if c.min_step and not warned:
            for step in stats.steps[len(stats.steps) - n :]:
                if step.accepted and step.error_ratio > 1:
                    warned = True
                    tell_of_min_step(c.min_step, step.t, step.error_ratio)
                    break
        stats.nfe += 2 + n * evaluations(method)  # the graph begins with f at its start and the first step
        attempts += n
        if chunks is not None and accepted:
            chunks.append((clock[4], starts, states, slopes))
        if t == end:
            return out
        try:
            if not math.isfinite(ratio):  # a smaller step may help
                if not stats.steps[-1].accepted:
                    errors.check_finite(t, stats.steps[-1].dt, y, slope, stats)
            elif math.isnan(dt):
                raise errors.non_finite(t, 0.0, y, slope, stats)
            elif attempts == limit:
                raise errors.too_many_steps(attempts, t, dt, y, f, stats, intervals=len(out) - 1)
            elif n < room:
                raise errors.underflow(t, dt, y, slope, stats)
            if stats.accepted // EVERY > (stats.accepted - accepted) // EVERY:
                watch.look(t, y, [abs(record.dt) for record in stats.steps[-100:] if record.accepted], abs(end - t))
        except errors.SolverError as error:
            error.times, error.states = _reached(solve.times, out, t, y)
            raise


def _reached(times: Tensor, out: Tensor, t: float, y: Tensor) -> tuple[Tensor, Tensor]:
    """The output times up to t and the states there; t and y, where t is none of these."""
    reached = (times - t) * torch.sign(times[-1] - times[0]) <= 0
    times, out = times[reached].cpu(), out[reached]
    if float(times[-1]) == t:
        return times, out
    return torch.cat([times, times.new_tensor([t])]), torch.cat([out, y[None]])


def evaluations(method: RungeKutta) -> int:
    """Of func, in every attempt."""
    return method.tableau.stages - method.tableau.fsal


class _Replayed(torch.autograd.Function):
    """The solve with the gradients of gradient="checkpoint", by graphs both ways."""

    @staticmethod
    def forward(ctx: Any, solve: Solve, y0: Tensor, *params: Tensor) -> Tensor:
        chunks: list[Chunk] = []
        out = forward(solve, y0.detach(), chunks)
        ctx.solve, ctx.count = solve, 1 + len(params)
        # params too, so that autograd notices when they were changed
        ctx.save_for_backward(y0, *params, *(x for chunk in chunks for x in chunk))
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        leaves, kept = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        chunks = [*zip(*(kept[i::4] for i in range(4)), strict=True)]
        if not torch.is_grad_enabled():  # else create_graph=True
            try:
                return None, *replayed(ctx.solve, leaves[1:], chunks, grad_out)
            except Refused as why:
                tell(why, "backward pass")
        places, states = _as_places(ctx.solve.problem, chunks)
        end = chunks[-1][2][int(chunks[-1][0])] if chunks else leaves[0]
        ordinary = SimpleNamespace(problem=ctx.solve.problem, here=ctx.solve.here, places=places, end=end)
        ordinary.saved_tensors = *leaves, *states
        return _Checkpoint.backward(ordinary, grad_out)[1:]


def replayed(solve: Solve, params: Sequence[Tensor], chunks: Sequence[Chunk], grad_out: Tensor) -> list[Tensor]:
    """The gradients of y0 and of params, from the last step to the first.

    Raises:
        Refused: where it cannot be compiled.
    """
    method: Any = solve.problem.scheme.method
    stats = solve.problem.f.stats
    graph = replaying(solve.func, method, solve.wanted, grad_out.dtype, torch.get_num_threads(), capacity(grad_out[0]))
    a, grad_out = torch.zeros_like(grad_out[0]), grad_out.contiguous()
    totals: Sequence[Tensor] = [torch.zeros_like(solve.tensors[i]) for i in solve.wanted]
    for accepted, *kept in reversed(chunks):
        a, *totals = graph(solve.times, grad_out, accepted, solve.tensors, *kept, a, totals)
        stats.nfe_backward += 1 + evaluations(method) * int(accepted)
    by_place = dict(zip(solve.places, totals, strict=True))
    return [a + grad_out[0], *(by_place.get(i, torch.zeros_like(p)) for i, p in enumerate(params))]


def _as_places(problem: Problem, chunks: Sequence[Chunk]) -> tuple[list[tuple[Any, ...]], list[Tensor]]:
    """The steps as the ordinary replay wants them: (t0, t1, dt, marks) and the state at the start of each."""
    places: list[tuple[Any, ...]] = []
    states: list[Tensor] = []
    index, times = 1, [*map(as_float, problem.times)]
    for accepted, starts, kept, _ in chunks:
        ends = starts[: int(accepted) + 1].tolist()
        states += kept[: int(accepted)].unbind()
        for t0, t1 in pairwise(ends):
            marks: list[Mark] = []
            while index < len(times) and (t1 - times[index]) * problem.direction >= 0:
                marks.append((index, 1.0 if times[index] == t1 else (times[index] - t0) / (t1 - t0)))
                index += 1
            places.append((t0, t1, t1 - t0, marks, []))
    return places, states


__all__ = ["may_compile", "solve_compiled"]
