"""Fit and interventions side by side, and the map of when SINDy is right."""

from odelab.experiments.identification.recipe import MODELS, NOISE, SAMPLES
from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.tables import Rows, Table, number, seeds, summarise
from odelab.extras import extra

with extra("train"):
    import pandas as pd

CHANGES = {"stock": "Q is held", "pendulum": "a constant push", "hunters": "a harvest"}


def right(runs: list[Row]) -> str:
    """How many runs named exactly the true terms; a dash for nets, which name none."""
    verdicts = [row.result["right"] for row in runs if "right" in row.result]
    return f"{sum(verdicts)} of {len(verdicts)}" if verdicts else "–"


CELLS = {
    "fit": number("fit", spec=".3f"),
    "starting elsewhere": number("elsewhere", spec=".2f"),
    "changed slopes": number("change", spec=".2f"),
    "slopes over the box": number("field", spec=".2f"),
    "right terms": right,
    "seeds": seeds,
}


def identification_table(rows: Rows = None, system: str | None = None) -> Table:
    """By system, experiments and model, or for one system."""
    frame = summarise("identification", rows, ("system", "starts", "model"), CELLS)
    frame = frame.rename(index=MODELS, level="model").rename_axis(["system", "experiments", "model"])
    if system is not None:
        frame = frame.xs(system, level="system")
        frame = frame.rename(columns={"changed slopes": CHANGES[system]})
    changes = ", ".join(f"{name}: {change}" for name, change in CHANGES.items())
    return Table(
        frame,
        "Prediction errors in standard deviations of the observed path; the slopes' error is relative",
        f"{SAMPLES} samples of each experiment, noise {100 * NOISE:g} %. No model has observed an intervention. "
        f"Changed slopes: {changes}. A model that runs away counts as 10.",
    )


def grid_table(rows: Rows = None) -> Table:
    """The share of draws in which exactly the right terms were named, by system and experiments, noise in columns."""
    runs = stored_rows("identification-grid") if rows is None else [*rows]
    lines = {}
    for (system, starts), group in by_key(runs, "system", "starts").items():
        for samples, shares in shares_by_samples(group).items():
            lines[system, starts, samples] = {f"noise {100 * noise:g} %": f"{s:.2f}" for noise, s in shares.items()}
    frame = pd.DataFrame.from_dict(lines, orient="index")
    frame.index = pd.MultiIndex.from_tuples([*lines] or [("", 0, 0)], names=["system", "experiments", "samples"])
    draws = sum(row.result["draws"] for row in runs) // max(len(lines) // 4, 1)
    return Table(frame, "Share of draws in which SINDy names exactly the right terms", f"{draws} draws of the noise.")


def shares_by_samples(runs: list[Row]) -> dict[int, dict[float, float]]:
    """samples -> noise -> mean over the rows of the share of right answers."""
    cells: dict[int, dict[float, list[float]]] = {}
    for row in runs:
        for cell in row.result["cells"]:
            cells.setdefault(cell["samples"], {}).setdefault(cell["noise"], []).append(cell["right"])
    return {n: {noise: sum(v) / len(v) for noise, v in by_noise.items()} for n, by_noise in cells.items()}


TABLES = {"identification": (identification_table,), "identification-grid": (grid_table,)}
