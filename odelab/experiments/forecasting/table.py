"""Forecasts side by side: scores of each series, by horizon, of the epidemic, and of long roll-outs."""

from collections.abc import Sequence

import numpy as np

from odelab.experiments.forecasting.recipe import DAMPINGS, EPIDEMIC_MODELS, MODELS, NOISES, PLANS
from odelab.experiments.forecasting.scores import difference
from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.tables import Cell, Rows, Table, number, over_seeds, seeds, summarise

CELLS = {
    "CRPS": number("mean_crps", spec=".3f"),
    "coverage of 90 %": number("mean_coverage", spec=".2f"),
    "MAE": number("mean_mae", spec=".2f"),
    "seeds": seeds,
}


def by_origin(rows: Sequence[Row], series: str, model: str) -> np.ndarray:
    """CRPS of each test origin, the mean over seeds: (origins,).

    Raises:
        ValueError: when there is no such row.
    """
    runs = [row.result["by_origin"] for row in rows if row.key == {"series": series, "model": model}]
    if not runs:
        raise ValueError(f"no row tells of {model!r} on {series!r}; run python -m odelab reproduce forecasting")
    return np.mean(runs, axis=0)


def against(rows: Sequence[Row], series: str, model: str, other: str) -> tuple[float, float]:
    """Mean CRPS of a model less that of another over the test origins, and its standard error."""
    return difference(by_origin(rows, series, model), by_origin(rows, series, other), PLANS[series].overlap)


def forecasting_table(rows: Rows = None, series: str | None = None) -> Table:
    """By series and model, or for one series; and how far each model is from the latent ODE."""
    runs = stored_rows("forecasting") if rows is None else [*rows]
    frame = summarise("forecasting", runs, ("series", "model"), CELLS)
    gaps = []
    for name, model in frame.index:
        known = {row.key["model"] for row in runs if row.key["series"] == name}
        if model == "latent-ode" or not {model, "latent-ode"} <= known:
            gaps.append("–")
            continue
        gap, error = against(runs, name, model, "latent-ode")
        gaps.append(f"{gap:+.3f} ± {error:.3f}".replace("-", "−"))
    frame.insert(1, "CRPS − that of the latent ODE", gaps)
    frame = frame.rename(index=MODELS, level="model")
    if series is not None:
        frame = frame.xs(series, level="series")
    ahead = "; ".join(f"{name}: {plan.horizon} {plan.sample}s ahead" for name, plan in PLANS.items())
    return Table(
        frame,
        "Mean scores over test origins and horizons, °C; CRPS: lower is better",
        f"{ahead}. ± in the second number column is the standard error over origins, elsewhere it is over seeds; a "
        "positive difference is worse than the latent ODE. Settings were chosen on earlier origins; no model was "
        "fitted again after the first test origin.",
    )


def crps_curves(rows: Sequence[Row], series: str, what: str = "crps") -> dict[str, np.ndarray]:
    """A score by horizon for each model of a series that has rows: model -> (seeds, horizon)."""
    groups = by_key([row for row in rows if row.key["series"] == series], "model")
    return {model: np.array([row.result[what] for row in groups[model]]) for model in MODELS if model in groups}


def horizons_table(rows: Rows = None) -> Table:
    """CRPS at a few horizons, by series and model."""
    runs = stored_rows("forecasting") if rows is None else [*rows]
    names = ("next", "after a third", "after two thirds", "last")

    def cell(part: int) -> Cell:
        def one(some: list[Row]) -> str:
            curves = np.array([row.result["crps"] for row in some])
            place = round(part * (curves.shape[1] - 1) / 3)
            return over_seeds(curves[:, place].tolist(), ".3f")

        return one

    frame = summarise("forecasting", runs, ("series", "model"), {name: cell(k) for k, name in enumerate(names)})
    return Table(frame.rename(index=MODELS, level="model"), "CRPS by horizon, °C")


def epidemic_table(rows: Rows = None, days: int | None = None) -> Table:
    """By the number of days known and model, or for one number."""
    columns = {
        "CRPS": number("crps", spec=".1f"),
        "coverage of 90 %": number("coverage"),
        "MAE": number("mae", spec=".0f"),
        "largest forecast": number("peak", spec=".0f"),
        "seeds": seeds,
    }
    frame = summarise("epidemic", rows, ("days", "model"), columns).rename(index=EPIDEMIC_MODELS, level="model")
    frame = frame.rename_axis(["days known", "model"])
    if days is not None:
        frame = frame.xs(days, level="days known")
    return Table(
        frame,
        "Boys in bed on all days that follow",
        "The largest number of the 14 days was 298, on day 6. With so few days a coverage is a rough number.",
    )


def waves_table(rows: Rows = None) -> Table:
    """Errors, shares of paths that leave, and energies, by kind of damping."""

    def place(name: str, k: int, spec: str) -> Cell:
        return lambda runs: over_seeds([row.result[name][k] for row in runs], spec)

    columns = {
        "error, 25 steps": place("error", 1, ".2f"),
        "error, 100 steps": place("error", 3, ".2f"),
        "left in 100": place("left_100", 0, ".0%"),
        "left in 100, noisy start": place("left_100", len(NOISES) - 1, ".0%"),
        "left in 1000": place("left_1000", 0, ".0%"),
        "energies off by, log₁₀": place("spectrum", 0, ".2f"),
        "seeds": seeds,
    }
    frame = summarise("long-horizon", rows, ("damping",), columns).rename(index=DAMPINGS)
    return Table(
        frame,
        "Roll-outs of a learned Kuramoto–Sivashinsky equation",
        "Errors over the standard deviation of the waves; 1.41 is that of two unrelated states. A path has left when "
        f"its norm is twice the largest of the data. Noisy start: normal numbers of standard deviation {NOISES[-1]:g} "
        "are added to the first state. Energies: mean distance of waves 1–8 over steps 501–1000; 3 is the most that is "
        "counted.",
    )


TABLES = {
    "forecasting": (forecasting_table, horizons_table),
    "epidemic": (epidemic_table,),
    "long-horizon": (waves_table,),
}
