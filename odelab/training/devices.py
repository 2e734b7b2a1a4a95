"""Where a run computes: a name a user types, to a Fabric."""

import atexit
import gc
import os

import torch

from odelab.choices import resolved
from odelab.extras import extra

with extra("train"):
    from lightning_fabric import Fabric

__all__ = ["first_process", "make_fabric", "resolved"]


def first_process() -> bool:
    """Whether this is the process that writes: the only one, or the first of those that torchrun has started."""
    return os.environ.get("RANK", "0") == "0"


def make_fabric(device: str = "auto", precision: str = "32-true") -> Fabric:
    """A launched Fabric for "cpu", "cuda", "cuda:1", "mps" or "auto" (a GPU where there is one).

    Under torchrun every process gets its own device, and gradients are averaged over the processes.

    Args:
        precision: "32-true", "bf16-mixed", … of Fabric.

    Raises:
        ValueError: for a device that is not there.
    """
    kind, _, index = resolved(device).partition(":")
    processes = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    devices: int | list[int] = [int(index)] if index and kind == "cuda" and processes == 1 else local
    if processes == 1:
        fabric = Fabric(accelerator=kind, devices=devices, precision=precision)  # type: ignore[arg-type]
    else:
        nodes = processes // local
        fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy="ddp", precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    if processes > 1:
        atexit.unregister(_leave_group)  # several Fabrics of one process share its group
        atexit.register(_leave_group)
    return fabric


def _leave_group() -> None:
    """Join gloo's threads: a process that exits with them running is aborted now and then, its work done."""
    if torch.distributed.is_initialized():
        gc.collect()  # models in reference cycles hold the group, too
        torch.distributed.destroy_process_group()
