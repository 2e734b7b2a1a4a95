"""The adaptive loop of `loops.adaptive_steps`, and the replay of its steps backwards, each as one graph.

advance   attempts steps from (t, dt, y) until the last time, or until the log is full; keeps y and f of every accepted
          step, and evaluates at once all outputs that lie in these steps.
replay    from the last kept step to the first: the vector-Jacobian product of (y, f) -> (y1, f1, y at the middle).

torch.compile makes of `while_loop` over single steps one loop in C++, so that Python is met once per `capacity`
attempts and not once per operation. Steps, controller, first step and dense output are those of the ordinary loop.
Times are float64 tensors.

Everything that changes from solve to solve is an input: what torch.compile made is called without its questions (they
take longer than a small solve), because `functools.lru_cache` asks them here, by the arguments of `advancing` and
`replaying`. Buffers are inputs, too: those made inside a graph are read stale by PyTorch 2.13, without a word.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop
from torch.func import vjp
from torch.fx import GraphModule

from odelab.solvers.compiled.tracing import Refused, Traced, first_line, torch_may_deprecate_itself
from odelab.solvers.control import error_norm
from odelab.solvers.inputs import Field, Layout
from odelab.solvers.stepping import RungeKutta, Step, combine

Shapes = tuple[torch.Size, ...] | None  # of the pieces of a tuple state
OPTIONS = {
    "cpp_wrapper": True,
    "cpp_wrapper_build_separate": True,  # what calls the kernels needs no optimization, which takes minutes
    "cpp.use_decompose_tanh": True,  # by exp, which is vectorized
}
NARROW = 8
SMALL = 4096  # multiplications, which take less time than a call of MKL


def small_or_tall_mm(a: Tensor, b: Tensor) -> Tensor:
    """a @ b on a CPU, for the products of small states and of the layers that read them.

    Of few numbers: written out, as part of the kernel around it. Of few columns and more rows: as (bᵀ aᵀ)ᵀ, which MKL
    does up to 20 times faster.
    """
    if a.device.type == "cpu" and a.shape[0] * a.shape[1] * b.shape[1] <= SMALL:
        return (a[:, None] * b.t()).sum(-1)
    if a.device.type == "cpu" and b.shape[1] <= NARROW < a.shape[0]:
        return torch.mm(b.t(), a.t()).t()
    return NotImplemented


SETTINGS = "safety, ifactor, dfactor, min_step, max_step, attempts allowed, end, direction, rtol, atol"


def compiled(graph: Callable[..., Any], any_length: Sequence[int]) -> Callable[..., Any]:
    """graph by torch.compile for inputs of one layout, but for any length of those with the numbers any_length.

    All these have one length. The first call compiles; it raises `Refused` where that fails, and so does every later
    one. Later calls go straight to the machine code.
    """
    failures: list[str] = []
    code: list[Any] = []
    order: list[int | Tensor | None] = []  # of its arguments: the number of an input; a constant; None, the length

    def backend(module: GraphModule, examples: Sequence[Any]) -> Callable[..., Any]:
        from torch._inductor.compile_fx import compile_fx  # slow to import
        from torch._inductor.decomposition import select_decomp_table

        table = select_decomp_table() | {torch.ops.aten.mm.default: small_or_tall_mm}
        code[:] = [compile_fx(module, examples, config_patches=OPTIONS, decompositions=table)]

        def call(*arguments: Any) -> Any:
            for argument in arguments:
                if not isinstance(argument, Tensor) and argument != length[0]:
                    raise Refused(f"a size of {argument} was taken for one that may change")
                constant = argument if isinstance(argument, Tensor) else None
                order.append(next((i for i, x in enumerate(given) if x is argument), constant))
            return code[0](*arguments)

        return call

    how: Any = {"backend": backend, "isolate_recompiles": True}  # every graph for itself, though all share their code
    run = torch.compile(graph, fullgraph=True, **how)
    given: list[Any] = []
    length: list[int] = []

    def first_call(*inputs: Any) -> Any:
        met: set[int] = set()

        def once(x: Tensor) -> Tensor:  # or two inputs were taken for one, also where later they differ
            known = id(x) in met
            met.add(id(x))
            return x.clone() if known else x

        inputs = tuple(once(item) if isinstance(item, Tensor) else [*map(once, item)] for item in inputs)
        for i in any_length:
            torch._dynamo.mark_dynamic(inputs[i], 0)
        given[:], length[:] = leaves(inputs), [len(inputs[any_length[0]])]
        # Else dynamo takes what was another size in the graph before, the batch perhaps, for one that may change.
        fixed = torch._dynamo.config.patch(automatic_dynamic_shapes=False)
        with fixed, torch_may_deprecate_itself():
            results = run(*inputs)
        given.clear()
        return results

    def call(*inputs: Any) -> Any:
        if failures:
            raise Refused(failures[0])
        try:
            if not order:
                return first_call(*inputs)
            now, tensors = len(inputs[any_length[0]]), leaves(inputs)
            return code[0](*[tensors[i] if type(i) is int else now if i is None else i for i in order])
        except Exception as error:  # any of dynamo's, inductor's or the C++ compiler's
            failures[:] = [first_line(error)]
            raise Refused(failures[0]) from error

    return call


def leaves(inputs: Sequence[Any]) -> list[Tensor]:
    """Tensors and sequences of tensors, one after another."""
    return [x for item in inputs for x in ((item,) if isinstance(item, Tensor) else item)]


@lru_cache(maxsize=64)
def advancing(
    func: Traced, norm: Traced | None, shapes: Shapes, method: RungeKutta, capacity: int, *circumstances: Any
) -> Callable[..., Any]:
    """`advance` for one func, norm and method.

    Args:
        norm: the caller's, else that of `error_norm` for the shapes of a tuple state.
        circumstances: what else a compiled graph is made for: number of threads, shapes of tolerances.
    """
    own_norm = error_norm(Layout(shapes))
    with_middle = bool(method.tableau.middle)

    def advance(
        numbers: Tensor,
        tolerances: Sequence[Tensor],
        times: Tensor,
        y: Tensor,
        out: Tensor,
        tensors: Sequence[Tensor],
        norm_tensors: Sequence[Tensor],
        buffers: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """Returns clock, y, slope, out; clock ends with y and its slope at the first t, in units of the tolerance.

        Args:
            numbers: float64: `SETTINGS`; then the clock: t; dt, 0 to have it chosen; the last error ratio; attempts
                and accepted steps, both 0. tolerances: rtol and atol where they are no numbers.
            times: start and output times, (n,). out: the states there, (n, *y.shape), as far as they are known.
            buffers: log (capacity, 4): t, dt, error ratio, accepted; of the accepted steps starts (capacity + 1,),
                states, slopes and middles.
        """
        settings, clock = numbers.split([10, 5])
        log, starts, states, slopes, middles = buffers
        real = y.abs().dtype

        def field(t: Any, y: Tensor) -> Tensor:
            return func.graph(t.to(real), y, *tensors)

        def scaled(x: Tensor, size: Tensor) -> Tensor:
            rtol, atol = tolerances or settings[-2:].to(real).unbind()
            x = x / (atol + rtol * size)
            return (own_norm(x) if norm is None else norm.graph(x, *norm_tensors)).double()

        def clip(dt: Tensor) -> Tensor:
            _, _, _, min_step, max_step, *_ = settings.unbind()
            return torch.sign(dt) * torch.minimum(torch.maximum(dt.abs(), min_step), max_step)

        def first_step(t: Tensor, y: Tensor, slope: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
            _, _, _, _, max_step, _, end, direction, *_ = settings.unbind()
            h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
            h0 = torch.minimum(torch.minimum(h0, max_step), (end - t).abs())
            slope1 = field(t + direction * h0, y + (direction * h0).to(real) * slope)
            d2 = scaled(slope1 - slope, y.abs()) / h0
            largest = torch.maximum(d1, d2)
            h1 = torch.where(d2.isfinite(), (0.01 / largest) ** (1 / method.order), h0 * 1e-3)
            h1 = torch.where(largest <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), h1)
            return torch.where((d0 + d1).isfinite(), clip(direction * torch.minimum(100 * h0, h1)), torch.nan)

        def running(clock: Tensor, y: Tensor, slope: Tensor) -> Tensor:
            t, dt, ratio, n, _ = clock.unbind()
            *_, allowed, end, direction, _, _ = settings.unbind()
            rest = (end - t) * direction
            moves = (t + dt != t) | (rest <= dt.abs() * (1 + 1e-9))
            return (n < allowed) & (rest > 0) & moves & dt.isfinite() & ratio.isfinite()

        def attempt(clock: Tensor, y: Tensor, slope: Tensor) -> tuple[Tensor, ...]:
            t, dt, _, n, k = clock.unbind()
            safety, ifactor, dfactor, min_step, _, _, end, direction, *_ = settings.unbind()
            ending = (end - t) * direction <= dt.abs() * (1 + 1e-9)
            h, t1 = torch.where(ending, end - t, dt), torch.where(ending, end, t + dt)
            step = method.step(field, t, t1, h.to(real), y, slope)
            slope1 = field(t1, step.y1) if step.slope1 is None else step.slope1
            ratio = scaled(method.error(step), torch.maximum(y.abs(), step.y1.abs()))
            accepted = (ratio <= 1) | (h.abs() <= min_step * (1 + 1e-9))
            smallest = torch.where(ratio < 1, 1.0, dfactor)
            factor = torch.minimum(torch.maximum(safety * ratio ** (-1 / method.order), smallest), ifactor)
            new = clip(h * torch.where(ratio.isfinite(), factor, dfactor))
            new = torch.where(ending & accepted & (new.abs() < dt.abs()), dt, new)

            log.index_copy_(0, n.long().view(1), vector(t, h, ratio, accepted.double())[None])
            row = k.long().view(1)  # after a rejected step the same again
            if with_middle:
                middles.index_copy_(0, row, middle(method, step)[None])
            for kept, x in ((starts, t), (states, y), (slopes, slope)):
                kept.index_copy_(0, row, x[None])
            t, k = torch.where(accepted, t1, t), torch.where(accepted, k + 1, k)
            y, slope = torch.where(accepted, step.y1, y), torch.where(accepted, slope1, slope)
            return vector(t, new, ratio, n + 1, k), y, slope

        t, dt, *rest = clock.unbind()
        slope = field(t, y)
        scales = scaled(y, y.abs()), scaled(slope, y.abs())
        dt = torch.where(dt == 0, first_step(t, y, slope, *scales), dt)
        clock, y, slope = while_loop(running, attempt, (vector(t, dt, *rest), y.clone(), slope.clone()))
        for kept, x in ((starts, clock[0]), (states, y), (slopes, slope)):
            kept.index_copy_(0, clock[4].long().view(1), x[None])  # where the last step ends
        j, weights, due = locate(times, starts, clock[4], with_middle)
        pieces = states[j], states[j + 1], slopes[j], slopes[j + 1], *([middles[j]] if with_middle else [])
        value = sum(column(w, out).to(real) * piece for w, piece in zip(weights, pieces, strict=True))
        return vector(*clock.unbind(), *scales), y, slope, torch.where(column(due, out), value, out)

    return compiled(advance, any_length=(2, 4))


@lru_cache(maxsize=64)
def replaying(func: Traced, method: RungeKutta, wanted: tuple[int, ...], *circumstances: Any) -> Callable[..., Any]:
    """`replay` for one func and method; wanted: which of its tensors get gradients."""
    with_middle = bool(method.tableau.middle)

    def replay(
        times: Tensor,
        grad_out: Tensor,
        count: Tensor,
        tensors: Sequence[Tensor],
        starts: Tensor,
        states: Tensor,
        slopes: Tensor,
        a: Tensor,
        totals: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """The gradients at the first kept step, (of y, of the wanted tensors), from those behind the last one.

        Args:
            count: of accepted steps, 0-d. grad_out: of all outputs, (n, *y.shape).
        """
        real = states.abs().dtype
        j, weights, due = locate(times, starts, count, with_middle)
        pulled = torch.where(column(due, grad_out), grad_out, 0.0)
        shares = torch.stack([column(w, pulled).to(real) * pulled for w in weights], 1)  # of each piece of the step
        seeds = states.new_zeros(len(states), len(weights), *states.shape[1:]).index_add(0, j, shares)

        def field(values: Sequence[Tensor]) -> Field:
            given = list(tensors)
            for i, value in zip(wanted, values, strict=True):
                given[i] = value
            return lambda t, y: func.graph(t.to(real), y, *given)  # type: ignore[union-attr]

        leaves = [tensors[i] for i in wanted]

        def running(i: Tensor, a: Tensor, b: Tensor, *totals: Tensor) -> Tensor:
            return (i >= 0).view(())

        def pull(i: Tensor, a: Tensor, b: Tensor, *totals: Tensor) -> tuple[Tensor, ...]:
            t, t1 = starts.index_select(0, i).view(()), starts.index_select(0, i + 1).view(())
            y, slope = (x.index_select(0, i).view(states.shape[1:]) for x in (states, slopes))

            def forward(y: Tensor, slope: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
                step = method.step(field(values), t, t1, (t1 - t).to(real), y, slope)
                slope1 = field(values)(t1, step.y1) if step.slope1 is None else step.slope1
                return step.y1, slope1, *([middle(method, step)] if with_middle else [])

            _, back, *_ = vjp(forward, y, slope, *leaves)
            below, above, slope0, slope1, *rest = seeds.index_select(0, i)[0].unbind()
            a, b, *grads = back((a + above, b + slope1, *rest))
            return i - 1, a + below, b + slope0, *(total + grad for total, grad in zip(totals, grads, strict=True))

        begin = ((count.long() - 1).view(1), a.clone(), torch.zeros_like(a), *(total.clone() for total in totals))
        _, a, b, *sums = while_loop(running, pull, begin)
        _, back, *_ = vjp(lambda y, *values: field(values)(starts[0], y), states[0], *leaves)
        direct, *grads = back(b)  # the first slope is f(t, y) itself
        return a + direct, *(total + grad for total, grad in zip(sums, grads, strict=True))

    return compiled(replay, any_length=(0, 1))


def middle(method: RungeKutta, step: Step) -> Tensor:
    """y in the middle of the step."""
    return combine(step.y0, step.dt, method.tableau.middle, step.stages)


def locate(
    times: Tensor, starts: Tensor, count: Tensor, with_middle: bool
) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
    """Of every time: the step it lies in, the weights of that step's pieces, and whether it lies in a kept step."""
    direction = torch.sign(times[-1] - times[0])
    before = (times[:, None] - starts) * direction > 0
    before = before & (torch.arange(len(starts), device=times.device) <= count)
    j = (before.sum(1) - 1).clamp(0, len(starts) - 2)
    t, t1 = starts[j], starts[j + 1]
    due = (j < count) & ((t1 - times) * direction >= 0) & ((times - t) * direction > 0)
    x, dt = torch.where(due, (times - t) / (t1 - t), 0.0), torch.where(due, t1 - t, 0.0)
    return j, polynomial(x, dt, with_middle), due


