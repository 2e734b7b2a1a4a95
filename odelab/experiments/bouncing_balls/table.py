"""Bouncing balls: squared errors of forecasts, 10, 20 and 47 frames ahead."""

from typing import Any

from odelab.experiments.recipe import VIDEO_MODELS
from odelab.experiments.results import Row
from odelab.experiments.tables import Rows, Table, baselines, number, only_run, seeds, summarise

SPANS = ("10 frames", "20 frames", "47 frames")
GUESSES = {name: f"{name}, for comparison" for name in ("mean frame", "last frame")}
HOW = (
    "Three frames are given; trained on sequences of 20 frames, so what lies beyond is longer than any seen. Mean of "
    "20 draws. The slides print no number."
)


def baseline(row: Row, name: str) -> dict[str, Any]:
    """The baseline's errors where a model's would stand."""
    return {"errors": {span: {"mean of draws": errors[name]} for span, errors in row.result["baselines"].items()}}


def of_experiment(name: str, rows: Rows, caption: str) -> Table:
    """By number of balls and model: what was run so far; the papers draw these errors and print none."""
    rows = baselines(name, rows, GUESSES, baseline)
    cells = {f"next {span}": number("errors", span, "mean of draws", spec=".4f") for span in SPANS} | {"seeds": seeds}
    frame, lacking = only_run(summarise(name, rows, ("balls", "model"), cells))
    frame = frame.sort_index(level="balls", sort_remaining=False)
    settings = ", ".join(f"{VIDEO_MODELS[model]} with {balls}" for balls, model in lacking)
    note = f"{HOW} Not run yet: {settings}." if lacking else HOW
    return Table(frame.rename(index=VIDEO_MODELS | GUESSES, level="model"), caption, note)


def bouncing_table(rows: Rows = None) -> Table:
    return of_experiment(
        "bouncing-balls",
        rows,
        "Smaller than in the paper: bouncing balls, 16 × 16, 2,000 sequences, squared error; 3 frames are read",
    )


def paper_size_table(rows: Rows = None) -> Table:
    return of_experiment(
        "bouncing-balls-32",
        rows,
        "At the paper's size: bouncing balls, 32 × 32, 10,000 sequences, squared error; 3 frames are read",
    )


TABLES = {"bouncing-balls": (bouncing_table,), "bouncing-balls-32": (paper_size_table,)}
