"""SciPy's solvers (LSODA, BDF, Radau, …) behind the same interface: on the CPU, without gradients of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odelab.solvers.errors import NonFiniteState, SolverError, StepSizeUnderflow, non_finite
from odelab.solvers.inputs import Field, Time, VectorField
from odelab.solvers.stepping import Step

SOLVERS = ("RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA")


@dataclass(frozen=True)
class SciPy:
    """scipy.integrate.solve_ivp; options: solver (default "LSODA"), max_step, and min_step for LSODA."""

    options: dict[str, Any]
    family = "scipy"
    order = 5
    adaptive = True
    one_step = False

    def __post_init__(self) -> None:
        if self.options.get("solver", "LSODA") not in SOLVERS:
            raise ValueError(f"unknown SciPy solver {self.options['solver']!r}; one of {', '.join(SOLVERS)}")

    def fresh(self) -> SciPy:
        return self

    def steps(
        self, f: VectorField, y0: Tensor, times: Sequence[float], rtol: float | Tensor, atol: float | Tensor
    ) -> Iterator[Step]:
        """From each of the times to the next; the states at times[1:] are detached.

        Raises:
            NonFiniteState, StepSizeUnderflow, SolverError: when SciPy gives up, or goes on with NaN.
        """
        import scipy.integrate

        if y0.numel() == 0:
            yield from (Step(t0, t1, t1 - t0, y0, y0) for t0, t1 in pairwise(times))
            return

        def to_tensor(y: np.ndarray) -> Tensor:
            return torch.from_numpy(np.array(y)).to(device=y0.device, dtype=y0.dtype).reshape(y0.shape)

        raised: list[Exception] = []
        finite = True

        @torch.no_grad()
        def func(t: float, y: np.ndarray) -> np.ndarray:
            nonlocal finite
            try:
                slope = f(float(t), to_tensor(y)).reshape(-1).cpu().numpy()
                finite = finite and bool(np.isfinite(slope).all())
                if not finite and t == times[0]:  # SciPy would look for a first step for ever
                    raise non_finite(t, 0.0, to_tensor(y), to_tensor(slope), f.stats)
            except Exception as error:
                raised.append(error)
                raise
            return slope

        name = self.options.get("solver", "LSODA")
        sizes = {"max_step": float(self.options.get("max_step", np.inf))}
        if name == "LSODA":
            sizes["min_step"] = float(self.options.get("min_step", 0.0))
        tolerances = {"rtol": _plain(rtol, y0), "atol": _plain(atol, y0)}
        start = y0.detach().reshape(-1).cpu().numpy()
        now, y, direction, t_end, size, last = times[0], y0, np.sign(times[-1] - times[0]), times[0], 0.0, y0
        solver: Any = None
        for t in times[1:]:
            while (t - now) * direction > 0:
                try:
                    if solver is None:
                        solver = getattr(scipy.integrate, name)(func, now, start, times[-1], **tolerances, **sizes)
                    message = solver.step()
                except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                    if raised or solver is None:
                        raise
                    message = str(error)
                if solver.t == now and not message:  # LSODA goes on so for ever
                    message = "the step size became zero"
                if message or not np.isfinite(solver.y).all():
                    if now != t_end:  # how far it came
                        yield Step(t_end, now, now - t_end, y, last)
                    raise _failure(name, message, now, size, f.stats.nfe, finite)
                size, last = float(solver.t) - now, to_tensor(solver.y)
                f.stats.record(now, size, 0.0, True)
                now = float(solver.t)
            step = Step(t_end, t, t - t_end, y, to_tensor(solver.dense_output()(t)))
            yield step
            y, t_end = step.y1, t

    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step:
        raise NotImplementedError("SciPy takes its own steps")

    def error(self, step: Step) -> Tensor:
        raise NotImplementedError("SciPy controls its own error")


def _failure(name: str, message: str | None, t: float, dt: float, nfe: int, finite: bool) -> SolverError:
    """SciPy's own words, and what they mean."""
    where: dict[str, Any] = {"t": t, "dt": dt, "nfe": nfe}
    said = f" (it says: {message.strip().rstrip('.')})" if message else ""
    if not finite:
        hint = "look for a division by zero, log or sqrt of a negative number, or a solution that ends there"
        return NonFiniteState(f"func returned NaN or infinity to scipy's {name}{said}", **where, hint=hint)
    if message is None:
        hint = "the solution may blow up in finite time, or a step be too large: set options=dict(max_step=…)"
        return NonFiniteState(f"the state of scipy's {name} became NaN or infinite", **where, hint=hint)
    if "step size" in message:
        hint = "the solution may blow up in finite time, or func jump there; loosen rtol and atol"
        return StepSizeUnderflow(f"scipy's {name} needs too small a step{said}", **where, hint=hint)
    hint = f"loosen rtol and atol, or take another of {', '.join(SOLVERS)} in options=dict(solver=…)"
    return SolverError(f"scipy's {name} failed{said}", **where, hint=hint)


def _plain(tol: float | Tensor, y0: Tensor) -> Any:
    return tol if isinstance(tol, float) else tol.expand(y0.shape).reshape(-1).cpu().numpy()
