"""What an iteration will cost, measured on a copy before the run begins."""

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from odelab.nets.memory import saved_for_backward


def iteration_cost(model: nn.Module, loss: Callable[[Any, Any], Tensor], batch: Any) -> dict[str, float]:
    """Memory that autograd keeps, in MB, and milliseconds of processor time (GPU: wall time) for one iteration.

    The model, its gradients and the random numbers to come are left as they are.

    Args:
        loss: (model, batch) -> 0-d tensor.
        batch: what the loss takes, on the model's device; its tensors are there anyway and are not counted.
    """
    trial = copy.deepcopy(model).train()
    device = next(trial.parameters()).device
    given = [batch] if isinstance(batch, Tensor) else getattr(batch, "__dict__", {}).values()
    there = (*trial.parameters(), *(value for value in given if isinstance(value, Tensor)))
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        saved = saved_for_backward(lambda x: loss(trial, batch), there[0], there)
        for _ in range(2):  # the first one sets things up
            start = clock()
            loss(trial, batch).backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds = clock() - start
    return {"megabytes": round(saved / 1e6, 1), "milliseconds": round(1000 * seconds, 1)}


def forecast(cost: dict[str, float], batch: Any, steps: int, world: int = 1) -> str:
    """A line about a run of so many iterations, each of that cost; ``batch`` is one process's part of a batch."""
    size = f"{len(batch) * world} a batch" if hasattr(batch, "__len__") else "a batch"
    if world > 1:
        size += f" of {world} processes"
    seconds = cost["milliseconds"] * steps / 1000
    duration = f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
    return (
        f"  {size}; an iteration holds {cost['megabytes']:.2g} MB and takes {cost['milliseconds']:.3g} ms: "
        f"{steps} in about {duration}"
    )
