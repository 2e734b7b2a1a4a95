"""Flows with and without penalties, and without a solve: likelihoods, evaluations, costs of paths, and time."""

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

import numpy as np
from scipy.stats import t as student

from odelab.experiments.comparison import LEVEL, holm
from odelab.experiments.ffjord_toy.recipe import LESSON_06
from odelab.experiments.results import Row, stored_rows
from odelab.experiments.rnode.recipe import COUPLINGS, DATA, PENALTIES
from odelab.experiments.tables import (
    MISSING,
    NOTHING,
    Cell,
    Quick,
    Rows,
    Table,
    beside,
    number,
    over_seeds,
    seeds,
    summarise,
    with_paper,
)
from odelab.extras import extra

with extra("train"):
    import pandas as pd

PAPER = {"none": "0.97 bits/dim, 68.5 h", "both": "0.97 bits/dim, 24.4 h"}  # notes, Fig. 24.10
PAIRS = {"independent": "independent pairs", "optimal": "cheapest pairs"}  # coupling, as a stored key -> as it is shown
MATCHING = tuple(f"flow matching, {PAIRS[coupling]}" for coupling in COUPLINGS)
WITHIN = 0.02  # nats above where the flow without a penalty ends: the target of the race, and what a penalty may cost
Pair = tuple[str, int]  # data and seed: the same weights at the start, the same batches, the same test points


def compared_rows() -> list[Row]:
    """The stored rows of all flows for the five densities, each with its data and how it was trained as its key."""
    rows = [*stored_rows("rnode")]
    for row in stored_rows("flow-matching"):
        rows.append(
            replace(row, key={"data": row.key["data"], "penalty": f"flow matching, {PAIRS[row.key['coupling']]}"})
        )
    for row in stored_rows("ffjord-toy"):
        if row.key["density"] in DATA:
            rows.append(replace(row, key={"data": row.key["density"], "penalty": LESSON_06}))
    return rows


def without_penalty(rows: list[Row]) -> dict[Pair, Row]:
    return {(row.key["data"], row.seed): row for row in rows if row.key["penalty"] == "none"}


def seconds_to_target(row: Row, reference: Row) -> float | None:
    """CPU seconds of training until the validation NLL was first within .02 of where the reference ends, or None."""
    target = reference.result["curve"][-1]["loss"] + WITHIN
    for point in row.result["curve"]:
        if point["loss"] < target:
            return point["cpu_seconds"]
    return None


def to_target(reference: Mapping[Pair, Row]) -> Cell:
    """The cell for these seconds, with how many seeds came so far where not all did."""

    def cell(runs: list[Row]) -> str:
        times = []
        for row in runs:
            pair = (row.key["data"], row.seed)
            if "curve" in row.result and pair in reference:
                times.append(seconds_to_target(row, reference[pair]))
        reached = [time for time in times if time is not None]
        some = f" ({len(reached)} of {len(times)})" if len(reached) < len(times) else ""
        if not times:
            return NOTHING
        return f"{over_seeds(reached, '.0f')}{some}" if reached else "never"

    return cell


def against(reference: Mapping[Pair, Row]) -> Cell:
    """The cell for the gap minus that without a penalty, seed by seed."""

    def cell(runs: list[Row]) -> str:
        pairs = [(row, reference.get((row.key["data"], row.seed))) for row in runs]
        return over_seeds([row.result["gap"] - other.result["gap"] for row, other in pairs if other], ".3f")

    return cell


def outcome(rows: list[Row], penalty: str = "both") -> str:
    """What the rows say of the paper's claim, density by density: half the evaluations at the same likelihood."""
    reference = without_penalty(rows)
    changes: dict[str, list[tuple[float, float]]] = {}  # by density: log ratio of the evaluations, change of the gap
    for name in DATA:
        for row in rows:
            other = reference.get((name, row.seed))
            if (row.key["data"], row.key["penalty"]) == (name, penalty) and other:
                ratio = math.log(row.result["nfe"] / other.result["nfe"])
                changes.setdefault(name, []).append((ratio, row.result["gap"] - other.result["gap"]))
    if not changes:
        return f"No flow with {penalty} has been run beside one without a penalty yet."
    parts = []
    for name, pairs in changes.items():
        ratios, worse = [math.exp(ratio) for ratio, _ in pairs], [gap for _, gap in pairs]
        parts.append(
            f"on {name} {fmean(ratios):.2f} times the evaluations ({min(ratios):.2f} to {max(ratios):.2f}), and the "
            f"gap to the truth changes by {fmean(worse):+.3f} nats ({min(worse):+.3f} to {max(worse):+.3f}; "
            f"{len(pairs)} pair{'s' * (len(pairs) > 1)} of runs{bent(reference, name)})"
        )
    tests = chance([np.array(pairs) for pairs in changes.values()])
    what = f"With both penalties and the paper's λ, beside none: {'; '.join(parts)}."
    return f"{what} That is {len(changes)} of {len(DATA)} densities.{tests}"


def bent(reference: Mapping[Pair, Row], data: str) -> str:
    """How much longer than a straight line the paths of the flow without a penalty are; nothing where none is told."""
    lengths = [
        row.result["straightness"]
        for (name, _), row in reference.items()
        if name == data and "straightness" in row.result
    ]
    return f"; the paths of none are {fmean(lengths):.2f} times as long as straight ones" if lengths else ""


