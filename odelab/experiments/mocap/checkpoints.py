"""A trained walker in two small files: its weights, and the pose it is centred on; it walks where no data is."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from odelab.datasets import Mocap, channels62
from odelab.datasets.mocap.channels import ROOT_START
from odelab.experiments.mocap.training import clock
from odelab.folders import FOLDERS
from odelab.latent import ODE2VAE
from odelab.saving import save_tensors
from odelab.training.devices import first_process

POSE = "mocap_pose.safetensors"


def save_walker(model: ODE2VAE, data: Mocap, folder: Path, name: str) -> None:
    """The weights, and beside them, once for all walkers, the training walks' mean frame (50,) and root (3,).

    Of several processes only the first writes.
    """
    if not first_process():
        return
    model.save(folder / f"{name}.safetensors")
    if data.means is None:
        return
    rows = data.rows("train")
    start = torch.tensor(ROOT_START) if data.starts is None else data.starts[rows].nanmean(0)
    mean = data.means[rows].mean(0).float()
    save_tensors(folder / POSE, {"mean": mean, "start": start.nan_to_num(0.0).float()})


def load_walker(name: str = "mocap2_ode2vae-kl", folder: Path | None = None) -> tuple[ODE2VAE, Tensor, Tensor]:
    """The model in eval mode, the mean frame (50,) and where the root begins (3,).

    Raises:
        FileNotFoundError: when the course ships no walker of that name.
    """
    places = [folder] if folder else [each / "checkpoints" for each in FOLDERS]
    for place in places:
        if (place / f"{name}.safetensors").is_file() and (place / POSE).is_file():
            pose = load_file(place / POSE)
            return ODE2VAE.load(place / f"{name}.safetensors"), pose["mean"], pose["start"]
    raise FileNotFoundError(f"no walker {name!r} in {', '.join(map(str, places))}; `reproduce mocap2` makes them")


def walks_from_prior(n: int, frames: int = 300, *, name: str = "mocap2_ode2vae-kl", seed: int = 0) -> Tensor:
    """n walks of nobody, drawn from the shipped model's prior: all 62 channels (n, frames, 62), ready to be drawn."""
    model, mean, start = load_walker(name)
    generator = torch.Generator().manual_seed(seed)
    x = model.sample(n, clock(frames), generator)
    return channels62(x, mean.expand(n, -1), start.expand(n, -1))
