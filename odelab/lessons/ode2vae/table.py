"""What the ODE²VAE lesson shows of stored full runs: walkers with other penalties, and a table of three columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from odelab.experiments.papers import MOCAP2
from odelab.experiments.results import Row
from odelab.folders import FOLDERS
from odelab.latent import ODE2VAE
from odelab.lessons.kit.tables import NOT_THERE, SideBySide, over_seeds

NAMED = re.compile(r"mocap_beta(?P<beta>.+)_gamma(?P<gamma>.+)\.safetensors")
NAMES = {
    "ode2vae": "ODE²VAE",
    "ode2vae-kl": "ODE²VAE-KL",
    "deterministic": "second order, ordinary network",
    "order-1": "order 1, as many numbers as (s, v)",
    "order-1-position": "order 1, position only",
    "ode2vae-kl-refitted": "ODE²VAE-KL, trained on the 3 validation walks too",
    "order-1-refitted": "order 1, as many numbers, trained on them too",
    "training mean": "each walk's own mean pose, for comparison",
    "last frame": "the last frame seen, for comparison",
}
READINGS = {  # other tests and readings of the same ODE²VAE: (test, reading)
    "ODE²VAE, mean over draws of each one's error": ("test_last", "per_draw"),
    "ODE²VAE, the path from the posterior means": ("test_last", "posterior_mean"),
    "ODE²VAE, the iterate of least validation error": ("test", "mean_of_draws"),
    "ODE²VAE, test walks centred by the training mean": ("test_training_mean", "mean_of_draws"),
    "ODE²VAE, test walks centred by their first 3 frames": ("test_first_frames", "mean_of_draws"),
}
LIVE = {  # what the lesson calls them
    "ode2vae": "walker",
    "training mean": "mean pose",
    "last frame": "last frame seen",
    "ODE²VAE, test walks centred by the training mean": "centred by the training mean",
    "ODE²VAE, test walks centred by their first 3 frames": "centred by the first 3 frames",
}
NO_NUMBER = "no number"


def pretrained() -> dict[tuple[float, float], ODE2VAE]:
    """The stored walkers by (β, γ), each β with each γ; none where full runs have not left enough of them."""
    found: dict[tuple[float, float], ODE2VAE] = {}
    for folder in FOLDERS:
        for path in sorted((folder / "checkpoints").glob("mocap_beta*_gamma*.safetensors")):
            if name := NAMED.fullmatch(path.name):
                found.setdefault((float(name["beta"]), float(name["gamma"])), ODE2VAE.load(path))
    gammas = {gamma for _, gamma in found}
    whole = {beta for beta, _ in found if all((beta, gamma) in found for gamma in gammas)}
    return {pair: model for pair, model in sorted(found.items()) if pair[0] in whole}


def errors(
    rows: Sequence[Row], model: str, test: str = "test_last", reading: str = "mean_of_draws", **key: str
) -> list:
    """One error of each stored run of a model, over the seeds; a model that is not trained has one iterate only."""
    wanted = {"model": model, "centring": "own", **key}
    chosen = [row for row in rows if all(row.key.get(name) == value for name, value in wanted.items())]
    if not any("test_last" in row.result for row in chosen) and test == "test_last":
        test = "test"
    return [row.result[test][reading] for row in chosen if reading in row.result.get(test, {})]


def mocap_table(quick: Mapping[str, float], rows: Sequence[Row], *, complete: bool = True) -> SideBySide:
    """Squared error on the test walks from frame 3 on: this notebook, our stored runs of `mocap2`, the paper's figures.

    Args:
        quick: what this notebook measured, by the names of ``LIVE``.
        complete: whether on the recordings; the column says so where a made-up gait stood in.
    """
    paper = MOCAP2 | {"order-1": f"{MOCAP2['neural ODE']} (neural ODE)"}
    table = [(name, _number(quick, key), _stored(rows, key), paper.get(key, NO_NUMBER)) for key, name in NAMES.items()]
    table += [(name, NOT_THERE, NOT_THERE, MOCAP2[name]) for name in ("NPODE", "DTSBN-S")]
    for name, (test, reading) in READINGS.items():
        table.append((name, _number(quick, name), over_seeds(errors(rows, "ode2vae", test, reading), 2), NO_NUMBER))
    causally = over_seeds(errors(rows, "ode2vae-kl", centring="training"), 2)
    table.append(
        ("ODE²VAE-KL, trained and tested on walks centred by the training mean", NOT_THERE, causally, NO_NUMBER)
    )
    header = ("model", f"quick: this notebook{'' if complete else ', a made-up gait'}", "full: stored runs", "paper")
    caption = (
        "Subject 35, four test walks, squared error in degrees² over frames 3 to 299: of the mean of 50 draws, and of "
        "the last of 1,000 iterations in full, of the best on validation in the notebook, where nothing else is said"
    )
    return SideBySide(header, table, caption)


def _stored(rows: Sequence[Row], model: str) -> str:
    values = errors(rows, model)
    return over_seeds(values[:1] if len(set(values)) == 1 else values, 2)  # a constant knows no seed


def _number(quick: Mapping[str, float], name: str) -> str:
    value = quick.get(LIVE.get(name, name))
    return NOT_THERE if value is None else f"{value:.2f}"
