"""Linear multistep methods: reuse the slopes of earlier steps instead of evaluating new stages.

Adams–Bashforth integrates the polynomial through the last q slopes; Adams–Moulton adds the unknown slope at the end of
the step and finds it by fixed-point iteration from the Adams–Bashforth prediction. The weights are computed for the
actual step sizes, so grids need not be uniform. Until enough slopes exist, steps are taken by a Runge–Kutta method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from odelab.solvers.control import Controller
from odelab.solvers.inputs import Field, Time, as_float, precise
from odelab.solvers.stepping import RungeKutta, Step
from odelab.solvers.tableaus import TABLEAUS
from odelab.warning import warn

MIN_ORDER, MAX_ORDER, MAX_ITERS = 4, 12, 4
EXPLICIT_ORDER = 4  # Adams–Bashforth of order 12 is stable for dt · |∂f/∂y| < 0.002 only, of order 4 up to 0.3
_STARTER = RungeKutta(TABLEAUS["rk4"])
_CONVERGENCE = Controller(order=1, rtol=1e-7, atol=1e-9, norm=lambda x: x.abs().max() if x.numel() else x.sum())


@lru_cache(maxsize=4096)
def adams_weights(nodes: tuple[float, ...]) -> tuple[float, ...]:
    """Weights w with ∫₀¹ p = Σ wⱼ p(nodesⱼ) for every polynomial p of degree < len(nodes).

    nodes are times relative to the step: 0 its start, 1 its end, negative the past.
    """
    x = np.asarray(nodes)
    powers = np.arange(len(x))
    return tuple(np.linalg.solve(x[None, :] ** powers[:, None], 1.0 / (powers + 1)).tolist())


def weights_for(times: Sequence[Time], t0: Time, dt: Time) -> Sequence[Time]:
    """`adams_weights` of the actual times; differentiable in them where they are tensors."""
    if not isinstance(dt, Tensor):
        return adams_weights(tuple(round(float((t - t0) / dt), 12) for t in times))
    x = (torch.stack([torch.as_tensor(t, device=dt.device) for t in times]).to(precise(dt.device)) - t0) / dt
    powers = torch.arange(len(x), dtype=x.dtype, device=x.device)
    return torch.linalg.solve(x[None, :] ** powers[:, None], 1 / (powers + 1)).to(dt.dtype).unbind()


@dataclass
class Adams:
    """Adams–Bashforth (explicit), or Adams–Bashforth–Moulton (implicit) methods of order up to max_order.

    Keeps the slopes of earlier steps, so an instance serves one solve (`fresh`).
    """

    implicit: bool
    max_order: int = MAX_ORDER
    max_iters: int = MAX_ITERS
    history: list[tuple[Time, Tensor]] = field(default_factory=list, repr=False)
    family = "adams"
    adaptive = False
    one_step = False

    def __post_init__(self) -> None:
        if not 1 <= self.max_order <= MAX_ORDER:
            raise ValueError(f"max_order must be between 1 and {MAX_ORDER}, got {self.max_order}")
        if self.max_order < MIN_ORDER:
            warn(f"max_order is below {MIN_ORDER}, so every step is a step of rk4")

    @property
    def order(self) -> int:
        return min(self.max_order, MIN_ORDER)  # that of the starting steps bounds the global one

    def fresh(self) -> Adams:
        return Adams(self.implicit, self.max_order, self.max_iters)

    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step:
        slope0 = f(t0, y0) if slope0 is None else slope0
        self.history = [(t0, slope0), *self.history][: self.max_order - self.implicit]
        if len(self.history) < MIN_ORDER - self.implicit or self.max_order < MIN_ORDER:
            return _STARTER.step(f, t0, t1, dt, y0, slope0)
        times, past = [t for t, _ in self.history], [slope for _, slope in self.history]
        y1 = y0 + dt * _weighted_sum(weights_for(times, t0, dt), past)
        if self.implicit:
            y1 = self._correct(f, t1, dt, y0, y1, weights_for([t1, *times], t0, dt), past)
        return Step(t0, t1, dt, y0, y1, slope0=slope0)

    def _correct(
        self, f: Field, t1: Time, dt: Time, y0: Tensor, y1: Tensor, weights: Sequence[Time], past: list[Tensor]
    ) -> Tensor:
        base = y0 + dt * _weighted_sum(weights[1:], past)
        for _ in range(self.max_iters):
            before, y1 = y1, base + (dt * weights[0]) * f(t1, y1)
            with torch.no_grad():
                converged = _CONVERGENCE.error_ratio(y1 - before, before, y1) < 1
            if converged:
                return y1
        warn(
            "Functional iteration did not converge. Solution may be incorrect. "
            f"{self.max_iters} iterations were not enough for the step to t = {as_float(t1):.6g}: take a smaller "
            "step_size, or raise options=dict(max_iters=…)"
        )
        return y1

    def error(self, step: Step) -> Tensor:
        raise NotImplementedError("the Adams methods here run on a fixed grid")


def _weighted_sum(weights: Sequence[Time], slopes: list[Tensor]) -> Tensor:
    """Σ w k, before it is added to y: at order 12 the weights are large and alternate in sign."""
    total = weights[0] * slopes[0]
    for w, k in zip(weights[1:], slopes[1:], strict=True):
        total = total + w * k
    return total
