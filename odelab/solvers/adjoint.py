"""The continuous adjoint: Algorithm 1 of the notes as the package runs it.

    da/dt = −aᵀ ∂f/∂y  (24.6),      dL/dθ = −∫ aᵀ ∂f/∂θ dt from t1 back to t0  (24.7)

Backwards in time, the state is (y, a). The parameter gradient is a pure integral that nothing else depends on, so it is
summed outside the state with the step's own weights and outside error control, which is what torchdiffeq calls the
seminorm (Kidger, Chen & Lyons 2021). A custom adjoint norm wants to see the parameter gradient, and a method without a
tableau has no weights; in these two cases it travels in the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.control import rms_norm
from odelab.solvers.gradients import Forward, accumulate
from odelab.solvers.inputs import VectorField
from odelab.solvers.loops import NO_CALLBACKS, Callbacks, Stats
from odelab.solvers.methods.scipy import SciPy
from odelab.solvers.plan import Plan
from odelab.solvers.stepping import RungeKutta, Step

Grads = Sequence[Tensor | None]


class AugmentedField:
    """(t, [y, a]) -> [f, −aᵀ∂f/∂y]; each slope carries −aᵀ∂f/∂θ along as its attribute `integrand`.

    The state is y and a stacked, (2, *y.shape); with carry it is flat and ends with the parameter gradients.
    """

    def __init__(self, f: VectorField, params: Sequence[Tensor], carry: bool) -> None:
        self.f, self.params, self.carry = f, params, carry

    def pack(self, y: Tensor, a: Tensor, thetas: Grads) -> Tensor:
        if not self.carry:
            return torch.stack([y, a])
        full = [torch.zeros_like(p) if g is None else g for p, g in zip(self.params, thetas, strict=True)]
        return torch.cat([piece.reshape(-1).to(y.dtype) for piece in (y, a, *full)])

    def unpack(self, state: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        if not self.carry:
            y, a = state.unbind()
            return y, a, []
        n = self.f.shape.numel()
        y, a, *thetas = state.split([n, n, *(p.numel() for p in self.params)])
        grads = [g.view(p.shape).to(p.dtype) for g, p in zip(thetas, self.params, strict=True)]
        return y.view(self.f.shape), a.view(self.f.shape), grads

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        differentiable = torch.is_grad_enabled()  # an implicit method asks for this field's own Jacobian
        with torch.enable_grad():
            y, a, _ = self.unpack(state)
            y = y if differentiable and y.requires_grad else y.detach().requires_grad_(True)
            slope = self.f(t, y)
            grads: Grads = [None] * (1 + len(self.params))
            if slope.requires_grad:
                grads = torch.autograd.grad(
                    slope, (y, *self.params), -a, allow_unused=True, create_graph=differentiable
                )
        slope = slope if differentiable else slope.detach()
        out = self.pack(slope, torch.zeros_like(slope) if grads[0] is None else grads[0], grads[1:])
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
    callbacks: Callable[[Callable[[Tensor], Any]], Callbacks] | None = None,
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

    def as_tuple(state: Tensor) -> tuple[Tensor, ...]:
        y, a, thetas = field.unpack(state)
        return state.new_zeros(()), y, a, *(thetas or totals)

    both = (
        _larger_norm(forward.plan.controller.norm, field)
        if norm is None
        else lambda x: torch.as_tensor(norm(as_tuple(x)), device=x.device)
    )
    plan = plan.with_controller(norm=both, **(_flat_tolerances(plan, field) if carry else {}))
    watch = NO_CALLBACKS if callbacks is None else callbacks(as_tuple)
    weights = plan.method.tableau.solution if isinstance(plan.method, RungeKutta) else ()
    times = [float(t) for t in forward.times]
    if forward.event_t is not None:
        times = [times[0], forward.event_t]

    stats, counted = Stats(method=plan.name), forward.f.stats
    forward.f.stats = stats  # what func is asked from here on belongs to the backward pass
    a, dt = grad_states[-1], None
    for i in range(len(times) - 1, 0, -1):
        state = field.pack(states[i], a, totals)
        augmented = VectorField(field, state, Stats(method=plan.name))
        span = [times[i], times[i - 1]]
        if isinstance(plan.method, SciPy):
            (state,) = plan.method.integrate(augmented, state, span, plan.controller.rtol, plan.controller.atol)
        else:
            for step in plan.steps(augmented, state, span, callbacks=watch, first_step=dt):
                state = step.y1
                if not carry:
                    _add_integrals(totals, step, weights)
            dt = None if augmented.stats.next_dt is None else abs(augmented.stats.next_dt)
        _, a, thetas = field.unpack(state)
        a, totals = a + grad_states[i - 1], thetas or totals
    forward.f.stats = counted
    counted.nfe_backward += stats.nfe
    return a, totals


def _add_integrals(totals: list[Tensor], step: Step, weights: Sequence[tuple[int, float]]) -> None:
    """θ's gradient over one step, with the method's own quadrature weights."""
    for i, w in weights:
        accumulate(totals, step.stages[i].integrand, w * float(step.dt))  # type: ignore[attr-defined]


def _larger_norm(norm: Callable[[Tensor], Tensor], field: AugmentedField) -> Callable[[Tensor], Tensor]:
    """The larger of the forward norm of y and of a; parameter gradients, where carried, stay out of it."""
    if norm is rms_norm and not field.carry:
        scale = 1 / math.sqrt(field.f.shape.numel())
        return lambda x: torch.linalg.vector_norm(x.flatten(1) if x.ndim > 1 else x[:, None], dim=1).amax() * scale

    def largest(x: Tensor) -> Tensor:
        y, a, _ = field.unpack(x)
        return torch.maximum(*(torch.as_tensor(norm(part), device=x.device) for part in (y, a)))

    return largest


def _flat_tolerances(plan: Plan, field: AugmentedField) -> dict[str, float | Tensor]:
    """Tolerances per entry of y serve its adjoint too; the parameters' entries get the tightest."""
    extra = sum(p.numel() for p in field.params)

    def flat(tol: float | Tensor) -> float | Tensor:
        if isinstance(tol, float):
            return tol
        once = tol.expand(field.f.shape).reshape(-1)
        return torch.cat([once, once, once.min().expand(extra)])

    return {"rtol": flat(plan.controller.rtol), "atol": flat(plan.controller.atol)}
