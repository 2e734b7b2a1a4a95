"""Walking: ODE²VAE on the CMU recordings, in three experiments.

`mocap2` is about subject 35 (the paper's Mocap-2), against order 1 and two constants. Every run is read twice: at its
iterate of least validation error ("test"), and at its last one ("test_last"), which nothing chooses. Two rows, of which
the last iterate alone is read, are trained on the validation walks too. mocap_attempts.json has what was tried and
tested before: a q(z₀) made wider, a clock made to fit.

`mocap1-like` has one model for each walk, in the manner of the paper's Mocap-1: its first two thirds are known, the
last is forecast. The paper's file is not to be had, so these are not its numbers: 14 walks of 14 people, the first of
each in the CMU recordings, at 120 frames a second in the 50 channels of Mocap-2, centred by the mean of the training
frames. Half of a walk trains, a sixth says which iterate is kept, and the last third is forecast from the three frames
before it.

`mocap-sliders` are small walkers, one for every γ, for a lesson's slider: what the weight in (21) does.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import Mocap, WalkSplit, mocap35, walk_split, walks62
from odelab.experiments.context import Context
from odelab.experiments.mocap.checkpoints import save_walker
from odelab.experiments.mocap.recipe import BASELINES, MOCAP1_LIKE, MOCAP2, REFITTED, SLIDERS, WalkerRecipe
from odelab.experiments.mocap.scores import baseline, score, without_horizon
from odelab.experiments.mocap.training import clock, train_as_asked, walker
from odelab.experiments.results import Key
from odelab.latent import ODE2VAE
from odelab.saving import load_checkpoint
from odelab.training import History

SHIPPED = {"ode2vae-kl": "mocap2_ode2vae-kl", "order-1": "mocap2_order-1"}
COPIES = 8  # windows of the one walk in a batch of `mocap1-like`


def trained(
    recipe: WalkerRecipe, train: Tensor, validation: Tensor, context: Context, lecture: int
) -> tuple[ODE2VAE, History]:
    """A model trained on some walks, its iterate chosen on others, (n, T, channels); ``lecture``: iterations then."""
    if context.budget == "lecture":  # cut short, not changed
        recipe = replace(recipe, iterations=lecture)
    torch.manual_seed(context.seed)
    model = walker(recipe, train.shape[-1])
    return model, train_as_asked(model, train, validation, recipe, context)


def facts(history: History) -> dict[str, Any]:
    best = history.best["step"] if history.best else None
    return {"best_iteration": best, "cpu_seconds": round(history.cpu_seconds, 1)}


def mocap2(key: Key, context: Context) -> dict[str, Any]:
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
    model, history = trained(MOCAP2[key["model"]], train, validation, context, 250)
    last = copy.deepcopy(model)
    last.load_state_dict(load_checkpoint(context.checkpoint, torch.device("cpu"))["model"])
    if key["model"] in SHIPPED and key["centring"] == "own" and context.ships:
        save_walker(last, data, context.weights, SHIPPED[key["model"]])
    measured = {
        **facts(history),
        "source": data.source,
        "training_walks": len(train),
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights": model.dynamics.weight_count,
        "validation": without_horizon(score(model, validation, seed)),
        "validation_last": without_horizon(score(last, validation, seed)),
        "test": score(model, test, seed),
        "test_last": score(last, test, seed),
        **causal(last, data, key, seed),
        "validations": [{k: round(v, 3) for k, v in each.items()} for each in history.validation],
    }
    by_validation = ("best_iteration", "validation", "validation_last", "test")
    return {name: value for name, value in measured.items() if not (refitted and name in by_validation)}


def causal(model: ODE2VAE, data: Mocap, key: Key, seed: int) -> dict[str, Any]:
    """The same model on test walks that were centred without looking ahead."""
    if key["centring"] != "own":
        return {}
    ways: dict[str, Any] = {"first_frames": model.frames}
    if data.means is not None:
        ways["training_mean"] = "training"
    parts = {name: data.recentred(how).test.x for name, how in ways.items()}
    return {f"test_{name}": without_horizon(score(model, x, seed)) for name, x in parts.items()}


def known_and_asked(split: WalkSplit, frames: int, part: str) -> Tensor:
    """A part of the walk, validation or test, after the ``frames`` frames that precede it: (1, frames + …, 50)."""
    begin = split.train.x.shape[1] + (split.validation.x.shape[1] if part == "test" else 0)
    end = split.whole.x.shape[1] if part == "test" else begin + split.validation.x.shape[1]
    return split.whole.x[:, begin - frames : end]


def mocap1_like(key: Key, context: Context) -> dict[str, Any]:
    """One walk, one model; the last third is read once, at the end."""
    walks = walks62()
    if key["walk"] not in walks:
        raise ValueError(f"mocap1-like needs the recording {key['walk']}: put cmu_walks62_raw.npz into $ODELAB_DATA")
    split = walk_split(walks[key["walk"]], source=f"CMU {key['walk']}")
    recipe, train = MOCAP1_LIKE[key["model"]], split.train.x
    validation, test = (known_and_asked(split, recipe.frames, part) for part in ("validation", "test"))
    model, history = trained(recipe, train.expand(COPIES, -1, -1), validation, context, 100)
    return {
        **facts(history),
        "source": split.whole.source,
        "frames": {"train": train.shape[1], "validation": validation.shape[1] - 3, "test": test.shape[1] - 3},
        "validation": score(model, validation, context.seed)["mean_of_draws"],
        "test": score(model, test, context.seed),
        "baselines": {name: baseline(name, train, test, recipe.frames)["mean_of_draws"] for name in BASELINES},
    }


def slider_name(beta: float, gamma: float) -> str:
    """Of the checkpoint, e.g. mocap_beta1_gamma0.1."""
    return f"mocap_beta{beta:g}_gamma{gamma:g}"


def sliders(key: Key, context: Context) -> dict[str, Any]:
    """One walker, judged on the validation walks alone."""
    data = mocap35(progress=bool(context.progress))
    unit = walker(SLIDERS, data.train.x.shape[-1]).beta
    recipe = replace(SLIDERS, beta=key["beta"] * unit, gamma=key["gamma"])
    model, history = trained(recipe, data.train.x, data.validation.x, context, 60)
    if context.ships:
        model.half().save(context.weights / f"{slider_name(key['beta'], key['gamma'])}.safetensors")
        model.float()
    return {
        **facts(history),
        "source": data.source,
        "validation": without_horizon(score(model, data.validation.x, context.seed)),
        **terms_of(model, data.train.x),
    }


def terms_of(model: ODE2VAE, x: Tensor, draws: int = 8) -> dict[str, Any]:
    """Every term of the objective on whole walks, per walk, and the widths it chose: of W, z₀ and the observations."""
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        terms = model.terms(x, clock(x.shape[1]), draws=draws, sequences=len(x), generator=generator)
        start = model.posterior(x).stddev.mean().item()
        noise = float(model.forecast(x, clock(2), draws=1).noise or 0.0)
    widths = {"weights": float(model.dynamics.net.std.detach()), "start": start, "observation": noise}
    return {"terms": {k: round(v, 3) for k, v in terms.named().items()}, "std": widths}
