"""The walkers that stored full runs have left, one for every γ."""

import re

from odelab.folders import FOLDERS
from odelab.latent import ODE2VAE

NAMED = re.compile(r"mocap_beta1_gamma(?P<gamma>.+)\.safetensors")


def pretrained() -> dict[float, ODE2VAE]:
    """The stored walkers by γ, in order, all with β of (9.21); none where no full run has left them."""
    found: dict[float, ODE2VAE] = {}
    for folder in FOLDERS:
        for path in (folder / "checkpoints").glob("mocap_beta1_gamma*.safetensors"):
            if name := NAMED.fullmatch(path.name):
                found.setdefault(float(name["gamma"]), ODE2VAE.load(path))
    return dict(sorted(found.items()))
