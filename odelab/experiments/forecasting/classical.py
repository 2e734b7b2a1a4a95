"""Forecasts without a neural ODE: a year before, the calendar, damped ETS, ARIMA, gradient boosting.

Each ``fit(problem, until, setting, seed)`` sees the first values only and returns a forecaster, which gives for an
origin the quantiles (horizon, 30) of what comes. Later values are read, but nothing is fitted to them again.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from odelab.experiments.forecasting.recipe import BOYS
from odelab.experiments.forecasting.scores import LEVELS, Array
from odelab.experiments.forecasting.series import Problem
from odelab.extras import extra

Forecaster = Callable[[int], Array]
Setting = Mapping[str, Any]
Fit = Callable[[Problem, int, Setting, int], Forecaster]


@contextmanager
def without_advice() -> Iterator[None]:
    """statsmodels warns of starting values that it replaces, and of optimizers that stop early; scores will tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def around(center: Array, errors: Array) -> Array:
    """The quantiles (horizon, 30) of a center (horizon,) and past errors (any number)."""
    return np.asarray(center[:, None] + np.quantile(errors, LEVELS))


def normal(mean: Array, std: Array) -> Array:
    """Those of normal laws, (horizon, 30) from (horizon,)."""
    return mean[:, None] + std[:, None] * ndtri(LEVELS)


