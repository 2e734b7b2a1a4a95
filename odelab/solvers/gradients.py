"""Three gradients of one loop.

backprop     Record every operation of the solve and run autograd over it. Exact for the steps taken; memory grows with
             every evaluation of func.
adjoint      Forget the solve; integrate a(t) = ∂L/∂y(t) backwards together with y (notes 24.6–24.7, Algorithm 1).
             Memory is flat in the number of steps, the gradient is accurate to the tolerance.
checkpoint   Keep (t, dt, y) of each accepted step and replay the steps one by one, last first. Exact like backprop, and
             keeps one state per step instead of every activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from odelab.solvers.events import EventFn, until_event
from odelab.solvers.inputs import VectorField
from odelab.solvers.interpolation import Interpolant
from odelab.solvers.loops import NO_CALLBACKS, Callbacks
from odelab.solvers.methods.scipy import SciPy
from odelab.solvers.plan import Plan
from odelab.solvers.stepping import Step, Time

Mark = tuple[int, Time]  # (index of an output time, fraction of the step at which it lies; 1.0 exactly at its end)
Watcher = Callable[[Step, list[Mark], Interpolant | None], None]


@dataclass
class Forward:
    """A prepared solve: everything but the gradient."""

    plan: Plan
    f: VectorField
    times: Sequence[Time]
    callbacks: Callbacks = NO_CALLBACKS
    event: EventFn | None = None
    event_t: float | None = None  # set by the solve

    def marked_steps(self, y0: Tensor) -> Iterator[tuple[Step, list[Mark]]]:
        """The accepted steps, each with the output times that lie in it."""
        steps = self.plan.steps(self.f, y0, self.times, callbacks=self.callbacks, until_event=self.event is not None)
        if self.event is not None:
            yield from self._steps_to_event(steps, y0)
            return
        pending, direction = 1, 1.0 if self.times[-1] > self.times[0] else -1.0
        for step in steps:
            marks: list[Mark] = []
            while pending < len(self.times) and (step.t1 - self.times[pending]) * direction >= 0:
                t = self.times[pending]
                marks.append((pending, 1.0 if t == step.t1 else (t - step.t0) / step.dt))
                pending += 1
            yield step, marks

    def _steps_to_event(self, steps: Iterator[Step], y0: Tensor) -> Iterator[tuple[Step, list[Mark]]]:
        assert self.event is not None
        for step, fraction in until_event(steps, self.event, lambda s: self.plan.interpolate(s, self.f)):
            if fraction is None:
                yield step, []
            else:
                self.event_t = float(step.t0) + fraction * float(step.dt)
                yield step, [(1, fraction)]

    def run(self, y0: Tensor, watch: Watcher | None = None) -> Tensor:
        """States at all output times, (len(times), *y0.shape); watch sees every step with its outputs."""
        if isinstance(self.plan.method, SciPy):
            tolerances = self.plan.controller.rtol, self.plan.controller.atol
            times = [float(t) for t in self.times]
            return torch.stack([y0, *self.plan.method.integrate(self.f, y0, times, *tolerances)])
        states = [y0]
        for step, marks in self.marked_steps(y0):
            solution = self.plan.interpolate(step, self.f) if any(x != 1.0 for _, x in marks) else None
            states += [step.y1 if x == 1.0 or solution is None else solution(x) for _, x in marks]
            if watch is not None:
                watch(step, marks, solution)
        return torch.stack(states)


def backprop(forward: Forward, y0: Tensor, watch: Watcher | None = None) -> Tensor:
    """Autograd through the loop as it is."""
    return forward.run(y0, watch)


def checkpoint(forward: Forward, y0: Tensor, params: Sequence[Tensor]) -> Tensor:
    """Gradients by replaying one accepted step at a time, from the last to the first."""
    return _Checkpoint.apply(forward, y0, *params)


def adjoint(forward: Forward, backward: Plan, y0: Tensor, params: Sequence[Tensor], **how: Any) -> Tensor:
    """Gradients by the continuous adjoint, solved by the plan `backward`; see `adjoint.integrate_adjoint`."""
    return _Adjoint.apply(forward, backward, how, y0, *params)


def accumulate(totals: list[Tensor], grads: Sequence[Tensor | None], factor: float = 1.0) -> None:
    """totals += factor · grads, in place, where None stands for zero."""
    pairs = [(total, grad) for total, grad in zip(totals, grads, strict=True) if grad is not None]
    if pairs:
        torch._foreach_add_([total for total, _ in pairs], [grad for _, grad in pairs], alpha=factor)


class _Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forward: Forward, y0: Tensor, *params: Tensor) -> Tensor:
        ctx.forward = forward
        places: list[tuple[Time, Time, Time, list[Mark]]] = []
        states: list[Tensor] = []

        def remember(step: Step, marks: list[Mark], solution: Interpolant | None) -> None:
            t0, t1 = step.seen or (step.t0, step.t1)
            places.append((t0, t1, step.dt, marks))
            states.append(step.y0)

        out = forward.run(y0.detach(), remember)
        ctx.places = places
        ctx.save_for_backward(*params, *states)  # params too, so that autograd notices when they were changed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        plan, f = ctx.forward.plan, ctx.forward.f
        count = len(ctx.saved_tensors) - len(ctx.places)
        params, states = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        spent = f.stats.nfe
        totals = [torch.zeros_like(p) for p in params]
        a = torch.zeros_like(grad_out[0])
        for (t0, t1, dt, marks), state in zip(reversed(ctx.places), reversed(states), strict=True):
            inner = [(i, x) for i, x in marks if x != 1.0]
            for i, x in marks:
                if x == 1.0:
                    a = a + grad_out[i]
            with torch.enable_grad():
                y = state.detach().requires_grad_(True)
                step = plan.method.step(f, t0, t1, dt, y, end=bool(inner))
                ends, weights = [step.y1], [a]
                if inner:
                    solution = plan.interpolate(step, f)
                    ends += [solution(x) for _, x in inner]
                    weights += [grad_out[i] for i, _ in inner]
                a, *grads = torch.autograd.grad(ends, (y, *params), weights, allow_unused=True)
            accumulate(totals, grads)
        f.stats.nfe, f.stats.nfe_backward = spent, f.stats.nfe_backward + f.stats.nfe - spent
        return None, a + grad_out[0], *totals


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forward: Forward, backward: Plan, how: dict, y0: Tensor, *params: Tensor) -> Tensor:
        out = forward.run(y0.detach())
        ctx.forward, ctx.plan, ctx.how = forward, backward, how
        ctx.save_for_backward(out, *params)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        from odelab.solvers.adjoint import integrate_adjoint

        states, *params = ctx.saved_tensors
        a, grads = integrate_adjoint(ctx.forward, ctx.plan, states, grad_out, params, **ctx.how)
        return None, None, None, a, *grads
