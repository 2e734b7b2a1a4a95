"""The flows that the stored full runs have left: FFJORD's and the discrete ones beside them."""

from collections.abc import Sequence

from odelab.datasets import DENSITIES
from odelab.experiments.ffjord_toy.run import coupling_flow
from odelab.flows import CNF, NICE
from odelab.lessons.kit.weights import load_weights
from odelab.nets import MLPField


def stored_flows(names: Sequence[str] = DENSITIES) -> dict[str, CNF]:
    """The flows of the stored full runs `ffjord-toy`, seed 0; densities whose run has left no weights are absent."""
    flows = {}
    for name in names:
        if load_weights(field := MLPField(2), f"ffjord_toy_{name}"):
            flows[name] = CNF(field)
    return flows


def stored_couplings(names: Sequence[str] = DENSITIES) -> dict[str, NICE]:
    """The discrete flows of the stored full runs `coupling-toy`, seed 0, likewise."""
    flows = {}
    for name in names:
        if load_weights(flow := coupling_flow(), f"coupling_toy_{name}"):
            flows[name] = flow
    return flows
