"""What can be reproduced: an experiment is a list of runs, a run is a key, a seed and a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from odelab.experiments.results import Key
from odelab.saving import save_tensors
from odelab.training.devices import first_process


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
    def ships(self) -> bool:
        """Whether this process writes this run's weights: the first one, those of seed 0 at full budget."""
        return (self.seed, self.budget) == (0, "full") and first_process()

    def ship(self, model: nn.Module, name: str) -> None:
        """Put the weights where the lessons find them, in half precision, if they are to be shipped."""
        if self.ships:
            half = {key: value.half() for key, value in model.state_dict().items()}
            save_tensors(self.weights / f"{name}.safetensors", half)


Run = Callable[[Key, Context], dict[str, Any]]


@dataclass(frozen=True)
class Experiment:
    """Something of the sources that is run again.

    Attributes:
        name: as in `python -m odelab reproduce NAME`.
        title: what it reproduces, with the source.
        keys: budget -> the runs of one seed.
        run: does one of them and returns what it measured.
        seeds: budget -> seeds by default.
        minutes: budget -> about how long all of it takes on one thread of a CPU, where no rows are stored that would
            tell; none where nobody has timed it.
        alone: it runs on a CPU and in one process, whatever there is.
    """

    name: str
    title: str
    keys: Callable[[str], list[Key]]
    run: Run
    seeds: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"lecture": (0,), "full": (0, 1, 2)})
    minutes: dict[str, float] = field(default_factory=dict)
    alone: bool = False


EXPERIMENTS: dict[str, str] = {
    "mnist": "odelab.experiments.mnist.run",
    "planar": "odelab.experiments.planar.run",
    "ffjord-toy": "odelab.experiments.ffjord_toy.run",
    "ffjord-digits": "odelab.experiments.ffjord_digits.run",
    "ffjord-mnist": "odelab.experiments.ffjord_mnist.run",
    "rnode": "odelab.experiments.rnode.run",
    "latent-spirals": "odelab.experiments.latent_spirals.run",
    "rotating-mnist": "odelab.experiments.rotating_mnist.run",
    "rotating-mnist-28": "odelab.experiments.rotating_mnist.run",
    "bouncing-balls": "odelab.experiments.bouncing_balls.run",
    "bouncing-balls-32": "odelab.experiments.bouncing_balls.run",
    "mocap2": "odelab.experiments.mocap.mocap2",
    "mocap-sliders": "odelab.experiments.mocap.sliders",
    "mocap1-like": "odelab.experiments.mocap.mocap1_like",
}
