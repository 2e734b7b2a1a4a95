"""What can be reproduced: an experiment is a list of runs, a run is a key and a seed. Nothing here needs torch."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odelab.experiments.results import Key, stored_rows

if TYPE_CHECKING:
    from odelab.experiments.context import Context


@dataclass(frozen=True)
class Experiment:
    """Something of the sources that is run again.

    Attributes:
        name: as in `python -m odelab reproduce NAME`.
        title: what it reproduces, with the source.
        keys: budget -> the runs of one seed.
        seeds: budget -> seeds by default.
        enough: key -> for how many of these seeds it is run, all by default.
        minutes: budget -> about how long all of it takes on one thread of a CPU, where no rows are stored that would
            tell; none where nobody has timed it.
        function: of the folder's `run` module; ``run(key, context)`` does one of the runs and returns what it measured.
        alone: it runs on a CPU and in one process, whatever there is.
    """

    name: str
    title: str
    keys: Callable[[str], list[Key]]
    seeds: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"lecture": (0,), "full": (0, 1, 2)})
    enough: Callable[[Key], int] | None = None
    minutes: dict[str, float] = field(default_factory=dict)
    function: str = "run"
    alone: bool = False

    def runs(self, budget: str, seeds: Sequence[int] | None = None) -> list[tuple[Key, int]]:
        """Every (key, seed), seed by seed; with ``seeds`` all keys for each of these."""
        if seeds is not None or self.enough is None:
            chosen = dict.fromkeys(self.seeds[budget] if seeds is None else seeds)
            return [(key, seed) for seed in chosen for key in self.keys(budget)]
        asked = list(enumerate(self.seeds[budget]))
        return [(key, seed) for place, seed in asked for key in self.keys(budget) if place < self.enough(key)]

    def run(self, key: Key, context: Context) -> dict[str, Any]:
        """Do one run; what was measured, by name."""
        module = importlib.import_module(EXPERIMENTS[self.name].replace(".recipe", ".run"))
        return getattr(module, self.function)(key, context)


#: Name -> the module whose EXPERIMENTS declares it.
EXPERIMENTS: dict[str, str] = {
    "mnist": "odelab.experiments.mnist.recipe",
    "planar": "odelab.experiments.planar.recipe",
    "ffjord-toy": "odelab.experiments.ffjord_toy.recipe",
    "coupling-toy": "odelab.experiments.ffjord_toy.recipe",
    "ffjord-digits": "odelab.experiments.ffjord_digits.recipe",
    "ffjord-mnist": "odelab.experiments.ffjord_mnist.recipe",
    "ffjord-mnist-14": "odelab.experiments.ffjord_mnist.recipe",
    "rnode": "odelab.experiments.rnode.recipe",
    "flow-matching": "odelab.experiments.rnode.recipe",
    "rnode-coarse": "odelab.experiments.rnode.recipe",
    "reflow": "odelab.experiments.after_ffjord.recipe",
    "guided-digits": "odelab.experiments.after_ffjord.recipe",
    "torsions": "odelab.experiments.after_ffjord.recipe",
    "latent-spirals": "odelab.experiments.latent_spirals.recipe",
    "rotating-mnist": "odelab.experiments.rotating_mnist.recipe",
    "rotating-mnist-28": "odelab.experiments.rotating_mnist.recipe",
    "bouncing-balls": "odelab.experiments.bouncing_balls.recipe",
    "bouncing-balls-32": "odelab.experiments.bouncing_balls.recipe",
    "mocap2": "odelab.experiments.mocap.recipe",
    "mocap-sliders": "odelab.experiments.mocap.recipe",
    "mocap1-like": "odelab.experiments.mocap.recipe",
    "neural-processes": "odelab.experiments.neural_processes.recipe",
    "visits": "odelab.experiments.visits.recipe",
    "identification": "odelab.experiments.identification.recipe",
    "identification-grid": "odelab.experiments.identification.recipe",
    "forecasting": "odelab.experiments.forecasting.recipe",
    "epidemic": "odelab.experiments.forecasting.recipe",
    "long-horizon": "odelab.experiments.forecasting.recipe",
    "robustness": "odelab.experiments.robustness.recipe",
    "certified": "odelab.experiments.certified.recipe",
}


def experiment(name: str) -> Experiment:
    """An experiment by its name.

    Raises:
        ValueError: when there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment is called {name!r}; there are {', '.join(EXPERIMENTS)}")
    declared: dict[str, Experiment] = importlib.import_module(EXPERIMENTS[name]).EXPERIMENTS
    return declared[name]


def minutes_of(what: Experiment, budget: str) -> float | None:
    """About how long all of an experiment takes on one thread of a CPU, None where nothing tells.

    From the stored rows: their processor time where it was measured, else their time; a key without rows takes as
    long as the others on average. Where there are no rows, what the experiment says.
    """
    spent: dict[str, list[float]] = {}
    for row in stored_rows(what.name, budget):
        if "thread" in row.device:
            spent.setdefault(str(row.key), []).append((row.result.get("cpu_seconds") or 60 * row.minutes) / 60)
    runs = [str(key) for key, _ in what.runs(budget)]
    known = [statistics.fmean(spent[key]) for key in dict.fromkeys(runs) if key in spent]
    if not known:
        return what.minutes.get(budget)
    others = statistics.fmean(known)
    return sum(statistics.fmean(spent[key]) if key in spent else others for key in runs)
