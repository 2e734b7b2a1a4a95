"""The vector field of the ODE-Net: two convolutions that know the time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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
