"""What a run under test is given: a folder of its own, the CPU, no bar."""

from pathlib import Path

from odelab.experiments.context import Context
from odelab.training.devices import make_fabric


def context_in(folder: Path, *, seed: int = 0, budget: str = "lecture", resume: bool = False) -> Context:
    return Context(
        seed, budget, folder, folder / "weights", resume, False, lambda precision="32-true": make_fabric("cpu")
    )
