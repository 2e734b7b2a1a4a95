"""A training run of a second with everything in it that could make a resumed run differ; as a script, one to kill."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from odelab.training import Epochs, History, adam, fit, one_cycle

STEPS = 24


def small_model(dropout: float = 0.3) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    return x, torch.sin(x.sum(1, keepdim=True))


def small_fit(model: nn.Module, after: Callable[[int], Any] = lambda step: None, **settings: Any) -> History:
    """Dropout, noise on the inputs, batch norm, shuffled epochs, one cycle, averaged weights, a noisy validation.

    after: called with the number of each step, in the middle of it.
    """
    x, y = data()
    epochs = Epochs(40, 8, seed=3)

    def loss(model: nn.Module, batch: tuple[int, Tensor]) -> Tensor:
        step, index = batch
        after(step)
        noisy = x[index] + 0.1 * torch.randn_like(x[index])
        return (model(noisy) - y[index]).square().mean()

    def validate(model: nn.Module) -> dict[str, float]:
        noisy = x[40:] + 0.3 * torch.randn(10, 3)
        return {"loss": (model(noisy) - y[40:]).square().mean().item(), "training": model.training}

    usual: dict[str, Any] = {
        "steps": STEPS,
        "optimizer": adam(0.05, betas=(0.8, 0.99)),
        "schedule": one_cycle(),
        "clip": 1.0,
        "ema": 0.8,
        "validate": validate,
        "every": 5,
        "progress": False,
    }
    return fit(model, loss, lambda step: (step, epochs(step)), **(usual | settings))


if __name__ == "__main__":  # python small_run.py CHECKPOINT: steps that take their time, a checkpoint after each
    torch.set_num_threads(1)  # as the tests: dropout masks depend on it
    small_fit(small_model(), lambda step: time.sleep(0.05), checkpoint=Path(sys.argv[1]), save_seconds=0.0)
