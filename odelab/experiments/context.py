"""What a run is given: its seed, its budget, a folder, a device, and where weights go."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from odelab.extras import extra
from odelab.saving import Savable, save_tensors
from odelab.training.devices import first_process

with extra("train"):
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Context:
    """What a run is given.

    Attributes:
        seed: of this run.
        budget: "lecture" (minutes on a laptop) or "full" (the papers' scale).
        folder: of this run alone, for its checkpoints; kept between sittings, removed when its row is written.
        weights: where a model the course ships may be put, as safetensors.
        resume: go on from what the folder holds.
        progress: a label for the bar, or False.
        fabric: makes the Fabric of the device that the user typed; takes a precision, "32-true" by default.
    """

    seed: int
    budget: str
    folder: Path
    weights: Path
    resume: bool
    progress: str | bool
    fabric: Callable[..., Fabric]

    @property
    def checkpoint(self) -> Path:
        return self.folder / "run.safetensors"

    def fitting(self, precision: str = "32-true") -> dict[str, Any]:
        """What the command says to `fit`, by its names: seed, device, checkpoint and progress."""
        return {
            "seed": self.seed,
            "fabric": self.fabric(precision),
            "checkpoint": self.checkpoint,
            "resume": self.resume,
            "progress": self.progress,
            "estimate": True,
        }

    @property
    def ships(self) -> bool:
        """Whether this process writes this run's weights: the first one, those of seed 0 at full budget."""
        return (self.seed, self.budget) == (0, "full") and first_process()

    def ship(self, model: nn.Module, name: str) -> None:
        """Put the weights where the lessons find them, in half precision, if they are to be shipped."""
        if not self.ships:
            return
        path = self.weights / f"{name}.safetensors"
        if isinstance(model, Savable):
            copy.deepcopy(model).cpu().half().save(path)
        else:
            half = {key: value.half() for key, value in model.state_dict().items()}
            save_tensors(path, half)
