"""Implicit Runge–Kutta methods: every one of `IMPLICIT_TABLEAUS`, by one Newton iteration.

The stages are y + z_i with z = dt (a ⊗ I) f(y + z). Newton's iteration solves that with the Jacobian J of f at the
start of the step, frozen over the step (Hairer & Wanner II, Sec. IV.8):

    (I − dt a ⊗ J) Δz = −(z − dt (a ⊗ I) f(y + z)).

The slopes are read back from z and not from f: for a stiff f the difference would be the error of z times |J|.

What it costs. A step computes one Jacobian, J of size n × n for all n numbers of the state together, by n
vector–Jacobian products in one batch, and decomposes it: O(n³), for the methods of several coupled stages (radauIIA3,
radauIIA5, gl4, gl6) of s n × s n. A state (batch, d) counts n = batch · d, because nothing says that its rows do not
depend on one another; options=dict(per_sample=True) says so, and takes a Jacobian of d × d for each row. An iteration
costs one evaluation of f a stage.

kvaerno5 has a stage at t + 1.23 dt: it asks f behind the end of a step, and in the last steps behind the end of the
solve. Where f is not defined there, or jumps, take radauIIA5 or kvaerno3.

On a fixed grid nothing watches the error. Where the solution grows within a step by more than about e^2, a step passes
a pole of the method, and its result is damped, or has changed its sign; a warning says so. The equations of the stages
may also have several solutions; Newton's iteration takes the one that it comes to from y0.

Gradients come from the implicit function theorem. At a solution of R(z, θ) = 0, ∂z/∂θ = −(∂R/∂z)⁻¹ ∂R/∂θ whatever the
iterations were, so that only one evaluation of f at the solution is recorded; its Jacobian, which is no longer that at
the start of the step, is taken when the gradient is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.errors import NewtonFailure, differentiated_once
from odelab.solvers.inputs import Field, Time, as_float
from odelab.solvers.methods.jacobian import LARGEST, jacobians, passes_a_pole, real, unreal
from odelab.solvers.stepping import Step, increment
from odelab.solvers.tableaus import ButcherTableau, Row
from odelab.warning import warn

ENTRIES = 2**26  # of the matrices of all rows together
FIXED_ITERS, ADAPTIVE_ITERS = 100, 10
SAFETY = 0.01  # the error of the stages, in units of the tolerance of a step
ROUNDINGS, STALLED = 4.0, 64.0  # to be exact is to change by so few roundings, or by so many and no longer less
TINY = 1e-300
TOO_LONG = (
    "{name} at t = {t:.6g}: the solution grows too fast for a step of dt = {dt:.3g}, it passes a pole of the method; "
    "what grows comes out damped, or with the other sign. Take a smaller step_size, or a method that chooses steps"
)
STIFF_WAY_BACK = (
    "the gradient may be wrong: gradient='adjoint' solves y backwards, where what decays quickly grows, too fast for a "
    "step of {name} at t = {t:.6g} by dt = {dt:.3g}. gradient='checkpoint' replays the forward steps instead"
)


@dataclass(frozen=True)
class Implicit:
    """An implicit Runge–Kutta method, driven by its tableau.

    Attributes:
        adaptive: whether its error estimate chooses the steps; else they follow a grid, and the stages are exact.
        max_iters: of Newton.
        rtol, atol: tolerance of a step, of which the stages are given the hundredth part.
        last: where f was linearised last, and the result, for shorter steps from there.
    """

    tableau: ButcherTableau
    adaptive: bool = False
    max_iters: int = FIXED_ITERS
    rtol: float | Tensor = 0.0
    atol: float | Tensor = 0.0
    last: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    order: int = field(init=False, repr=False, compare=False)
    error_order: int = field(init=False, repr=False, compare=False)
    family = "implicit"
    one_step = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", self.tableau.order)
        object.__setattr__(self, "error_order", self.tableau.error_order)

    def fresh(self) -> Implicit:
        return self

    def linearised(self, f: Field, t: Time, y: Tensor, rows: int) -> tuple[Tensor | None, Tensor]:
        """`linearise`, once for all steps from one place: those rejected, and those that dense output takes."""
        at = f, t, y
        if not (self.last and all(x is z for x, z in zip(at, self.last["at"], strict=True))):
            self.last.update(at=at, result=linearise(f, t, y, rows))
        result: tuple[Tensor | None, Tensor] = self.last["result"]
        return result

    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step:
        """Advance y0 from t0 to t1 = t0 + dt.

        With times per sample, the error of a row whose stages are not found is infinite.

        Raises:
            NewtonFailure: without times per sample, where the stages are not found.
            ValueError: for a state too large for a dense Jacobian.
        """
        tableau = self.tableau
        if not y0.numel():
            nothing = f(t0, y0)
            return Step(t0, t1, dt, y0, y0 + dt * nothing, [nothing] * tableau.stages, nothing, nothing, error=nothing)
        rows = len(y0) if isinstance(t0, Tensor) and t0.ndim else 0
        _refuse_large(y0, rows, max(map(len, tableau.blocks)), tableau.name)
        if slope0 is None and getattr(f, "examine", None) is not None:  # its one look has no graph for a Jacobian
            slope0 = f(t0, y0)
        slope, jacobian = self.linearised(f, t0, y0, rows)
        if slope0 is None and not torch.is_grad_enabled():
            slope0 = slope
        stages: list[Tensor] = []
        if tableau.blocks[0][0] == 1:
            slope0 = f(t0, y0) if slope0 is None else slope0
            stages.append(slope0)
        newton = _Newton(self, f, t0, t1, dt, y0, jacobian, rows > 0)
        states: list[Tensor] = []
        for block in tableau.blocks:
            z, slopes = newton.solve(block, stages)
            stages += slopes
            states = [y0 + newton.state(rise) for rise in z.unbind(1)]
        step = Step(t0, t1, dt, y0, states[-1], stages, slope0)
        if tableau.fsal:
            step.slope1 = stages[-1]
            if len(states) > 2:
                step.inner = [*zip([tableau.c[i] for i in block], states, strict=True)][:-1]
        else:
            step.y1 = y0 + increment(dt, tableau.solution, stages)
        if self.adaptive and end:
            step.error = newton.error(stages)
        return step

    def error(self, step: Step) -> Tensor:
        assert step.error is not None  # for mypy: this method sets it wherever it is adaptive
        return step.error


class _Newton:
    """The stage equations of one step, and their solution.

    States are real here, and of shape (rows, n): one row, or one of each sample; z is (rows, stages of a block, n).
    """

    def __init__(
        self, method: Implicit, f: Any, t0: Time, t1: Time, dt: Time, y0: Tensor, jacobian: Tensor, by_row: bool
    ) -> None:
        self.method, self.f, self.t0, self.t1, self.dt, self.y0 = method, f, t0, t1, dt, y0
        self.jacobian, self.by_row = jacobian, by_row
        self.h: Any = dt.detach().reshape(-1, 1, 1) if isinstance(dt, Tensor) and by_row else as_float(dt)
        self.x0 = self.flat(y0)[:, None]
        self.systems: dict[tuple[Row, ...], tuple[Tensor, Tensor, Tensor]] = {}
        self.failed = torch.zeros(len(jacobian), dtype=torch.bool, device=y0.device)
        self.rounding = ROUNDINGS * torch.finfo(self.x0.dtype).eps
        self.allowed: Any = 0.0
        if method.adaptive:
            allowed = (SAFETY * (method.atol + method.rtol * y0.detach().abs())).expand(y0.shape)
            self.allowed = self.flat(torch.complex(allowed, allowed) if y0.is_complex() else allowed)[:, None]

    def flat(self, y: Tensor) -> Tensor:
        """A state as (rows, n) real numbers."""
        return real(y).reshape(len(self.jacobian), -1)

    def state(self, x: Tensor) -> Tensor:
        """The inverse of `flat`."""
        return unreal(x, self.y0)

    def slopes(self, times: Sequence[Time], points: Tensor) -> list[Tensor]:
        """f at (times_i, points[:, i])."""
        return [self.f(t, self.state(x)) for t, x in zip(times, points.unbind(1), strict=True)]

    def stack(self, slopes: Sequence[Tensor]) -> Tensor:
        """States side by side, (rows, m, n)."""
        return torch.stack([self.flat(slope) for slope in slopes], dim=1)

    def system(self, entries: tuple[Row, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """entries (m, m) as a tensor, and the decomposed I − dt entries ⊗ J; made once where they come again."""
        if entries not in self.systems:
            matrix = torch.tensor(entries, dtype=self.x0.dtype, device=self.x0.device)
            whole = stage_matrix(matrix, self.jacobian[:, None], self.h)
            lu, pivots, _ = torch.linalg.lu_factor_ex(whole)
            last = self.method.last
            if not (self.method.adaptive or "warned" in last) and bool(passes_a_pole(whole, lu, pivots).any()):
                last["warned"] = True
                text = STIFF_WAY_BACK if hasattr(getattr(self.f, "func", None), "jacobian_by_rows") else TOO_LONG
                name, t, dt = self.method.tableau.name, as_float(self.t0), as_float(self.dt)
                warn(text.format(name=name, t=t, dt=dt))
            self.systems[entries] = matrix, lu, pivots
        return self.systems[entries]

    def solve(self, block: tuple[int, ...], stages: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """z (rows, m, n) of the m stages of a block, and their slopes in the shape of y, after the stages before."""
        tableau, first = self.method.tableau, block[0]
        entries = tuple(tableau.a[i][first : block[-1] + 1] for i in block)
        times = [self.t1 if tableau.c[i] == 1 else self.t0 + tableau.c[i] * self.dt for i in block]
        earlier = [tuple((j, w) for j, w in tableau.rows[i] if j < first) for i in block]
        known = torch.zeros_like(self.x0)
        if any(earlier):
            known = self.stack([increment(self.dt, weights, stages) for weights in earlier])
        z, last = self.iterate(entries, times, known.detach())
        matrix = self.system(entries)[0]
        if torch.is_grad_enabled():
            z = self.recorded(z, matrix, times, known)
        size = torch.where(self.h == 0, 1.0, self.h) if self.by_row else self.dt  # rows that are done have dt = 0
        found = [self.state(slope) for slope in (torch.linalg.inv(matrix) @ ((z - known) / size)).unbind(1)]
        for slope, evaluation in zip(found, last, strict=True):
            if hasattr(evaluation, "integrand"):  # of the adjoint, which sums it with the weights of the stages
                slope.integrand = evaluation.integrand  # type: ignore[attr-defined]
        return z, found

    def iterate(self, entries: tuple[Row, ...], times: Sequence[Time], known: Tensor) -> tuple[Tensor, list[Tensor]]:
        """z, without a graph, and f where it was asked last."""
        matrix, lu, pivots = self.system(entries)
        x0, adaptive, limit = self.x0.detach(), self.method.adaptive, self.method.max_iters
        z, worst, rate, iteration = known.expand(-1, len(entries), -1), math.inf, math.inf, 0
        while True:
            slopes = self.slopes(times, x0 + z)
            residual = known + self.h * (matrix @ self.stack(slopes).detach()) - z
            change = torch.linalg.lu_solve(lu, pivots, residual.flatten(1)[..., None]).view_as(residual)
            z = z + change
            rounding = self.rounding * (x0 + z).abs().amax((1, 2), keepdim=True)
            sizes = (change.abs() / (self.allowed + rounding).clamp_min(TINY)).amax((1, 2))
            before, worst = worst, float(sizes.max())
            rate = worst / before if iteration else math.inf
            iteration += 1
            if worst <= 1 or (rate < 1 and worst * rate / (1 - rate) <= 1):
                return z, slopes
            if self.by_row:  # a row that diverges does not keep the others from going on
                if iteration == limit:
                    self.failed |= ~(sizes <= 1)
                    return torch.where(self.failed[:, None, None], 0.0, z), slopes
                continue
            if rate > 0.5 and float((change.abs() / rounding).max()) < STALLED:
                return z, slopes
            hopeless = adaptive and iteration > 1 and not worst * rate ** (limit - iteration) < 1 - rate
            if iteration == limit or hopeless or not math.isfinite(worst):
                raise self.failure(iteration, float((change.abs() / (x0 + z).abs().amax()).max()))

    def failure(self, iterations: int, change: float) -> NewtonFailure:
        t, what = as_float(self.t0), f"Newton's iteration for the stages of {self.method.tableau.name!r} "
        hint = "a shorter step may help: options=dict(step_size=…), or a method that chooses it, as 'kvaerno5'"
        if self.method.adaptive:  # the caller learns of it where shorter steps did not help
            hint = f"no step is short enough: func may jump, be singular or be undefined behind t = {t:.6g}"
        if math.isfinite(change):
            what += f"did not converge in {iterations} iterations with the Jacobian of the step's start (the last one "
            what += f"changed them by {change:.1e} of the state)"
        else:
            what += "met a slope or a Jacobian that is NaN or infinite"
        return NewtonFailure(what, t=t, dt=as_float(self.dt), nfe=self.f.stats.nfe, hint=hint)

    def recorded(self, z: Tensor, matrix: Tensor, times: Sequence[Time], known: Tensor) -> Tensor:
        """z with its gradient, where it has one."""
        points = self.x0 + z
        slopes = self.stack(self.slopes(times, points))
        size = self.h if self.by_row else self.dt
        if not (slopes.requires_grad or known.requires_grad or (isinstance(size, Tensor) and size.requires_grad)):
            return z
        if not points.requires_grad:  # func has parameters, y0 no gradient: the Jacobian needs a graph all the same
            points.requires_grad_()
            slopes = self.stack(self.slopes(times, points))
        return _Root.apply(z, z - known - size * (matrix @ slopes), slopes, points, matrix, self.h)

    @torch.no_grad()
    def error(self, stages: list[Tensor]) -> Tensor:
        """The embedded error estimate; infinite for rows whose stages were not found."""
        tableau = self.method.tableau
        error = increment(self.dt, tableau.error, stages)
        if tableau.damping:
            _, lu, pivots = self.system(((tableau.damping,),))
            error = self.state(torch.linalg.lu_solve(lu, pivots, self.flat(error)[..., None]))
        if self.by_row:
            error = torch.where(self.failed.view(-1, *[1] * (error.ndim - 1)), math.inf, error)
        return error


class _Root(torch.autograd.Function):
    """The root z of residual(z, θ) = 0, as a function of θ: dz = −(∂residual/∂z)⁻¹ d residual."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, residual: Tensor, slopes: Tensor, points: Tensor, matrix: Tensor, h: Any
    ) -> Tensor:
        ctx.graph = slopes, points, matrix, h
        ctx.save_for_backward(residual)
        return z.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            message = "implicit methods can be differentiated once, and this is a second derivative: take 'rodas3'"
            return differentiated_once(_Root.backward, ctx, grad, message=message)
        slopes, points, matrix, h = ctx.graph
        whole = stage_matrix(matrix, jacobians(slopes, points), h)
        adjoint = torch.linalg.solve(whole.mT, grad.flatten(1)[..., None]).view_as(grad)
        return None, -adjoint, None, None, None, None


