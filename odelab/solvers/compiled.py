"""An optional compiled step: stages, error estimate and func fused by torch.compile.

Off by default: compiling takes seconds to minutes and func must be traceable. Where it cannot be compiled, the solve
goes on with the ordinary step and a warning says why.
"""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.control import Controller
from odelab.solvers.integrate import Attempt
from odelab.solvers.problem import VectorField
from odelab.solvers.stepping import RungeKutta, Step

_CACHE: weakref.WeakKeyDictionary[Any, dict[Any, Callable | None]] = weakref.WeakKeyDictionary()
compile_seconds: dict[str, float] = {}  # the last compilation by method name, for reports


def compiled_attempt(f: VectorField, method: Any, controller: Controller, y0: Tensor) -> Attempt | None:
    """A compiled replacement of the loop's step, or None (with a warning) where there can be none."""
    if not isinstance(method, RungeKutta):
        warnings.warn("option 'compile' works for Runge–Kutta methods only; going on without it", stacklevel=2)
        return None
    kernel = _kernel(f, method, controller, y0)
    if kernel is None:
        return None
    evaluations = method.tableau.stages - 1

    def attempt(t0: float, t1: float, dt: float, y: Tensor, slope: Tensor) -> tuple[Step, float]:
        f.stats.nfe += evaluations
        clock = torch.tensor([t0, t1, dt], dtype=f.time_dtype, device=f.device)
        y1, ratio, *stages = kernel(clock, y, slope)
        stages = [slope, *stages]
        return Step(t0, t1, dt, y, y1, stages, slope1=stages[-1] if method.tableau.fsal else None), float(ratio)

    return attempt


def _kernel(f: VectorField, method: RungeKutta, controller: Controller, y0: Tensor) -> Callable | None:
    """The compiled step for this func, method, tolerance and shape; compiled once while func lives."""
    key = (method.tableau.name, str(controller.rtol), str(controller.atol), controller.norm, y0.shape, y0.dtype,
           torch.is_grad_enabled())  # fmt: skip
    try:
        known = _CACHE.setdefault(f.func, {})
    except TypeError:  # a func that cannot be referenced weakly is compiled anew each time
        known = {}
    if key in known:
        return known[key]
    func = f.func

    def step_and_ratio(clock: Tensor, y: Tensor, slope: Tensor) -> tuple[Tensor, ...]:
        t0, t1, dt = clock.unbind()
        step = method.step(func, t0, t1, dt, y, slope)
        error = method.error(step)
        scale = controller.atol + controller.rtol * torch.maximum(y.abs(), step.y1.abs())
        return step.y1, controller.norm((error / scale).detach()), *step.stages[1:]

    kernel: Callable | None
    began = time.perf_counter()
    try:
        kernel = torch.compile(step_and_ratio, dynamic=False)
        clock = torch.zeros(3, dtype=f.time_dtype, device=f.device)
        kernel(clock, y0, torch.zeros_like(y0))
    except Exception as why:  # any of inductor's, dynamo's or the C++ compiler's errors
        reason = str(why).strip().splitlines()[0] if str(why).strip() else type(why).__name__
        warnings.warn(f"could not compile the step ({reason}); going on without", stacklevel=2)
        kernel = None
    compile_seconds[method.tableau.name] = time.perf_counter() - began
    known[key] = kernel
    return kernel
