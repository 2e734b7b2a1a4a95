"""The walkers that stored full runs have left, one for every pair of penalties."""

import re

from odelab.folders import FOLDERS
from odelab.latent import ODE2VAE

NAMED = re.compile(r"mocap_beta(?P<beta>.+)_gamma(?P<gamma>.+)\.safetensors")


def pretrained() -> dict[tuple[float, float], ODE2VAE]:
    """The stored walkers by (β, γ), each β with each γ; none where full runs have not left enough of them."""
    found: dict[tuple[float, float], ODE2VAE] = {}
    for folder in FOLDERS:
        for path in sorted((folder / "checkpoints").glob("mocap_beta*_gamma*.safetensors")):
            if name := NAMED.fullmatch(path.name):
                found.setdefault((float(name["beta"]), float(name["gamma"])), ODE2VAE.load(path))
    gammas = {gamma for _, gamma in found}
    whole = {beta for beta, _ in found if all((beta, gamma) in found for gamma in gammas)}
    return {pair: model for pair, model in sorted(found.items()) if pair[0] in whole}
