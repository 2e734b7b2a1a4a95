"""What the latent ODE lesson shows of the stored full run `latent-spirals`: its models, and a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odelab.datasets import data_file
from odelab.experiments.latent_spirals.recipe import KEPT
from odelab.experiments.latent_spirals.run import MODELS
from odelab.experiments.results import Row
from odelab.lessons.kit.tables import NOT_THERE, SideBySide, over_seeds

TITLES = {
    "rnn": "RNN",
    "rnn-dt": "RNN that reads Δt",
    "latent-ode": "latent ODE",
    "ode-rnn": "latent ODE, ODE-RNN encoder",
}
#: The paper's table on irregularly sampled spirals, in words: its numbers are not in the course's sources.
PAPER = {
    "rnn": "worse the fewer points are seen",
    "latent-ode": "below the RNN at every density; hardly worse where sparse",
}
REGIONS = ("before", "inside", "beyond")


def stored_model(name: str, kept: int = 30) -> Any:
    """A model of the stored full run, seed 0, in eval mode; None where there is none yet."""
    try:
        path = data_file(f"checkpoints/latent_spirals_{name}_{kept}.safetensors")
    except FileNotFoundError:
        return None
    return type(MODELS[name]()).load(path).requires_grad_(False)


def measured(rows: list[Row]) -> dict[str, dict[int, dict[str, list[float]]]]:
    """Model -> points seen -> region -> RMSE of every seed, of the stored rows; models and densities in order."""
    table: dict[str, dict[int, dict[str, list[float]]]] = {}
    for name, title in TITLES.items():
        for kept in sorted(KEPT):
            runs = [row.result for row in rows if (row.key["model"], row.key["kept"]) == (name, kept)]
            if runs:
                values = {region: [run[region] for run in runs if run[region] is not None] for region in REGIONS}
                table.setdefault(title, {})[kept] = values
    return table


def spirals_table(quick: Mapping[tuple[str, int], Mapping[str, float | None]], rows: list[Row]) -> SideBySide:
    """RMSE beyond the window: this notebook, the stored full run, and the paper's trend.

    Args:
        quick: (model, points seen) -> region -> RMSE, measured here.
    """
    lines, full = [], measured(rows)
    for kept in sorted(KEPT):
        for name, title in TITLES.items():
            here = quick.get((name, kept), {}).get("beyond")
            runs = full.get(title, {}).get(kept, {}).get("beyond", [])
            mine = NOT_THERE if here is None else f"{here:.2f}"
            lines.append((str(kept), title, mine, over_seeds(runs, 2), PAPER.get(name, NOT_THERE)))
    header = ("seen", "model", "quick: this notebook", "full: stored runs", "paper: the trend")
    return SideBySide(header, lines, "RMSE over the 100 points after the window")
