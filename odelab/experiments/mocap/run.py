"""Walking: ODE²VAE on subject 35 of the CMU recordings (the paper's Mocap-2), against order 1 and two constants.

Every run is read twice: at its iterate of least validation error ("test"), and at its last one ("test_last"), which
nothing chooses. Two rows, of which the last iterate alone is read, are trained on the validation walks too.
mocap_attempts.json has what was tried and tested before: a q(z₀) made wider, a clock made to fit.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import Mocap, mocap35
from odelab.experiments.context import Context
from odelab.experiments.mocap.checkpoints import save_walker
from odelab.experiments.mocap.recipe import BASELINES, MOCAP2, REFITTED
from odelab.experiments.mocap.scores import baseline, score, without_horizon
from odelab.experiments.mocap.training import CHECKPOINT, train_as_asked, walker
from odelab.experiments.results import Key
from odelab.latent import ODE2VAE
from odelab.saving import load_checkpoint
from odelab.training import History

SHIPPED = {"ode2vae-kl": "mocap2_ode2vae-kl", "order-1": "mocap2_order-1"}


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model and seed: train, choose on the validation walks, then read the test walks."""
    data = mocap35(progress=bool(context.progress))
    if not data.complete:
        raise ValueError("mocap2 is about the recordings of subject 35, and only a made-up gait is here: see mocap35")
    if key["centring"] == "training":
        data = data.recentred("training")
    seed, train, validation, test = context.seed, data.train.x, data.validation.x, data.test.x
    if key["model"] in BASELINES:
        parts = {"validation": validation, "test": test}
        return {"source": data.source, **{part: baseline(key["model"], train, x) for part, x in parts.items()}}
    refitted = key["model"] in REFITTED
    if refitted:
        train = torch.cat([train, validation])
    model, history = trained(key["model"], train, validation, context)
    last = copy.deepcopy(model)
    last.load_state_dict(load_checkpoint(context.folder / CHECKPOINT, torch.device("cpu"))["model"])
    ship(last, key, data, context)
    by_validation = {
        "best_iteration": history.best["step"] if history.best else None,
        "validation": without_horizon(score(model, validation, seed)),
        "validation_last": without_horizon(score(last, validation, seed)),
        "test": score(model, test, seed),
    }
    return {
        "source": data.source,
        "training_walks": len(train),
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights": model.dynamics.weight_count,
        **({} if refitted else by_validation),
        "test_last": score(last, test, seed),
        **causal(last, data, key, seed),
        "cpu_seconds": round(history.cpu_seconds, 1),
        "validations": [{k: round(v, 3) for k, v in each.items()} for each in history.validation],
    }


def trained(name: str, train: Tensor, validation: Tensor, context: Context) -> tuple[ODE2VAE, History]:
    """A model of the table, trained on some walks, its iterate chosen on others, (n, T, channels)."""
    recipe = MOCAP2[name]
    if context.budget == "lecture":  # cut short, not changed
        recipe = replace(recipe, iterations=250)
    torch.manual_seed(context.seed)
    model = walker(recipe, train.shape[-1])
    return model, train_as_asked(model, train, validation, recipe, context)


def causal(model: ODE2VAE, data: Mocap, key: Key, seed: int) -> dict[str, Any]:
    """The same model on test walks that were centred without looking ahead."""
    if key["centring"] != "own":
        return {}
    ways: dict[str, Any] = {"first_frames": model.frames}
    if data.means is not None:
        ways["training_mean"] = "training"
    parts = {name: data.recentred(how).test.x for name, how in ways.items()}
    return {f"test_{name}": without_horizon(score(model, x, seed)) for name, x in parts.items()}


def ship(model: ODE2VAE, key: Key, data: Mocap, context: Context) -> None:
    """Keep the weights of seed 0 of two rows, with what it takes to draw a walker from them and nothing else."""
    name = SHIPPED.get(key["model"])
    if name is None or key["centring"] != "own" or (context.seed, context.budget) != (0, "full"):
        return
    save_walker(model, data, context.weights, name)
