"""Vector fields f(t, z) of vectors and images, with time as an input and derivatives pushed forward in closed form.

At a given time every layer is an affine map x ↦ W(t) x + b(t). Its directional derivative is v ↦ W(t) v, that of an
activation v ↦ φ'(a) · v; so J v comes out of one forward pass beside f, without a backward pass inside it, and training
through it needs first derivatives only.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odelab.choices import choose

Activation = Callable[[Tensor], tuple[Tensor, Tensor]]


def _uniform(*shape: int, fan_in: int = 1) -> nn.Parameter:
    """As PyTorch initialises weights and biases of a layer with this many inputs."""
    return nn.Parameter(torch.empty(shape).uniform_(-(fan_in**-0.5), fan_in**-0.5))


def perceptron(
    dim_in: int, dim_out: int, hidden: Sequence[int], between: Callable[[], nn.Module] = nn.Tanh
) -> nn.Sequential:
    """Linear layers with an activation between them; they know no time."""
    widths = [dim_in, *hidden]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), between())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], dim_out))


class TimeLinear(nn.Module):
    """What the layers share: weight (dim_out, dim_in, …) and bias (dim_out,)."""

    def __init__(self, *shape: int, fan_in: int | None = None) -> None:
        super().__init__()
        fan_in = fan_in or math.prod(shape[1:])
        self.weight, self.bias = _uniform(*shape, fan_in=fan_in), _uniform(shape[0], fan_in=fan_in)

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """W(t) (dim_out, dim_in) and b(t) (dim_out,) of the affine map that the layer is at a time t, 0-d."""
        raise NotImplementedError

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        """x (…, dim_in) -> (…, dim_out); t one time, or (…, 1) a time for each x."""
        raise NotImplementedError

    @staticmethod
    def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The affine map with this weight and bias, or its linear part."""
        return F.linear(x, weight, bias)


class AutonomousLinear(TimeLinear):
    """W x + b: knows no time, but takes it."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_out, dim_in)

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        return self.weight, self.bias

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class ConcatLinear(TimeLinear):
    """W x + w t + b: the linear layer of x and t put together."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_out, dim_in, fan_in=dim_in + 1)
        self.time_weight = _uniform(dim_out, fan_in=dim_in + 1)

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        return self.weight, self.time_weight * t + self.bias

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + self.time_weight * t


