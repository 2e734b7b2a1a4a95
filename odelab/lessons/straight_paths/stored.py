"""What the stored runs of `rnode`, `flow-matching` and `ffjord-toy` say of a density, as arrays for the figures."""

from collections.abc import Sequence

import torch

from odelab.datasets import density
from odelab.experiments.ffjord_toy.recipe import LESSON_06
from odelab.experiments.results import Row, by_key
from odelab.experiments.rnode.recipe import DATA, PENALTIES
from odelab.experiments.rnode.table import MATCHING, WITHIN, without_penalty

Seeds = dict[str, tuple[list[float], list[float]]]
Curve = dict[str, list[float]]


def densities(rows: Sequence[Row], at_least: int = 3) -> list[str]:
    """Those of the five that were trained with both penalties, and after them others, to have so many."""
    both = {row.key["data"] for row in rows if row.key["penalty"] == "both"}
    first, others = ([name for name in DATA if (name in both) == trained] for trained in (True, False))
    return [*first, *others[: max(at_least - len(first), 0)]]


def evaluations_and_gaps(rows: Sequence[Row], data: str) -> Seeds:
    """Training -> evaluations of a solve at 1e-5 and gap to the truth (nats), a number for each seed, 0 first."""
    mine = by_key([row for row in rows if row.key["data"] == data], "penalty")
    return {
        name: ([run.result["nfe"] for run in mine[name]], [run.result["gap"] for run in mine[name]])
        for name in (*PENALTIES, *MATCHING, LESSON_06)
        if name in mine
    }


def truth_on_validation(data: str) -> float:
    """NLL of the true density on the 2,000 points that these runs were validated on."""
    truth = density(data)
    return -truth.log_prob(truth.sample(2000, torch.Generator().manual_seed(1_000_003))).mean().item()


def curves(rows: Sequence[Row], data: str, trainings: Sequence[str] = ("none", "both")) -> dict[str, list[Curve]]:
    """Training -> for each seed what was measured on the way, and the gap to the truth's NLL; those that were run."""
    taken: dict[str, list[Curve]] = {}
    for name in trainings:
        for row in rows:
            if (row.key["data"], row.key["penalty"]) == (data, name) and "curve" in row.result:
                curve = {part: [point[part] for point in row.result["curve"]] for part in row.result["curve"][0]}
                curve["gap"] = [loss - truth_on_validation(data) for loss in curve["loss"]]
                taken.setdefault(name, []).append(curve)
    return taken


def target(rows: Sequence[Row], data: str) -> float | None:
    """Mean over seeds of the gap that ends the race, the last one without a penalty and .02 nats; None without runs."""
    ends = [
        row.result["curve"][-1]["loss"] - truth_on_validation(data) + WITHIN
        for (name, _), row in without_penalty([*rows]).items()
        if name == data
    ]
    return sum(ends) / len(ends) if ends else None
