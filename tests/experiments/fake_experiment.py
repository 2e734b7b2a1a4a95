"""An experiment of a moment: a straight line is fitted, and what is asked for happens on the way."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from odelab.experiments.context import Context
from odelab.experiments.registry import Experiment
from odelab.experiments.results import Key
from odelab.training import adam, fit

KEYS: list[Key] = [{"line": "up hill", "rate": 1e-05}, {"line": "down/hill", "rate": 0.1}]
on_step: Callable[[Key, int, int], Any] = lambda key, seed, step: None  # noqa: E731, replaced by tests
done: list[tuple[str, int]] = []


def tell(environment: dict[str, str]) -> None:
    """In another process: FAKE_SLEEP seconds a step, FAKE_REFUSES a seed, FAKE_KILLS the process."""
    os.environ.update(environment)


def run(key: Key, context: Context) -> dict[str, Any]:
    if os.environ.get("FAKE_KILLS") == str(context.seed):
        os._exit(1)
    if os.environ.get("FAKE_REFUSES") == str(context.seed):
        raise ValueError(f"seed {context.seed} brings bad luck")
    fabric = context.fabric()
    torch.manual_seed(context.seed)
    model = nn.Linear(1, 1)

    def loss(model: nn.Module, step: int) -> torch.Tensor:
        time.sleep(float(os.environ.get("FAKE_SLEEP", 0)))
        on_step(key, context.seed, step)
        x = torch.randn(4, 1)
        return (model(x) - x).square().mean()

    history = fit(
        model,
        loss,
        lambda step: step,
        steps=6,
        optimizer=adam(key["rate"]),
        checkpoint=context.folder / "run.safetensors",
        resume=context.resume,
        fabric=fabric,
        seed=context.seed,
        progress=context.progress,
    )
    done.append((key["line"], context.seed))
    return {"loss": history.loss, "weight": model.weight.item(), "steps": history.step}


EXPERIMENTS = {
    "fake": Experiment(
        name="fake",
        title="a straight line",
        keys=lambda budget: KEYS[:1] if budget == "lecture" else KEYS,
        seeds={"lecture": (0,), "full": (0, 1)},
        minutes={"lecture": 0, "full": 0},
    )
}
