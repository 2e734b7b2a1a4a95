"""What every flow from data to a base density can do once it can `transport`, also for `torch.distributions`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, Transform, TransformedDistribution, constraints

from odelab.flows.base import LearnedBase, learns


class Flow(nn.Module):
    """A bijection of (dim,) between data x and z, distributed like `base`; a subclass says how to `transport`.

    What a method is `given` beside points, such as the `context` of a `CNF`, goes to `transport` and `inverse`.

    It is an `nn.Module` with the methods of a distribution that it needs most; `distribution()` is a
    `torch.distributions` object, for everything that takes one (mixtures, `expand`, further transforms).

    Args:
        dim: of x and z.
        base: a distribution over (dim,). Where it holds an `nn.Parameter` (or is an `nn.Module` whose forward() gives
            the distribution) its parameters are the flow's, learned, saved and moved with it; else it stays on the
            device it was made on. If None, the standard normal, which follows the weights' device and dtype.

    Raises:
        ValueError, TypeError: base is no distribution over (dim,), or computed once from parameters.
    """

    _origin: Tensor

    def __init__(self, dim: int, base: Distribution | nn.Module | None = None) -> None:
        super().__init__()
        if isinstance(base, Distribution) and learns(base):
            base = LearnedBase(base)
        made, base = base, base() if isinstance(base, nn.Module) else base
        if base is not None and not isinstance(base, Distribution):
            raise TypeError(f"base must be a torch.distributions.Distribution, got {type(base).__name__}")
        if base is not None and base.event_shape != (dim,):
            hint = "" if base.event_shape else "; a batch of numbers becomes one vector by Independent(base, 1)"
            raise ValueError(
                f"base must be over vectors (dim,) = ({dim},), as the flow is, got one with event_shape "
                f"{tuple(base.event_shape)} and batch_shape {tuple(base.batch_shape)}{hint}"
            )
        self.dim, self._base = dim, made
        self.register_buffer("_origin", torch.zeros(()), persistent=False)  # says where a flow without weights lives

    @property
    def base(self) -> Distribution:
        if self._base is not None:
            return self._base() if isinstance(self._base, nn.Module) else self._base
        like = next(self.parameters(), self._origin)
        origin = torch.zeros(self.dim, dtype=like.dtype, device=like.device)
        return Independent(Normal(origin, torch.ones_like(origin), validate_args=False), 1, validate_args=False)

    @property
    def event_shape(self) -> torch.Size:
        """(dim,), as a distribution's."""
        return torch.Size((self.dim,))

    def transport(self, x: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """z (…, dim) from x (…, dim) and log |det ∂z/∂x| (…,); reverse: x from z and log |det ∂x/∂z|."""
        raise NotImplementedError

    def inverse(self, z: Tensor) -> Tensor:
        """x (…, dim) from z (…, dim)."""
        return self.transport(z, reverse=True)[0]

    def log_prob(self, x: Tensor, **given: Any) -> Tensor:
        """log p(x) in nats, (…,) for x (…, dim)."""
        z, log_det = self.transport(x, **given)
        return self._base_log_prob(z) + log_det

    def _base_log_prob(self, z: Tensor) -> Tensor:
        return self.base.log_prob(z) if z.numel() else z.sum(-1)  # torch's Independent cannot reshape an empty batch

    @torch.no_grad()
    def sample(self, shape: int | Sequence[int] = (), **given: Any) -> Tensor:
        """Draws (*shape, dim), without a graph."""
        return self.inverse(self.base.sample(_size(shape)), **given)

    def rsample(self, shape: int | Sequence[int] = (), **given: Any) -> Tensor:
        """Draws (*shape, dim) with a graph to the weights and to parameters of the base.

        Raises:
            NotImplementedError: the base has no `rsample`.
        """
        return self.inverse(self.base.rsample(_size(shape)), **given)

    def distribution(self, **given: Any) -> Distribution:
        """The flow as a `torch.distributions` object."""
        return TransformedDistribution(self.base, [CNFTransform(self, cache_size=1, **given)])

    def check_points(self, x: Tensor) -> None:
        """
        Raises:
            TypeError, ValueError: x is no floating-point tensor (…, dim) like the weights, or not finite.
        """
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"x must be a floating-point tensor (…, {self.dim}), got {getattr(x, 'dtype', type(x))}")
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(f"x must have shape (…, {self.dim}), the flow's dim, got {tuple(x.shape)}")
        weight = next(self.parameters(), x)
        if weight.dtype != x.dtype:
            raise TypeError(
                f"x is {x.dtype}, the flow's weights {weight.dtype}: convert one, e.g. x.to({weight.dtype})"
            )
        finite = torch.isfinite(x)
        if not bool(finite.all()):
            rows = int((~finite).reshape(-1, self.dim).any(-1).sum())
            raise ValueError(f"x has NaN or infinite entries in {rows} of its points; a density needs finite ones")


