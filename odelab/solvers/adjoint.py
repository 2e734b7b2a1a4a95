"""The continuous adjoint: Algorithm 1 of the notes as the package runs it.

    da/dt = −aᵀ ∂f/∂y  (24.6),      dL/dθ = −∫ aᵀ ∂f/∂θ dt from t1 back to t0  (24.7)

Backwards in time, the state is (y, a). The parameter gradient is a pure integral that nothing else depends on, so it is
summed outside the state with the step's own weights and outside error control, which is what torchdiffeq calls the
seminorm (Kidger, Chen & Lyons 2021). A custom adjoint norm wants to see the parameter gradient, and a method without a
tableau has no weights; in these two cases it travels in the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.gradients import Forward, accumulate
from odelab.solvers.integrate import NO_CALLBACKS, Callbacks, Stats
from odelab.solvers.plan import Plan
from odelab.solvers.problem import VectorField
from odelab.solvers.scipy_bridge import SciPy
from odelab.solvers.stepping import RungeKutta, Step


class AugmentedField:
    """(t, [y, a]) -> [f, −aᵀ∂f/∂y], flat; each slope carries −aᵀ∂f/∂θ along as its attribute `integrand`."""

    def __init__(self, f: VectorField, params: Sequence[Tensor], carry: bool) -> None:
        self.f, self.params, self.carry = f, params, carry
        self.n = f.shape.numel()

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        differentiable = torch.is_grad_enabled()  # an implicit method asks for this field's own Jacobian
        with torch.enable_grad():
            y, a = (state[i * self.n : (i + 1) * self.n].view(self.f.shape) for i in range(2))
            y = y if differentiable and y.requires_grad else y.detach().requires_grad_(True)
            slope = self.f(t, y)
            grads: Sequence[Tensor | None] = [None] * (1 + len(self.params))
            if slope.requires_grad:
                grads = torch.autograd.grad(
                    slope, (y, *self.params), -a, allow_unused=True, create_graph=differentiable
                )
        slope = slope if differentiable else slope.detach()
        pieces = [slope, torch.zeros_like(slope) if grads[0] is None else grads[0]]
        if self.carry:
            pieces += [torch.zeros_like(p) if g is None else g for p, g in zip(self.params, grads[1:], strict=True)]
        out = torch.cat([piece.reshape(-1).to(slope.dtype) for piece in pieces])
        out.integrand = grads[1:]  # type: ignore[attr-defined]
        return out


def integrate_adjoint(
    forward: Forward,
    plan: Plan,
    states: Tensor,
    grad_states: Tensor,
    params: Sequence[Tensor],
    *,
    norm: Callable[..., Any] | None = None,
    callbacks: Callable[[Callable[[Tensor], tuple]], Callbacks] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """dL/dy0 and dL/dθ from dL/dy at the output times.

    Args:
        states, grad_states: (len(times), *y0.shape), the forward solution and its gradient. y restarts from the forward
            solution at every output time, where a jumps by that time's gradient.
        plan: how to solve backwards; its norm is replaced.
        norm: of the tuple (0, y, a, *parameter gradients), for error control; without it the larger of the state
            norm of y and of a.
    """
    carry = norm is not None or not isinstance(plan.method, RungeKutta)
    field = AugmentedField(forward.f, params, carry)
    totals = [torch.zeros_like(p) for p in params]
    stats = Stats(method=plan.name)
    spent, forward.f.stats.nfe = forward.f.stats.nfe, 0
    times = [float(t) for t in forward.times]
    if forward.event_t is not None:
        times = [times[0], forward.event_t]
    a = grad_states[-1].reshape(-1)

    def pieces(state: Tensor) -> tuple[Tensor, ...]:
        y, a = state[: field.n].view(forward.f.shape), state[field.n : 2 * field.n].view(forward.f.shape)
        rest = state[2 * field.n :].split([p.numel() for p in params]) if carry else totals
        return state.new_zeros(()), y, a, *(g.view(p.shape).to(p.dtype) for g, p in zip(rest, params, strict=True))

    if norm is None:
        aug_norm = _state_norm(forward.plan.controller.norm, pieces)
    else:
        aug_norm = lambda x: torch.as_tensor(norm(pieces(x)))  # noqa: E731
    extra = sum(p.numel() for p in params) if carry else 0
    tolerances = {n: _twice(getattr(plan.controller, n), forward.f, extra) for n in ("rtol", "atol")}
    plan = plan.with_controller(norm=aug_norm, **tolerances)
    watch = NO_CALLBACKS if callbacks is None else callbacks(pieces)
    weights = plan.method.tableau.solution if isinstance(plan.method, RungeKutta) else ()
    dt: float | None = None
    for i in range(len(times) - 1, 0, -1):
        state = torch.cat(
            [states[i].reshape(-1), a, *([g.reshape(-1).to(states.dtype) for g in totals] if carry else [])]
        )
        augmented = VectorField(field, state, stats)
        span = [times[i], times[i - 1]]
        if isinstance(plan.method, SciPy):
            (end,) = plan.method.integrate(augmented, state, span, plan.controller.rtol, plan.controller.atol)
        else:
            end = state
            for step in plan.steps(augmented, state, span, callbacks=watch, first_step=dt):
                end = step.y1
                if not carry:
                    _add_integrals(totals, step, weights)
            dt = abs(stats.next_dt) if stats.next_dt else None
        a = end[field.n : 2 * field.n] + grad_states[i - 1].reshape(-1)
        if carry:
            totals = [g.clone() for g in pieces(end)[3:]]
    forward.f.stats.nfe_backward += forward.f.stats.nfe
    forward.f.stats.nfe = spent
    return a.view(forward.f.shape), totals


def _add_integrals(totals: list[Tensor], step: Step, weights: Sequence[tuple[int, float]]) -> None:
    """θ's gradient over one step, with the method's own quadrature weights."""
    for i, w in weights:
        accumulate(totals, step.stages[i].integrand, w * float(step.dt))  # type: ignore[attr-defined]


def _twice(tol: float | Tensor, f: VectorField, extra: int) -> float | Tensor:
    """A tolerance per entry of y serves its adjoint too; the parameters' entries get the tightest."""
    if isinstance(tol, float):
        return tol
    flat = tol.expand(f.shape).reshape(-1)
    return torch.cat([flat, flat, flat.min().expand(extra)])


def _state_norm(norm: Callable[[Tensor], Tensor], pieces: Callable[[Tensor], tuple]) -> Callable[[Tensor], Tensor]:
    """The larger of the forward norm of y and of a; parameter gradients, where carried, stay out of it."""

    def largest(x: Tensor) -> Tensor:
        _, y, a, *_ = pieces(x)
        return torch.maximum(torch.as_tensor(norm(y)), torch.as_tensor(norm(a)))

    return largest
