"""What the stored full run `latent-spirals` has left: its models, and the errors of every seed."""

from typing import Any

from odelab.datasets import data_file
from odelab.experiments.latent_spirals.recipe import ABLATIONS, KEPT
from odelab.experiments.latent_spirals.run import MODELS
from odelab.experiments.latent_spirals.table import NAMES
from odelab.experiments.results import Row

REGIONS = ("before", "inside", "beyond")


def stored_model(name: str, kept: int = 30) -> Any:
    """A model of the stored full run, seed 0, in eval mode; None where there is none yet."""
    try:
        path = data_file(f"checkpoints/latent_spirals_{name}_{kept}.safetensors")
    except FileNotFoundError:
        return None
    return type(MODELS[ABLATIONS.get(name, (name,))[0]]()).load(path).requires_grad_(False)


def measured(rows: list[Row]) -> dict[str, dict[int, dict[str, list[float]]]]:
    """Model -> points seen -> region -> RMSE of every seed, of the stored rows; models and densities in order."""
    table: dict[str, dict[int, dict[str, list[float]]]] = {}
    for name, title in NAMES.items():
        for kept in sorted(KEPT):
            runs = [row.result for row in rows if (row.key["model"], row.key["kept"]) == (name, kept)]
            if runs:
                values = {region: [run[region] for run in runs if run[region] is not None] for region in REGIONS}
                table.setdefault(title, {})[kept] = values
    return table
