"""SciPy's solvers (LSODA, BDF, Radau, …) behind the same interface: on the CPU, without gradients of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odelab.solvers.errors import SolverError
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
            SolverError: when SciPy gives up.
        """
        from scipy.integrate import solve_ivp

        def to_tensor(y: np.ndarray) -> Tensor:
            return torch.from_numpy(np.array(y)).to(device=y0.device, dtype=y0.dtype).reshape(y0.shape)

        @torch.no_grad()
        def func(t: float, y: np.ndarray) -> np.ndarray:
            return f(float(t), to_tensor(y)).reshape(-1).cpu().numpy()

        solver = self.options.get("solver", "LSODA")
        sizes = {"max_step": float(self.options.get("max_step", np.inf))}
        if solver == "LSODA":
            sizes["min_step"] = float(self.options.get("min_step", 0.0))
        result = solve_ivp(
            func,
            (times[0], times[-1]),
            y0.detach().reshape(-1).cpu().numpy(),
            t_eval=times,
            method=solver,
            rtol=_plain(rtol, y0),
            atol=_plain(atol, y0),
            **sizes,
        )
        if not result.success or not np.isfinite(result.y).all():
            t = float(result.t[-1]) if len(result.t) else times[0]
            raise SolverError(f"scipy's {solver} failed: {result.message}", t=t, nfe=f.stats.nfe)
        y = y0
        for (t0, t1), y1 in zip(pairwise(times), result.y.T[1:], strict=True):
            step = Step(t0, t1, t1 - t0, y, to_tensor(y1))
            yield step
            y = step.y1

    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step:
        raise NotImplementedError("SciPy takes its own steps")

    def error(self, step: Step) -> Tensor:
        raise NotImplementedError("SciPy controls its own error")


def _plain(tol: float | Tensor, y0: Tensor) -> Any:
    return tol if isinstance(tol, float) else tol.expand(y0.shape).reshape(-1).cpu().numpy()