class CNFTransform(Transform):
    """A flow as a bijection from samples of the base to those of the data, (…, dim) each.

    Args:
        cache_size: with 1, the log-determinant of the last inverse is remembered until it is asked for, so that a
            density costs one solve, not two; with 0, nothing is. A memory is of no use once weights or settings of the
            flow have changed, or one of the two points is gone: it is dropped then, and keeps no graph alive.
        given: to the flow beside points, e.g. context.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, flow: Flow, cache_size: int = 0, **given: Any) -> None:
        super().__init__(cache_size=cache_size)
        self.flow, self.given = flow, given
        self._solved: _Solved | None = None

    def with_cache(self, cache_size: int = 1) -> CNFTransform:
        return self if cache_size == self._cache_size else CNFTransform(self.flow, cache_size, **self.given)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CNFTransform) or other.flow is not self.flow:
            return False
        mine, theirs = ({name: id(value) for name, value in one.given.items()} for one in (self, other))
        return mine == theirs

    __hash__ = Transform.__hash__

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_solved": None}

    def __call__(self, x: Tensor) -> Tensor:  # without torch's memory, which holds points and their graph
        return self._call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._inverse(y)

    def _call(self, x: Tensor) -> Tensor:
        return self.flow.transport(x, reverse=True, **self.given)[0]

    def _inverse(self, y: Tensor) -> Tensor:
        x, log_det = self.flow.transport(y, **self.given)
        self._solved = None
        if self._cache_size:
            itself = weakref.ref(self)

            def forget(point: Any) -> None:
                if (transform := itself()) is not None:
                    transform._solved = None

            self._solved = _Solved(weakref.ref(x, forget), weakref.ref(y, forget), -log_det, _version(self.flow))
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |det ∂y/∂x|, (…,)."""
        solved, self._solved = self._solved, None
        if solved and solved.x() is x and solved.y() is y and solved.version == _version(self.flow):
            return solved.log_det
        return -self.flow.transport(y, **self.given)[1]


class _Solved(NamedTuple):
    """What an inverse found: log |det ∂y/∂x| of two points, by the flow as it was then."""

    x: weakref.ref[Tensor]
    y: weakref.ref[Tensor]
    log_det: Tensor
    version: list[Any]


def _version(flow: Flow) -> list[Any]:
    """Something else whenever weights or settings of the flow have changed."""
    state: list[Any] = []
    for module in flow.modules():
        for name, value in vars(module).items():
            if isinstance(value, (bool, int, float, str, tuple, type(None))):
                state.append((name, value))
        state += [(id(x), x.data_ptr(), 0 if x.is_inference() else x._version) for x in tensors_of(module)]
    return state


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """Weights and buffers of the module itself, and tensors that it has as plain attributes."""
    for values in (vars(module), module._parameters, module._buffers):
        yield from (value for value in values.values() if isinstance(value, Tensor))


def _size(shape: int | Sequence[int]) -> torch.Size:
    return torch.Size((shape,) if isinstance(shape, int) else shape)
