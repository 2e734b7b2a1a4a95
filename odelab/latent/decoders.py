"""From the latent position to the distribution of a frame, p(x | s) (slides 11e); the velocity is not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from odelab.latent.encoders import perceptron
from odelab.saving import Savable


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
        self,
        q: int,
        channels: int,
        hidden: Sequence[int] = (30, 30),
        scale: float = 1.0,
        initial_std: float = 3.0,
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
