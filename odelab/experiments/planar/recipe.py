"""Which planar flows are trained for which targets; nothing here needs torch."""

from odelab.experiments.registry import Experiment
from odelab.experiments.results import Key

ENERGIES = ("U1", "U2", "U3")  # as in odelab.datasets
DATA = ("circles", "moons")
WIDTHS = (2, 8, 32)  # K layers or M units


def keys(budget: str) -> list[Key]:
    """The figure first, then the likelihoods; at full budget NF also for the CPU time of the CNF of its size."""
    flows = ("cnf", "nf", "nf-cpu") if budget == "full" else ("cnf", "nf")
    figure = [(flow, width, target) for flow in flows for width in WIDTHS for target in ENERGIES]
    likelihood = [(flow, 64, target) for flow in flows for target in DATA]
    return [{"flow": flow, "width": width, "target": target} for flow, width, target in figure + likelihood]


EXPERIMENTS = {
    "planar": Experiment(
        name="planar",
        title="planar NF against CNF: density matching with K = M = 2, 8, 32, likelihood with 64 (Chen et al. 2018)",
        keys=keys,
        minutes={"lecture": 3},
        alone=True,
    )
}
