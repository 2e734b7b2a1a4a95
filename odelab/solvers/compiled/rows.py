"""per_sample in one graph, and its gradient in another: every row of a batch with its own time and step size.

As in `loop`, but the log holds every attempt of every row, and outputs are looked up in it afterwards: a row waits
where it is rejected or done, so the state after an accepted attempt is that at the start of the next.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop
from torch.func import vjp

from odelab.solvers import errors
from odelab.solvers.compiled import capacity, evaluations, split_tolerances, tell
from odelab.solvers.compiled.loop import compiled, middle, polynomial
from odelab.solvers.compiled.tracing import Refused, Traced, trace
from odelab.solvers.control import tell_of_min_step
from odelab.solvers.inputs import Call, Field, Layout, StepRecord
from odelab.solvers.loops import Problem
from odelab.solvers.stepping import RungeKutta
from odelab.solvers.stiffness import EVERY, StiffnessWatch

ONCE = "compiled steps per sample can be differentiated once, and this is a second derivative: leave compile=True away"


def rows_compiled(problem: Problem, y0: Tensor, call: Call, layout: Layout) -> tuple[Tensor, Tensor, Tensor] | None:
    """States (n, batch, …), and of each row the accepted and the rejected steps (batch,); None where it is refused.

    Raises:
        NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: naming the first row that failed.
    """
    f = problem.f
    times = torch.stack(list(problem.times))  # type: ignore[arg-type]
    try:
        y = y0.detach().contiguous()
        if torch.is_grad_enabled():
            y.requires_grad_()
        func, tensors = trace(call.func, f.func, times[0].to(f.time_dtype), y)
        func.require(y0)
        wanted = tuple(i for i, x in enumerate(tensors) if x.requires_grad)
        solve = _Rows(problem, func, tuple(x.detach() for x in tensors), wanted, times.view(len(times), -1), layout)
        if torch.is_grad_enabled() and (y0.requires_grad or wanted):
            return _Replayed.apply(solve, y0, *(tensors[i] for i in wanted))
        with torch.no_grad():
            return _solve(*solve, y.detach())
    except Refused as why:
        tell(why)
        return None


class _Rows(NamedTuple):
    """A solve on its way through the graphs; `wanted` says which of its tensors get gradients, times are (n, batch)."""

    problem: Problem
    func: Traced
    tensors: tuple[Tensor, ...]
    wanted: tuple[int, ...]
    times: Tensor
    layout: Layout


class _Replayed(torch.autograd.Function):
    """The solve with the gradients of backprop, to which the accepted steps of each row contribute."""

    @staticmethod
    def forward(ctx: Any, rows: _Rows, y0: Tensor, *leaves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chunks: list[tuple[Tensor, ...]] = []
        out, accepted, rejected = _solve(*rows, y0.detach().contiguous(), chunks)
        ctx.rows, ctx.count = rows, len(leaves)
        ctx.save_for_backward(*leaves, *(x for chunk in chunks for x in chunk))  # leaves, to notice changed ones
        ctx.mark_non_differentiable(accepted, rejected)
        return out, accepted, rejected

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return errors.differentiated_once(_Replayed.backward, ctx, grad_out, message=ONCE)
        (problem, func, tensors, wanted, times, _), kept = ctx.rows, ctx.saved_tensors[ctx.count :]
        method: Any = problem.scheme.method
        graph = replaying(func, method, wanted, grad_out.dtype, torch.get_num_threads(), capacity(grad_out[0]))
        a, grad_out = torch.zeros_like(grad_out[0]), grad_out.contiguous()
        totals: Sequence[Tensor] = [torch.zeros_like(tensors[i]) for i in wanted]
        for count, *chunk in reversed([*zip(*(kept[i::4] for i in range(4)), strict=True)]):
            a, *totals = graph(times, grad_out, count, tensors, *chunk, a, totals)
            problem.f.stats.nfe_backward += 1 + evaluations(method) * int(count)
        at_start = (times == times[0]).view(*times.shape, *[1] * (a.ndim - 1))
        return None, a + torch.where(at_start, grad_out, 0.0).sum(0), *totals


def _solve(
    problem: Problem,
    func: Traced,
    tensors: Sequence[Tensor],
    wanted: tuple[int, ...],
    times: Tensor,
    layout: Layout,
    y: Tensor,
    chunks: list[tuple[Tensor, ...]] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    c, stats = problem.scheme.controller, problem.f.stats
    method: Any = problem.scheme.method
    size = capacity(y)
    rtol, atol, tolerances = split_tolerances(problem)
    circumstances = torch.get_num_threads(), *(x.shape for x in tolerances)
    graph = advancing(func, tuple(layout.sizes), method, size, *circumstances)
    out = y.expand(len(times), *y.shape).clone()  # also at times that repeat the start
    t, dt = times[0].clone(), torch.zeros_like(times[0])
    direction = torch.where(times[-1] < times[0], -1.0, 1.0)
    limit, attempts, warned = problem.step_limit, 0, False
    watch = StiffnessWatch(problem.f, method.tableau, limit, "max_num_steps" in problem.scheme.options)
    accepted, rejected = torch.zeros_like(t, dtype=torch.long), torch.zeros_like(t, dtype=torch.long)
    while True:
        room = min(size, limit - attempts)
        settings = c.safety, c.ifactor, c.dfactor, c.min_step, c.max_step, room, rtol, atol
        log = t.new_empty(size, 5, len(y))
        states, slopes = y.new_empty(size + 1, *y.shape), y.new_empty(size + 1, *y.shape)
        middles = y.new_empty(size if method.tableau.middle else 0, *y.shape)
        scales, start = t.new_empty(2, len(y)), y
        count, t, dt, y, slope, out = graph(
            torch.tensor(settings, dtype=t.dtype, device=t.device),
            tolerances,
            times,
            t,
            dt,
            y,
            out,
            tensors,
            (log, states, slopes, middles, scales),
        )
        if not attempts:
            c.tell_of_small_rows(scales[0], scales[1], times[-1] - times[0], start)
        n = int(count)
        if n and chunks is not None:
            chunks.append((count, log, states, slopes))
        now, _, h, ratio, ok = log[:n].unbind(1)
        active = h != 0
        slowest = torch.where(active, ratio, -math.inf).argmax(1, keepdim=True)
        columns = [x.gather(1, slowest)[:, 0].tolist() for x in (now, h, ratio, ok)]
        stats.steps += [StepRecord(a, b, r, yes > 0) for a, b, r, yes in zip(*columns, strict=True)]
        forced = torch.where(ok > 0, ratio, 0.0)
        if c.min_step and not warned and bool((forced > 1).any()):
            warned = True
            worst = int(forced.argmax())
            tell_of_min_step(c.min_step, float(now.flatten()[worst]), float(forced.flatten()[worst]))
        accepted, rejected = accepted + (ok > 0).sum(0), rejected + (active & (ok == 0)).sum(0)
        stats.nfe, attempts = stats.nfe + 2 + n * evaluations(method), attempts + n
        waiting = (times[-1] - t) * direction > 0
        if not bool(waiting.any()):
            stats.accepted, stats.rejected = int(accepted.sum()), int(rejected.sum())
            return out, accepted, rejected
        try:
            if bool(dt.isnan().any()):
                raise errors.non_finite(float(t[0]), 0.0, y, slope, stats)
            if attempts == limit:
                what = errors.not_enough(limit, len(times) - 1)
                raise errors.unfinished_row(what, int(waiting.nonzero()[0]), t, dt, errors.LOOSER, stats)
            if n < room:
                row = int((waiting & (t + dt == t)).nonzero()[0])
                raise errors.stuck_row(row, t, dt, y, slope, stats)
            if attempts // EVERY > (attempts - n) // EVERY:
                row = int(torch.where(waiting, h[-1].abs(), math.inf).argmin())  # the stiffest
                left = float((times[-1] - t)[row].abs())
                watch.look(float(t[row]), y, [float(h[-1, row].abs())], left, t.view(-1, *[1] * (y.ndim - 1)))
        except errors.SolverError as error:
            reached = ((times - t) * direction <= 0).view(*times.shape, *[1] * (y.ndim - 1))
            error.times, error.states = times.T, out.masked_fill(~reached, math.nan)
            raise


@lru_cache(maxsize=64)
def advancing(
    func: Traced, sizes: tuple[int, ...], method: RungeKutta, capacity: int, *circumstances: Any
) -> Callable[..., Any]:
    """`advance` for one func and method; sizes: of the pieces of a tuple state in the last axis."""
    with_middle = bool(method.tableau.middle)

    def advance(
        settings: Tensor,
        tolerances: Sequence[Tensor],
        times: Tensor,
        t: Tensor,
        dt: Tensor,
        y: Tensor,
        out: Tensor,
        tensors: Sequence[Tensor],
        buffers: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """Returns attempts, t, dt, y, slope, out.

        Args:
            settings: safety, ifactor, dfactor, min_step, max_step, attempts allowed, rtol and atol.
            times: (n, batch). t, dt: (batch,), where dt is 0 to be chosen. out: (n, *y.shape).
            buffers: log (capacity, 5, batch): start, end, dt, error ratio and whether accepted; states, slopes and
                middles at every attempt; scales (2, batch): y and its slope at the first t, in units of the tolerance.
        """
        log, states, slopes, middles, scales = buffers
        real, batch = y.abs().dtype, len(y)
        end = times[-1].clone()
        direction = torch.where(end < times[0], -1.0, 1.0)

        def column(x: Tensor) -> Tensor:
            return x.view(*x.shape, *[1] * (y.ndim - 1))

        def field(t: Any, y: Tensor) -> Tensor:
            return func.graph(t.to(real), y, *tensors)

        def scaled(x: Tensor, size: Tensor) -> Tensor:
            rtol, atol = tolerances or settings[-2:].to(real).unbind()
            norms = []
            for piece in (x / (atol + rtol * size)).split(sizes, dim=-1) if sizes else (x / (atol + rtol * size),):
                norm = torch.linalg.vector_norm(piece.reshape(batch, -1), dim=1)
                norms.append(norm.double() / math.sqrt(piece[0].numel()))
            return torch.stack(norms).amax(0)

        def clip(dt: Tensor) -> Tensor:
            _, _, _, min_step, max_step, *_ = settings.unbind()
            return torch.sign(dt) * torch.minimum(torch.maximum(dt.abs(), min_step), max_step)

        def first_step(t: Tensor, y: Tensor, slope: Tensor) -> Tensor:
            size = y.abs()
            d0, d1 = scaled(y, size), scaled(slope, size)
            scales.copy_(torch.stack([d0, d1]))
            h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
            h0 = torch.minimum(torch.minimum(h0, (end - t).abs()), settings[4])
            slope1 = field(column(t + direction * h0), y + column(direction * h0).to(real) * slope)
            largest = torch.maximum(d1, scaled(slope1 - slope, size) / h0)
            h1 = (0.01 / largest) ** (1 / method.order)
            h1 = torch.where(largest <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), h1)
            return torch.where((d0 + d1).isfinite(), clip(direction * torch.minimum(100 * h0, h1)), torch.nan)

        def running(n: Tensor, t: Tensor, dt: Tensor, y: Tensor, slope: Tensor) -> Tensor:
            rest = (end - t) * direction
            fine = (rest <= 0) | (dt.isfinite() & ((t + dt != t) | (rest <= dt.abs() * (1 + 1e-9))))
            return (n < settings[5]) & (rest > 0).any() & fine.all()

        def attempt(n: Tensor, t: Tensor, dt: Tensor, y: Tensor, slope: Tensor) -> tuple[Tensor, ...]:
            safety, ifactor, dfactor, min_step, *_ = settings.unbind()
            rest = (end - t) * direction
            active = rest > 0
            ending = active & (rest <= dt.abs() * (1 + 1e-9))
            h = torch.where(active, torch.where(ending, end - t, dt), 0.0)
            t1 = torch.where(ending, end, t + h)
            step = method.step(field, column(t), column(t1), column(h).to(real), y, slope)
            slope1 = field(column(t1), step.y1) if step.slope1 is None else step.slope1
            ratio = scaled(method.error(step), torch.maximum(y.abs(), step.y1.abs())).nan_to_num(nan=math.inf)
            accepted = active & ((ratio <= 1) | (ratio.isfinite() & (h.abs() <= min_step * (1 + 1e-9))))
            smallest = torch.where(ratio < 1, 1.0, dfactor)
            factor = torch.minimum(safety * ratio.clamp(min=1e-300) ** (-1 / method.order), ifactor)
            new = clip(torch.where(ending & (ratio <= 1), dt, h) * torch.maximum(factor, smallest))

            row = n.view(1)
            log.index_copy_(0, row, torch.stack([t, t1, h, ratio, accepted.double()])[None])
            if with_middle:
                middles.index_copy_(0, row, middle(method, step)[None])
            states.index_copy_(0, row, y[None])
            slopes.index_copy_(0, row, slope[None])
            return (
                n + 1,
                torch.where(accepted, t1, t),
                torch.where(active, new, dt),
                torch.where(column(accepted), step.y1, y),
                torch.where(column(accepted), slope1, slope),
            )

        slope = field(column(t), y)
        dt = torch.where(dt == 0, first_step(t, y, slope), dt)
        begin = torch.zeros((), dtype=torch.long, device=y.device), t.clone(), dt, y.clone(), slope.clone()
        n, t, dt, y, slope = while_loop(running, attempt, begin)
        states.index_copy_(0, n.view(1), y[None])
        slopes.index_copy_(0, n.view(1), slope[None])

        index, rows, weights, due = locate(times, log, n, with_middle)
        pieces = [x[i, rows] for x, i in ((states, index), (states, index + 1), (slopes, index), (slopes, index + 1))]
        pieces += [middles[index, rows]] if with_middle else []
        value = sum(column(w).to(real) * piece for w, piece in zip(weights, pieces, strict=True))
        return n, t, dt, y, slope, torch.where(column(due), value, out)

    return compiled(advance, any_length=(2, 6))


@lru_cache(maxsize=64)
def replaying(func: Traced, method: RungeKutta, wanted: tuple[int, ...], *circumstances: Any) -> Callable[..., Any]:
    """`replay` for one func and method; wanted: which of its tensors get gradients."""
    with_middle = bool(method.tableau.middle)

    def replay(
        times: Tensor,
        grad_out: Tensor,
        count: Tensor,
        tensors: Sequence[Tensor],
        log: Tensor,
        states: Tensor,
        slopes: Tensor,
        a: Tensor,
        totals: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """The gradients at the first attempt of the log, (of y, of the wanted tensors), from those behind the last."""
        real = states.abs().dtype
        index, rows, weights, due = locate(times, log, count, with_middle)

        def column(x: Tensor) -> Tensor:
            return x.view(*x.shape, *[1] * (a.ndim - 1))

        pulled = torch.where(column(due), grad_out, 0.0)
        shares = torch.stack([column(w).to(real) * pulled for w in weights], 2)  # of each piece of the step
        seeds = states.new_zeros(*states.shape[:2], len(weights), *states.shape[2:])
        seeds = seeds.index_put((index, rows.expand_as(index)), shares, accumulate=True)
        leaves = [tensors[i] for i in wanted]

        def field(values: Sequence[Tensor]) -> Field:
            given = list(tensors)
            for i, value in zip(wanted, values, strict=True):
                given[i] = value
            return lambda t, y: func.graph(t.to(real), y, *given)  # type: ignore[union-attr]

        def running(i: Tensor, a: Tensor, b: Tensor, *totals: Tensor) -> Tensor:
            return (i >= 0).view(())

        def pull(i: Tensor, a: Tensor, b: Tensor, *totals: Tensor) -> tuple[Tensor, ...]:
            t, t1, h, _, accepted = log.index_select(0, i)[0].unbind()
            y, slope = states.index_select(0, i)[0], slopes.index_select(0, i)[0]
            taken = accepted > 0
            h, t1 = torch.where(taken, h, 0.0), torch.where(taken, t1, t)  # a row that waits takes no step

            def forward(y: Tensor, slope: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
                step = method.step(field(values), column(t), column(t1), column(h).to(real), y, slope)
                slope1 = field(values)(column(t1), step.y1) if step.slope1 is None else step.slope1
                return step.y1, slope1, *([middle(method, step)] if with_middle else [])

            _, back, *_ = vjp(forward, y, slope, *leaves)
            below, above, slope0, slope1, *rest = seeds.index_select(0, i)[0].unbind(1)
            taken = column(taken)
            ends = torch.where(taken, a + above, 0.0), torch.where(taken, b + slope1, 0.0)
            pulled_a, pulled_b, *grads = back((*ends, *rest))
            a, b = torch.where(taken, pulled_a, a) + below, torch.where(taken, pulled_b, b) + slope0
            return i - 1, a, b, *(total + grad for total, grad in zip(totals, grads, strict=True))

        begin = (count.view(1) - 1, a.clone(), torch.zeros_like(a), *(total.clone() for total in totals))
        _, a, b, *sums = while_loop(running, pull, begin)
        _, back, *_ = vjp(lambda y, *values: field(values)(column(log[0, 0]), y), states[0], *leaves)
        direct, *grads = back(b)  # the first slope is f(t, y) itself
        return a + direct, *(total + grad for total, grad in zip(sums, grads, strict=True))

    return compiled(replay, any_length=(0, 1))


def locate(
    times: Tensor, log: Tensor, count: Tensor, with_middle: bool
) -> tuple[Tensor, Tensor, tuple[Tensor, ...], Tensor]:
    """Of every output, (n, batch): the attempt it lies in, its row, weights of the pieces, and whether it is due."""
    starts, ends, _, _, accepted = log.unbind(1)  # (capacity, batch)
    direction, rows = torch.where(times[-1] < times[0], -1.0, 1.0), torch.arange(log.shape[2], device=log.device)
    taken = (accepted > 0) & (torch.arange(len(log), device=log.device) < count)[:, None]
    goal = times[:, None]
    hit = taken & ((goal - starts) * direction > 0) & ((ends - goal) * direction >= 0)
    index, due = hit.to(torch.uint8).argmax(1), hit.any(1)
    start, h = starts[index, rows], torch.where(due, ends[index, rows] - starts[index, rows], 1.0)
    return index, rows, polynomial(torch.where(due, (times - start) / h, 0.0), h, with_middle), due
