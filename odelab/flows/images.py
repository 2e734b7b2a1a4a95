"""Densities of images: from grey levels to the real line and back to bits per pixel, and flows made for pictures."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    ComposeTransform,
    Distribution,
    IndependentTransform,
    SigmoidTransform,
    Transform,
)
from torch.nn import functional as F

from odelab.flows.cnf import CNF
from odelab.flows.flow import Flow
from odelab.nets.fields import ImageField


def dequantize(x: Tensor, levels: int, generator: torch.Generator | None = None) -> Tensor:
    """(x + u) / levels in [0, 1) for grey levels x = 0 … levels − 1 of any shape and u ~ U[0, 1), as floats.

    A density of the result bounds the probability of the grey levels from below (Theis et al. 2016): that of discrete
    values alone could be made infinite.

    Raises:
        ValueError: grey levels outside 0 … levels − 1.
    """
    low, high = x.min(), x.max()
    if not (bool(low >= 0) and bool(high <= levels - 1)):
        raise ValueError(f"grey levels must lie in 0 … {levels - 1}, got {float(low):g} … {float(high):g}")
    grey = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    device = x.device if generator is None else generator.device
    noise = torch.rand(x.shape, dtype=grey.dtype, device=device, generator=generator).to(x.device)
    unit = (grey + noise) / levels
    return unit.clamp_max(1 - torch.finfo(grey.dtype).eps)  # 16.99999999 + rounding is 17


def logit_transform(alpha: float = 1e-6) -> Transform:
    """y = logit(α + (1 − 2α) x), from x in [0, 1]^d to ℝᵈ, as a transform of vectors (…, d).

    log p(x) = flow.log_prob(y) + T.log_abs_det_jacobian(x, y), or in one:
    TransformedDistribution(flow.base, [CNFTransform(flow, 1), logit_transform(alpha).inv]).log_prob(x).
    """
    if not 0 <= alpha < 0.5:
        raise ValueError(f"alpha must lie in [0, ½), got {alpha}")
    return IndependentTransform(ComposeTransform([AffineTransform(alpha, 1 - 2 * alpha), SigmoidTransform().inv]), 1)


def bits_per_dim(log_prob: Tensor | float, dim: int, levels: int) -> Tensor | float:
    """−(log p / dim − ln levels) / ln 2: bits per pixel from the log-density of images dequantized to [0, 1]^dim."""
    return (math.log(levels) - log_prob / dim) / math.log(2)


class MultiscaleCNF(Flow):
    """Convolutional CNFs on ever smaller images: the architecture of FFJORD for MNIST and CIFAR (Dinh et al. 2017).

    At each scale `blocks` CNFs, a squeeze of 2×2 pixels into 4 channels and `blocks` CNFs more; then half of the
    channels go straight to the base and the other half on to the next scale.

    Args:
        shape: (channels, height, width); height and width divisible by 2^scales.
        hidden, activation: of the field in each block, see `ImageField`.
        settings: of every `CNF`; Hutchinson's estimator by default, a trace in 784 dimensions being 784 directions.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        scales: int = 2,
        blocks: int = 2,
        hidden: Sequence[int] = (64, 64, 64),
        activation: str = "softplus",
        base: Distribution | nn.Module | None = None,
        **settings: Any,
    ) -> None:
        channels, height, width = shape
        if scales < 1 or height % 2**scales or width % 2**scales:
            raise ValueError(f"an image {height}×{width} cannot be halved {scales} times: make scales smaller")
        super().__init__(math.prod(shape), base)
        settings = {"divergence": "hutchinson", **settings}
        self.shapes: list[tuple[int, int, int]] = []  # at the start of each scale
        self.blocks = nn.ModuleList()  # two lists a scale, before and after the squeeze
        for _ in range(scales):
            self.shapes.append((channels, height, width))
            squeezed = (4 * channels, height // 2, width // 2)
            for size in (self.shapes[-1], squeezed):
                flows = [CNF(ImageField(size, hidden, activation), **settings) for _ in range(blocks)]
                self.blocks.append(nn.ModuleList(flows))
            channels, height, width = squeezed[0] // 2, *squeezed[1:]

    def transport(self, x: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        return self._to_data(x) if reverse else self.transport_with_costs(x, ())[:2]

    def log_prob_and_costs(self, x: Tensor, names: Sequence[str] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x) (…,) and the costs of the paths (…,), summed over all blocks; see `CNF`."""
        z, log_det, costs = self.transport_with_costs(x, names)
        return self._base_log_prob(z) + log_det, costs

    def transport_with_costs(
        self, x: Tensor, names: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """z (…, dim), log |det ∂z/∂x| (…,) and the costs (…,)."""
        self.check_points(x)
        z, done = x.reshape(-1, self.dim), []
        log_det, totals = z.new_zeros(len(z)), dict[str, Tensor]()
        for scale, shape in enumerate(self.shapes):
            for squeezed in (0, 1):
                if squeezed:
                    z = F.pixel_unshuffle(z.unflatten(1, shape), 2).flatten(1)
                for block in self._stage(scale, squeezed):
                    z, change, costs = block.transport_with_costs(z, names)
                    log_det = log_det + change
                    totals = {name: cost + totals.get(name, 0) for name, cost in costs.items()}
            if scale < len(self.shapes) - 1:
                leaving, z = z.chunk(2, dim=1)  # flat images: the first half of the channels comes first
                done.append(leaving)
        z = torch.cat([*done, z], dim=1)
        lead = x.shape[:-1]
        return z.view(x.shape), log_det.view(lead), {name: cost.view(lead) for name, cost in totals.items()}

    def _stage(self, scale: int, squeezed: int) -> list[CNF]:
        return list(self.blocks[2 * scale + squeezed])  # type: ignore[call-overload]

    def inverse(self, z: Tensor) -> Tensor:
        return self._to_data(z, densities=False)[0]

    def _to_data(self, z: Tensor, densities: bool = True) -> tuple[Tensor, Tensor]:
        self.check_points(z)
        sizes = [math.prod(shape) for shape in self.shapes]
        *done, x = z.reshape(-1, self.dim).split([*(size // 2 for size in sizes[:-1]), sizes[-1]], dim=1)
        log_det = x.new_zeros(len(x))
        for scale in reversed(range(len(self.shapes))):
            x = x if scale == len(self.shapes) - 1 else torch.cat([done[scale], x], dim=1)
            channels, height, width = self.shapes[scale]
            for squeezed in (1, 0):
                for block in reversed(self._stage(scale, squeezed)):
                    x, change = block.transport(x, reverse=True) if densities else (block.inverse(x), 0)
                    log_det = log_det + change
                if squeezed:
                    x = F.pixel_shuffle(x.unflatten(1, (4 * channels, height // 2, width // 2)), 2).flatten(1)
        return x.view(z.shape), log_det.view(z.shape[:-1])
