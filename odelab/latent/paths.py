"""The latent path and the density it carries.

    z(t) = z(0) + ∫ f(z) dt                                             (slides 10)
    log q(z(t)) = log q(z(0)) − ∫ tr ∂f/∂z dt                           (slides 15)

Sequences with clocks of their own are solved together: between two successive observations every sequence takes steps
of its own size, dz/dτ = Δt f(z) with τ from 0 to 1.

The log-density feeds nothing back into z. So the divergences of all stages of all steps are taken at once after the
solve, and added up with the method's own weights: to the digit what a solve of the augmented state (z, log q) gives.

A latent field is small, so that what a solve costs is the number of operations, not their size. Recorded by autograd a
stage takes some forty of them forward and backward; written out, with every result put where it belongs, under twenty:
an iteration of training takes 2.3 to 2.6 times as long with autograd on walks, 1.1 times on images, where convolutions
take most of it. With k_i = field(y_i), y_i = z + dt Σ_j a_ij k_j and z⁺ = z + dt Σ_i b_i k_i, going backwards

    ∂L/∂k_i = dt (b_i ∂L/∂z⁺ + Σ_l a_li ∂L/∂y_l),   ∂L/∂y_i += (∂k_i/∂y_i)ᵀ ∂L/∂k_i,   ∂L/∂z = ∂L/∂z⁺ + Σ_i ∂L/∂y_i

stage by stage, and the gradient of each weight matrix is one product over all stages of all steps.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from odelab.choices import choose
from odelab.divergence import WrongDensity, check_field, some_rows
from odelab.latent.bayesian import NONLINEARITIES, BayesianMLP, Weights
from odelab.latent.dynamics import DrawnField
from odelab.solvers.gradients import differentiated_once
from odelab.solvers.stepping import RungeKutta
from odelab.solvers.tableaus import TABLEAUS, ButcherTableau

ONCE = "gradient='rollout' can be differentiated once, and this is a second derivative: take gradient='backprop'"


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
            sequence has its own clock, and may have one more dimension before the last, that of the stages. What a
            class derived from `DrawnField` or `BayesianMLP` does otherwise is followed, too.
        z0: (…, D); (…, n, D) where times is (n, T). A field drawn `shape` many times wants z0 (*shape, …, D).
        times: (T,), on any device, or (n, T); not decreasing. They get no gradient.
        substeps: steps between one time and the next.
        method: an explicit Runge–Kutta method of `odelab.solvers`.
        density: log q(z0) (…), where the log-density along the paths is wanted. It is integrated to the method's
            order, at the same stages as z: it cannot be better than the steps are.
        gradient: "rollout", the derivative of the loop written by hand, several times faster, for a `DrawnField`;
            "backprop", autograd's, which can be differentiated again. Other fields, and derived classes, always take
            the latter.

    Raises:
        ValueError: for settings that cannot be; with density, for fields other than the library's that mix rows of z,
            draw random numbers, or whose divergence is not that of their values.

    Returns:
        z (…, T, D); with density, also log q(z(t)) (…, T). Gradients reach z0, density and the field's weights.
        Under autocast, too, both are computed in the precision of the field's weights.
    """
    tableau = choose(TABLEAUS, method, "method")
    choose(dict.fromkeys(("rollout", "backprop")), gradient, "gradient")
    if substeps < 1:
        raise ValueError(f"substeps must be at least 1, got {substeps}")
    times = times.detach()
    if times.shape[-1] == 1:
        return z0[..., None, :] if density is None else (z0[..., None, :], density[..., None])
    with full_precision(z0):
        if isinstance(field, DrawnField):
            z0 = z0.to(field.weights.biases[0].dtype)
            if gradient == "rollout" and _is_plain(field):
                return _rolled_out(field, z0, times, substeps, tableau, density)
        if density is not None and not _is_plain(field):
            _look_at(field, float(times.reshape(-1)[0]), z0)
        return _stepped(field, z0, times, substeps, tableau, density)


def _is_plain(field: Any) -> bool:
    """Whether the field does what is written out below, and no more; derived classes may."""
    return type(field) is DrawnField and type(field.net) is BayesianMLP and type(field.weights) is Weights


def _look_at(field: Any, t: float, z0: Tensor) -> None:
    """Check a field at a few rows of z0 (…, D); one that can be asked for these very rows only is taken as it is.

    Raises:
        WrongDensity: see `check_field`.
    """
    if not z0.numel() or torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(z0):
        return
    draws = tuple(getattr(field, "shape", z0.shape[:-2]))
    rows = z0.reshape(*draws, -1, z0.shape[-1])[(0,) * len(draws)]
    try:
        check_field(_FirstDraw(field, draws), t, some_rows(rows), random=False)
    except WrongDensity:
        raise
    except Exception:  # the field's own: it may hold a context for each of its rows
        return


