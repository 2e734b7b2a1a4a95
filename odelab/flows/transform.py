"""A flow in the terms of `torch.distributions`: a bijection of the base's space to the data's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.distributions import Transform, constraints

if TYPE_CHECKING:
    from odelab.flows.flow import Flow


class CNFTransform(Transform):
    """y = z(0) for x = z(t1), or any other `Flow`: from a sample of the base to one of the data, (…, dim) each.

    The last pair is remembered with its log-determinant, so that a density costs one solve, not two.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, flow: Flow, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.flow = flow
        self._solved: tuple[Tensor, Tensor, Tensor] | None = None  # x, y, log |det ∂y/∂x|

    def with_cache(self, cache_size: int = 1) -> CNFTransform:
        return self if cache_size == self._cache_size else CNFTransform(self.flow, cache_size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CNFTransform) and other.flow is self.flow

    __hash__ = Transform.__hash__

    def _call(self, x: Tensor) -> Tensor:
        y, log_det = self.flow.transport(x, reverse=True)
        self._solved = x, y, log_det
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        x, log_det = self.flow.transport(y)
        self._solved = x, y, -log_det
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |det ∂y/∂x|, (…,)."""
        if self._solved is None or self._solved[0] is not x or self._solved[1] is not y:
            self._inverse(y)
        return self._solved[2]  # type: ignore[index]
