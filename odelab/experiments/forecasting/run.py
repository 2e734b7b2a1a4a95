"""Rolling-origin forecasts, an epidemic from its first days, and long roll-outs of a learned equation."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from odelab.datasets.series import influenza
from odelab.experiments.context import Context
from odelab.experiments.forecasting.classical import FITS, Forecaster, plain_epidemic, settings
from odelab.experiments.forecasting.epidemic import fit_outbreak, forecast_outbreak
from odelab.experiments.forecasting.neural import LatentForecaster
from odelab.experiments.forecasting.recipe import CHECKPOINTS, EPIDEMIC_STEPS, LATENT, WAVE_STEPS
from odelab.experiments.forecasting.scores import Array, covered, crps, middle, scores
from odelab.experiments.forecasting.series import Problem, problem
from odelab.experiments.forecasting.waves import TRAIN, DampedField, judge, train_field, wave_paths
from odelab.experiments.results import Key


def forecasts(forecaster: Forecaster, origins: Sequence[int]) -> Array:
    """(origins, horizon, 30)."""
    return np.stack([forecaster(origin) for origin in origins])


def truths(task: Problem, origins: Sequence[int]) -> Array:
    """(origins, horizon)."""
    return np.stack([task.truth(origin) for origin in origins])


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model of one series: a setting is chosen on the validation origins, then the test origins are read once.

    For the choice a model is fitted to what lies before the first validation origin, for the test to what lies before
    the first test origin. From there on it reads every new value, and is not fitted again.
    """
    begun = time.process_time()
    task = problem(key["series"])
    choose = choose_neural if key["model"] == "latent-ode" else choose_classical
    quantiles, chosen, tried = choose(task, key, context)
    said = scores(quantiles, truths(task, task.plan.origins("test")))
    return said | {
        "mean_crps": float(np.mean(said["crps"])),
        "mean_coverage": float(np.mean(said["coverage"])),
        "mean_mae": float(np.mean(said["mae"])),
        "setting": chosen,
        "validation": tried,
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


Choice = tuple[Array, dict[str, Any], list[dict[str, Any]]]  # test quantiles, what was chosen, all that was tried


def choose_classical(task: Problem, key: Key, context: Context) -> Choice:
    fit = FITS[key["model"]]
    origins = task.plan.origins("validation")
    tried = []
    for setting in settings(key["model"], key["series"]):
        made = forecasts(fit(task, origins[0], setting, context.seed), origins)
        tried.append(setting | {"crps": round(float(crps(made, truths(task, origins)).mean()), 5)})
    best = min(tried, key=lambda entry: entry["crps"])
    chosen = {name: value for name, value in best.items() if name != "crps"}
    test = task.plan.origins("test")
    return forecasts(fit(task, test[0], chosen, context.seed), test), chosen, tried


def choose_neural(task: Problem, key: Key, context: Context) -> Choice:
    """Window, dimension and number of steps of the latent ODE; its weights for the lesson are those of the test."""
    origins, checkpoints = task.plan.origins("validation"), CHECKPOINTS[context.budget]
    tried: list[dict[str, Any]] = []
    for window in task.plan.windows:
        for dim in LATENT[context.budget]:
            model = LatentForecaster.untrained(task, origins[0], window, dim, context.seed)

            def watch(step: int, model: LatentForecaster = model, window: int = window, dim: int = dim) -> None:
                if step in checkpoints:
                    loss = round(model.score(torch.tensor(origins)), 5)
                    tried.append({"window": window, "dim": dim, "steps": step, "crps": loss})

            model.train(origins[0], checkpoints[-1], context.seed, watch)
    best = min(tried, key=lambda entry: entry["crps"])
    chosen = {name: value for name, value in best.items() if name != "crps"}
    test = task.plan.origins("test")
    model = LatentForecaster.untrained(task, test[0], chosen["window"], chosen["dim"], context.seed)
    model.train(test[0], chosen["steps"], context.seed)
    context.ship(model.model, f"forecasting_{key['series']}")
    return model.quantiles(torch.tensor(test)), chosen, tried


def run_epidemic(key: Key, context: Context) -> dict[str, Any]:
    """A model that has seen the first days, on the days that follow."""
    begun = time.process_time()
    counts = influenza().y[:, 0]
    first, kind = key["days"], key["model"]
    ahead = len(counts) - first
    said: dict[str, Any] = {}
    if kind in ("last value", "ets"):
        quantiles = plain_epidemic(kind, counts[:first].numpy(), ahead)
    else:
        model, scatter = fit_outbreak(kind, counts[:first], EPIDEMIC_STEPS[context.budget], context.seed)
        fan = forecast_outbreak(model, scatter, first, ahead, context.seed)
        quantiles = fan.quantiles
        said = {"scatter": scatter, "rates": fan.rates}
    truth = counts[first:].numpy()
    return said | {
        "crps": float(crps(quantiles, truth).mean()),
        "coverage": float(covered(quantiles, truth).mean()),
        "mae": float(np.abs(middle(quantiles) - truth).mean()),
        "peak": float(middle(quantiles).max()),
        "quantiles": np.round(quantiles[:, [1, 14, 15, -2]], 1).tolist(),
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


def run_waves(key: Key, context: Context) -> dict[str, Any]:
    """A field of the waves with one kind of damping: trained, then rolled out."""
    begun = time.process_time()
    paths = wave_paths().float()
    train, test = paths[:, :TRAIN], paths[:, TRAIN:]
    field = DampedField(key["damping"], context.seed)
    loss = train_field(field, train, WAVE_STEPS[context.budget], context.seed)
    context.ship(field, f"long_horizon_{key['damping']}")
    said = judge(field, train, test, context.seed)
    said["weights"] = [] if field.weights is None else field.weights.tolist()
    return said | {"loss": loss, "cpu_seconds": round(time.process_time() - begun, 1)}
