"""What is identified, from how much, and how long a net is trained; nothing here needs torch."""

from typing import Any

from odelab.experiments.registry import Experiment

SYSTEMS = ("stock", "pendulum", "hunters")
#: Model -> what it is.
MODELS = {
    "net": "a neural ODE",
    "path-l1": "the same with the path-wise L1 penalty",
    "sindy": "SINDy",
    "known terms": "least squares of the true terms",
}
STARTS = (1, 3)  # experiments observed
SAMPLES, NOISE = 121, 0.01  # of each experiment
PENALTY = 2e-4  # of the path-wise L1 penalty; five times as much spoils the fit of the stock
ITERATIONS = {"lecture": 300, "full": 1000}

#: Axes of the map that the slider of lesson 11 shows.
GRID_STARTS = (1, 2, 3)
GRID_SAMPLES = (31, 61, 121, 241)
GRID_NOISE = (0.0, 0.003, 0.01, 0.03, 0.1)
DRAWS = {"lecture": 2, "full": 10}  # of the noise, for each seed


def keys(budget: str) -> list[dict[str, Any]]:
    """Every system, model and number of experiments; nets see three experiments of the stock only."""
    return [
        {"system": system, "starts": starts, "model": model}
        for system in SYSTEMS
        for starts in STARTS
        for model in MODELS
        if starts == 1 or system == "stock" or model not in ("net", "path-l1")
    ]


EXPERIMENTS = {
    "identification": Experiment(
        name="identification",
        title="which equation is behind a path: fits, and predictions under interventions (after Aliee et al. 2021)",
        keys=keys,
        minutes={"lecture": 1},
    ),
    "identification-grid": Experiment(
        name="identification-grid",
        title="when SINDy names the right terms: noise, samples, experiments (Brunton et al. 2016)",
        keys=lambda budget: [{"system": system, "starts": starts} for system in SYSTEMS for starts in GRID_STARTS],
        minutes={"lecture": 1},
        function="run_grid",
    ),
}
