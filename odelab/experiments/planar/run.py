"""Planar flows, discrete against continuous (Chen et al. 2018, "NF against CNF"): density matching and likelihood.

Density matching minimises KL(q‖p) to an energy's density: base samples are moved, ½‖z‖² becomes U. Maximum likelihood
minimises KL(data‖q): data are moved, and U is the base's. Both are mean(U(end) − log det), so both are one loop.
Every run is in one process on the CPU, with gradients from `kernels`.
"""

import functools
import math
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import ENERGIES, data_file, density, energy
from odelab.experiments.context import Context
from odelab.experiments.planar.kernels import DECAY, MOMENTUM
from odelab.experiments.planar.training import ContinuousTrainer, DiscreteTrainer, PlanarRecipe, draw, marks
from odelab.experiments.results import Key
from odelab.extras import extra
from odelab.flows import CNF
from odelab.flows.flow import Flow
from odelab.flows.planar import PlanarCNF, PlanarDensity, PlanarFlow
from odelab.saving import load_checkpoint, save_checkpoint, save_tensors
from odelab.training import seed_of
from odelab.training.fit import stop_asked

with extra("train"):
    from filelock import FileLock
    from safetensors.torch import load_file
    from tqdm.auto import tqdm

TEST_POINTS = 20_000
SAVE_SECONDS = 30.0
CHECKPOINT = "planar.safetensors"


# The papers' numbers of iterations. Mini-batches of about a hundred are what planar flows were introduced with, by
# RMSprop with momentum 0.9; the rates were chosen on shorter runs with a seed of their own, see planar_attempts.json.
RECIPES = {
    "full": {
        "cnf": PlanarRecipe(iterations=10_000, lr=1e-3, batch=128, chunk=100),
        "nf": PlanarRecipe(iterations=500_000, lr=3e-4, batch=128, chunk=1000),
    },
    "lecture": {
        "cnf": PlanarRecipe(iterations=1000, lr=1e-3, batch=128, chunk=100),
        "nf": PlanarRecipe(iterations=20_000, lr=3e-4, batch=128, chunk=1000),
    },
}
# Iterations of a discrete flow that take about the CPU time of the continuous one of its size, by short runs on one
# thread; the long runs took 8 to 17 % less than it. Each row has its own CPU seconds.
EQUAL_CPU = {2: 3_300_000, 8: 875_000, 32: 290_000, 64: 325_000}


def recipe_for(key: Key, budget: str) -> PlanarRecipe:
    """The recipe of a run; "nf-cpu" is the discrete flow for as long as the continuous one of its size takes."""
    if key["flow"] == "nf-cpu":
        return replace(RECIPES[budget]["nf"], iterations=EQUAL_CPU[key["width"]])
    return RECIPES[budget][key["flow"]]


def measure(model: Flow, target: str, n: int, seed: int = 1) -> dict[str, float]:
    """How far the model is from the target, in nats, on n fresh points, with the standard error of that mean.

    For an energy the true KL(q‖p), log Z included, and the own solver's where there is one; for data NLL and its gap to
    the truth. The CNF is solved by dopri5 at 1e-6.
    """
    kind = next(model.parameters()).dtype
    if target in ENERGIES:
        generator = torch.Generator().manual_seed(seed_of("planar-test", target, seed))
        z = torch.randn(n, 2, generator=generator).to(kind)
        x, log_det = model.transport(z, reverse=True)
        excess = model.base.log_prob(z) - log_det - energy(target).log_prob(x)
        return {"kl": excess.mean().item(), "kl_error": (excess.std() / n**0.5).item()}
    x, log_p = test_points(target, n, seed)
    log_q = model.log_prob(x.to(kind))
    excess = log_p - log_q
    result = {"nll": -log_q.mean().item(), "truth": density(target).entropy}
    return result | {"gap": excess.mean().item(), "gap_error": (excess.std() / n**0.5).item()}


