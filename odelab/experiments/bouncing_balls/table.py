"""Bouncing balls: squared errors of forecasts, 10, 20 and 47 frames ahead."""

from typing import Any

from odelab.experiments.recipe import VIDEO_MODELS
from odelab.experiments.results import Row
from odelab.experiments.tables import Rows, Table, baselines, number, seeds, summarise

SPANS = ("10 frames", "20 frames", "47 frames")
GUESSES = {name: f"{name}, for comparison" for name in ("mean frame", "last frame")}


def baseline(row: Row, name: str) -> dict[str, Any]:
    """The baseline's errors where a model's would stand."""
    return {"errors": {span: {"mean of draws": errors[name]} for span, errors in row.result["baselines"].items()}}


def bouncing_table(rows: Rows = None) -> Table:
    """By number of balls and model; the papers draw these errors and print none."""
    rows = baselines("bouncing-balls", rows, GUESSES, baseline)
    cells = {f"next {span}": number("errors", span, "mean of draws", spec=".4f") for span in SPANS} | {"seeds": seeds}
    frame = summarise("bouncing-balls", rows, ("balls", "model"), cells)
    frame = frame.sort_index(level="balls", sort_remaining=False)
    return Table(
        frame.rename(index=VIDEO_MODELS | GUESSES, level="model"),
        "Bouncing balls, 16 × 16, squared error; trained on 20 frames, 3 of them read",
        "Three frames are given; trained on sequences of 20 frames, so what lies beyond is longer than any seen. Mean "
        "of 20 draws. The slides print no number.",
    )


TABLES = {"bouncing-balls": (bouncing_table,)}
