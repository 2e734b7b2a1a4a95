"""What the lesson on ODE²VAE at scale shows of the stored full runs: models, and tables that keep columns apart.

Figures of the papers are those that the slides print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import Mocap, data_file
from odelab.experiments.papers import MOCAP1, MOCAP2, ROTATING_MNIST
from odelab.experiments.results import Row
from odelab.latent import ODE2VAE
from odelab.lessons.kit.tables import MISSING, NOT_THERE, SideBySide, over_seeds

NO_NUMBER = "no number"
READING = "mean of draws"  # of the errors that are stored, the one shown
NAMES = {
    "ode2vae": "ODE²VAE",
    "ode2vae-kl": "ODE²VAE-KL",
    "order-1-2q": "order 1, as many dimensions as (s, v)",
    "order-1": "order 1, position only",
    "rnn-vae": "recurrent VAE",
}


def stored_model(name: str) -> ODE2VAE | None:
    """The model of that name that a full run has left, in evaluation mode; None where there is none."""
    try:
        return ODE2VAE.load(data_file(f"checkpoints/{name}.safetensors"))
    except FileNotFoundError:
        return None


def stored_balls(balls: int) -> dict[str, ODE2VAE]:
    """The models of bouncing balls, 16 × 16, that full runs have left: short name -> model."""
    names = {"order 2": "ode2vae", "order 1, 2q": "order-1-2q", "order 1, q": "order-1"}
    found = {short: stored_model(f"bouncing_16_{balls}_{name}") for short, name in names.items()}
    return {short: model for short, model in found.items() if model}


def balls_with_models() -> list[int]:
    """Numbers of balls for which as many models are stored as for any; one ball where there are none."""
    count = {balls: len(stored_balls(balls)) for balls in (1, 3)}
    return [balls for balls in count if count[balls] == max(count.values())][: 2 if any(count.values()) else 1]


def forecasts(x: Tensor, times: Tensor, balls: int) -> dict[str, Tensor]:
    """What each stored model makes of the first frames of x (n, T, 1, 16, 16); and two guesses without a model."""
    found = {name: model.forecast(x, times, mean=True).mean for name, model in stored_balls(balls).items()}
    return found | {"last frame": x[:, 2:3].expand_as(x), "mean frame": x.mean((0, 1)).expand_as(x)}


def rows_of(rows: Sequence[Row], **key: Any) -> list[Row]:
    """The rows whose key has these values."""
    return [row for row in rows if all(row.key.get(name) == value for name, value in key.items())]


def digits_table(quick: Mapping[str, float], rows: Sequence[Row]) -> SideBySide:
    """Mean squared error on missing frames of rotating "3"s: this notebook, our stored runs, the papers' figures.

    Args:
        quick: model -> what this notebook measured on digits it had not seen.
        rows: of `rotating-mnist`.
    """
    header = (
        "model",
        "quick: this notebook, 14 × 14, new digits",
        "full: 14 × 14, new digits",
        "full: 14 × 14, training digits, as the reference tests",
        "paper: 28 × 28, training digits",
    )
    ours = rows_of(rows, frames="non-uniform", size=14)
    table = []
    for kind in ("mean frame", "first frame"):
        shown = [over_seeds(errors(ours, digits, "baselines", kind)[:1], 4) for digits in ("held-out", "training")]
        table.append((f"{kind}, for comparison", _number(quick, kind), *shown, NO_NUMBER))
    for model in ("order-1", "order-1-2q", "ode2vae", "ode2vae-kl"):
        runs = rows_of(ours, model=model)
        shown = [over_seeds(errors(runs, digits, "errors", READING), 4) for digits in ("held-out", "training")]
        table.append((NAMES[model], _number(quick, model), *shown, ROTATING_MNIST.get(model, NO_NUMBER)))
    others = [name for name in ROTATING_MNIST if name not in NAMES]
    table += [(name, NOT_THERE, NOT_THERE, NOT_THERE, ROTATING_MNIST[name]) for name in others]
    return SideBySide(header, table, 'Rotating "3"s, squared error on missing frames')


def balls_table(rows: Sequence[Row]) -> SideBySide:
    """Mean squared error of bouncing balls over 10, 20 and 47 frames ahead, our stored runs of `bouncing-balls`.

    The papers draw these errors and print none; numbers of balls without a run are left out.
    """
    spans = ("10 frames", "20 frames", "47 frames")
    header = ("balls", "model", *(f"full: {span} ahead" for span in spans))
    table = []
    for balls in (1, 3):
        ours = rows_of(rows, balls=balls, size=16)
        if not ours:
            continue
        for name in ("mean frame", "last frame"):
            values = [[row.result["baselines"][span][name] for row in ours[:1]] for span in spans]
            table.append((str(balls), f"{name}, for comparison", *(over_seeds(v, 4) for v in values)))
        for model in ("rnn-vae", "order-1", "order-1-2q", "ode2vae"):
            runs = rows_of(ours, model=model)
            values = [[row.result["errors"][span][READING] for row in runs] for span in spans]
            table.append((str(balls), NAMES[model], *(over_seeds(v, 4) for v in values)))
    return SideBySide(header, table, "Bouncing balls, 16 × 16, squared error; trained on 20 frames, 3 of them read")


def errors(rows: Sequence[Row], digits: str, kind: str, name: str) -> list[float]:
    """One error on missing frames, from each row."""
    return [float(row.result[f"{digits} digits"][kind]["missing"][name]) for row in rows]


def _number(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.4f}" if name in values else NOT_THERE


def walk_errors(mocap: Mocap) -> dict[str, float]:
    """Errors on the test walks, frames 3 to 299: two constants, and the shipped walker's mean of 50 draws.

    The walker is left out where its weights are missing, or where the walks are a stand-in that it never saw.
    """
    test, m = mocap.test, 3
    still = {"training mean": mocap.train.x.mean((0, 1)).expand_as(test.x), "last frame": test.x[:, m - 1 : m]}
    found = {name: (guess - test.x).square()[:, m:].mean().item() for name, guess in still.items()}
    walker = stored_model("mocap2_ode2vae-kl") if mocap.complete else None
    if walker:
        mean = walker.forecast(test.x, test.times, 50, torch.Generator().manual_seed(0)).mean
        found["ode2vae-kl"] = (mean - test.x).square()[:, m:].mean().item()
    return found


def mocap_table(quick: Mapping[str, float], rows: Sequence[Row]) -> SideBySide:
    """Mean squared error on the test walks: this notebook, our stored runs of `mocap2`, and the paper's two tasks."""
    names = {"training mean": "training mean, for comparison", "last frame": "last frame, for comparison"}
    names |= {"order-1-position": NAMES["order-1"], "order-1": NAMES["order-1-2q"]}
    names |= {name: NAMES[name] for name in ("ode2vae", "ode2vae-kl")}
    names |= {f"{name}-refitted": f"{names[name]}, trained on 3 walks more" for name in ("ode2vae-kl", "order-1")}
    names |= {name: name for name in MOCAP2 if name not in names}
    header = (
        "model",
        "quick: shipped weights of seed 0, now",
        "full: mean of 50 draws",
        "full: mean error of a draw",
        "full: centred without the future",
        "paper: Mocap-2",
    )
    table = []
    for model, name in names.items():
        runs = rows_of(rows, model=model, centring="own")
        constant, trained = name.endswith("comparison"), name in NAMES.values() or model.endswith("refitted")
        last = "test" if constant else "test_last"
        readings = ((last, "mean_of_draws"), (last, "per_draw"), ("test_training_mean", "mean_of_draws"))
        tests = [[row.result[test][reading] for row in runs if test in row.result] for test, reading in readings]
        ours = [
            over_seeds(values[:1] if constant else values, 2) if values or trained else NOT_THERE for values in tests
        ]
        paper = MOCAP2.get(model, NO_NUMBER)
        table.append((name, f"{quick[model]:.2f}" if model in quick else NOT_THERE, *ours, paper))
    return SideBySide(header, table, "Walks of subject 35, squared error of frames 3 to 299, 50 channels; last iterate")


def walk_by_walk_table(rows: Sequence[Row]) -> SideBySide:
    """One model for each walk, its last third forecast: means over the walks run so far, and the paper's Mocap-1."""
    names = {"training mean": "training mean, for comparison", "last frame": "last frame, for comparison"}
    names |= {model: NAMES.get(model, model) for model in ("ode2vae", "ode2vae-kl", "NPODE", "neural ODE", "DTSBN-S")}
    table = []
    for model, name in names.items():
        if model in MOCAP1:
            values = [row.result["test"]["mean_of_draws"] for row in rows_of(rows, model=model)]
        else:  # the same for either model of a walk
            values = [row.result["baselines"][model] for row in rows_of(rows, model="ode2vae")]
        ours = f"{sum(values) / len(values):.1f} ({len(values)} walks)" if values else MISSING
        asked = model in ("training mean", "last frame", "ode2vae", "ode2vae-kl")
        paper = MOCAP1.get(model, NO_NUMBER)
        table.append((name, ours if asked else NOT_THERE, paper))
    header = ("model", "full: one model for each walk, mean over walks", "paper: Mocap-1, a file that is not to be had")
    return SideBySide(header, table, "The last third of a walk from its first two, squared error, 50 channels")
