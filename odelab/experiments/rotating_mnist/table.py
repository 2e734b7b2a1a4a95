"""Rotating digits: squared errors on missing frames and on forecasts, digits never seen and digits trained on."""

from typing import Any

from odelab.experiments.recipe import VIDEO_MODELS
from odelab.experiments.results import Row
from odelab.experiments.tables import Cell, Quick, Rows, Table, baselines, beside, number, seeds, summarise, with_paper

#: What the slides print, word for word ("Experiments and Results").
PAPER = {
    ("non-uniform", "ode2vae"): "0.0194 ± 0.00006",
    ("non-uniform", "ode2vae-kl"): "0.0188 ± 0.0003",
    ("non-uniform", "GPPVAE-dis"): "0.0309 ± 0.00002",
    ("non-uniform", "GPPVAE-joint"): "0.0288 ± 0.00005",
}
GUESSES = {name: f"{name}, for comparison" for name in ("mean frame", "first frame")}
JUDGED = {"uniform": "forecast", "non-uniform": "missing"}


def error_on(digits: str) -> Cell:
    """The error on the frames that count; the baselines have one reading of it, the models several."""

    def cell(runs: list[Row]) -> str:
        return number(digits, "errors", JUDGED[runs[0].key["frames"]], "mean of draws", spec=".4f")(runs)

    return cell


def baseline(row: Row, name: str) -> dict[str, Any]:
    """The baseline's errors where a model's would stand."""
    where = JUDGED[row.key["frames"]]
    splits = ("held-out digits", "training digits")
    return {s: {"errors": {where: {"mean of draws": row.result[s]["baselines"][where][name]}}} for s in splits}


def rotating_table(quick: Quick = None, rows: Rows = None) -> Table:
    """By (kind of frames, model); columns of `quick` alike."""
    rows = baselines("rotating-mnist", rows, GUESSES, baseline)
    cells = {
        "14 × 14, new digits": error_on("held-out digits"),
        "14 × 14, training digits, as the reference tests": error_on("training digits"),
        "seeds": seeds,
    }
    frame = summarise("rotating-mnist", rows, ("frames", "model"), cells)
    frame = beside(with_paper(frame, PAPER, "paper: 28 × 28, training digits"), quick, ".4f")
    frame = frame.sort_index(level="frames", sort_remaining=False)
    return Table(
        frame.rename(index=VIDEO_MODELS | GUESSES, level="model"),
        'Rotating "3"s, squared error on missing frames (non-uniform) and on forecast ones (uniform)',
        "Non-uniform: four of sixteen angles removed at random and one held out from all; uniform: the angles after "
        "the first three. Mean of 20 draws. Paper: the slides' table; other pictures, its digits not held out.",
    )


TABLES = {"rotating-mnist": (rotating_table,)}