def stage_matrix(matrix: Tensor, jacobian: Tensor, h: Any) -> Tensor:
    """I − h a_ij J_j for matrix a (m, m) and jacobian (rows, m or 1, n, n): (rows, m n, m n)."""
    m, (rows, _, n, _) = len(matrix), jacobian.shape
    products = matrix[:, None, :, None] * jacobian.transpose(1, 2)[:, None]  # (rows, i, n, j, n)
    whole = products.reshape(rows, m * n, m * n) * -h
    whole.diagonal(dim1=1, dim2=2).add_(1.0)
    return whole


def linearise(f: Field, t: Time, y: Tensor, rows: int) -> tuple[Tensor | None, Tensor]:
    """f and its Jacobian at (t, y), without graphs.

    Returns:
        f(t, y) where it was evaluated; the Jacobian (rows, n, n), over the real numbers also of a complex state; with
        rows = 0, that of all numbers of y at once, (1, n, n).
    """
    own = getattr(getattr(f, "func", None), "jacobian_by_rows", None)  # the adjoint's equation knows its own
    jacobian = None if own is None else own(t, y)
    if jacobian is not None:
        return None, jacobian
    t = t.detach() if isinstance(t, Tensor) else t
    with torch.inference_mode(False), torch.enable_grad():
        x = real(y.detach().clone()).reshape(max(rows, 1), -1).requires_grad_()
        slope = f(t, unreal(x, y).clone())  # no view of a leaf: where func changes it, `changed_in_place` says so
        return slope.detach(), jacobians(real(slope).reshape(x.shape), x)


def _refuse_large(y: Tensor, rows: int, stages: int, name: str) -> None:
    if torch.finfo(y.dtype).bits < 32:
        raise ValueError(f"{name} decomposes matrices, and PyTorch does none of {y.dtype}: integrate y0.float()")
    n = y.numel() * (2 if y.is_complex() else 1) // max(rows, 1) * stages
    if n <= LARGEST and max(rows, 1) * n * n <= ENTRIES:
        return
    if rows:
        raise ValueError(
            f"{name} would decompose {rows} matrices of {n} × {n}, one for each row: integrate fewer rows at a time, "
            "or use an explicit method"
        )
    why = "; where the rows of a batch do not depend on one another, options=dict(per_sample=True) takes one for each"
    raise ValueError(
        f"{name} decomposes a full {n} × {n} matrix at every step for a state of shape {tuple(y.shape)}; beyond "
        f"{LARGEST} × {LARGEST} use an explicit method, or 'scipy_solver'{why if y.ndim > 1 else ''}"
    )
