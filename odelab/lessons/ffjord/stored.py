"""The flows that the stored full runs have left: FFJORD's and the discrete ones beside them."""

from collections.abc import Sequence

from torch import nn

from odelab.datasets import DENSITIES, data_file
from odelab.experiments.ffjord_toy.run import coupling_flow
from odelab.flows import CNF, NICE
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


def load_weights(field: nn.Module, name: str) -> bool:
    """Put stored weights into a module, in its own precision; False where there are none."""
    from safetensors.torch import load_file

    try:
        path = data_file(f"checkpoints/{name}.safetensors")
    except FileNotFoundError:
        return False
    field.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    field.requires_grad_(False)
    return True
