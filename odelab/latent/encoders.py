"""From the first frames of a sequence to q(z₀ | x): position from x_0, velocity from x_0 … x_(m−1) (slides 14)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from odelab.saving import Savable


class Encoder(Protocol):
    """What `ODE2VAE` asks of an encoder, an `nn.Module`.

    Attributes:
        frames: m, how many it looks at; dim: of z; shape: of one frame.
    """

    frames: int
    dim: int
    shape: tuple[int, ...]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, m, *shape) -> mean and log σ of q(z), each (n, dim)."""
        ...


def perceptron(dim_in: int, dim_out: int, hidden: Sequence[int]) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers: list[nn.Module] = []
    for a, b in pairwise((dim_in, *hidden)):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear((dim_in, *hidden)[-1], dim_out))


def start_at_unit_std(last: nn.Linear) -> None:
    """The second half of the outputs, log σ, starts at zero for every input."""
    with torch.no_grad():
        last.weight[last.out_features // 2 :] = 0
        last.bias[last.out_features // 2 :] = 0


def join(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and log σ of z = (s, v) out of [mean, log σ] of each."""
    halves = [part.chunk(2, -1) for part in parts]
    mean, log_std = (torch.cat(side, -1) if len(side) > 1 else side[0] for side in zip(*halves, strict=True))
    return mean, log_std


class VectorEncoder(Savable):
    """Perceptrons for frames that are vectors.

    Args:
        channels: of a frame; q: of the position, or of the whole z for order 1.
        frames: m, how many the velocity (for order 1 the whole z) is read from.
        hidden: widths of the hidden layers, with tanh between them.
        order: 2, separate nets for position, which sees x_0 alone, and velocity; 1, one net of all m frames.
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
        super().__init__()
        check_sizes(q=q, frames=frames, order=order)
        self.frames, self.order, self.scale = frames, order, scale
        self.shape, self.dim = (channels,), order * q
        seen = (1, frames) if order == 2 else (frames,)
        self.nets = nn.ModuleList(perceptron(count * channels, 2 * q, hidden) for count in seen)
        for net in self.nets:
            start_at_unit_std(net[-1])  # type: ignore[index]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, frames, channels) -> mean and log σ of q(z), each (n, dim)."""
        x = x / self.scale
        seen = (x[:, :1], x) if self.order == 2 else (x,)
        return join([net(frames.flatten(1)) for net, frames in zip(self.nets, seen, strict=True)])


def check_sizes(q: int, frames: int, order: int) -> None:
    if order not in (1, 2):
        raise ValueError(f"order must be 2, z = (position, velocity), or 1, got {order}")
    if q < 1 or frames < 1:
        raise ValueError(f"q and frames must be at least 1, got q={q}, frames={frames}")
