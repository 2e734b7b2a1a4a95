"""Latent dynamics: fields of first and second order given by a Bayesian network, one function per draw.

ds/dt = v,   dv/dt = f_W(s, v)                                      (slides 9a, 9b)
dz/dt = f_W(z)                                                      first order, for comparison
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from odelab.latent.bayesian import BayesianMLP, Weights
from odelab.saving import Savable


class DrawnField:
    """dz/dt for given weights, those of one function or of `shape` many; knows no time.

    Attributes:
        weights: see `Weights`; shape: their leading shape, which z has to share.
        dim: of z.
    """

    def __init__(self, net: BayesianMLP, weights: Weights, dim: int, second_order: bool) -> None:
        self.net, self.weights, self.dim, self.second_order = net, weights, dim, second_order
        # the entries of z whose derivatives the divergence adds up: v alone, since ∂(ds/dt)/∂s = ∂v/∂s = 0
        self.columns = slice(dim // 2 if second_order else 0, dim)

    @property
    def shape(self) -> torch.Size:
        return self.weights.shape

    def __call__(self, t: Tensor | float, z: Tensor) -> Tensor:
        """z (*shape, …, dim) -> dz/dt, shaped like z."""
        self.check(z)
        return self._slope(z, self.net.apply(z, self.weights))

    def with_divergence(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """dz/dt and its divergence (*shape, …), for second order tr ∂f_W/∂v (slides 15), in closed form."""
        self.check(z)
        f, trace = self.net.apply_with_trace(z, self.weights, self.columns)
        return self._slope(z, f), trace

    def check(self, z: Tensor) -> torch.Size:
        """The shape of the draws, which z (*shape, …, dim) has to lead with; else ValueError."""
        if z.shape[: len(self.shape)] != self.shape or z.shape[-1] != self.dim or z.ndim <= len(self.shape):
            raise ValueError(
                f"z has shape {tuple(z.shape)}, but this field, drawn {tuple(self.shape)} times, moves "
                f"(*{tuple(self.shape)}, …, {self.dim}); expand z to one copy for each draw"
            )
        return self.shape

    def _slope(self, z: Tensor, f: Tensor) -> Tensor:
        return torch.cat([z[..., self.columns], f], -1) if self.second_order else f


class Dynamics(Savable):
    """What both orders share: a `BayesianMLP` as `net`, drawn as a whole function.

    Attributes:
        dim: of the state z; position_dim: of what the decoder sees, the first entries of z.
    """

    def __init__(self, net: BayesianMLP, position_dim: int) -> None:
        super().__init__()
        self.net, self.dim, self.position_dim = net, net.dim_in, position_dim

    def draw(
        self, shape: Sequence[int] = (), generator: torch.Generator | None = None, *, mean: bool = False
    ) -> DrawnField:
        """A field for W ~ q(W), or `shape` many; with mean=True the field at the mean of q(W)."""
        weights = self.net.mean() if mean else self.net.draw(shape, generator)
        return DrawnField(self.net, weights, self.dim, self.dim != self.position_dim)

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """The field at the mean of q(W): z (…, dim) -> dz/dt."""
        return self.draw(mean=True)(t, z)

    def kl(self) -> Tensor:
        """KL[q(W) ‖ p(W)], 0-d (slides 17)."""
        return self.net.kl()

    @property
    def weight_count(self) -> int:
        """|W|, weights and biases of the network."""
        return self.net.weight_count


class SecondOrder(Dynamics):
    """z = (s, v) of size 2 q: ds/dt = v, dv/dt = f_W(s, v) (slides 9a, 9b).

    Args:
        dim: q, of the position; settings: of `BayesianMLP` (hidden, activation, variance, …).
    """

    def __init__(self, dim: int, hidden: Sequence[int] = (30, 30), **settings: object) -> None:
        super().__init__(BayesianMLP(2 * dim, dim, hidden, **settings), dim)  # type: ignore[arg-type]


class FirstOrder(Dynamics):
    """dz/dt = f_W(z), the whole z seen by the decoder.

    Args:
        dim: of z; settings: of `BayesianMLP` (hidden, activation, variance, …).
    """

    def __init__(self, dim: int, hidden: Sequence[int] = (30, 30), **settings: object) -> None:
        super().__init__(BayesianMLP(dim, dim, hidden, **settings), dim)  # type: ignore[arg-type]
