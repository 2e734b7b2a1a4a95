"""The flows that the stored full runs of FFJORD have left."""

from collections.abc import Sequence

from torch import nn

from odelab.datasets import DENSITIES, data_file
from odelab.flows import CNF
from odelab.nets import MLPField


def stored_flows(names: Sequence[str] = DENSITIES) -> dict[str, CNF]:
    """The flows of the stored full runs `ffjord-toy`, seed 0; densities whose run has left no weights are absent."""
    flows = {}
    for name in names:
        if load_weights(field := MLPField(2), f"ffjord_toy_{name}"):
            flows[name] = CNF(field)
    return flows


def load_weights(field: nn.Module, name: str) -> bool:
    """Put stored weights into a field, in its own precision; False where there are none."""
    from safetensors.torch import load_file

    try:
        path = data_file(f"checkpoints/{name}.safetensors")
    except FileNotFoundError:
        return False
    field.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    field.requires_grad_(False)
    return True
