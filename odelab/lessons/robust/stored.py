"""Nets of the stored full runs that lesson 11 shows."""

from torch import nn

from odelab.datasets import data_file
from odelab.experiments.certified.boxes import EulerNet
from odelab.experiments.identification.nets import small_net
from odelab.experiments.robustness.run import Standardized, build
from odelab.extras import extra

with extra("train"):
    from safetensors.torch import load_file


def identified_net(system: str, model: str, starts: int = 1) -> nn.Module:
    """The net of this model, "net" or "path-l1", of seed 0, after so many experiments; in double precision."""
    net = small_net(0)
    weights = load_file(data_file(f"checkpoints/identification_{system}_{model}_{starts}.safetensors"))
    net.load_state_dict({name: value.double() for name, value in weights.items()})
    return net.requires_grad_(False)


def robust_net(arm: str) -> Standardized:
    """A net of the experiment `robustness`, seed 0, with its own solver; in single precision."""
    net = build(arm, 0).float()
    net.load_state_dict(load_file(data_file(f"checkpoints/robustness_{arm}.safetensors")))
    return net.float().eval().requires_grad_(False)


def certified_net(training: str) -> EulerNet:
    """A net of the experiment `certified`, seed 0; in double precision."""
    net = EulerNet(0).double()
    weights = load_file(data_file(f"checkpoints/certified_{training}.safetensors"))
    net.load_state_dict({name: value.double() for name, value in weights.items()})
    return net.requires_grad_(False)
