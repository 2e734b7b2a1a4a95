"""The neural ODE forecaster: a latent ODE that reads the last values, and decodes a mean and a spread for the next.

The data run backwards in time: time 0 is the origin, positive times lie in the past. So the encoder, which reads from
late to early, ends at the origin; z₀ stands there, and the path runs from the present into the future.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from odelab.experiments.forecasting.recipe import DRAWS
from odelab.experiments.forecasting.scores import LEVELS, Array, crps
from odelab.experiments.forecasting.series import Problem
from odelab.latent import LatentField, LatentODE, RecurrentEncoder
from odelab.nets.fields import perceptron
from odelab.saving import Savable

BATCH = 64
RATE = 5e-3
STEP = 2  # samples in a step of the solver


class SpreadDecoder(Savable):
    """x ~ N(m(z), s(z)²): both from one perceptron, so that the spread can grow along a path.

    Args:
        dim: of z.
    """

    shape = (1,)

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = perceptron(dim, 2, (20,))

    def mean(self, s: Tensor) -> Tensor:
        """z (…, dim) -> (…, 1)."""
        return self.net(s)[..., :1]

    def distribution(self, s: Tensor) -> Normal:
        mean, raw = self.net(s).chunk(2, -1)
        return Normal(mean, torch.nn.functional.softplus(raw) + 0.02, validate_args=False)

    forward = mean


@dataclass
class LatentForecaster:
    """A latent ODE of what is left beside the clock, in its own standard deviations.

    Attributes:
        clock: (n,), fitted to the training part; rest: (n,), what is left, standardised; scale: of the rest.
        times: (horizon + window,) in units of the plan, counted from the origin into the past: the future is negative.
    """

    problem: Problem
    window: int
    model: LatentODE
    clock: Array
    rest: Tensor
    scale: float
    times: Tensor

    @classmethod
    def untrained(cls, problem: Problem, until: int, window: int, dim: int, seed: int) -> LatentForecaster:
        """With fresh weights, in the default precision; of the values only the first ``until`` set clock and scale."""
        torch.manual_seed(seed)
        plan = problem.plan
        clock = problem.clock(until)
        rest = problem.y - clock
        scale = float(rest[:until].std())
        model = LatentODE(
            RecurrentEncoder(1, dim, 20, cell="gru"),
            LatentField(dim, (20,), "tanh"),
            SpreadDecoder(dim),
            step=STEP / plan.unit,
        )
        times = torch.arange(-plan.horizon, window, dtype=torch.float64) / plan.unit
        return cls(
            problem, window, model, clock, torch.from_numpy(rest / scale).to(torch.get_default_dtype()), scale, times
        )

    def windows(self, origins: Tensor) -> Tensor:
        """Values (n, horizon + window, 1) around origins (n,), the latest first."""
        ahead = self.problem.plan.horizon
        places = origins[:, None] + torch.arange(ahead - 1, -self.window - 1, -1)
        return self.rest[places][..., None]

    def loss(self, origins: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Minus the ELBO of the windows around origins (n,), per value; the encoder reads the past alone."""
        x, ahead = self.windows(origins), self.problem.plan.horizon
        terms = self.model.terms(x, self.times, read=slice(ahead, ahead + self.window), generator=generator)
        return -terms.elbo() / len(self.times)

    def train(self, until: int, steps: int, seed: int, watch: Callable[[int], None] | None = None) -> None:
        """Adam on windows that lie wholly among the first ``until`` values; ``watch(step)`` after every step."""
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        last = until - self.problem.plan.horizon
        for step in range(1, steps + 1):
            origins = torch.randint(self.window, last + 1, (BATCH,), generator=generator)
            loss = self.loss(origins, generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            if watch:
                watch(step)

    def draws(self, origins: Tensor, count: int = DRAWS, seed: int = 0) -> Tensor:
        """Futures (count, n, horizon) from origins (n,), with observation noise, in the units of the series."""
        ahead = self.problem.plan.horizon
        generator = torch.Generator().manual_seed(seed)
        places = origins[:, None] - torch.arange(1, self.window + 1)
        past = self.rest[places][..., None]
        future = self.times[:ahead].flip(0)  # the next one first
        forecast = self.model.forecast(past, self.times[ahead:], future, draws=count, generator=generator)
        with torch.no_grad():
            law = self.model.decoder.distribution(forecast.z)
            noise = torch.randn(law.mean.shape, generator=generator)
            values = (law.mean + law.stddev * noise)[..., 0]
        places = origins[:, None] + torch.arange(ahead)
        return torch.from_numpy(self.clock)[places] + self.scale * values

    def quantiles(self, origins: Tensor) -> Array:
        """(n, horizon, 30)."""
        levels = torch.from_numpy(LEVELS)
        return torch.quantile(self.draws(origins).double(), levels, dim=0).movedim(0, -1).numpy()

    def score(self, origins: Tensor) -> float:
        """Mean CRPS over origins and horizons."""
        truth = np.stack([self.problem.truth(int(origin)) for origin in origins])
        return float(crps(self.quantiles(origins), truth).mean())