@functools.cache
def test_points(target: str, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """x (n, 2) of a density and log p(x) (n,), the latter often by quadrature and therefore kept."""
    x = density(target).sample(n, torch.Generator().manual_seed(seed_of("planar-test", target, seed)))
    return x, density(target).log_prob(x)


def examine(model: Flow, target: str, steps: int) -> dict[str, Any]:
    """The last measurement: more points, a second route over a grid, and the CNF's own solver of ``steps``."""
    result: dict[str, Any] = measure(model, target, TEST_POINTS, seed=2)
    if isinstance(model, CNF):
        own = model.replace(method="rk4_classic", steps=steps)
        result |= {"nfe": model.stats.nfe if model.stats else 0, "rk4_steps": steps}
        result["own_solver"] = next(iter(measure(own, target, TEST_POINTS, seed=2).values()))
    where = energy(target) if target in ENERGIES else density(target)
    points, area = where.grid(150, where.reach)
    model.double()
    log_q = torch.cat([model.log_prob(part) for part in points.view(-1, 2).split(5000)])
    result["mass"] = log_q.exp().sum().item() * area
    if target in ENERGIES:
        log_p = where.log_prob(points.view(-1, 2))
        result["kl_grid"] = (log_q.exp() * (log_q - log_p)).nan_to_num(0.0, math.inf).sum().item() * area
        result["kl_from_target"] = (log_p.exp() * (log_p - log_q)).nan_to_num(0.0, math.inf).sum().item() * area
    return result


def run(key: Key, context: Context) -> dict[str, Any]:
    """One flow for one target."""
    return train(key, recipe_for(key, context.budget), context)


def train(key: Key, recipe: PlanarRecipe, context: Context) -> dict[str, Any]:
    target, file = key["target"], context.checkpoint
    torch.manual_seed(seed_of("planar-start", context.seed, key["flow"], key["width"]))
    trainer = (ContinuousTrainer if key["flow"] == "cnf" else DiscreteTrainer)(key, recipe)
    chunks, curve, begin, cpu_seconds = recipe.iterations // recipe.chunk, [], 0, 0.0
    if context.resume and file.is_file():
        saved = load_checkpoint(file)
        begin, curve, cpu_seconds = saved["chunk"], saved["curve"], saved["cpu_seconds"]
        trainer.load(saved["state"])
    label = context.progress if isinstance(context.progress, str) else None
    last = time.monotonic()
    for chunk in tqdm(range(begin, chunks), label, chunks, initial=begin, disable=not context.progress, leave=False):
        start = time.process_time()
        trainer.advance(draw(target, recipe, context.seed, chunk), recipe.rates(chunk))
        cpu_seconds += time.process_time() - start
        done = (chunk + 1) * recipe.chunk
        if done in marks(recipe):
            with torch.no_grad():
                found = measure(trainer.model(), target, 5000)
                score = found["kl" if target in ENERGIES else "gap"]
                curve.append([done, score if plain(score) else None])
        stop = stop_asked.get()()
        if stop or time.monotonic() - last > SAVE_SECONDS:
            parts = {"chunk": chunk + 1, "curve": curve, "cpu_seconds": cpu_seconds, "state": trainer.state}
            save_checkpoint(file, parts)
            last = time.monotonic()
        if stop:
            raise KeyboardInterrupt
    with torch.no_grad():
        model = trainer.model()
        result = examine(model, target, recipe.steps(key["width"]))
    keep(model, key, context)
    result |= {"curve": curve, "iterations": recipe.iterations, "batch": recipe.batch, "lr": recipe.lr}
    result["cpu_seconds"] = cpu_seconds
    if key["flow"] != "cnf":
        result |= {"decay": DECAY, "momentum": MOMENTUM}
    return {name: value if plain(value) else None for name, value in result.items()}


def plain(value: Any) -> bool:
    """False for NaN and infinity, which JSON has no word for: a run that diverged shows as null."""
    return not isinstance(value, float) or math.isfinite(value)


def name_of(key: Key) -> str:
    return f"{key['flow']}-{key['width']}-{key['target']}"


def keep(model: Flow, key: Key, context: Context) -> None:
    """Put the weights of seed 0 of a full run where the lessons find them."""
    if not context.ships:
        return
    context.weights.mkdir(parents=True, exist_ok=True)
    path = context.weights / CHECKPOINT
    with FileLock(path.with_suffix(".lock")):
        tensors = load_file(path) if path.is_file() else {}
        tensors |= {f"{name_of(key)}.{k}": v.float() for k, v in model.state_dict().items()}
        save_tensors(path, tensors)


def trained(flow: str, width: int, target: str) -> CNF | PlanarDensity:
    """The stored model of seed 0 of the full run: `.log_prob(x)`, `.sample((n,))`, `.transport(x)`.

    Raises:
        KeyError: when no such model is stored.
    """
    tensors = load_file(data_file(f"checkpoints/{CHECKPOINT}"))
    prefix = name_of({"flow": flow, "width": width, "target": target}) + "."
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not state:
        raise KeyError(f"no {prefix[:-1]} in {CHECKPOINT}; there are {sorted({n.split('.')[0] for n in tensors})}")
    model: CNF | PlanarDensity
    if flow != "cnf":
        model = PlanarDensity(PlanarFlow(2, width), generates=target in ENERGIES)
    else:
        model = CNF(PlanarCNF(2, width))
    model.load_state_dict(state)
    return model.eval()
