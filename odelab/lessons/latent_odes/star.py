"""One star on irregular evenings: windows of its record, gaps cut into them, and what others put into the gaps."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odelab.datasets import Series
from odelab.latent import LatentODE
from odelab.latent.forecast import Forecast

DAYS = 22.0  # of a window: three periods of the star
FEWEST = 10  # evenings in a window
MIDDLE = 4.0  # magnitude that counts as zero
PERIODS = np.linspace(7.0, 7.4, 801)  # to try, in days: a step of 5e-4 moves the phase by 0.04 in eleven years


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of a star's record.

    Attributes:
        x: (n, K, 1), by how many magnitudes it is brighter than MIDDLE; zero in the padding.
        times: (n, K), days since the window's first evening; the last one is repeated in the padding.
        mask: bool (n, K), False in the padding.
        start: (n,), Julian date of the first evening, float64.
    """

    x: Tensor
    times: Tensor
    mask: Tensor
    start: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> "Windows":
        return Windows(self.x[rows], self.times[rows], self.mask[rows], self.start[rows])

    def points(self, chosen: Tensor) -> np.ndarray:
        """Days and magnitudes of the chosen evenings, bool (n, K), of the first window: (k, 2)."""
        return torch.stack([self.times[0, chosen[0]], MIDDLE - self.x[0, chosen[0], 0]], 1).numpy()

    def hidden(self, start: Tensor | float, width: Tensor | float) -> Tensor:
        """The evenings between days start and start + width, bool (n, K); both numbers, or (n, 1)."""
        return self.mask & (self.times > start) & (self.times < start + width)


def windows_of(star: Series, evenings: slice = slice(None)) -> Windows:
    """A window of DAYS from each of these evenings on, if FEWEST evenings lie in it and span three quarters of it."""
    t, brightness = star.t[evenings].contiguous(), MIDDLE - star.y[evenings, 0]
    ends = torch.searchsorted(t, t + DAYS)
    first = torch.arange(len(t))
    good = (ends - first >= FEWEST) & (t[ends - 1] - t > 0.75 * DAYS)
    begin, number = first[good], (ends - first)[good]
    place = begin[:, None] + torch.arange(int(number.max())).clamp(max=number[:, None] - 1)
    mask = torch.arange(int(number.max())) < number[:, None]
    x = torch.where(mask, brightness[place], 0.0)[..., None]
    return Windows(x.float(), (t[place] - t[begin, None]).float(), mask, t[begin])


def straight_line(data: Windows, seen: Tensor) -> Tensor:
    """From each evening that was seen to the next: (n, K, 1)."""
    rows = []
    for times, x, mask in zip(data.times.numpy(), data.x[..., 0].numpy(), seen.numpy(), strict=True):
        rows.append(np.interp(times, times[mask], x[mask]))
    return torch.from_numpy(np.stack(rows)).float()[..., None]


def waves(days: np.ndarray, period: float) -> np.ndarray:
    """A constant, and sine and cosine of one, two and three times the frequency, (n, 7)."""
    phase = 2 * np.pi * days / period
    return np.column_stack([np.ones_like(phase)] + [wave(k * phase) for k in (1, 2, 3) for wave in (np.sin, np.cos)])


@dataclass(frozen=True, eq=False)
class Folded:
    """What an astronomer does: one periodic curve through all evenings, the period chosen by least squares."""

    period: float
    weights: np.ndarray

    def __call__(self, data: Windows) -> Tensor:
        """The curve on every evening, (n, K, 1)."""
        days = (data.start[:, None] + data.times).numpy()
        curve = waves(days.ravel(), self.period) @ self.weights
        return torch.from_numpy(curve.reshape(days.shape)).float()[..., None]


def folded(star: Series, evenings: slice = slice(None)) -> Folded:
    """Fit the periodic curve to these evenings, with the best of PERIODS."""
    t, brightness = star.t[evenings].numpy(), MIDDLE - star.y[evenings, 0].numpy()
    fits = [np.linalg.lstsq(waves(t, period), brightness, rcond=None) for period in PERIODS]
    best = int(np.argmin([residual[0] for _, residual, _, _ in fits]))
    return Folded(float(PERIODS[best]), fits[best][0])


def spread(guess: Tensor, sigma: float, generator: torch.Generator, draws: int = 100) -> Forecast:
    """A forecast whose draws scatter around one guess (n, K, 1) by sigma."""
    noise = torch.randn(draws, *guess.shape, generator=generator)
    return Forecast(guess + sigma * noise, torch.empty(0), torch.empty(0))


def scores(forecast: Forecast, data: Windows, hidden: Tensor) -> dict[str, float]:
    """Error of the mean, CRPS and coverage of the 90 % band on the evenings that were hidden, in magnitudes."""
    far = (forecast.mean - data.x)[hidden]
    return {
        "RMSE": far.square().mean().sqrt().item(),
        "CRPS": forecast.crps(data.x)[hidden].mean().item(),
        "90 % band covers": forecast.covers(data.x, 0.9)[hidden].float().mean().item(),
    }


@torch.no_grad()
def period_of(model: LatentODE, data: Windows) -> float:
    """Days from one upward passage of the mean path through its own mean to the next, median over the windows."""
    at = torch.linspace(0.0, DAYS, 1001)
    path = model.predict(data.x, data.times, data.mask, at)[..., 0]
    above = path > path.mean(1, keepdim=True)
    lengths = []
    for row in above[:, 1:] & ~above[:, :-1]:
        passages = at[1:][row]
        if len(passages) > 1:
            lengths.append(float(passages[-1] - passages[0]) / (len(passages) - 1))
    return float(np.median(lengths))