def seasonal_naive(problem: Problem, until: int, setting: Setting, seed: int) -> Forecaster:
    """A year before, with the errors that this made in the past."""
    y, plan = problem.y, problem.plan
    errors = y[plan.season : until] - y[: until - plan.season]

    def forecast(origin: int) -> Array:
        ahead = np.arange(origin, origin + plan.horizon)
        years = -(-(ahead - origin + 1) // plan.season)  # back to the last one that is known
        return around(y[ahead - plan.season * years], errors)

    return forecast


def climatology(problem: Problem, until: int, setting: Setting, seed: int) -> Forecaster:
    """The clock, and how far the past was from it."""
    clock = problem.clock(until)
    errors = problem.y[:until] - clock[:until]
    return lambda origin: around(clock[origin : origin + problem.plan.horizon], errors)


def ets(problem: Problem, until: int, setting: Setting, seed: int) -> Forecaster:
    """Level, damped trend and, where ``seasonal``, seasons that adapt; else what is left beside the clock."""
    with extra("train"):
        import pandas as pd
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel
    seasonal, horizon = setting["seasonal"], problem.plan.horizon
    base = np.zeros_like(problem.y) if seasonal else problem.clock(until)
    rest = pd.Series(problem.y - base)
    kind: dict[str, Any] = {"error": "add", "trend": "add", "damped_trend": True}
    if seasonal:
        kind |= {"seasonal": "add", "seasonal_periods": problem.plan.season}
    with without_advice():
        fitted = ETSModel(rest[:until], **kind).fit(disp=False)

    def forecast(origin: int) -> Array:
        with without_advice():
            now = ETSModel(rest[:origin], **kind).smooth(fitted.params)
            ahead = now.get_prediction(start=origin, end=origin + horizon - 1)
            mean, std = np.asarray(ahead.predicted_mean), np.sqrt(np.asarray(ahead.forecast_variance))
        return normal(base[origin : origin + horizon] + mean, std)

    return forecast


def arima(problem: Problem, until: int, setting: Setting, seed: int) -> Forecaster:
    """ARIMA of the differences from the year before where ``seasonal``, else of what is left beside the clock."""
    with extra("train"):
        from statsmodels.tsa.statespace.sarimax import SARIMAX
    horizon = problem.plan.horizon
    base = np.zeros_like(problem.y) if setting["seasonal"] else problem.clock(until)
    rest = problem.y - base
    season = (0, 1, 1, problem.plan.season) if setting["seasonal"] else (0, 0, 0, 0)
    with without_advice():
        fitted = SARIMAX(rest[:until], order=tuple(setting["order"]), seasonal_order=season).fit(disp=False)

    def forecast(origin: int) -> Array:
        with without_advice():
            ahead = fitted.apply(rest[:origin]).get_forecast(horizon)
        return normal(base[origin : origin + horizon] + ahead.predicted_mean, ahead.se_mean)

    return forecast


def boosting(problem: Problem, until: int, setting: Setting, seed: int) -> Forecaster:
    """A model for each quantile, of the last values beside the clock, the season of the target and the horizon."""
    with extra("train"):
        from sklearn.ensemble import HistGradientBoostingRegressor
    plan, lags = problem.plan, setting["lags"]
    clock = problem.clock(until)
    rest = problem.y - clock

    def features(origins: NDArray[np.int_]) -> Array:
        ahead = np.arange(plan.horizon)
        past = np.stack([rest[origins - lag] for lag in range(1, lags + 1)], 1)
        past = np.repeat(past, plan.horizon, 0)
        turns = 2 * np.pi * ((origins[:, None] + ahead).ravel() / plan.period)
        return np.column_stack([past, np.sin(turns), np.cos(turns), np.tile(ahead, len(origins))])

    origins = np.arange(lags, until - plan.horizon + 1)
    targets = np.concatenate([rest[origin : origin + plan.horizon] for origin in origins])
    inputs = features(origins)
    trees = {name: setting[name] for name in ("max_iter", "min_samples_leaf")}
    models = [
        HistGradientBoostingRegressor(
            loss="quantile", quantile=level, learning_rate=0.05, max_features=0.5, random_state=seed, **trees
        ).fit(inputs, targets)
        for level in LEVELS
    ]

    def forecast(origin: int) -> Array:
        rows = features(np.array([origin]))
        quantiles = np.sort(np.stack([model.predict(rows) for model in models], 1), 1)  # else some would cross
        return clock[origin : origin + plan.horizon, None] + quantiles

    return forecast


FITS: Mapping[str, Fit] = {
    "seasonal naive": seasonal_naive,
    "climatology": climatology,
    "ets": ets,
    "arima": arima,
    "boosting": boosting,
}


def settings(model: str, series: str) -> list[dict[str, Any]]:
    """What is tried on the validation origins; a season of 365 days is too long for ETS and ARIMA."""
    seasons = (False, True) if series == "sea" else (False,)
    if model == "ets":
        return [{"seasonal": seasonal} for seasonal in seasons]
    if model == "arima":
        orders = ((1, 0, 0), (2, 0, 0), (3, 0, 0), (1, 0, 1))
        return [{"seasonal": seasonal, "order": list(order)} for seasonal in seasons for order in orders]
    if model == "boosting":
        return [{"lags": lags, "max_iter": 60, "min_samples_leaf": 50} for lags in (4, 12)]
    return [{}]


def plain_epidemic(kind: str, counts: Array, ahead: int) -> Array:
    """Quantiles (ahead, 30) of counts from the first ones (n,): the last value again, or damped ETS of square roots.

    No count is larger than the school.
    """
    roots = np.sqrt(counts)
    if kind == "last value":
        scatter = np.sqrt(np.arange(1, ahead + 1)) * np.sqrt(np.square(np.diff(roots)).mean())
        quantiles = normal(np.full(ahead, roots[-1]), scatter)
    else:
        with extra("train"):
            import pandas as pd
            from statsmodels.tsa.exponential_smoothing.ets import ETSModel
        with without_advice():
            start = {"initial_level": roots[0], "initial_trend": roots[1] - roots[0]}  # too few to estimate these, too
            damped = {"error": "add", "trend": "add", "damped_trend": True, "initialization_method": "known"}
            fitted = ETSModel(pd.Series(roots), **damped, **start).fit(disp=False)
            law = fitted.get_prediction(start=len(roots), end=len(roots) + ahead - 1)
            quantiles = normal(np.asarray(law.predicted_mean), np.sqrt(np.asarray(law.forecast_variance)))
    return np.square(np.clip(quantiles, 0, BOYS**0.5))
