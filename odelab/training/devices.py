"""Where a run computes: a name a user types, to a Fabric."""

from __future__ import annotations

import os

import torch
from lightning_fabric import Fabric


def make_fabric(device: str = "auto", precision: str = "32-true") -> Fabric:
    """A launched Fabric for "cpu", "cuda", "cuda:1", "mps" or "auto" (a GPU where there is one).

    Under torchrun every process gets its own device, and gradients are averaged over the processes.

    Args:
        precision: "32-true", "bf16-mixed", … of Fabric.

    Raises:
        ValueError: for a device that is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind):
        names = ", ".join(name for name, usable in there.items() if usable)
        raise ValueError(f"device {device!r} is not there; this machine has {names}")
    processes = int(os.environ.get("WORLD_SIZE", 1))
    devices: int | list[int] = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if not index else [int(index)]
    if processes == 1:
        fabric = Fabric(accelerator=kind, devices=devices, precision=precision)  # type: ignore[arg-type]
    else:
        nodes = processes // int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy="ddp", precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric
