"""Error, score and coverage against the number of points that a model is given of a new series."""

from collections.abc import Sequence
from statistics import fmean

from odelab.experiments.neural_processes.recipe import MODELS, RECIPES, TASKS
from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.tables import Cell, Rows, Table, number, seeds, summarise

SCORES = {"mse": "squared error", "crps": "CRPS", "coverage": "coverage of the 90 % band", "log_density": "log-density"}


def counts_shown(task: str) -> list[int]:
    """The fewest, a middle and the largest number of points."""
    counts = RECIPES[task].counts
    return [counts[0], counts[2], counts[-1]]


def mean_of(rows: Sequence[Row], score: str) -> float:
    """A score of the mean and spread of the training series, which differ by seed: the mean over rows."""
    return fmean(row.result["without"][score] for row in rows)


def processes_table(rows: Rows = None, task: str | None = None) -> Table:
    """By task and model, or for one task; a column for each score and number of points.

    For one task it is narrow enough for a slide: without log-density, parameters and time.
    """
    shown = counts_shown(task) if task else [1, 3]
    digits = {"mse": ".4f", "crps": ".4f", "coverage": ".2f", "log_density": ".2f"}
    cells: dict[str, Cell] = {
        f"{title}, {count} point{'s' * (count > 1)}": number("points", str(count), name, spec=digits[name])
        for name, title in SCORES.items()
        if not task or name != "log_density"
        for count in shown
    }
    if not task:
        cells |= {"parameters": number("parameters", spec=".0f"), "CPU s": number("cpu_seconds", spec=".0f")}
    cells["seeds"] = seeds
    frame = summarise("neural-processes", rows, ("task", "model"), cells).rename(index=MODELS, level="model")
    if task:
        frame = frame.xs(task, level="task")
    known = stored_rows("neural-processes") if rows is None else rows
    base = by_key([row for row in known if row.key["task"] == (task or row.key["task"])], "task")
    said = "; ".join(
        f"{name}: squared error {mean_of(runs, 'mse'):.4f}, CRPS {mean_of(runs, 'crps'):.4f}"
        for name, runs in base.items()
    )
    return Table(
        frame,
        f"New series, {TASKS[task] if task else 'three families'}: what models say from the points they are given",
        "Judged at points of the grid that no model is given, noise included; CRPS of 50 draws, lower is better. "
        "Coverage should be 0.90. Without any point, from mean and spread of the training series: " + said + ". "
        "It shows small models on families that are easy to sample; it does not show that a series outside of the "
        "family is noticed.",
    )


def curves(rows: Sequence[Row], task: str, score: str) -> dict[str, tuple[list[int], list[list[float]]]]:
    """Model -> numbers of points, and for each seed the score at them."""
    groups = by_key(rows, "task", "model")
    counts = list(RECIPES[task].counts)
    return {
        title: (counts, [[row.result["points"][str(k)][score] for k in counts] for row in groups[task, model]])
        for model, title in MODELS.items()
        if (task, model) in groups
    }


TABLES = {"neural-processes": (processes_table,)}
