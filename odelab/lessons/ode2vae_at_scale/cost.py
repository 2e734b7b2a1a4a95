"""What a training step costs: measured at a few settings, predicted for all others by counting what is done.

A step encodes B sequences, evaluates the field in every stage of every Runge–Kutta step, B·K rows at a time, and
decodes B·K·T frames. Time and memory are sums over these, each with a price that belongs to the model and the machine:

    cost = p₀ + stages · p₁ + stages · B · K · p₂ + B · K · T · p₃ + B · p₄,     stages = 4 · substeps · (T − 1)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls

from odelab.latent import ODE2VAE
from odelab.nets.memory import saved_for_backward

PARTS = ("fixed p₀", "stages p₁", "field p₂", "decoder p₃", "encoder p₄")
STAGES = 4  # evaluations of the field in one classical Runge–Kutta step


@dataclass(frozen=True)
class Setting:
    """One training step: frames T, substeps from one to the next, sequences B, draws K of (W, z₀)."""

    frames: int = 16
    substeps: int = 1
    batch: int = 16
    draws: int = 1

    def counts(self) -> tuple[int, ...]:
        """How often each of PARTS is paid for."""
        stages, rows = STAGES * self.substeps * (self.frames - 1), self.batch * self.draws
        return 1, stages, stages * rows, self.frames * rows, self.batch


@dataclass(frozen=True)
class Prices:
    """What one of each of PARTS costs, in seconds or in bytes."""

    values: tuple[float, ...]

    @classmethod
    def fitted(cls, settings: Sequence[Setting], measured: Sequence[float]) -> Prices:
        """Non-negative prices with the least sum of squared relative errors.

        Raises:
            ValueError: with fewer settings than prices, or a measurement that is not positive.
        """
        if len(settings) < len(PARTS) or len(settings) != len(measured):
            raise ValueError(f"{len(settings)} settings and {len(measured)} measurements for {len(PARTS)} prices")
        if min(measured) <= 0:
            raise ValueError(f"a cost of {min(measured)} was measured; costs are positive")
        rows = np.array([setting.counts() for setting in settings], float) / np.array(measured, float)[:, None]
        scale = rows.max(0)  # bytes and calls differ by many powers of ten
        values, _ = nnls(rows / scale, np.ones(len(rows)))
        return cls(tuple((values / scale).tolist()))

    def parts(self, setting: Setting) -> dict[str, float]:
        """What each part of that step costs."""
        return {name: n * price for name, n, price in zip(PARTS, setting.counts(), self.values, strict=True)}

    def shares(self, setting: Setting) -> dict[str, float]:
        """The share of each part in what that step costs."""
        total = max(self(setting), 1e-12)
        return {name: cost / total for name, cost in self.parts(setting).items()}

    def __call__(self, setting: Setting) -> float:
        """What that step costs."""
        return sum(self.parts(setting).values())


def measure(model: ODE2VAE, setting: Setting, repeats: int = 3) -> tuple[float, int]:
    """Seconds of a training step without the optimiser's, the least of ``repeats``, and bytes kept for the way back.

    Seconds are the process's own on a CPU, where other programs run too, and of the clock on a GPU. The pictures are
    noise: what they show costs nothing. ``model.substeps`` is put back afterwards.
    """
    shape: tuple[int, ...] = model.encoder.shape  # type: ignore[assignment]
    parameters = list(model.parameters())
    x = torch.rand(setting.batch, setting.frames, *shape, device=parameters[0].device)
    times = 0.1 * torch.arange(setting.frames, device=x.device)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return -model.terms(x, times, draws=setting.draws, encoder_kl=False).elbo()

    before, seconds, clock = model.substeps, [], time.perf_counter if x.is_cuda else time.process_time
    model.substeps = setting.substeps
    try:
        kept = saved_for_backward(loss, x, (*parameters, x))
        for _ in range(repeats):
            start = clock()
            torch.autograd.grad(loss(x), parameters, allow_unused=True)
            if x.is_cuda:
                torch.cuda.synchronize()
            seconds.append(clock() - start)
    finally:
        model.substeps = before
    return min(seconds), kept
