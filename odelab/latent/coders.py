"""Encoders of a sequence's first frames, q(z₀ | x), and decoders, p(x | s), for frames that are vectors or images.

The position is read from x_0, the velocity from x_0 … x_(m−1) (slides 14); a decoder sees the position alone (slides
11e). Four 5×5 convolutions with stride 2 take an image of 14 to 32 pixels down to 1 or 2, and the decoder walks back up
through the same sizes from the third of them (Yıldız et al. 2019).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Normal

from odelab.nets.fields import perceptron
from odelab.saving import Savable

LEVELS = 4


class FrameEncoder(Savable):
    """What `ODE2VAE` asks of an encoder: mean and log σ of q(z₀ | x), from the first frames of a sequence.

    Args:
        shape: of one frame; q: of the position, or of the whole z for order 1; frames: m, how many are read.
        order: 2, separate nets for position, which sees x_0 alone, and velocity; 1, one net of all m frames.
        net: how many frames it reads -> a net that ends with a linear layer of 2 q outputs.

    Attributes:
        frames: m; dim: of z; shape: of one frame.
    """

    def __init__(
        self, shape: tuple[int, ...], q: int, frames: int, order: int, net: Callable[[int], nn.Sequential]
    ) -> None:
        super().__init__()
        if order not in (1, 2):
            raise ValueError(f"order must be 2, z = (position, velocity), or 1, got {order}")
        if q < 1 or frames < 1:
            raise ValueError(f"q and frames must be at least 1, got q={q}, frames={frames}")
        self.shape, self.dim, self.frames, self.order = shape, order * q, frames, order
        self.nets = nn.ModuleList(net(count) for count in ((1, frames) if order == 2 else (frames,)))
        with torch.no_grad():  # log σ starts at zero for every input
            for layers in self.nets:
                for parameter in layers[-1].parameters():  # type: ignore[index]
                    parameter[q:] = 0

    def stacked(self, x: Tensor) -> Tensor:
        """Frames (n, count, *shape) as a net reads them."""
        return x.flatten(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, frames, *shape) -> mean and log σ of q(z), each (n, dim)."""
        inputs = (x[:, :1], x) if self.order == 2 else (x,)
        halves = [net(self.stacked(part)).chunk(2, -1) for net, part in zip(self.nets, inputs, strict=True)]
        means, log_stds = zip(*halves, strict=True)
        return torch.cat(means, -1), torch.cat(log_stds, -1)


class VectorEncoder(FrameEncoder):
    """Perceptrons for frames that are vectors.

    Args:
        channels: of a frame; q, frames, order: see `FrameEncoder`.
        hidden: widths of the hidden layers, with tanh between them.
        scale: frames are divided by it.
    """

    def __init__(
        self,
        channels: int,
        q: int,
        frames: int = 3,
        hidden: Sequence[int] = (30, 30),
        order: int = 2,
        scale: float = 1.0,
    ) -> None:
        super().__init__((channels,), q, frames, order, lambda count: perceptron(count * channels, 2 * q, hidden))
        self.scale = scale

    def stacked(self, x: Tensor) -> Tensor:
        return (x / self.scale).flatten(1)


class ImageEncoder(FrameEncoder):
    """Convolutions of frames stacked as channels.

    Args:
        size: height and width; q, frames, order: see `FrameEncoder`.
        filters: F of the widths F, 2F, 4F, 8F; channels: of one image.
    """

    def __init__(self, size: int, q: int, frames: int = 3, filters: int = 8, order: int = 2, channels: int = 1) -> None:
        widths = [filters * 2**level for level in range(LEVELS)]
        features = widths[-1] * sizes(size)[-1] ** 2

        def net(count: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for a, b in pairwise((count * channels, *widths)):
                # no bias: the batch norm would take it away
                layers += [nn.Conv2d(a, b, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 2 * q))

        super().__init__((channels, size, size), q, frames, order, net)

    def stacked(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2)


def sizes(size: int, levels: int = LEVELS) -> list[int]:
    """What convolutions of stride 2 leave: 28 -> [28, 14, 7, 4, 2]."""
    if size < 9:
        raise ValueError(f"size must be at least 9 pixels for {levels} convolutions with stride 2, got {size}")
    left = [size]
    for _ in range(levels):
        left.append((left[-1] + 1) // 2)
    return left


class Decoder(Protocol):
    """What the latent models ask of a decoder, an `nn.Module`; shape: of one frame."""

    shape: tuple[int, ...]

    def distribution(self, s: Tensor) -> Distribution:
        """p(x | s) for s (…, q): independent entries, so that log_prob is (…, *shape), one number for each."""
        ...

    def mean(self, s: Tensor) -> Tensor:
        """Its mean (…, *shape)."""
        ...


class GaussianDecoder(Savable):
    """x ~ N(scale · net(s), σ²): a perceptron with tanh, and one learned σ for all channels.

    Args:
        q: of the position; channels: of a frame; hidden: widths of the hidden layers.
        scale: the net's outputs are multiplied by it; take what the encoder divides by.
        initial_std: of σ, in units of x.
    """

    def __init__(
        self, q: int, channels: int, hidden: Sequence[int] = (30, 30), scale: float = 1.0, initial_std: float = 3.0
    ) -> None:
        super().__init__()
        if not initial_std > 0:
            raise ValueError(f"initial_std must be positive, got {initial_std:g}")
        self.scale, self.shape = scale, (channels,)
        self.net = perceptron(q, channels, hidden)
        self.log_std = nn.Parameter(torch.tensor(math.log(initial_std)))

    @property
    def std(self) -> Tensor:
        """σ, 0-d."""
        return self.log_std.exp()

    def mean(self, s: Tensor) -> Tensor:
        """s (…, q) -> (…, channels)."""
        return self.scale * self.net(s)

    def distribution(self, s: Tensor) -> Normal:
        """N(mean, σ²), every channel on its own."""
        return Normal(self.mean(s), self.std, validate_args=False)

    forward = mean


class BernoulliDecoder(Savable):
    """x ~ Bernoulli(σ(logits(s))), pixel by pixel: a linear layer, then deconvolutions 4F → 2F → F → channels.

    Grey values in [0, 1] count as probabilities: log_prob is then minus the cross-entropy, as in the sources.

    Args:
        q: of the position; size: height and width; filters: F; channels: of one image.
    """

    def __init__(self, q: int, size: int, filters: int = 8, channels: int = 1) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        sides = sizes(size, LEVELS - 1)[::-1]
        widths = [4 * filters, 2 * filters, filters, channels]
        layers: list[nn.Module] = [
            nn.Linear(q, widths[0] * sides[0] ** 2),
            nn.Unflatten(1, (widths[0], sides[0], sides[0])),
        ]
        for (width, narrower), (a, b) in zip(pairwise(widths), pairwise(sides), strict=True):
            up = nn.ConvTranspose2d(width, narrower, 5, stride=2, padding=2, output_padding=b - (2 * a - 1))
            layers += [nn.BatchNorm2d(width), nn.ReLU(), up]
        self.net = nn.Sequential(*layers)

    def logits(self, s: Tensor) -> Tensor:
        """s (…, q) -> (…, channels, size, size)."""
        return self.net(s.reshape(-1, s.shape[-1])).view(*s.shape[:-1], *self.shape)

    def distribution(self, s: Tensor) -> Bernoulli:
        """Every pixel on its own."""
        return Bernoulli(logits=self.logits(s), validate_args=False)

    def mean(self, s: Tensor) -> Tensor:
        """σ(logits), in [0, 1]."""
        return self.logits(s).sigmoid()

    forward = mean