@dataclass(frozen=True)
class _FirstDraw:
    """A field that was drawn many times, over rows z (n, D) of the first draw alone."""

    field: Any
    draws: tuple[int, ...]

    def __call__(self, t: float, z: Tensor) -> Tensor:
        return self.field(t, z.expand(*self.draws, *z.shape))[(0,) * len(self.draws)]

    @torch.enable_grad()  # a divergence may be autograd's
    def with_divergence(self, t: float, z: Tensor) -> list[Tensor]:
        z = z.expand(*self.draws, *z.shape).requires_grad_()
        return [x[(0,) * len(self.draws)].detach() for x in self.field.with_divergence(t, z)]


def _stepped(
    field: Any, z0: Tensor, times: Tensor, substeps: int, tableau: ButcherTableau, density: Tensor | None
) -> Any:
    """By the steps of `odelab.solvers`, recorded by autograd."""
    solver, shared = RungeKutta(tableau), times.ndim == 1
    clock: list[Any] = times.tolist() if shared else list(times[..., None].unbind(-2))
    path, stage_t, stage_z, sizes = [z0], [], [], []

    def recorded(t: Any, z: Tensor) -> Tensor:
        stage_t.append(t)
        stage_z.append(z)
        return field(t, z)

    z = z0
    for start, stop in pairwise(clock):
        dt = (stop - start) / substeps  # before it is rounded to the precision of z
        start, dt = (start, dt) if shared else (start.to(z0), dt.to(z0))
        for i in range(substeps):
            t0 = start + i * dt
            z = solver.step(recorded, t0, t0 + dt, dt, z, end=False).y1
            sizes.append(dt)
        path.append(z)
    states = torch.stack(path, -2)
    if density is None:
        return states
    t = z0.new_tensor(stage_t)[:, None] if shared else torch.stack(stage_t, -2)
    divergence = field.with_divergence(t, torch.stack(stage_z, -2))[1]  # (…, steps · stages)
    dt = z0.new_tensor(sizes) if shared else torch.cat(sizes, -1)
    return states, _carried(density, divergence, dt, tableau, substeps)


def _rolled_out(
    field: DrawnField, z0: Tensor, times: Tensor, substeps: int, tableau: ButcherTableau, density: Tensor | None
) -> Any:
    """By the loop below; z as (draws, rows, D) there, or (rows, D) where there is no draw."""
    draws = field.check(z0)
    rows = (*[draws.numel()] * bool(draws), -1)
    z, sizes = z0.reshape(*rows, z0.shape[-1]), times.diff(dim=-1).to(z0.dtype) / substeps
    if times.ndim == 1:
        steps: Any = [dt for dt in sizes.tolist() for _ in range(substeps)]
        sizes = sizes.to(z0.device)
    else:
        own = sizes.expand(*z0.shape[:-1], -1).reshape(*rows, sizes.shape[-1])
        steps = own.repeat_interleave(substeps, -1)[..., None].unbind(-2)
    matrices, biases = field.weights.flat
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (z, *matrices, *biases))
    loop = Loop(tableau, steps, field.net.activation, field.second_order, learns or density is not None)
    visited, *hidden = _RollOut.apply(loop, z, *matrices, *biases) if loop.keep else _march(loop, z, matrices, biases)
    states = visited[:: substeps * loop.stages].movedim(0, -2).reshape(*z0.shape[:-1], -1, z0.shape[-1])
    if density is None:
        return states
    slopes = [NONLINEARITIES[field.net.activation].slope(y) for y in hidden]
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


