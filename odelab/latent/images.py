"""Convolutional position and velocity encoders, and a decoder of images (Yıldız et al. 2019).

Four 5×5 convolutions with stride 2 take an image of 14 to 32 pixels down to 1 or 2; the decoder walks back up through
the same sizes from the third of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.distributions import Bernoulli

from odelab.latent.encoders import check_sizes, join, start_at_unit_std
from odelab.saving import Savable

LEVELS = 4


def sizes(size: int, levels: int = LEVELS) -> list[int]:
    """What convolutions of stride 2 leave: 28 -> [28, 14, 7, 4, 2]."""
    if size < 9:
        raise ValueError(f"size must be at least 9 pixels for {levels} convolutions with stride 2, got {size}")
    found = [size]
    for _ in range(levels):
        found.append((found[-1] + 1) // 2)
    return found


def _down(channels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for a, b in pairwise(channels):
        # no bias: the batch norm would take it away
        layers += [nn.Conv2d(a, b, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return layers


class ImageEncoder(Savable):
    """Convolutions of stacked frames: position from x_0, velocity from all m of them as channels.

    Args:
        size: height and width; q: of the position, or of the whole z for order 1.
        frames: m; filters: F of the widths F, 2F, 4F, 8F.
        order: 2, separate nets for position and velocity; 1, one net of all m frames.
        channels: of one image.
    """

    def __init__(
        self,
        size: int,
        q: int,
        frames: int = 3,
        filters: int = 8,
        order: int = 2,
        channels: int = 1,
    ) -> None:
        super().__init__()
        check_sizes(q=q, frames=frames, order=order)
        self.frames, self.order = frames, order
        self.shape, self.dim = (channels, size, size), order * q
        widths = [filters * 2**level for level in range(LEVELS)]
        features = widths[-1] * sizes(size)[-1] ** 2
        seen = (1, frames) if order == 2 else (frames,)
        self.nets = nn.ModuleList(
            nn.Sequential(*_down((count * channels, *widths)), nn.Flatten(), nn.Linear(features, 2 * q))
            for count in seen
        )
        for net in self.nets:
            start_at_unit_std(net[-1])  # type: ignore[index]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, frames, channels, size, size) -> mean and log σ of q(z), each (n, dim)."""
        seen = (x[:, 0], x.flatten(1, 2)) if self.order == 2 else (x.flatten(1, 2),)
        return join([net(frames) for net, frames in zip(self.nets, seen, strict=True)])


class BernoulliDecoder(Savable):
    """x ~ Bernoulli(σ(logits(s))), pixel by pixel: a linear layer, then deconvolutions 4F → 2F → F → channels.

    Grey values in [0, 1] count as probabilities: log_prob is then minus the cross-entropy, as in the sources.

    Args:
        q: of the position; size: height and width; filters: F; channels: of one image.
    """

    def __init__(self, q: int, size: int, filters: int = 8, channels: int = 1) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        steps = sizes(size, LEVELS - 1)[::-1]
        widths = [4 * filters, 2 * filters, filters, channels]
        layers: list[nn.Module] = [
            nn.Linear(q, widths[0] * steps[0] ** 2),
            nn.Unflatten(1, (widths[0], steps[0], steps[0])),
        ]
        for level, (a, b) in enumerate(pairwise(steps)):
            layers += [
                nn.BatchNorm2d(widths[level]),
                nn.ReLU(),
                nn.ConvTranspose2d(
                    widths[level], widths[level + 1], 5, stride=2, padding=2, output_padding=b - (2 * a - 1)
                ),
            ]
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