def polynomial(x: Tensor, dt: Tensor, with_middle: bool) -> tuple[Tensor, ...]:
    """Weights of y0, y1, f0, f1 (and of y in the middle) at fraction x: `stepping.quartic`, `stepping.hermite`."""
    if not with_middle:
        rise = x * x * (3 - 2 * x)
        return 1 - rise, rise, dt * x * (1 - x) ** 2, -dt * x * x * (1 - x)
    rise, bend = x * x * (-5 + x * (14 - 8 * x)), 16 * x * x * (1 - x) ** 2
    start, end = dt * x * (1 + x * (-4 + x * (5 - 2 * x))), dt * x * x * (1 + x * (2 * x - 3))
    return 1 - rise - bend, rise, start, end, bend


def vector(*numbers: Tensor) -> Tensor:
    """0-d tensors as one; the compiler makes one operation of it, and of torch.stack one for each number."""
    place = torch.arange(len(numbers), device=numbers[0].device)
    x = numbers[-1]
    for i, number in enumerate(numbers[:-1]):
        x = torch.where(place == i, number, x)
    return x


def column(x: Tensor, like: Tensor) -> Tensor:
    """(n,) -> (n, 1, …), ready to broadcast against like (n, …)."""
    return x.view(-1, *[1] * (like.ndim - 1))
