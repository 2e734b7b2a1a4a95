"""An optional compiled step: stages, func, error and its norm in one graph, made into machine code by torch.compile.

Off by default: the first solve compiles for seconds to minutes, and func must be traceable as one graph. Where that
cannot be had, the solve goes on with the ordinary step and a warning says why.

torch.compile asks before every call whether anything it relied on has changed: classes, attributes, closures, shapes.
For a small state these questions cost more than the step. Here they are asked once per solve, in a trial step before
the first; the loop then calls the compiled graph itself, with the tensors it read in the trial. So between solves
anything may change (parameters in place by an optimiser, or replaced; another func; another size), while within one

- parameters and buffers are read anew by each step,
- Python side effects of func (counters, appended lists) happen in the trial only. A func that changes its own
  attributes is compiled anew by each solve, until torch.compile's recompile limit returns it to the ordinary step.

What was compiled is found again by the same questions: instances of one module class share it, and so do lambdas
written at one place. It keeps no func alive.
"""

import threading
import time
import warnings
import weakref
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.control import Controller, Norm
from odelab.solvers.inputs import Time, VectorField
from odelab.solvers.stepping import Attempt, RungeKutta, Step

Outputs = tuple[Tensor, ...]  # y1, error ratio, the stages but the first
Graph = Callable[..., Outputs]

compile_seconds: dict[str, float] = {}  # the last compilation by method name, for reports
_refused: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()  # func -> why it is not compiled


class _Witness(threading.local):
    """What the last compiled call ran: the graph, its inputs (parameters among them) and its outputs."""

    compiled = False
    call: tuple[Graph, tuple[Any, ...], Outputs] | None = None


_witness = _Witness()


def compiled_attempt(f: VectorField, method: Any, controller: Controller, y0: Tensor) -> Attempt | None:
    """A compiled replacement of the loop's step for one solve, or None (with a warning) where there can be none."""
    if not isinstance(method, RungeKutta):
        return _ordinary("it works for Runge–Kutta methods only")
    if torch.is_grad_enabled():
        return _ordinary("it records no gradient: use torch.no_grad(), or gradient='checkpoint' or 'adjoint'")
    known = _is_weak_key(f.func)
    if known and f.func in _refused:
        return _ordinary(_refused[f.func])
    clock = torch.zeros(3, dtype=torch.float64, device="cpu")
    now = clock.numpy()  # the same memory: writing to it takes a tenth of making a tensor
    try:
        run = _prepare(f, method, controller, clock.to(f.device), y0)
    except Exception as error:  # any of dynamo's, inductor's or the C++ compiler's errors, or func's own
        reason = _reason(error)
        if known:
            _refused[f.func] = reason
        return _ordinary(reason)
    evaluations, fsal = method.tableau.stages - 1, method.tableau.fsal

    def attempt(t0: float, t1: float, dt: float, y: Tensor, slope: Tensor) -> tuple[Step, float]:
        now[:] = t0, t1, dt
        f.stats.nfe += evaluations
        slope = _settled(slope)
        y1, ratio, *stages = run(clock.to(f.device), _settled(y), slope)
        return Step(t0, t1, dt, y, y1, [slope, *stages], slope1=stages[-1] if fsal else None), float(ratio)

    return attempt


def _prepare(f: VectorField, method: RungeKutta, controller: Controller, clock: Tensor, y0: Tensor) -> Graph:
    """(clock, y, slope) -> outputs, after one trial step with all of torch.compile's questions."""
    rtol, atol = (torch.as_tensor(x, dtype=f.time_dtype, device=f.device) for x in (controller.rtol, controller.atol))
    kind: Any = getattr(f.func, "__code__", type(f.func))
    kernel = _kernel(method, kind, f.shape, f.dtype, f.device)

    def guarded(clock: Tensor, y: Tensor, slope: Tensor) -> Outputs:
        return kernel(f.func, controller.norm, clock, rtol, atol, y, slope)

    y = _settled(y0).clone()  # func may hold y0 itself, and the graph would take the two for one input
    slope = torch.zeros_like(y)
    began, _witness.compiled, _witness.call = time.perf_counter(), False, None
    outputs = guarded(clock, y, slope)
    if _witness.compiled:
        compile_seconds[method.tableau.name] = time.perf_counter() - began
    call, _witness.call = _witness.call, None
    if call is None:  # torch.compile is switched off
        return guarded
    graph, inputs, direct = call
    places = [[i for i, given in enumerate(inputs) if given is x] for x in (clock, y, slope)]
    if [len(places_of_one) for places_of_one in places] != [1, 1, 1] or [*map(id, direct)] != [*map(id, outputs)]:
        return guarded  # the graph is not all there is to the call
    (i,), (j,), (k,) = places
    arguments = list(inputs)

    def run(clock: Tensor, y: Tensor, slope: Tensor) -> Outputs:
        arguments[i], arguments[j], arguments[k] = clock, y, slope
        return graph(*arguments)

    return run


@lru_cache(maxsize=32)
def _kernel(
    method: RungeKutta, kind: CodeType | type, shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> Graph:
    """The step of a method for one kind of func; compiled, if need be, when called."""
    real = torch.empty((), dtype=dtype).abs().dtype

    def step(func: Any, norm: Norm, clock: Tensor, rtol: Tensor, atol: Tensor, y: Tensor, slope: Tensor) -> Outputs:
        def field(t: Time, y: Tensor) -> Tensor:
            slope = func(torch.as_tensor(t, device=y.device).to(real), y)
            return slope.to(y.dtype, copy=True)  # func may fill one buffer each time

        t0, t1, dt = clock.unbind()  # float64; as 0-d tensors they must not promote a 0-d state
        done = method.step(field, t0, t1, dt.to(real), y, slope)
        ratio = norm(method.error(done) / (atol + rtol * torch.maximum(y.abs(), done.y1.abs())))
        # Compiled code knows one memory layout, so what comes out must be fit to go in.
        return done.y1.contiguous(), ratio, *(stage.contiguous() for stage in done.stages[1:])

    step.__code__ = step.__code__.replace()  # torch.compile keeps its work with the code: one copy for each kernel
    return torch.compile(step, fullgraph=True, dynamic=False, backend=_inductor)


def _inductor(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Graph:
    """torch.compile's own backend, whose graphs tell `_witness` what they were called with."""
    from torch._dynamo import lookup_backend

    graph = lookup_backend("inductor")(module, inputs)
    _witness.compiled = True

    def call(*arguments: Any) -> Outputs:
        outputs = graph(*arguments)
        _witness.call = graph, arguments, outputs
        return outputs

    return call


def _settled(x: Tensor) -> Tensor:
    """x in the layout that was compiled for; x itself as a rule."""
    return x.contiguous().resolve_conj().resolve_neg()


def _is_weak_key(func: Any) -> bool:
    try:
        hash(func), weakref.ref(func)
    except TypeError:
        return False
    return True


def _reason(error: Exception) -> str:
    """The first line that says something."""
    error = getattr(error, "inner_exception", error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _ordinary(reason: str) -> Attempt | None:
    """No attempt of our own: the loop takes the ordinary one."""
    warnings.warn(f"could not compile the step: {reason}; going on with the ordinary one", stacklevel=2)
    return None
