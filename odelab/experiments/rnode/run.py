"""Kinetic and Jacobian regularization (Finlay et al. 2020; notes 24.1.8–24.1.11): their ablation in the plane.

All four flows of a row are trained by the same coarse solver, two RK4 steps, and judged by dopri5 at 1e-5. A flow that
is free to bend learns to exploit the coarse solver: its training NLL falls while its true NLL rises.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import density
from odelab.experiments.context import Context
from odelab.experiments.ffjord_digits.run import Digits, digits_flow
from odelab.experiments.flow_training import measure_flow, points_of, train_flow
from odelab.experiments.results import Key
from odelab.experiments.rnode.recipe import LAMBDA, PENALTIES, RECIPES, TARGET
from odelab.flows import CNF
from odelab.nets import MLPField
from odelab.training import History


def notes_weights(kinetic: float, jacobian: float) -> dict[str, float]:
    """λ of the reference's scaling, where costs are ½·mean_d f² and mean_d (εᵀJ)² beside NLL/d, in that of the notes.

    (24.27) divides everything by d, so mean_d becomes a sum; only the ½ is left to convert.
    """
    return {name: value for name, value in (("kinetic", kinetic / 2), ("jacobian", jacobian)) if value}


def first_below(history: History, target: float) -> dict[str, float | None]:
    """Iterations and CPU seconds until the true NLL was first below the target; None where it never was."""
    pairs = zip(history.validation, history.validation_cpu, strict=True)
    step, seconds = next(((each["step"], round(cpu, 1)) for each, cpu in pairs if each["loss"] < target), (None, None))
    return {"target": target, "step": step, "cpu_seconds": seconds}


def problem(key: Key, context: Context) -> tuple[CNF, Callable[[int], Tensor], Tensor, Tensor, dict[str, Any]]:
    """Flow, batches, validation and test points, and what else is to be said of the data."""
    recipe, fabric = RECIPES[context.budget], context.fabric()
    if key["data"] == "digits":
        digits = Digits(context.seed, fabric.global_rank, fabric.world_size)
        flow = digits_flow(context.seed, steps=2)
        return flow, digits.draw, digits.validation, digits.test, {"bits": lambda nll: digits.bits(nll, "test")}
    truth = density(key["data"])
    torch.manual_seed(context.seed)
    flow = CNF(MLPField(2), method="rk4_classic", steps=2, gradient="backprop")
    return flow, *points_of(truth, recipe, context, 2000), {"truth": truth.entropy}


def run(key: Key, context: Context) -> dict[str, Any]:
    """One flow: the same seed gives the same initial weights and the same batches whatever the penalty."""
    kinetic, jacobian = PENALTIES[key["penalty"]]
    weights = notes_weights(LAMBDA * kinetic, LAMBDA * jacobian)
    recipe = replace(RECIPES[context.budget], penalties=weights)
    flow, draw, validation, test, more = problem(key, context)
    history = train_flow(flow, draw, validation, recipe, context)
    flow.cpu()
    context.ship(flow.field, f"rnode_{key['data']}_{key['penalty']}")
    measured, last = measure_flow(flow, test), history.validation[-1]
    if "bits" in more:
        more = {"bits": more["bits"](measured["nll"])}
    return {
        **measured,
        **more,
        "lambda_notes": weights,
        "lambda_reference": {"kinetic": LAMBDA * kinetic, "jacobian": LAMBDA * jacobian},
        "nfe_training": 8,
        "last_nll": last["loss"],
        "last_nll_own_solver": last["own_solver"],
        "last_nfe": last["nfe"],
        "target": first_below(history, TARGET[key["data"]]),
        "cpu_seconds": round(history.cpu_seconds, 1),
        "validations": history.validation,
    }
