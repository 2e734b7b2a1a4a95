"""A good fit is not the right equation (after Aliee, Theis, Kilbertus 2021).

Each model fits the same noisy samples of one experiment or of three. Then it predicts two interventions that nobody has
observed, and its slopes are compared with the true ones over a whole box.
"""

import statistics
import time
from typing import Any

from odelab.experiments.context import Context
from odelab.experiments.identification.nets import fit_paths, path_weights, small_net
from odelab.experiments.identification.recipe import (
    DRAWS,
    GRID_NOISE,
    GRID_SAMPLES,
    ITERATIONS,
    NOISE,
    PENALTY,
    SAMPLES,
)
from odelab.experiments.identification.sindy import discover, scored, with_known_terms
from odelab.experiments.identification.systems import SYSTEMS, Field, System, field_error, observe, path_error
from odelab.experiments.results import Key


def judged(system: System, field: Field) -> dict[str, float]:
    """How a model fits, what it predicts under interventions, and how wrong its slopes are."""
    return {
        "fit": path_error(system, field),
        "elsewhere": path_error(system, field, system.elsewhere),
        "change": path_error(system, field, system.change),
        "field": field_error(system, field),
    }


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model of one system."""
    system, model = SYSTEMS[key["system"]], key["model"]
    begun = time.process_time()
    times, paths = observe(system, SAMPLES, NOISE, context.seed, key["starts"])
    said: dict[str, Any] = {}
    field: Field
    if model in ("net", "path-l1"):
        net = small_net(context.seed)
        penalty = PENALTY if model == "path-l1" else 0.0
        said["loss"] = fit_paths(net, times, paths, iterations=ITERATIONS[context.budget], penalty=penalty)
        said["path_weights"] = path_weights(net).tolist()
        context.ship(net, f"identification_{key['system']}_{model}_{key['starts']}")
        field = net
    else:
        equations = discover(system, times, paths) if model == "sindy" else with_known_terms(system, times, paths)
        said |= {"equations": str(equations), "right": scored(equations, system)}
        field = equations
    return judged(system, field) | said | {"cpu_seconds": round(time.process_time() - begun, 1)}


def run_grid(key: Key, context: Context) -> dict[str, Any]:
    """How often SINDy names exactly the right terms, by number of samples and noise, over draws of the noise."""
    system = SYSTEMS[key["system"]]
    begun = time.process_time()
    cells = []
    for samples in GRID_SAMPLES:
        for noise in GRID_NOISE:
            right, errors = 0, []
            for draw in range(DRAWS[context.budget]):
                times, paths = observe(system, samples, noise, 1000 * context.seed + draw, key["starts"])
                equations = discover(system, times, paths)
                right += scored(equations, system)
                errors.append(field_error(system, equations))
            share = right / DRAWS[context.budget]
            cells.append({"samples": samples, "noise": noise, "right": share, "field": statistics.median(errors)})
    return {"cells": cells, "draws": DRAWS[context.budget], "cpu_seconds": round(time.process_time() - begun, 1)}
