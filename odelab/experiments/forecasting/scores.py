"""Scores of a forecast that is given by its quantiles: CRPS, coverage, absolute error; how far two models differ."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from odelab.experiments.forecasting.recipe import QUANTILES

LEVELS = (np.arange(QUANTILES) + 0.5) / QUANTILES
Array = NDArray[np.float64]


def crps(quantiles: ArrayLike, truth: ArrayLike) -> Array:
    """Twice the mean pinball loss over the levels, in units of the truth; 0 is perfect.

    It is ∫ (F(x) − 1{x ≥ y})² dx for the distribution F that has the quantiles as equally likely values (Laio and
    Tamea 2007), and goes to that of the forecast as their number grows.

    Args:
        quantiles: (…, K) at the levels (k − ½)/K; truth: (…).
    """
    values = np.asarray(quantiles, float)
    levels = (np.arange(values.shape[-1]) + 0.5) / values.shape[-1]
    gap = np.asarray(truth, float)[..., None] - values
    return 2 * np.maximum(levels * gap, (levels - 1) * gap).mean(-1)


def covered(quantiles: ArrayLike, truth: ArrayLike) -> NDArray[np.bool_]:
    """Whether the truth (…) lies between the quantiles (…, 30) of 5 % and 95 %."""
    values, y = np.asarray(quantiles, float), np.asarray(truth, float)
    low, high = np.searchsorted(LEVELS, (0.05 - 1e-9, 0.95 - 1e-9))
    return (values[..., low] <= y) & (y <= values[..., high])


def middle(quantiles: ArrayLike) -> Array:
    """The median (…) of quantiles (…, K), K even."""
    values = np.asarray(quantiles, float)
    half = values.shape[-1] // 2
    return values[..., half - 1 : half + 1].mean(-1)


def scores(quantiles: ArrayLike, truth: ArrayLike) -> dict[str, list[float]]:
    """By horizon, over all origins; and the CRPS of every origin, over all horizons.

    Args:
        quantiles: (origins, horizon, 30); truth: (origins, horizon).
    """
    y = np.asarray(truth, float)
    loss = crps(quantiles, y)
    by_horizon = {
        "crps": loss.mean(0),
        "coverage": covered(quantiles, y).mean(0),
        "mae": np.abs(middle(quantiles) - y).mean(0),
        "width": (np.asarray(quantiles)[..., -2] - np.asarray(quantiles)[..., 1]).mean(0),
        "by_origin": loss.mean(1),
    }
    return {name: [round(float(value), 5) for value in values] for name, values in by_horizon.items()}


def difference(one: ArrayLike, other: ArrayLike, overlap: int) -> tuple[float, float]:
    """Mean of one − other over origins, and its standard error, which knows that neighbouring forecasts overlap.

    As in the test of Diebold and Mariano (1995); the weights of the covariances are those of Newey and West (1987).

    Args:
        one, other: scores (origins,) on the same origins; overlap: neighbours that share target values.
    """
    gap = np.asarray(one, float) - np.asarray(other, float)
    rest = gap - gap.mean()
    variance = float(rest @ rest)
    for lag in range(1, overlap + 1):
        variance += 2 * (1 - lag / (overlap + 1)) * float(rest[lag:] @ rest[:-lag])
    return float(gap.mean()), max(variance, 0.0) ** 0.5 / len(gap)
