"""Rodas3, a linearly implicit method for stiff problems.

Where an explicit method must keep dt · |∂f/∂y| small, a Rosenbrock method solves, in each of its four stages, one
linear system with the Jacobian J of f, and no nonlinear ones (Hairer & Wanner II, Sec. IV.7). It is L-stable and of
order 3 with an embedded method of order 2. Coefficients: Sandu et al. 1997, Atmospheric Environment 31, Table 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from odelab.solvers.errors import NewtonFailure
from odelab.solvers.inputs import Field, Time, as_float
from odelab.solvers.methods.jacobian import LARGEST, jacobians, passes_a_pole
from odelab.solvers.stepping import Step
from odelab.warning import warn

GAMMA = 0.5
ALPHA = (0.0, 0.0, 1.0, 1.0)  # stage times
GAMMA_T = (0.5, 1.5, 0.0, 0.0)  # weights of ∂f/∂t
A = ((), (0.0,), (2.0, 0.0), (2.0, 0.0, 1.0))
C = ((), (4.0,), (1.0, -1.0), (1.0, -1.0, -8.0 / 3.0))
M = (2.0, 0.0, 1.0, 1.0)
UNTRACED = (
    "rodas3 needs the derivatives of func, and autograd sees none, although what func returns changes; the solution is "
    "less accurate than the tolerance says. Write func without detach, no_grad, float(t) and NumPy, or take 'kvaerno5' "
    "or 'radauIIA5', which stay accurate"
)


@dataclass(frozen=True)
class Rodas3:
    """(I/(γ dt) − J) kᵢ = f(t + αᵢ dt, y + Σ aᵢⱼ kⱼ) + Σ (cᵢⱼ/dt) kⱼ + γᵢ dt ∂f/∂t,    y₁ = y + Σ mᵢ kᵢ."""

    family = "rosenbrock"
    order = 3
    adaptive = True
    one_step = True

    def fresh(self) -> Rodas3:
        return self

    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step:
        """Advance y0 from t0 to t1 = t0 + dt.

        Raises:
            NewtonFailure: where the linear systems would have been singular for a shorter step. Where y grows like
                1 / (t* − t) the method follows it exactly up to t*, and its formula goes on behind it, as the solution
                does not; the error estimate sees nothing of it.
            ValueError: see `linearise`.
        """
        # Differentiable only where a gradient will be asked for: graphs of Jacobians are expensive.
        graph = torch.is_grad_enabled() and (y0.requires_grad or slope0 is None or slope0.requires_grad)
        slope0, jacobian, time_slope, traced = linearise(f, t0, y0, graph)
        identity = torch.eye(y0.numel(), dtype=y0.dtype, device=y0.device)
        matrix = identity / (GAMMA * dt) - jacobian
        lu, pivots, _ = torch.linalg.lu_factor_ex(matrix)
        backwards = hasattr(getattr(f, "func", None), "jacobian_by_rows")  # the adjoint's y, which grows there anyway
        if not backwards and bool(passes_a_pole(matrix.detach() * (GAMMA * as_float(dt)), lu, pivots)):
            raise NewtonFailure(
                "a step of 'rodas3' would pass a pole of its formula, behind which lies no solution from y0,",
                t=as_float(t0),
                dt=as_float(dt),
                nfe=f.stats.nfe,  # type: ignore[attr-defined]
                hint=f"the solution may blow up in finite time near t = {as_float(t0):.6g}",
            )
        increments: list[Tensor] = []
        for i, (alpha, gamma_t, a, c) in enumerate(zip(ALPHA, GAMMA_T, A, C, strict=True)):
            y, right = y0, (gamma_t * dt) * time_slope  # the first two stages share f(t0, y0)
            for aij, cij, k in zip(a, c, increments, strict=True):
                y, right = y + aij * k, right + (cij / dt) * k
            slope = slope0 if i < 2 else f(t1 if alpha == 1 else t0, y)
            if not (traced or torch.equal(slope.detach(), slope0)):
                warn(UNTRACED)
            right = (right + slope).reshape(-1, 1)
            increments.append(torch.linalg.lu_solve(lu, pivots, right).reshape(y0.shape))
        y1 = y0
        for m, k in zip(M, increments, strict=True):
            y1 = y1 + m * k
        return Step(t0, t1, dt, y0, y1, slope0=slope0, error=increments[-1])

    def error(self, step: Step) -> Tensor:
        assert step.error is not None  # for mypy: this method always sets it
        return step.error


def linearise(f: Field, t: Time, y: Tensor, differentiable: bool) -> tuple[Tensor, Tensor, Tensor, bool]:
    """f, ∂f/∂y and ∂f/∂t at (t, y), as graphs where differentiable.

    Returns:
        slope, the shape of y; Jacobian (numel, numel); time derivative, the shape of y; whether autograd saw the slope
        depend on anything: where it did not, both derivatives are 0.

    Raises:
        ValueError: for complex states, and for states too large for a dense Jacobian.
    """
    n = y.numel()
    if n > LARGEST:
        raise ValueError(
            f"rodas3 builds the full {n} × {n} Jacobian; beyond {LARGEST} entries take 'dopri5' or 'scipy_solver'"
        )
    if torch.finfo(y.dtype).bits < 32:
        raise ValueError(f"rodas3 decomposes matrices, and PyTorch does none of {y.dtype}: integrate y0.float()")
    if y.is_complex():
        raise ValueError("rodas3 differentiates real states; integrate torch.view_as_real(y) instead")
    with torch.inference_mode(False), torch.enable_grad():
        now = torch.as_tensor(t, dtype=y.dtype, device=y.device).reshape(1)
        # One tensor that depends on the state: differentiation with respect to it stops there, where with respect to a
        # leaf, as a time would be, it visits all that y was computed from.
        point = torch.cat([now, y.reshape(-1)])
        if not (differentiable and point.requires_grad):
            point = point.detach().requires_grad_(True)
        slope = f(point[0], point[1:].view(y.shape))
        jacobian = jacobians(slope.reshape(-1), point, differentiable)
    traced = slope.requires_grad
    if not differentiable:
        slope = slope.detach()
    return slope, jacobian[:, 1:], jacobian[:, 0].reshape(y.shape), traced