@dataclass(frozen=True, eq=False)
class Loop:
    """What the loop is to do.

    Attributes:
        tableau: of the method.
        sizes: dt of every step: floats, or tensors (…, rows, 1) of each row's own.
        activation: see `NONLINEARITIES`.
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
    def columns(self) -> list[tuple[tuple[int, float], ...]]:
        """For each stage j the later stages i that use it, and a_ij."""
        a = self.tableau.a
        return [tuple((i, a[i][j]) for i in range(j + 1, self.stages) if a[i][j] != 0) for j in range(self.stages)]


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Autocast off, on the device of a tensor: an ODE adds up thousands of small changes."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def _combine(out: Tensor, z: Tensor, dt: Any, row: Sequence[tuple[int, float]], slopes: Sequence[Tensor]) -> None:
    """out = z + dt Σ_i w_i slopes_i; out may be z."""
    for i, w in row:
        if isinstance(dt, Tensor):
            torch.addcmul(z, slopes[i], dt, value=w, out=out)
        else:
            torch.add(z, slopes[i], alpha=dt * w, out=out)
        z = out


def _march(loop: Loop, z0: Tensor, matrices: Sequence[Tensor], biases: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Every state that the solve went through, and the activations there.

    Args:
        z0: (rows, D), or (draws, rows, D) with weights of as many draws.
        matrices, biases: see `Weights.flat`.

    Returns:
        states (steps · stages + 1, …, rows, D): entry k · stages is the state after k steps, those between are where
        the field was evaluated; activations y_l (steps · stages, …, rows, width_l) of each hidden layer, with `keep`.
    """
    add = torch.addmm if z0.ndim == 2 else torch.baddbmm
    in_place = NONLINEARITIES[loop.activation].in_place
    stages, count, dim = loop.stages, len(loop.sizes) * loop.stages, z0.shape[-1]
    half = dim // 2 if loop.second_order else 0
    states = z0.new_empty(count + 1, *z0.shape)
    states[0] = z0
    widths = [matrix.shape[-2] for matrix in matrices[:-1]]
    hidden = [z0.new_empty(count if loop.keep else 1, *z0.shape[:-1], width) for width in widths]
    slopes = z0.new_empty(stages, *z0.shape)
    at, velocities = states.unbind(), states[..., half:].unbind()
    activations = [h.unbind() * (1 if loop.keep else count) for h in hidden]
    slope, slope_s, slope_v = slopes.unbind(), slopes[..., :half].unbind(), slopes[..., half:].unbind()
    layers = list(zip([matrix.mT for matrix in matrices], biases, strict=True))
    for step, dt in enumerate(loop.sizes):
        first = step * stages
        for i, row in enumerate(loop.tableau.rows[:stages]):
            here = x = at[first + i]
            if i:
                _combine(here, at[first], dt, row, slope)
            for (matrix, bias), h in zip(layers[:-1], activations, strict=True):
                x = add(bias, x, matrix, out=h[first + i])
                in_place(x)
            add(layers[-1][1], x, layers[-1][0], out=slope_v[i])
            if half:
                slope_s[i].copy_(velocities[first + i])
        _combine(at[first + stages], at[first], dt, loop.tableau.solution, slope)
    return states, *hidden


class _RollOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loop: Loop, z0: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        layers = len(weights) // 2
        results = _march(loop, z0, weights[:layers], weights[layers:])
        ctx.loop, ctx.layers = loop, layers
        ctx.save_for_backward(*results, *weights[:layers])
        return results

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor, *grad_hidden: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            return differentiated_once(_RollOut.backward, ctx, grad_states, *grad_hidden, message=ONCE)
        with full_precision(grad_states):
            return _backward(ctx.loop, ctx.layers, ctx.saved_tensors, grad_states, grad_hidden)


def _backward(
    loop: Loop, layers: int, saved: Sequence[Tensor], grad_states: Tensor, grad_hidden: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """The gradients of `_RollOut`'s arguments."""
    states, *rest = saved
    hidden, matrices = rest[: layers - 1], rest[layers - 1 :]
    stages, tableau = loop.stages, loop.tableau
    half = states.shape[-1] // 2 if loop.second_order else 0
    slope = NONLINEARITIES[loop.activation].slope
    rates = [slope(h).unbind() for h in hidden]
    # ∂L/∂y_l from outside becomes ∂L/∂a_l in place, ∂L/∂states the whole gradient of each state.
    at_states, deltas = grad_states.clone(), [grad.clone() for grad in grad_hidden]
    at_slopes = torch.zeros_like(states[:-1])
    g, gk = at_states.unbind(), at_slopes.unbind()
    g_v, gk_s, gk_v = at_states[..., half:].unbind(), at_slopes[..., :half].unbind(), at_slopes[..., half:].unbind()
    gh = [delta.unbind() for delta in deltas]
    addmm = "addmm_" if states.ndim == 3 else "baddbmm_"
    downward = list(zip(gh, rates, matrices[1:], strict=True))[::-1]
    solution, columns = dict(tableau.solution), loop.columns
    for step in reversed(range(len(loop.sizes))):
        dt, first = loop.sizes[step], step * stages
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
