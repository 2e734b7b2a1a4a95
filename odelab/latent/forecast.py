"""What a latent model says about times: one path for each draw of the initial state and of the dynamics."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Forecast:
    """K draws of n sequences at T times.

    Attributes:
        draws: (K, n, T, *shape), the decoder's mean along each path: without observation noise.
        z: (K, n, T, D), the latent paths.
        times: (T,) or (n, T).
        noise: standard deviation of the observations, 0-d, where the decoder has one.
    """

    draws: Tensor
    z: Tensor
    times: Tensor
    noise: Tensor | None = None

    @cached_property
    def mean(self) -> Tensor:
        """(n, T, *shape): the mean of the draws."""
        return self.draws.mean(0)

    @cached_property
    def std(self) -> Tensor:
        """(n, T, *shape): the spread of the draws, of which there have to be two."""
        self._check_draws("std")
        return self.draws.std(0)

    def quantile(self, p: float | Sequence[float]) -> Tensor:
        """The quantile(s) p of the draws, of which there have to be two: (n, T, *shape), or (len(p), n, T, *shape)."""
        self._check_draws("quantile")
        levels = torch.as_tensor(p, dtype=self.draws.dtype, device=self.draws.device)
        if bool(((levels < 0) | (levels > 1)).any()):
            raise ValueError(f"p must be between 0 and 1, got {p}")
        flat = self.draws.flatten(1)  # torch.quantile refuses more than 2²⁴ numbers at once
        pieces = [torch.quantile(piece, levels, dim=0) for piece in flat.split(max(1, 2**23 // len(flat)), 1)]
        return torch.cat(pieces, -1).view(*levels.shape, *self.draws.shape[1:])

    def pit(self, truth: Tensor, noise: Tensor | float | None = None) -> Tensor:
        """Probability integral transform: the share of the forecast that lies below the truth, in [0, 1].

        Over many numbers it is uniform where the forecast is calibrated (Gneiting et al. 2007, J. R. Stat. Soc. B 69).

        Args:
            truth: (n, T, *shape), or what broadcasts to it.
            noise: standard deviation of a normal around each draw, of a shape that broadcasts; without it the draws
                are counted, equal ones by half.

        Returns:
            (n, T, *shape).
        """
        self._check_draws("pit")
        if noise is None:
            return ((self.draws < truth).to(truth.dtype) + (self.draws == truth) / 2).mean(0)
        width = torch.as_tensor(noise, dtype=self.draws.dtype, device=self.draws.device)
        if not bool((width > 0).all()):
            raise ValueError(
                "noise must be positive everywhere; without noise leave it away, and the draws are counted"
            )
        return torch.special.ndtr((truth - self.draws) / width).mean(0)

    def covers(self, truth: Tensor, level: float, noise: Tensor | float | None = None) -> Tensor:
        """Whether the central band of the level, e.g. 0.9, has the truth in it: bool (n, T, *shape).

        Its mean is the coverage, which a calibrated forecast has equal to the level. See `pit` for truth and noise.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, e.g. 0.9 for the band from 5 % to 95 %, got {level}")
        return (2 * self.pit(truth, noise) - 1).abs() <= level

    def crps(self, truth: Tensor) -> Tensor:
        """Continuous ranked probability score of the draws, in the units of the truth; 0 is perfect.

        E|X − x| − ½ E|X − X′| over draws X, X′, without bias (Gneiting & Raftery 2007, eq. 21): for one path, its
        absolute error.

        Args:
            truth: (n, T, *shape), or what broadcasts to it.

        Returns:
            (n, T, *shape).
        """
        count = len(self.draws)
        error = (self.draws - truth).abs().mean(0)
        # Sorted, draw k is the larger one of k pairs and the smaller one of count − 1 − k.
        rank = torch.arange(count, dtype=self.draws.dtype, device=self.draws.device).view(-1, *[1] * (error.ndim))
        spread = ((2 * rank - count + 1) * self.draws.sort(0).values).sum(0) / max(count * (count - 1), 1)
        return error - spread

    def _check_draws(self, what: str) -> None:
        if len(self.draws) < 2:
            raise ValueError(f"one path has no spread, so that it has no {what}: forecast with draws=50, not mean=True")

    def observations(self, generator: torch.Generator | None = None) -> Tensor:
        """(K, n, T, *shape): the draws with observation noise, what a new recording would look like."""
        if self.noise is None:
            raise ValueError("this decoder has no observation noise to add; use .draws, the means of the frames")
        eps = torch.randn(self.draws.shape, generator=generator, dtype=self.draws.dtype, device=self.draws.device)
        return self.draws + self.noise * eps


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without gradients, and with running statistics in place of the batch's; the mode is put back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
