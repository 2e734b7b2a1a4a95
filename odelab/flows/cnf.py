"""Continuous normalizing flows: a density carried along the paths of a vector field (Chen et al. 2018; FFJORD 2019).

    dz/dt = f(t, z),   z(0) = x                                        (notes 24.12)
    log p(x) = log q(z(t1)) + ∫₀^t1 div f(t, z(t)) dt                  (notes 24.14)

Data stand at t = 0, the base density q at t1. Sampling runs the same equation backwards.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.modules.batchnorm import _BatchNorm

from odelab.choices import choose
from odelab.divergence import (
    NOISES,
    check_field,
    exact_divergence,
    jacobian_products,
    probes,
    some_rows,
    unit_directions,
)
from odelab.flows.flow import Flow, tensors_of
from odelab.solvers import Stats, solve
from odelab.solvers.control import largest_norm
from odelab.solvers.gradients import GRADIENTS
from odelab.solvers.inputs import as_float, pack_state
from odelab.solvers.loops import make_scheme

DIVERGENCES: Mapping[str, bool] = {"exact": True, "hutchinson": False}
# What a cost adds up along the path, from f (…, d) and from the products of J with its directions (K, …, d), already
# scaled so that their squares sum to ‖J‖²_F or an unbiased estimate of it.
REGULARIZERS: Mapping[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "kinetic": lambda f, products: f.square().sum(-1),
    "jacobian": lambda f, products: products.square().sum((0, -1)),  # type: ignore[union-attr]
}


class CNF(Flow):
    """The density of x whose image z(t1) under dz/dt = field(t, z), z(0) = x, is distributed like `base`.

    Every method that takes points, and sampling, also takes a `context` (…, size) whose leading shape broadcasts to
    theirs: the field is then called as field(t, z, context), and the density is a conditional one. Gradients reach the
    context, so that an encoder before it learns.

    Before the first density a few points show whether the field has one: whether its rows are independent and its
    derivatives are those of its values. An error says what is not so.

    Every setting may be changed between calls (`cnf.divergence = "hutchinson"`), several also together: the next call
    checks them. `replace` gives a copy that shares the weights and nothing else.

    Args:
        field: (t, z (batch, dim)) -> (batch, dim); with a method `jvp` (as `MLPField`) or `with_divergence` it is
            asked for its derivatives, else autograd is. With a context (batch, size) each gets it as last argument.
        base: a distribution over (dim,); the standard normal of `field.dim` by default.
        t1: where the base stands; a tensor or `nn.Parameter` that requires grad is learned.
        steer: in training mode the solve ends at a time drawn from U(t1 − steer, t1 + steer), anew for every call
            (Ghosh et al. 2020).
        divergence: "exact", or "hutchinson" with `n_probes` random directions of `noise` ("rademacher", "gaussian"),
            drawn once per solve.
        method, rtol, atol, gradient, options: of `odelab.solve`, where a norm gets (z, log det), or (z,) in sampling;
            steps: for methods of fixed steps, how many, unless options say with step_size or grid_constructor.
        regularizers: costs of a path that `log_prob_and_costs` adds up, some of `REGULARIZERS`: "kinetic", ∫‖f‖² dt,
            and "jacobian", ∫‖∂f/∂z‖²_F dt (notes 24.30, 24.31), estimated with the divergence's own directions. They
            are states of the solve which its error control does not see.

    Attributes:
        stats: `Stats` of the last solve, None before.

    Raises:
        ValueError, TypeError: at once for a setting that cannot be, or that another one excludes.

    Example:
        >>> import torch
        >>> from odelab.flows import CNF
        >>> from odelab.nets import MLPField
        >>> flow = CNF(MLPField(dim=2, hidden=(16,)))
        >>> flow.log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
        >>> flow.sample((3,)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        field: nn.Module,
        base: Distribution | nn.Module | None = None,
        *,
        t1: float | Tensor = 1.0,
        steer: float = 0.0,
        divergence: str = "exact",
        noise: str = "rademacher",
        n_probes: int = 1,
        gradient: str = "checkpoint",
        method: str = "dopri5",
        rtol: float = 1e-5,
        atol: float = 1e-5,
        steps: int | None = None,
        options: Mapping[str, Any] | None = None,
        regularizers: Sequence[str] = (),
    ) -> None:
        if not isinstance(field, nn.Module):
            raise TypeError(f"field must be an nn.Module, so that its parameters are found; got {type(field).__name__}")
        dim = getattr(field, "dim", None)
        if dim is None:
            if base is None:
                raise ValueError("field has no attribute `dim`: set it, or give base, a distribution over (dim,)")
            dim = (base() if isinstance(base, nn.Module) else base).event_shape.numel()
        super().__init__(int(dim), base)
        self.field = field
        self.t1, self.steer = t1, steer
        self.divergence, self.noise, self.n_probes = divergence, noise, n_probes
        self.gradient, self.method, self.rtol, self.atol = gradient, method, rtol, atol
        self.steps, self.options, self.regularizers = steps, dict(options or {}), tuple(regularizers)
        self.stats: Stats | None = None
        self._looked_at: set[tuple[int, bool, bool]] = set()
        self._check()

    def _check(self) -> None:
        choose(DIVERGENCES, self.divergence, "divergence")
        choose(NOISES, self.noise, "noise")
        choose(dict.fromkeys(GRADIENTS), self.gradient, "gradient")
        for name in self.regularizers:
            choose(REGULARIZERS, name, "regularizer")
        t1, fixed, how = as_float(self.t1), self.steps is not None, f"steps={self.steps}"
        if not math.inf > t1 > self.steer >= 0:
            raise ValueError(f"steer must be in [0, t1) and t1 positive and finite, got steer={self.steer}, t1={t1}")
        for name, count in (("n_probes", self.n_probes), ("steps", self.steps if fixed else 1)):
            if not isinstance(count, Integral) or count < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, got {count!r}")
        if not isinstance(self.options, Mapping):
            raise TypeError(f"options must be a mapping of names to values, got {type(self.options).__name__}")
        point, layout = pack_state((torch.zeros(1, self.dim, device="cpu"), torch.zeros(1, device="cpu")))
        method = make_scheme(self.method, self.rtol, self.atol, dict(self.options), layout, point, strict=True).method
        sized = [name for name in ("step_size", "grid_constructor") if self.options.get(name) is not None]
        why = ""
        if fixed and method.adaptive:
            why = f"{how} is for methods of fixed steps, {self.method!r} chooses its own: drop one (steps=None)"
        elif fixed and sized:
            why = f"{how} and options[{sized[0]!r}] both say where to step: give one or the other"
        elif not (fixed or sized or method.adaptive):  # the solve would be a single step, and its density false
            why = f"{self.method!r} takes fixed steps: give steps, how many, or options={{'step_size': …}}, how long"
        elif self.gradient == "checkpoint" and not method.one_step:
            why = f"gradient='checkpoint' replays single steps, {self.method!r} has none: 'adjoint' or 'backprop'"
        if why:
            raise ValueError(why)

    def replace(self, **settings: Any) -> CNF:
        """A flow of the same weights, with other settings: `cnf.replace(method="dopri5", divergence="exact")`.

        Parameters and buffers are shared, so that both follow what an optimizer does; the modules around them are not:
        the mode of the one, or a part put in place of another, does not change in the other.
        """
        for name in settings:
            choose(dict.fromkeys(_SETTINGS), name, "setting")
        base = [] if isinstance(self._base, nn.Module) else [self._base]
        shared: list[Any] = [*base, self.options, *(x for part in self.modules() for x in tensors_of(part))]
        other = copy.deepcopy(self, {id(x): x for x in shared})
        other.options, other.stats = dict(self.options), None
        for name, value in settings.items():
            other._parameters.pop(name, None)  # a learned t1
            setattr(other, name, value)
        other._check()
        return other

    def log_prob_and_costs(
        self, x: Tensor, names: Sequence[str] | None = None, *, context: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x) (…,) and the costs of each path (…,), by default those in `regularizers`."""
        z1, log_det, costs = self.transport_with_costs(x, names, context=context)
        return self._base_log_prob(z1) + log_det, costs

    def transport_with_costs(
        self, x: Tensor, names: Sequence[str] | None = None, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """z(t1) (…, dim), log |det ∂z(t1)/∂x| (…,) and the costs of the paths (…,)."""
        names = self.regularizers if names is None else tuple(names)
        (z1, log_det, *costs), shape = self._last(x, self._span(x, steer=True), names, context)
        by_name = dict(zip(names, (cost.view(shape) for cost in costs), strict=True))
        return z1.view(*shape, self.dim), log_det.view(shape), by_name

    def transport(self, x: Tensor, *, reverse: bool = False, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z(t1) (…, dim) from z(0) = x (…, dim), and log |det ∂z(t1)/∂x| (…,); reverse: z(0) from z(t1) likewise."""
        (z1, log_det), shape = self._last(x, self._span(x, steer=not reverse, reverse=reverse), (), context)
        return z1.view(*shape, self.dim), log_det.view(shape)

    def trajectory(self, x: Tensor, t: Tensor, *, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The paths from z(0) = x (…, dim) at increasing times t (T,) in [0, t1], and the log-density along them.

        Returns:
            z (T, …, dim) and log p_t(z(t)) (T, …): log p(x) at t = 0, the base's at t1.
        """
        end = as_float(self.t1)
        times = [float(now) for now in t]
        if not times or times != sorted(set(times)) or times[0] < 0 or times[-1] > end + 1e-6:
            raise ValueError(f"t must be increasing times in [0, {end:g}], where the flow is defined; got {times}")
        inner = [now for now in times if 0 < now < end - 1e-6]
        grid = torch.tensor([0.0, *inner, end], dtype=torch.float64, device=x.device)
        (z, log_det), shape = self._states(x, grid, (), context)
        log_density = self._base_log_prob(z[-1]) + log_det[-1] - log_det
        keep = slice(0 if times[0] == 0 else 1, len(grid) if times[-1] > end - 1e-6 else len(grid) - 1)
        z, log_density = z[keep], log_density[keep]
        return z.view(len(z), *shape, self.dim), log_density.view(len(z), *shape)

    def inverse(self, z: Tensor, *, context: Tensor | None = None) -> Tensor:
        """z(0) (…, dim) from z(t1) = z (…, dim), without the cost of a divergence."""
        self._check()
        self.check_points(z)
        norm = self.options.get("norm")
        options = {"norm": lambda piece: norm((piece,))} if norm else {}
        field, given = self._bound(z, context)
        path = self._solve(field, z.reshape(-1, self.dim), self._span(z, reverse=True), options, given)
        return path[-1].view(z.shape)

    def _span(self, x: Tensor, *, steer: bool = False, reverse: bool = False) -> Tensor:
        """[0, t1], or backwards; a learned t1 stays in the graph."""
        end = torch.as_tensor(self.t1, device=x.device, dtype=None if isinstance(self.t1, Tensor) else torch.float64)
        if steer and self.training and self.steer:
            end = end + self.steer * (2 * torch.rand((), device=end.device, dtype=end.dtype) - 1)
        span = [torch.zeros_like(end), end]
        return torch.stack(span[::-1] if reverse else span)

    def _last(
        self, x: Tensor, t: Tensor, costs: Sequence[str], context: Tensor | None
    ) -> tuple[list[Tensor], torch.Size]:
        states, shape = self._states(x, t, costs, context)
        return [state[-1] for state in states], shape

    def _bound(self, x: Tensor, context: Tensor | None) -> tuple[Any, tuple[Tensor, ...]]:
        """The field of (t, z) for points x, and the tensors beside its parameters that get gradients."""
        if context is None:
            return self.field, ()
        if not isinstance(context, Tensor) or not context.is_floating_point() or not context.ndim:
            raise TypeError(f"context must be a floating-point tensor (…, size), got {type(context).__name__}")
        try:
            rows = context.expand(*x.shape[:-1], context.shape[-1]).reshape(-1, context.shape[-1])
        except RuntimeError:
            raise ValueError(
                f"context {tuple(context.shape)} does not broadcast to the points {tuple(x.shape)}: it is (…, size), "
                f"where … broadcasts to {tuple(x.shape[:-1])}"
            ) from None
        if not bool(torch.isfinite(rows).all()):
            raise ValueError("context has NaN or infinite entries; a density needs finite ones")
        return _Conditional(self.field, rows), (rows,)

    def _states(
        self, x: Tensor, t: Tensor, costs: Sequence[str], context: Tensor | None
    ) -> tuple[list[Tensor], torch.Size]:
        """z (T, batch, dim), log det and every cost (T, batch) at the times t, and the shape of the batch."""
        self._check()
        self.check_points(x)
        integrands = [choose(REGULARIZERS, name, "regularizer") for name in costs]
        exact = choose(DIVERGENCES, self.divergence, "divergence")
        z = x.reshape(-1, self.dim)
        for name, part in self.field.named_modules():
            if part.training and isinstance(part, _BatchNorm):
                raise ValueError(
                    f"the field has batch norm in training mode ({name or 'itself'}): a point's path then depends on "
                    "the other points of the batch, and its density cannot be computed. Take LayerNorm instead, or "
                    "call flow.field.eval() after every flow.train()"
                )
        field, given = self._bound(x, context)
        self._look_at_field(t[0].to(z.dtype), z, given)
        scale, directions = 1.0, unit_directions(z) if exact else probes(self.noise, self.n_probes, z)
        if not exact:
            scale = self.n_probes**-0.5  # the sum over directions becomes a mean

        def slopes(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if exact and "jacobian" not in costs:
                f, divergence = exact_divergence(field, t, state[0])
                return f, divergence, *(integrand(f, None) for integrand in integrands)
            f, products = jacobian_products(field, t, state[0], directions)
            products = products * scale if scale != 1 else products
            divergence = (products * directions).sum((0, -1)) * scale
            return f, divergence, *(integrand(f, products) for integrand in integrands)

        zeros = [z.new_zeros(len(z)) for _ in range(1 + len(costs))]
        norm = self.options.get("norm", largest_norm)
        options = {"norm": lambda pieces: norm(pieces[:2])} if costs else {}
        return self._solve(slopes, (z, *zeros), t, options, given), x.shape[:-1]

    def _look_at_field(self, t: Tensor, z: Tensor, given: tuple[Tensor, ...]) -> None:
        """Check a field once in each mode, at some points (batch, dim)."""
        case = id(self.field), self.field.training, bool(given)
        traced = torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(z)
        if traced or case in self._looked_at or not z.numel():
            return
        field = _Conditional(self.field, some_rows(given[0])) if given else self.field
        check_field(field, t.detach(), some_rows(z))
        self._looked_at.add(case)

    def _solve(
        self, func: Callable[..., Any], start: Any, t: Tensor, options: dict[str, Any], given: tuple[Tensor, ...]
    ) -> Any:
        pieces = start if isinstance(start, tuple) else (start,)
        if not pieces[0].numel():  # `solve` refuses an empty state; a slope there has its shape and a graph
            slopes = func(t[0].to(pieces[0].dtype), start)
            self.stats = Stats(method=self.method, nfe=1)
            paths = tuple(s.expand(len(t), *s.shape) for s in (slopes if isinstance(start, tuple) else (slopes,)))
            return paths if isinstance(start, tuple) else paths[0]
        options = {**self.options, **options}
        if self.steps is not None:
            size = abs(as_float(t[-1]) - as_float(t[0])) / self.steps
            options = {"interp": "cubic", **options, "step_size": size}  # output times lie between the steps
        solution = solve(
            func,
            start,
            t,
            method=self.method,
            rtol=self.rtol,
            atol=self.atol,
            gradient=self.gradient,
            options=options,
            params=(*self.field.parameters(), *given),
        )
        self.stats = solution.stats
        return solution.y

    def extra_repr(self) -> str:
        shown = ("t1", "divergence", "method", "rtol", "atol", "steps", "gradient", "regularizers")
        return ", ".join(
            f"{name}={getattr(self, name)!r}" for name in shown if not isinstance(getattr(self, name), Tensor)
        )


class _Conditional:
    """A field for one batch, each point with its own context (batch, size); it has the field's derivatives."""

    def __init__(self, field: Any, context: Tensor) -> None:
        self.field, self.context = field, context
        for name in ("jvp", "with_divergence"):
            if hasattr(field, name):
                setattr(self, name, functools.partial(self._asked, getattr(field, name)))

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        copies = len(z) // max(len(self.context), 1)  # a divergence is asked of several copies of the batch at once
        return self.field(t, z, self.context.repeat(copies, 1) if copies > 1 else self.context)

    def _asked(self, method: Callable[..., Any], *arguments: Any) -> Any:
        return method(*arguments, self.context)


_SETTINGS = (
    "t1",
    "steer",
    "divergence",
    "noise",
    "n_probes",
    "gradient",
    "method",
    "rtol",
    "atol",
    "steps",
    "options",
    "regularizers",
)
