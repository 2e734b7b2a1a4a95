"""Rotating digits: squared errors on missing frames and on forecasts, digits never seen and digits trained on."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from odelab.experiments.recipe import VIDEO_MODELS
from odelab.experiments.results import Row, stored_rows
from odelab.experiments.tables import (
    Cell,
    Quick,
    Rows,
    Table,
    baselines,
    beside,
    number,
    only_run,
    over_seeds,
    seeds,
    summarise,
    with_paper,
)

#: What the slides print, word for word ("Experiments and Results").
PAPER = {
    ("non-uniform", "ode2vae"): "0.0194 ± 0.00006",
    ("non-uniform", "ode2vae-kl"): "0.0188 ± 0.0003",
    ("non-uniform", "GPPVAE-dis"): "0.0309 ± 0.00002",
    ("non-uniform", "GPPVAE-joint"): "0.0288 ± 0.00005",
}
PAPER_COLUMN = "paper: 28 × 28, training digits"
MEAN = "mean frame"
GUESSES = {name: f"{name}, for comparison" for name in (MEAN, "first frame")}
GUESSES_28 = GUESSES | {"mean of the same frame": "mean of the same frame, for comparison"}
JUDGED = {"uniform": "forecast", "non-uniform": "missing"}
SPLITS = {"held-out digits": "new digits", "training digits": "digits trained on"}
TRAINED_ON = {"new": "all, each from an angle of its own", "reference": "the reference's 360, all upright"}
HOW = (
    "Non-uniform: four of sixteen angles removed at random and one held out from all; uniform: the angles after the "
    "first three. Mean of 20 draws. ÷ mean frame: the error divided by that of the mean training frame on the same "
    "digits, which makes sizes comparable."
)


def error_on(digits: str) -> Cell:
    """The error on the frames that count; the baselines have one reading of it, the models several."""

    def cell(runs: list[Row]) -> str:
        return number(digits, "errors", JUDGED[runs[0].key["frames"]], "mean of draws", spec=".4f")(runs)

    return cell


def relative(row: Row, digits: str) -> float:
    """The error of one run, divided by that of the mean training frame on the same digits."""
    where, result = JUDGED[row.key["frames"]], row.result[digits]
    return float(result["errors"][where]["mean of draws"] / result["baselines"][where][MEAN])


def relative_to_mean(digits: str) -> Cell:
    return lambda runs: over_seeds([relative(row, digits) for row in runs])


def cells() -> dict[str, Cell]:
    columns: dict[str, Cell] = {}
    for digits, title in SPLITS.items():
        columns[title] = error_on(digits)
        columns[f"{title} ÷ mean frame"] = relative_to_mean(digits)
    return columns | {"seeds": seeds}


def baseline(row: Row, name: str) -> dict[str, Any]:
    """The baseline's errors where a model's would stand."""
    where = JUDGED[row.key["frames"]]
    result: dict[str, Any] = {}
    for split in SPLITS:
        guesses = row.result[split]["baselines"]
        result[split] = {"errors": {where: {"mean of draws": guesses[where][name]}}, "baselines": guesses}
    return result


def rotating_table(quick: Quick = None, rows: Rows = None) -> Table:
    """By (kind of frames, model), at 14 × 14; columns of `quick` alike. The papers have no such pictures."""
    rows = baselines("rotating-mnist", rows, GUESSES, baseline)
    frame = summarise("rotating-mnist", rows, ("frames", "model"), cells())
    frame = beside(frame, quick, ".4f")
    frame = frame.sort_index(level="frames", sort_remaining=False)
    return Table(
        frame.rename(index=VIDEO_MODELS | GUESSES, level="model"),
        'Smaller than in the paper: rotating "3"s of 14 × 14 pixels, squared error on missing frames (non-uniform) and '
        "on forecast ones (uniform)",
        f"{HOW} The papers' pictures are larger, and errors there are other ones: compare what is divided by the mean "
        "frame, not the errors.",
    )


def paper_size_table(rows: Rows = None) -> Table:
    """By (digits trained on, kind of frames, model), at the paper's 28 × 28: what was run so far."""
    name = "rotating-mnist-28"
    rows = stored_rows(name) if rows is None else rows
    guesses = baselines(name, rows, GUESSES_28, baseline)
    frame, lacking = only_run(summarise(name, guesses, ("digits", "frames", "model"), cells()))
    paper = {("reference", *setting): text for setting, text in PAPER.items()}
    frame = with_paper(frame, paper, PAPER_COLUMN)
    frame = frame.sort_index(level="digits", ascending=False, sort_remaining=False)
    frame.index = frame.index.set_names("digits to train on", level="digits")
    note = f"{HOW} Paper: the slides' table. {against_paper(rows)}{not_run(lacking)}"
    return Table(
        frame.rename(index=TRAINED_ON, level=0).rename(index=VIDEO_MODELS | GUESSES_28, level="model"),
        'At the paper\'s size: rotating "3"s of 28 × 28 pixels, squared error on missing frames (non-uniform) and on '
        "forecast ones (uniform)",
        note.strip(),
    )


def against_paper(rows: Sequence[Row]) -> str:
    """What the paper's numbers are, divided by our mean frame on its split; nothing where that was not run."""
    ours = [row for row in rows if (row.key["digits"], row.key["frames"]) == ("reference", "non-uniform")]
    if not ours:
        return ""
    judged = [row.result["training digits"] for row in ours]
    mean = fmean(result["baselines"]["missing"][MEAN] for result in judged)
    said = [float(PAPER["non-uniform", model].split()[0]) for model in ("ode2vae", "ode2vae-kl")]
    angle = [
        row.result["training digits"]["errors"]["held-out angle"]["mean of draws"]
        for row in ours
        if row.key["model"] == "ode2vae"
    ]
    return (
        f"Divided by our mean frame of that split, {mean:.4f}, the paper's {said[0]} and {said[1]} are "
        f"{said[0] / mean:.2f} and {said[1] / mean:.2f}. The slides do not say over which frames their error is the "
        f"mean; on the held-out angle alone ODE²VAE errs by {over_seeds(angle, '.4f')}. "
    )


def not_run(lacking: list[tuple[str, str, str]]) -> str:
    """The settings without a row, by the digits and frames they belong to."""
    models: dict[str, list[str]] = {}
    for digits, frames, model in lacking:
        models.setdefault(f"{TRAINED_ON[digits]}, {frames}", []).append(VIDEO_MODELS[model])
    everything = len({model for _, _, model in lacking})
    listed = "; ".join(
        f"{where}: {'all models' if len(names) == everything else ', '.join(names)}" for where, names in models.items()
    )
    return f"Not run yet: {listed}." if models else ""


TABLES = {"rotating-mnist": (rotating_table,), "rotating-mnist-28": (paper_size_table,)}
