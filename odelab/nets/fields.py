"""Vector fields f(t, z) of vectors, with time as an input and derivatives that are pushed forward in closed form.

At a given time every layer is an affine map x ↦ W(t) x + b(t). Its directional derivative is v ↦ W(t) v, that of an
activation v ↦ φ'(a) · v; so J v comes out of one forward pass beside f, without a backward pass inside it, and training
through it needs first derivatives only.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Callable[[Tensor], tuple[Tensor, Tensor]]
T = TypeVar("T")


class TimeLinear(nn.Module):
    """What the layers share: weight (dim_out, dim_in) and bias (dim_out,), initialised as in `nn.Linear`."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        like = nn.Linear(dim_in, dim_out)
        self.weight, self.bias = like.weight, like.bias

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """W(t) (dim_out, dim_in) and b(t) (dim_out,) of the affine map that the layer is at a time t, 0-d."""
        raise NotImplementedError

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        """x (…, dim_in) -> (…, dim_out); t one time, or (…, 1) a time for each x."""
        raise NotImplementedError


class AutonomousLinear(TimeLinear):
    """W x + b: knows no time, but takes it."""

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        return self.weight, self.bias

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class ConcatLinear(TimeLinear):
    """W x + w t + b: the linear layer of x and t put together."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out)
        like = nn.Linear(dim_in + 1, dim_out)  # initialised as the layer of both together
        self.weight, self.time_weight = (nn.Parameter(part) for part in like.weight.detach().split([dim_in, 1], dim=1))
        self.bias = like.bias

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        return self.weight, self.time_weight[:, 0] * t + self.bias

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + self.time_weight[:, 0] * t


class ConcatSquashLinear(TimeLinear):
    """(W x + b) · σ(g t + c) + s t: time opens a gate for each output and shifts it (Grathwohl et al. 2019, FFJORD)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_in, dim_out)
        self.gate_weight, self.gate_bias, self.shift = (
            nn.Parameter(torch.empty(dim_out).uniform_(-1, 1)) for _ in range(3)
        )

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        gate = torch.sigmoid(self.gate_weight * t + self.gate_bias)
        return gate[:, None] * self.weight, gate * self.bias + self.shift * t

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate_weight * t + self.gate_bias)
        return F.linear(x, self.weight, self.bias) * gate + self.shift * t


def _tanh(a: Tensor) -> tuple[Tensor, Tensor]:
    y = torch.tanh(a)
    return y, 1 - y * y


def _elu(a: Tensor) -> tuple[Tensor, Tensor]:
    y = F.elu(a)
    return y, torch.where(a > 0, torch.ones_like(y), y + 1)


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    gate = torch.sigmoid(a)
    y = a * gate
    return y, gate + y * (1 - gate)


LAYERS: Mapping[str, type[TimeLinear]] = {
    "concatsquash": ConcatSquashLinear,
    "concat": ConcatLinear,
    "autonomous": AutonomousLinear,
}
# a ↦ φ(a) and φ'(a); smooth ones, since a divergence differentiates them once and training once more
ACTIVATIONS: Mapping[str, Activation] = {
    "tanh": _tanh,
    "softplus": lambda a: (F.softplus(a), torch.sigmoid(a)),
    "elu": _elu,
    "silu": _silu,
    "sin": lambda a: (torch.sin(a), torch.cos(a)),
}


def chosen(known: Mapping[str, T], name: str, what: str) -> T:
    """known[name].

    Raises:
        ValueError: for another name, with the nearest one.
    """
    if name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {what} {name!r}{hint} Known: {', '.join(known)}")


class MLPField(nn.Module):
    """f(t, z) as a perceptron whose every layer knows the time; the field of FFJORD's flows in the plane.

    Args:
        dim: of z and f.
        hidden: widths of the hidden layers.
        layer: "concatsquash", "concat" or "autonomous", see `LAYERS`.
        activation: between layers, see `ACTIVATIONS`.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (64, 64, 64),
        layer: str = "concatsquash",
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        build = chosen(LAYERS, layer, "layer")
        self.dim, self.activation = dim, activation
        chosen(ACTIVATIONS, activation, "activation")
        self.layers = nn.ModuleList(build(a, b) for a, b in pairwise((dim, *hidden, dim)))

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """t one time, or (…, 1) one for each z; z (…, dim) -> f (…, dim)."""
        activate = ACTIVATIONS[self.activation]
        one_time = not isinstance(t, Tensor) or t.ndim == 0
        for i, layer in enumerate(self._layers()):
            z = activate(z)[0] if i else z
            z = F.linear(z, *layer.at(t)) if one_time else layer(t, z)  # the gate times W costs less than times W z
        return z

    def jvp(self, t: Tensor | float, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """f (…, dim) and J v (K, …, dim), J = ∂f/∂z, for directions v that broadcast to (K, …, dim); t one time."""
        activate = ACTIVATIONS[self.activation]
        for i, layer in enumerate(self._layers()):
            if i:
                z, slope = activate(z)
                v = slope * v
            weight, bias = layer.at(t)
            z, v = F.linear(z, weight, bias), F.linear(v, weight)
        return z, v

    def _layers(self) -> Iterator[TimeLinear]:
        return iter(self.layers)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        return f"dim={self.dim}, activation={self.activation!r}"