def chance(changes: list[np.ndarray]) -> str:
    """Tests of the mean change of the evaluations and of the gap over these densities, corrected after Holm for both.

    Each density has its own mean, and the scatter of seeds around it is taken to be alike in all; for a single density
    that is the paired t-test. Nothing where fewer than three pairs, or pairs without scatter, leave nothing to test by.

    Args:
        changes: of each density (pairs, 2).
    """
    free = sum(len(pairs) - 1 for pairs in changes)
    if free < 2:
        return ""
    mean = np.mean([pairs.mean(0) for pairs in changes], axis=0)
    variance = sum(((pairs - pairs.mean(0)) ** 2).sum(0) for pairs in changes) / free
    error = np.sqrt(variance * sum(1 / len(pairs) for pairs in changes)) / len(changes)
    if not error.all():
        return ""
    known = [p for p in holm([float(p) for p in 2 * student.sf(np.abs(mean / error), free)]) if p is not None]
    verdicts = [f"{'is' if p < LEVEL else 'is not'} told apart from none (p = {p:.2g})" for p in known]
    over = "" if len(changes) == 1 else ", in the mean over these densities"
    return (
        f" By paired t-tests, corrected after Holm, the change of the evaluations {verdicts[0]}, that of the gap "
        f"{verdicts[1]}{over}."
    )


MEASURED: dict[str, Cell] = {
    "NLL": number("nll", spec=".3f"),
    "gap to the truth": number("gap", spec=".3f"),
    "its standard error": number("gap_error", spec=".4f"),
    "NFE": number("nfe", spec=".0f"),
    "NFE at 1e-3": number("nfe_loose", spec=".0f"),
    "∫‖f‖²": number("kinetic"),
    "∫‖∇f‖²": number("jacobian", spec=".1f"),
    "length ÷ distance": number("straightness", spec=".3f"),
    "CPU s": number("cpu_seconds", spec=".0f"),
}


def rnode_table(quick: Quick = None, rows: Rows = None, data: str | None = None) -> Table:
    """By data and training; for one density by training, with what the paper prints for MNIST."""
    rows = compared_rows() if rows is None else [*rows]
    reference = without_penalty(rows)
    cells: dict[str, Cell] = {
        **MEASURED,
        "gap − that of none": against(reference),
        "CPU s to the target": to_target(reference),
        "seeds": seeds,
    }
    frame = summarise("rnode", rows, ("data", "penalty"), cells)
    wanted = [(name, training) for name in DATA for training in (*PENALTIES, *MATCHING, LESSON_06)]
    frame = frame.reindex(pd.MultiIndex.from_tuples(wanted, names=["data", "training"])).fillna(MISSING)
    if data:
        frame = beside(with_paper(frame.loc[data], PAPER, "paper: MNIST"), quick).rename_axis("training")
    return Table(
        frame,
        f"{data or 'Five densities in the plane'}: one field, trained with and without penalties, and without a solve",
        "On 20,000 fresh points, by dopri5 at 1e-5 with the exact trace; the gap is the mean of log p − log p_θ in "
        "nats. All but flow matching are trained by dopri5 at 1e-3, 1,200 iterations from the same weights and "
        "batches; kinetic, jacobian, both: the paper's λ, in our scaling λ_K = .0035 and λ_J = .0069, or multiples. "
        f"The target is the last NLL without a penalty plus {WITHIN:g} nats, on validation points. Runs that did "
        "not measure their processor time have a dash. "
        f"{outcome(rows)} "
        "What it does not show: images, where the paper counts hours.",
    )


COARSE = {
    "NLL, last": number("last_nll"),
    "by its own steps, last": number("last_nll_own_solver"),
    "NFE, last": number("last_nfe", spec=".0f"),
    "NLL, best": number("nll"),
    "by its own steps, best": number("nll_own_solver"),
    "NFE, best": number("nfe", spec=".0f"),
    "∫‖f‖²": number("kinetic"),
    "∫‖∇f‖²": number("jacobian", spec=".1f"),
    "length ÷ distance": number("straightness", spec=".3f"),
    "seeds": seeds,
}


def coarse_table(quick: Quick = None, rows: Rows = None, data: str | None = None) -> Table:
    """By steps, data and penalty; for one data set by steps and penalty."""
    frame = summarise("rnode-coarse", rows, ("steps", "data", "penalty"), COARSE)
    if data:
        frame = beside(frame.xs(data, level="data"), quick)
    return Table(
        frame,
        "Flows that exploit a coarse solver: NLL in nats by dopri5 at 1e-5, and by the RK4 steps that trained them",
        "Two steps with λ 36 times the paper's (λ_K = .125, λ_J = .25), four with the paper's; best: the iteration of "
        "least validation NLL, where costs are measured, too; last: after 1,000. It shows that a flow which is free to "
        "bend learns its solver's errors in the plane, where its own NLL falls far below the true one; not on digits. "
        "It does not show what a penalty saves: for that the solver must be exact, as in the table of `rnode`.",
    )


def matching_table(rows: Rows = None) -> Table:
    """By data and coupling."""
    frame = summarise("flow-matching", rows, ("data", "coupling"), MEASURED | {"seeds": seeds})
    return Table(
        frame.rename(index=PAIRS, level="coupling").rename_axis(index={"coupling": "pairs"}),
        "The same flows trained without a solve: flow matching, independent pairs or the cheapest ones of each batch",
        "5,000 iterations of 256 pairs; likelihood and evaluations as in the table of penalties, where these flows "
        "stand beside the others. It shows what training without a solve reaches in its time; it does not show that "
        "either objective is better where both are given the same time.",
    )


TABLES = {"rnode": (rnode_table,), "flow-matching": (matching_table,), "rnode-coarse": (coarse_table,)}
