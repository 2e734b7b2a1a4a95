"""A trained walker in two small files: its weights, and the pose it is centred on."""

from pathlib import Path

import torch
from torch import Tensor

from odelab.datasets import Mocap
from odelab.datasets.mocap.channels import ROOT_START
from odelab.extras import extra
from odelab.folders import data_file
from odelab.latent import ODE2VAE
from odelab.saving import save_tensors
from odelab.training.devices import first_process

with extra("train"):
    from safetensors.torch import load_file

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


def load_walker(name: str = "mocap2_ode2vae-kl") -> tuple[ODE2VAE, Tensor]:
    """A walker that the course ships, in eval mode, and the mean frame (50,) to which what it says is added.

    Raises:
        FileNotFoundError: when no full run has left one; `reproduce mocap2` makes them.
    """
    pose = load_file(data_file(f"checkpoints/{POSE}"))["mean"]
    return ODE2VAE.load(data_file(f"checkpoints/{name}.safetensors")), pose
