"""Under torchrun: every process trains on its part of the batch and says what came out, after `two_runs`."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from odelab.training import Epochs, fit, one_cycle
from odelab.training.devices import make_fabric
from tests.training.small_run import data, small_model
from tests.training.two_runs import two_runs


def train(folder: Path, stop_at: int | None = None, resume: bool = False) -> None:
    """Ten steps on both processes; ``stop_at``: a Ctrl-C that reaches the second process alone."""
    fabric = make_fabric("cpu")
    rank, world = fabric.global_rank, fabric.world_size
    x, y = data()
    model = small_model(dropout=0.0)
    model = nn.Sequential(*(layer for layer in model if not isinstance(layer, nn.BatchNorm1d)))
    epochs = Epochs(40, 8, 3, rank, world)

    def loss(model: nn.Module, batch: tuple[int, torch.Tensor]) -> torch.Tensor:
        step, index = batch
        if step == stop_at and rank == 1:
            signal.raise_signal(signal.SIGINT)
        return (model(x[index]) - y[index]).square().mean()

    def validate(model: nn.Module) -> dict[str, float]:
        return {"loss": torch.rand(()).item()}  # differs between the processes; the first one's counts

    history = fit(
        model,
        loss,
        lambda step: (step, epochs(step)),
        steps=10,
        optimizer=lambda parameters: torch.optim.SGD(parameters, 0.2, momentum=0.9),
        schedule=one_cycle(),
        ema=0.8,
        validate=validate,
        every=2,
        keep="last",
        checkpoint=folder / "run.safetensors",
        resume=resume,
        fabric=fabric,
        progress=False,
    )
    weights = torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()
    result = {"world": world, "loss": history.loss, "validation": history.validation, "weights": weights}
    (folder / f"{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    two_runs(folder / "runs")
    try:
        train(folder, stop_at=4)
    except KeyboardInterrupt as stopped:
        (folder / f"stopped{os.environ['RANK']}").write_text(str(stopped))
    train(folder, resume=True)
