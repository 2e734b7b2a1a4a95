"""Weights that stored runs have left, for the lessons that show them."""

from torch import nn

from odelab.datasets import data_file


def load_weights(module: nn.Module, name: str) -> bool:
    """Put stored weights into a module, in its own precision; False where there are none."""
    from safetensors.torch import load_file

    try:
        path = data_file(f"checkpoints/{name}.safetensors")
    except FileNotFoundError:
        return False
    module.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    module.requires_grad_(False)
    return True
