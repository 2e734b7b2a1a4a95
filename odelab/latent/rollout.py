"""The loop of an explicit Runge–Kutta method over a perceptron's field, its derivative written by hand.

A latent field is small, so that what a solve costs is the number of operations, not their size. Recorded by autograd a
stage takes some forty of them forward and backward; written out, with every result put where it belongs, under twenty.
With k_i = field(y_i), y_i = z + dt Σ_j a_ij k_j and z⁺ = z + dt Σ_i b_i k_i, going backwards

    ∂L/∂k_i = dt (b_i ∂L/∂z⁺ + Σ_l a_li ∂L/∂y_l),   ∂L/∂y_i += (∂k_i/∂y_i)ᵀ ∂L/∂k_i,   ∂L/∂z = ∂L/∂z⁺ + Σ_i ∂L/∂y_i

stage by stage, and the gradient of each weight matrix is one product over all stages of all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from odelab.latent.weights import ACTIVATIONS
from odelab.solvers.tableaus import ButcherTableau
from odelab.solvers.tableaus import Weights as Row


@dataclass(frozen=True, eq=False)
class Plan:
    """What the loop is to do.

    Attributes:
        tableau: of the method.
        sizes: dt of every step: floats, or tensors (…, rows, 1) of each row's own.
        activation: see `ACTIVATIONS`.
        second_order: whether z = (s, v) and the net gives dv/dt only; else it gives dz/dt.
        keep: whether activations are to be kept, for a backward pass or a divergence.
    """

    tableau: ButcherTableau
    sizes: Sequence[Any]
    activation: str
    second_order: bool
    keep: bool

    @property
    def stages(self) -> int:
        return self.tableau.stages - self.tableau.fsal

    @property
    def columns(self) -> list[Row]:
        """For each stage j the later stages i that use it, and a_ij."""
        a = self.tableau.a
        return [tuple((i, a[i][j]) for i in range(j + 1, self.stages) if a[i][j] != 0) for j in range(self.stages)]


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Autocast off, on the device of a tensor: an ODE adds up thousands of small changes."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def roll_out(plan: Plan, z0: Tensor, matrices: Sequence[Tensor], biases: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Every state that the solve went through, and the activations there.

    Args:
        z0: (rows, D), or (draws, rows, D) with weights of as many draws.
        matrices, biases: see `Weights.flat`.

    Returns:
        states (steps · stages + 1, …, rows, D): entry k · stages is the state after k steps, those between are where
        the field was evaluated; activations y_l (steps · stages, …, rows, width_l) of each hidden layer, with `keep`.
    """
    if plan.keep:
        return _RollOut.apply(plan, z0, *matrices, *biases)
    return _march(plan, z0, matrices, biases)[:1]


def _combine(out: Tensor, z: Tensor, dt: Any, row: Row, slopes: Sequence[Tensor]) -> None:
    """out = z + dt Σ_i w_i slopes_i; out may be z."""
    for i, w in row:
        if isinstance(dt, Tensor):
            torch.addcmul(z, slopes[i], dt, value=w, out=out)
        else:
            torch.add(z, slopes[i], alpha=dt * w, out=out)
        z = out


def _march(plan: Plan, z0: Tensor, matrices: Sequence[Tensor], biases: Sequence[Tensor]) -> tuple[Tensor, ...]:
    add = torch.addmm if z0.ndim == 2 else torch.baddbmm
    in_place = ACTIVATIONS[plan.activation].in_place
    stages, count, dim = plan.stages, len(plan.sizes) * plan.stages, z0.shape[-1]
    half = dim // 2 if plan.second_order else 0
    states = z0.new_empty(count + 1, *z0.shape)
    states[0] = z0
    widths = [matrix.shape[-2] for matrix in matrices[:-1]]
    hidden = [z0.new_empty(count if plan.keep else 1, *z0.shape[:-1], width) for width in widths]
    slopes = z0.new_empty(stages, *z0.shape)
    at, velocities = states.unbind(), states[..., half:].unbind()
    kept = [h.unbind() * (1 if plan.keep else count) for h in hidden]
    slope, slope_s, slope_v = slopes.unbind(), slopes[..., :half].unbind(), slopes[..., half:].unbind()
    layers = list(zip([matrix.mT for matrix in matrices], biases, strict=True))
    for step, dt in enumerate(plan.sizes):
        first = step * stages
        for i, row in enumerate(plan.tableau.rows[:stages]):
            here = x = at[first + i]
            if i:
                _combine(here, at[first], dt, row, slope)
            for (matrix, bias), h in zip(layers[:-1], kept, strict=True):
                x = add(bias, x, matrix, out=h[first + i])
                in_place(x)
            add(layers[-1][1], x, layers[-1][0], out=slope_v[i])
            if half:
                slope_s[i].copy_(velocities[first + i])
        _combine(at[first + stages], at[first], dt, plan.tableau.solution, slope)
    return states, *hidden


