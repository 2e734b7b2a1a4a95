"""What the ODE²VAE lesson shows of stored full runs: walkers with other penalties, and a table of three columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from odelab.course.tables import MISSING, NOT_THERE, SideBySide, over_seeds
from odelab.datasets.series import FOLDERS
from odelab.experiments.results import Row
from odelab.latent import ODE2VAE

NAMED = re.compile(r"mocap_beta(?P<beta>.+)_gamma(?P<gamma>.+)\.safetensors")
PAPER = {  # test errors of Mocap-2 as the slides print them
    "ode2vae": "10.06 ± 1.4",
    "ode2vae-kl": "8.09 ± 1.95",
    "order-1": "22.49 ± 0.88 (neural ODE)",
}
PAPER_OTHERS = {"NPODE": "22.96", "DTSBN-S": "34.86 ± 0.02"}
NAMES = {
    "ode2vae": "ODE²VAE",
    "ode2vae-kl": "ODE²VAE-KL",
    "deterministic": "second order, ordinary network",
    "order-1": "order 1, as many numbers as (s, v)",
    "order-1-position": "order 1, position only",
    "training mean": "the training mean, for comparison",
    "last frame": "the last frame seen, for comparison",
}
READINGS = {
    "mean_of_draws": "mean of the draws",
    "per_draw": "mean over draws of each one's error",
    "posterior_mean": "path from the posterior means",
}
TRAINED_CAUSALLY = "trained and tested on walks centred by the training mean"


def pretrained() -> dict[tuple[float, float], ODE2VAE]:
    """The stored walkers by (β, γ), each β with each γ; none where full runs have not left enough of them."""
    found: dict[tuple[float, float], ODE2VAE] = {}
    for folder in FOLDERS:
        for path in sorted((folder / "checkpoints").glob("mocap_beta*_gamma*.safetensors")):
            if name := NAMED.fullmatch(path.name):
                found.setdefault((float(name["beta"]), float(name["gamma"])), ODE2VAE.load(path))
    betas = {beta for beta, _ in found}
    common = {gamma for _, gamma in found if all((beta, gamma) in found for beta in betas)}
    return {pair: model for pair, model in sorted(found.items()) if pair[1] in common}


def errors(rows: Sequence[Row], model: str, test: str = "test", reading: str = "mean_of_draws", **key: str) -> list:
    """One error of each stored run of a model, over the seeds."""
    wanted = {"model": model, "centring": "own", **key}
    chosen = [row for row in rows if all(row.key.get(name) == value for name, value in wanted.items())]
    return [row.result[test][reading] for row in chosen if reading in row.result.get(test, {})]


def mocap_table(quick: Mapping[str, float], rows: Sequence[Row]) -> SideBySide:
    """Squared error on the test walks from frame 3 on: this notebook, our stored runs of `mocap2`, the paper's figures.

    Args:
        quick: key of ``NAMES``, or a reading or centring as the table names it -> what this notebook measured.
    """
    table = [
        (name, _number(quick, model), over_seeds(errors(rows, model), 2), PAPER.get(model, "no number"))
        for model, name in NAMES.items()
    ]
    table += [(name, NOT_THERE, NOT_THERE, value) for name, value in PAPER_OTHERS.items()]
    others = {f"ODE²VAE-KL: {name}": errors(rows, "ode2vae-kl", reading=key) for key, name in READINGS.items()}
    others |= {
        "ODE²VAE-KL: test walks centred by their first 3 frames": errors(rows, "ode2vae-kl", "test_first_frames"),
        "ODE²VAE-KL: test walks centred by the training mean": errors(rows, "ode2vae-kl", "test_training_mean"),
        f"ODE²VAE-KL: {TRAINED_CAUSALLY}": errors(rows, "ode2vae-kl", centring="training"),
    }
    table += [(name, _number(quick, name), over_seeds(values, 2), "no number") for name, values in others.items()]
    header = ("model", "quick: this notebook", "full: stored runs", "paper")
    caption = "Subject 35, four test walks, squared error in degrees² over frames 3 to 299; mean of 50 draws"
    return SideBySide(header, table, caption if rows else f"{caption}. Full runs: {MISSING}")


def _number(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.2f}" if name in values else NOT_THERE
