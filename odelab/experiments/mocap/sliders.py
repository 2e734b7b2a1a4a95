"""Small walkers, one for every β and γ of a grid, for a lesson's sliders: what the two weights of (21) do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from odelab.datasets import mocap35
from odelab.experiments.context import Context
from odelab.experiments.mocap.recipe import SLIDERS
from odelab.experiments.mocap.scores import score, without_horizon
from odelab.experiments.mocap.training import clock, train_as_asked, walker
from odelab.experiments.results import Key
from odelab.latent import ODE2VAE


def slider_name(beta: float, gamma: float) -> str:
    """Of the checkpoint, e.g. mocap_beta1_gamma0.1."""
    return f"mocap_beta{beta:g}_gamma{gamma:g}"


def run(key: Key, context: Context) -> dict[str, Any]:
    """One walker, judged on the validation walks alone."""
    data = mocap35(progress=bool(context.progress))
    torch.manual_seed(context.seed)
    model = walker(SLIDERS, data.train.x.shape[-1])
    iterations = SLIDERS.iterations if context.budget == "full" else 60
    recipe = replace(SLIDERS, beta=key["beta"] * model.beta, gamma=key["gamma"], iterations=iterations)
    history = train_as_asked(model, data.train.x, data.validation.x, recipe, context)
    if context.ships:
        model.half().save(context.weights / f"{slider_name(key['beta'], key['gamma'])}.safetensors")
        model.float()
    return {
        "source": data.source,
        "validation": without_horizon(score(model, data.validation.x, context.seed)),
        **terms_of(model, data.train.x),
        "best_iteration": history.best["step"] if history.best else None,
        "cpu_seconds": round(history.cpu_seconds, 1),
    }


def terms_of(model: ODE2VAE, x: torch.Tensor, draws: int = 8) -> dict[str, Any]:
    """Every term of the objective on whole walks, per walk, and the widths it chose: of W, z₀ and the observations."""
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        terms = model.terms(x, clock(x.shape[1]), draws=draws, sequences=len(x), generator=generator)
        start = model.posterior(x).stddev.mean().item()
        noise = float(model.forecast(x, clock(2), draws=1).noise or 0.0)
    widths = {"weights": float(model.dynamics.net.std.detach()), "start": start, "observation": noise}
    return {"terms": {k: round(v, 3) for k, v in terms.named().items()}, "std": widths}
