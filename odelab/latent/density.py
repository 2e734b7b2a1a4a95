"""The latent path and the density it carries.

    z(t) = z(0) + ∫ f(z) dt                                             (slides 10)
    log q(z(t)) = log q(z(0)) − ∫ tr ∂f/∂z dt                           (slides 15)

Sequences with clocks of their own are solved together: between two successive observations every sequence takes steps
of its own size, dz/dτ = Δt f(z) with τ from 0 to 1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from odelab.nets.fields import chosen
from odelab.solvers.stepping import RungeKutta
from odelab.solvers.tableaus import TABLEAUS


def flow(
    field: Any,
    z0: Tensor,
    times: Tensor,
    *,
    substeps: int = 1,
    method: str = "rk4_classic",
    density: Tensor | None = None,
) -> Any:
    """Follow the field from z0, the state at the first time, by steps of a fixed grid.

    Args:
        field: (t, z) -> dz/dt, shaped like z; with `density`, also a method `with_divergence(t, z)` that gives the
            divergence (…) beside it. t is a float, or (n, 1) where every sequence has its own clock.
        z0: (…, D); (…, n, D) where times is (n, T). A field drawn `shape` many times wants z0 (*shape, …, D).
        times: (T,) or (n, T), not decreasing.
        substeps: steps between one time and the next.
        method: an explicit Runge–Kutta method of `odelab.solvers`.
        density: log q(z0) (…), where the log-density along the paths is wanted. It is integrated to the method's
            order, at the same stages as z: it cannot be better than the steps are.

    Returns:
        z (…, T, D); with density, also log q(z(t)) (…, T). Gradients reach z0, density and the field's weights.
    """
    solver = RungeKutta(chosen(TABLEAUS, method, "method"))
    if substeps < 1:
        raise ValueError(f"substeps must be at least 1, got {substeps}")
    shared = times.ndim == 1
    clock: list[Any] = times.tolist() if shared else list(times.to(z0.dtype)[..., None].unbind(-2))
    path, seen_t, seen_z, sizes = [z0], [], [], []

    def watched(t: Any, z: Tensor) -> Tensor:
        if density is not None:
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
    if len(path) == 1:
        return states, density[..., None]
    # The log-density feeds nothing back into z: the divergences of all stages are taken at once.
    stages = len(seen_t) // len(sizes)
    t = torch.tensor(seen_t, dtype=z0.dtype, device=z0.device)[:, None] if shared else torch.stack(seen_t, -2)
    divergence = field.with_divergence(t, torch.stack(seen_z, -2))[1].unflatten(-1, (-1, substeps, stages))
    weights = torch.tensor(solver.tableau.b[:stages], dtype=z0.dtype, device=z0.device)
    lost = torch.matmul(divergence, weights)
    dt = torch.tensor(sizes, dtype=z0.dtype, device=z0.device) if shared else torch.cat(sizes, -1)
    change = (lost * dt.unflatten(-1, (-1, substeps))).sum(-1).cumsum(-1)
    return states, torch.cat([density[..., None], density[..., None] - change], -1)
