"""The latent path and the density it carries.

    z(t) = z(0) + ∫ f(z) dt                                             (slides 10)
    log q(z(t)) = log q(z(0)) − ∫ tr ∂f/∂z dt                           (slides 15)

Sequences with clocks of their own are solved together: between two successive observations every sequence takes steps
of its own size, dz/dτ = Δt f(z) with τ from 0 to 1.

The log-density feeds nothing back into z. So the divergences of all stages of all steps are taken at once after the
solve, and added up with the method's own weights: to the digit what a solve of the augmented state (z, log q) gives.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from odelab.choices import choose
from odelab.latent.dynamics import DrawnField
from odelab.latent.rollout import Plan, full_precision, roll_out
from odelab.latent.weights import ACTIVATIONS
from odelab.solvers.stepping import RungeKutta
from odelab.solvers.tableaus import TABLEAUS, ButcherTableau

GRADIENTS = ("rollout", "backprop")


def flow(
    field: Any,
    z0: Tensor,
    times: Tensor,
    *,
    substeps: int = 1,
    method: str = "rk4_classic",
    density: Tensor | None = None,
    gradient: str = "rollout",
) -> Any:
    """Follow the field from z0, the state at the first time, by steps of a fixed grid.

    Args:
        field: a `DrawnField`, or any (t, z) -> dz/dt, shaped like z; with `density`, also a method
            `with_divergence(t, z)` that gives the divergence (…) beside it. t is a float, or (…, 1) where every
            sequence has its own clock, and may have one more dimension before the last, that of the stages.
        z0: (…, D); (…, n, D) where times is (n, T). A field drawn `shape` many times wants z0 (*shape, …, D).
        times: (T,), on any device, or (n, T); not decreasing. They get no gradient.
        substeps: steps between one time and the next.
        method: an explicit Runge–Kutta method of `odelab.solvers`.
        density: log q(z0) (…), where the log-density along the paths is wanted. It is integrated to the method's
            order, at the same stages as z: it cannot be better than the steps are.
        gradient: "rollout", the derivative of the loop written by hand, several times faster, for a `DrawnField`;
            "backprop", autograd's, which can be differentiated again. Other fields always take the latter.

    Returns:
        z (…, T, D); with density, also log q(z(t)) (…, T). Gradients reach z0, density and the field's weights.
        Under autocast, too, both are computed in the precision of the field's weights.
    """
    tableau = choose(TABLEAUS, method, "method")
    choose(dict.fromkeys(GRADIENTS), gradient, "gradient")
    if substeps < 1:
        raise ValueError(f"substeps must be at least 1, got {substeps}")
    times = times.detach()
    if times.shape[-1] == 1:
        return z0[..., None, :] if density is None else (z0[..., None, :], density[..., None])
    with full_precision(z0):
        if isinstance(field, DrawnField):
            z0 = z0.to(field.weights.biases[0].dtype)
            if gradient == "rollout":
                return _rolled_out(field, z0, times, substeps, tableau, density)
        return _stepped(field, z0, times, substeps, tableau, density)


def _stepped(
    field: Any, z0: Tensor, times: Tensor, substeps: int, tableau: ButcherTableau, density: Tensor | None
) -> Any:
    """By the steps of `odelab.solvers`, recorded by autograd."""
    solver, shared = RungeKutta(tableau), times.ndim == 1
    clock: list[Any] = times.tolist() if shared else list(times.to(z0.dtype)[..., None].unbind(-2))
    path, seen_t, seen_z, sizes = [z0], [], [], []

    def watched(t: Any, z: Tensor) -> Tensor:
        seen_t.append(t)
        seen_z.append(z)
        return field(t, z)

    z = z0
    for start, stop in pairwise(clock):
        dt = (stop - start) / substeps
        for i in range(substeps):
            t0 = start + i * dt
            z = solver.step(watched, t0, t0 + dt, dt, z, end=False).y1
            sizes.append(dt)
        path.append(z)
    states = torch.stack(path, -2)
    if density is None:
        return states
    t = z0.new_tensor(seen_t)[:, None] if shared else torch.stack(seen_t, -2)
    divergence = field.with_divergence(t, torch.stack(seen_z, -2))[1]  # (…, steps · stages)
    dt = z0.new_tensor(sizes) if shared else torch.cat(sizes, -1)
    return states, _carried(density, divergence, dt, tableau, substeps)


def _rolled_out(
    field: DrawnField, z0: Tensor, times: Tensor, substeps: int, tableau: ButcherTableau, density: Tensor | None
) -> Any:
    """By the loop of `rollout`; z as (draws, rows, D) there, or (rows, D) where there is no draw."""
    draws = field.check(z0)
    rows = (*[draws.numel()] * bool(draws), -1)
    z, sizes = z0.reshape(*rows, z0.shape[-1]), times.diff(dim=-1).to(z0.dtype) / substeps
    if times.ndim == 1:
        steps: Any = [dt for dt in sizes.tolist() for _ in range(substeps)]
        sizes = sizes.to(z0.device)
    else:
        each = sizes.expand(*z0.shape[:-1], -1).reshape(*rows, sizes.shape[-1])
        steps = each.repeat_interleave(substeps, -1)[..., None].unbind(-2)
    matrices, biases = field.weights.flat
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (z, *matrices, *biases))
    plan = Plan(tableau, steps, field.net.activation, field.dim != field.net.dim_out, learns or density is not None)
    visited, *hidden = roll_out(plan, z, matrices, biases)
    states = visited[:: substeps * plan.stages].movedim(0, -2).reshape(*z0.shape[:-1], -1, z0.shape[-1])
    if density is None:
        return states
    slopes = [ACTIVATIONS[field.net.activation].slope(y) for y in hidden]
    divergence = field.weights.divergence(slopes, field.columns).expand(len(visited) - 1, *z.shape[:-1])
    divergence = divergence.movedim(0, -1).reshape(*z0.shape[:-1], -1)
    return states, _carried(density, divergence, sizes.repeat_interleave(substeps, -1), tableau, substeps)


def _carried(density: Tensor, divergence: Tensor, dt: Tensor, tableau: ButcherTableau, substeps: int) -> Tensor:
    """log q at the times (…, T) from the divergences at all stages (…, steps · stages), and dt (…, steps)."""
    stages = divergence.shape[-1] // dt.shape[-1]
    weights = divergence.new_tensor(tableau.b[:stages])
    lost = torch.matmul(divergence.unflatten(-1, (-1, stages)), weights) * dt
    change = lost.unflatten(-1, (-1, substeps)).sum(-1).cumsum(-1)
    return torch.cat([density[..., None], density[..., None] - change], -1)
