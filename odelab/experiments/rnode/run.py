"""Kinetic and Jacobian regularization (Finlay et al. 2020; notes 24.1.8–24.1.11), and flow matching beside it.

All flows of the table have the same field and the same likelihood code. Those of `run` are trained by dopri5 at 1e-3,
as FFJORD's in lesson 06, so that what a penalty changes is not what a coarse solver hides; those of `run_matching`
without any solve. `run_coarse` is another experiment: a flow trained by few RK4 steps learns to exploit them, so that
its training NLL falls while its true NLL rises.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import Density, density
from odelab.experiments.context import Context
from odelab.experiments.ffjord_digits.run import Digits, digits_flow
from odelab.experiments.ffjord_toy.run import toy_flow
from odelab.experiments.flow_training import Loss, measure_flow, points_of, train_flow
from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.results import Key
from odelab.experiments.rnode.recipe import (
    COARSE,
    COARSE_RECIPES,
    LAMBDA,
    MATCHING,
    PENALTIES,
    RECIPES,
    notes_weights,
)
from odelab.flows import CNF, matching_loss, optimal_pairs
from odelab.nets import MLPField
from odelab.training import History


def curve(history: History) -> list[dict[str, float]]:
    """What was measured on the way: iteration, CPU seconds of training alone, validation NLL, and NFE of both solvers.

    The CPU seconds of the validations, of which each entry holds its own, are taken off.
    """
    judged, points = 0.0, []
    for entry, spent in zip(history.validation, history.validation_cpu, strict=True):
        points.append({**entry, "cpu_seconds": round(spent - judged, 2)})
        judged += entry["judging"]
    return points


def in_the_plane(
    key: Key, recipe: FlowRecipe, context: Context, weights: str | None, loss: Loss | None = None
) -> dict[str, Any]:
    """Train a flow for one of the densities, ship its weights under that name, and measure it."""
    truth = density(key["data"])
    draw, validation, test = points_of(truth, recipe, context, 2000)
    flow = toy_flow(context.seed)
    history = train_flow(flow, draw, validation, recipe, context, loss)
    flow.cpu()
    if weights:
        context.ship(flow.field, weights)
    return {
        **measure_flow(flow, test, truth),
        "iterations": recipe.iterations,
        "cpu_seconds": round(history.cpu_seconds - sum(entry["judging"] for entry in history.validation), 1),
        "curve": curve(history),
    }


def run(key: Key, context: Context) -> dict[str, Any]:
    """One arm: the same seed gives the same initial weights and the same batches whatever the penalty."""
    kinetic, jacobian = (LAMBDA * multiple for multiple in PENALTIES[key["penalty"]])
    weights = notes_weights(kinetic, jacobian)
    recipe = replace(RECIPES[context.budget], penalties=weights)
    name = f"rnode_{key['data']}_{key['penalty']}" if key["penalty"] in ("none", "both") else None
    return {
        **in_the_plane(key, recipe, context, name),
        "lambda_notes": weights,
        "lambda_reference": {"kinetic": kinetic, "jacobian": jacobian},
    }


def run_matching(key: Key, context: Context) -> dict[str, Any]:
    """The field by regression on straight lines between data and noise, paired at random or in the shortest way."""

    def loss(model: Any, x: Tensor) -> Tensor:
        z = torch.randn_like(x)
        return matching_loss(model.field, x, optimal_pairs(x, z) if key["coupling"] == "optimal" else z)

    return in_the_plane(key, MATCHING[context.budget], context, f"matching_{key['data']}_{key['coupling']}", loss)


def run_coarse(key: Key, context: Context) -> dict[str, Any]:
    """A flow trained by few RK4 steps; `last` is after the last iteration, the rest at the best validation."""
    recipe = COARSE_RECIPES[context.budget]
    asked = ("kinetic", "jacobian") if key["penalty"] == "both" else (key["penalty"],)
    weights = {name: value for name, value in COARSE[key["steps"]].items() if name in asked}
    recipe = replace(recipe, penalties=weights)
    digits: Digits | None = None
    truth: Density | None = None
    draw: Callable[[int], Tensor]
    if key["data"] == "digits":
        fabric = context.fabric()
        digits = Digits(context.seed, fabric.global_rank, fabric.world_size)
        flow = digits_flow(context.seed, steps=key["steps"])
        draw, validation, test = digits.draw, digits.validation, digits.test
    else:
        truth = density(key["data"])
        torch.manual_seed(context.seed)
        flow = CNF(MLPField(2), method="rk4_classic", steps=key["steps"], gradient="backprop")
        draw, validation, test = points_of(truth, recipe, context, 2000)
    history = train_flow(flow, draw, validation, recipe, context)
    flow.cpu()
    measured, last = measure_flow(flow, test, truth), history.validation[-1]
    return {
        **measured,
        **({"bits": digits.bits(measured["nll"], "test")} if digits else {}),
        "lambda_notes": weights,
        "nfe_training": 4 * key["steps"],
        "last_nll": last["loss"],
        "last_nll_own_solver": last["own_solver"],
        "last_nfe": last["nfe"],
        "cpu_seconds": round(history.cpu_seconds, 1),
        "validations": history.validation,
    }