class ConcatSquashLinear(TimeLinear):
    """(W x + b) · σ(g t + c) + s t: time opens a gate for each output and shifts it (Grathwohl et al. 2019, FFJORD)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__(dim_out, dim_in)
        self.gate_weight, self.gate_bias, self.shift = (_uniform(dim_out) for _ in range(3))

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        gate = torch.sigmoid(self.gate_weight * t + self.gate_bias)
        return gate[:, None] * self.weight, gate * self.bias + self.shift * t

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate_weight * t + self.gate_bias)
        return F.linear(x, self.weight, self.bias) * gate + self.shift * t


class ConcatSquashConv2d(TimeLinear):
    """A 3×3 convolution (weight ∗ x + b) · σ(g t + c) + s t, gated and shifted channel by channel; size kept."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_out, channels_in, 3, 3)
        self.gate_weight, self.gate_bias, self.shift = (_uniform(channels_out) for _ in range(3))

    def at(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        gate = torch.sigmoid(self.gate_weight * t + self.gate_bias)
        return gate[:, None, None, None] * self.weight, gate * self.bias + self.shift * t

    @staticmethod
    def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """x (…, channels_in, height, width) -> (…, channels_out, height, width)."""
        y = F.conv2d(x.reshape(-1, *x.shape[-3:]), weight, bias, padding=1)
        return y.view(*x.shape[:-3], *y.shape[1:])


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


LAYERS: Mapping[str, Callable[[int, int], TimeLinear]] = {
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


class _LayeredField(nn.Module):
    """Layers that know the time, with an activation between them."""

    def __init__(self, layers: Iterable[TimeLinear], activation: str) -> None:
        super().__init__()
        choose(ACTIVATIONS, activation, "activation")
        self.layers, self.activation = nn.ModuleList(layers), activation

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        activate = ACTIVATIONS[self.activation]
        one_time = not isinstance(t, Tensor) or t.ndim == 0
        for i, layer in enumerate(self._layers()):
            z = activate(z)[0] if i else z
            z = layer.affine(z, *layer.at(t)) if one_time else layer(t, z)  # gate · W costs less than gate · (W z)
        return z

    def jvp(self, t: Tensor | float, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        activate = ACTIVATIONS[self.activation]
        for i, layer in enumerate(self._layers()):
            if i:
                z, slope = activate(z)
                v = slope * v
            weight, bias = layer.at(t)
            z, v = layer.affine(z, weight, bias), layer.affine(v, weight)
        return z, v

    def _layers(self) -> Iterator[TimeLinear]:
        return iter(self.layers)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        return f"activation={self.activation!r}"


class MLPField(_LayeredField):
    """f(t, z) as a perceptron whose every layer knows the time; the field of FFJORD's flows in the plane.

    Args:
        dim: of z and f.
        hidden: widths of the hidden layers.
        layer: "concatsquash", "concat" or "autonomous", see `LAYERS`.
        activation: between layers, see `ACTIVATIONS`.
        context: size of a further input that stays as it is while z moves, e.g. what a conditional density is given.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (64, 64, 64),
        layer: str = "concatsquash",
        activation: str = "tanh",
        context: int = 0,
    ) -> None:
        build = choose(LAYERS, layer, "layer")
        super().__init__((build(a, b) for a, b in pairwise((dim + context, *hidden, dim))), activation)
        self.dim, self.context = dim, context

    def forward(self, t: Tensor | float, z: Tensor, context: Tensor | None = None) -> Tensor:
        """t one time, or (…, 1) one for each z; z (…, dim), context (…, size) -> f (…, dim)."""
        return super().forward(t, self._with(z, context))

    def jvp(self, t: Tensor | float, z: Tensor, v: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """f (…, dim) and J v (K, …, dim), J = ∂f/∂z, for directions v that broadcast to (K, …, dim); t one time."""
        return super().jvp(t, self._with(z, context), F.pad(v, (0, self.context)) if self.context else v)

    def _with(self, z: Tensor, context: Tensor | None) -> Tensor:
        size = 0 if context is None else context.shape[-1]
        if size != self.context:
            raise ValueError(f"this field was made for a context of size {self.context}, and was given one of {size}")
        return z if context is None else torch.cat([z, context], -1)


class ImageField(_LayeredField):
    """f(t, z) as gated 3×3 convolutions, for images that come and go as flat vectors z (…, channels · height · width).

    Args:
        shape: (channels, height, width) of the image.
        hidden: channels of the hidden layers.
        activation: between layers, see `ACTIVATIONS`.
    """

    def __init__(
        self, shape: tuple[int, int, int], hidden: Sequence[int] = (64, 64, 64), activation: str = "softplus"
    ) -> None:
        widths = (shape[0], *hidden, shape[0])
        super().__init__((ConcatSquashConv2d(a, b) for a, b in pairwise(widths)), activation)
        self.shape, self.dim = tuple(shape), math.prod(shape)

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """t one time; z (…, dim) -> f (…, dim)."""
        return super().forward(t, z.unflatten(-1, self.shape)).flatten(-3)

    def jvp(self, t: Tensor | float, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """f (…, dim) and J v (K, …, dim) for directions v that broadcast to (K, …, dim); t one time."""
        f, products = super().jvp(t, z.unflatten(-1, self.shape), v.unflatten(-1, self.shape))
        return f.flatten(-3), products.flatten(-3)


class TimeConv2d(nn.Module):
    """A 3×3 convolution of an image with the time as an extra, constant channel; size kept.

    The extra channel is the same everywhere, so its part of the convolution is t times one small image:
    conv([t·1, x]) = conv_x(x) + t · conv_t(1). Nothing is concatenated, and the big convolution has no odd channel.

    Args:
        channels_in, channels_out: of x and of the result. `weight` is (channels_out, 1 + channels_in, 3, 3).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        like = nn.Conv2d(channels_in + 1, channels_out, 3)  # initialised as the concatenated layer would be
        self.weight, self.bias = like.weight, like.bias

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        """x: (batch, channels_in, height, width) -> (batch, channels_out, height, width)."""
        ones = x.new_ones(1, 1, *x.shape[2:])
        of_time = F.conv2d(ones, self.weight[:, :1], padding=1)
        return F.conv2d(x, self.weight[:, 1:], self.bias, padding=1) + t * of_time


class ConvField(nn.Module):
    """f(t, z) of the ODE-Net: norm–ReLU–conv, norm–ReLU–conv, norm (Chen et al. 2018 for MNIST; the seminar's ODEfunc).

    Group norm, not batch norm: an ODE in which the samples of a batch move each other has no meaning for one image.

    Args:
        channels: of the state z, (batch, channels, height, width).
        groups: of the group norms; divides channels.
    """

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(3))
        self.convs = nn.ModuleList(TimeConv2d(channels, channels) for _ in range(2))

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        for norm, conv in zip(self.norms, self.convs, strict=False):
            z = conv(t, F.relu(norm(z)))
        return self.norms[-1](z)