class _RollOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, z0: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        layers = len(weights) // 2
        found = _march(plan, z0, weights[:layers], weights[layers:])
        ctx.plan, ctx.layers = plan, layers
        ctx.save_for_backward(*found, *weights[:layers])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor, *grad_hidden: Tensor) -> tuple[Tensor | None, ...]:
        with full_precision(grad_states):
            return _backward(ctx.plan, ctx.layers, ctx.saved_tensors, grad_states, grad_hidden)


def _backward(
    plan: Plan, layers: int, saved: Sequence[Tensor], grad_states: Tensor, grad_hidden: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """The gradients of `_RollOut`'s arguments."""
    states, *rest = saved
    hidden, matrices = rest[: layers - 1], rest[layers - 1 :]
    stages, tableau = plan.stages, plan.tableau
    half = states.shape[-1] // 2 if plan.second_order else 0
    slope = ACTIVATIONS[plan.activation].slope
    rates = [slope(h).unbind() for h in hidden]
    # ∂L/∂y_l from outside becomes ∂L/∂a_l in place, ∂L/∂states the whole gradient of each state.
    at_states, deltas = grad_states.clone(), [grad.clone() for grad in grad_hidden]
    at_slopes = torch.zeros_like(states[:-1])
    g, gk = at_states.unbind(), at_slopes.unbind()
    g_v, gk_s, gk_v = at_states[..., half:].unbind(), at_slopes[..., :half].unbind(), at_slopes[..., half:].unbind()
    gh = [delta.unbind() for delta in deltas]
    addmm = "addmm_" if states.ndim == 3 else "baddbmm_"
    downward = list(zip(gh, rates, matrices[1:], strict=True))[::-1]
    solution, columns = dict(tableau.solution), plan.columns
    for step in reversed(range(len(plan.sizes))):
        dt, first = plan.sizes[step], step * stages
        last = g[first + stages]
        for i in reversed(range(stages)):
            j = first + i
            sources = ((stages, solution[i]), *columns[i]) if i in solution else columns[i]
            _combine(gk[j], gk[j], dt, sources, g[first : first + stages + 1])
            delta = gk_v[j]
            for above, rate, matrix in downward:
                delta = getattr(above[j], addmm)(delta, matrix).mul_(rate[j])
            getattr(g[j], addmm)(delta, matrices[0])
            if half:
                g_v[j].add_(gk_s[j])
            if i:
                g[first].add_(g[j])
        g[first].add_(last)
    inputs, outputs = [states[:-1], *hidden], [*deltas, at_slopes[..., half:]]
    products = [_over_rows(delta, x) for delta, x in zip(outputs, inputs, strict=True)]
    sums = [delta.sum((0, -2), keepdim=True).squeeze(0) for delta in outputs]
    sums = [total if states.ndim == 4 else total[0] for total in sums]
    return None, at_states[0], *products, *sums


def _over_rows(delta: Tensor, x: Tensor) -> Tensor:
    """Σ δ xᵀ over steps and rows: (steps, …, rows, a) and (steps, …, rows, b) -> (…, a, b)."""
    if delta.ndim == 3:
        return delta.flatten(0, 1).mT @ x.flatten(0, 1)
    return torch.einsum("sbna,sbnc->bac", delta, x)
