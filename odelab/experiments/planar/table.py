"""Planar flows, discrete and continuous: how far each is from its target, in nats."""

from collections.abc import Sequence
from statistics import fmean

from odelab.experiments.comparison import Comparison, compare, standard_error
from odelab.experiments.planar.recipe import DATA, ENERGIES
from odelab.experiments.results import by_key, stored_rows
from odelab.experiments.tables import NOTHING, Cell, Quick, Rows, Table, beside, number, summarise
from odelab.extras import extra

with extra("train"):
    from pandas import DataFrame, MultiIndex

NAMES = {"nf": "NF, K", "nf-cpu": "NF, CPU time of the CNF, K", "cnf": "CNF, M"}


def distance(name: str, target: str) -> Cell:
    cell = number(name, spec=".3f", count=True)
    return lambda runs: cell([row for row in runs if row.key["target"] == target])


def planar_table(quick: Quick = None, rows: Rows = None) -> Table:
    """By (width, flow); columns of `quick` alike."""
    cells = {target: distance("gap" if target in DATA else "kl", target) for target in (*ENERGIES, *DATA)}
    cells["CPU s"] = number("cpu_seconds", spec=".0f")
    frame = summarise("planar", rows, ("width", "flow"), cells)
    frame = beside(
        frame.loc[sorted(frame.index, key=lambda setting: (setting[0], [*NAMES].index(setting[1])))], quick, ".3f"
    )
    frame.index = frame.index.map(lambda setting: f"{NAMES[setting[1]]} = {setting[0]}").rename("model")
    return Table(
        frame,
        "KL(q‖p) to the energies and KL(p‖q) from data, in nats; the paper plots its losses (Fig. 4d) without numbers",
        "The true KL, log Z by a grid.",
    )


#: Discrete flows that the continuous one is compared with: name in the keys -> words.
DISCRETE = {"nf": "NF", "nf-cpu": "NF, CPU time of the CNF"}
Setting = tuple[str, int, str]  # flow, width, target


def distances(rows: Rows = None) -> dict[Setting, list[float | None]]:
    """KL(q‖p), or KL(p‖q) from data, of every seed; None for a run that diverged."""
    runs = by_key(stored_rows("planar") if rows is None else rows, "flow", "width", "target")
    return {
        setting: [row.result.get("gap" if setting[2] in DATA else "kl") for row in of_setting]
        for setting, of_setting in runs.items()
    }


def comparisons(rows: Rows = None) -> dict[Setting, Comparison]:
    """The continuous flow (ours) with each discrete one (theirs) of its size and target, corrected together.

    Settings in which a run diverged are left out: their mean is not finite.
    """
    found = distances(rows)
    pairs = {}
    for flow in DISCRETE:
        for target in (*ENERGIES, *DATA):
            for width in sorted({width for name, width, of in found if name == flow and of == target}):
                ours = [value for value in found.get(("cnf", width, target), []) if value is not None]
                theirs = [value for value in found[flow, width, target] if value is not None]
                whole = len(ours) == len(found.get(("cnf", width, target), []))
                if ours and theirs and whole and len(theirs) == len(found[flow, width, target]):
                    pairs[flow, width, target] = (ours, theirs)
    return compare(pairs)


def verdict(comparison: Comparison) -> str:
    """Which of the two is lower, and p; or that the test does not tell them apart."""
    if comparison.p is None:
        return "too few seeds"
    name = {-1: "CNF", 0: "not told apart", 1: "NF"}[comparison.lower]
    return f"{name} (p = {comparison.p:.2g})"


def mean_and_error(values: Sequence[float | None]) -> str:
    """Mean ± standard error over seeds."""
    finite = [value for value in values if value is not None]
    if not finite:
        return NOTHING if not values else "diverged"
    error = standard_error(finite)
    lost = len(values) - len(finite)
    return f"{fmean(finite):.4f}" + (f" ± {error:.4f}" if error is not None else "") + f", {lost} diverged" * bool(lost)


def comparison_table(rows: Rows = None) -> Table:
    """By (target, width): both flows, and which is lower; the discrete one also for the continuous one's CPU time."""
    found, tests = distances(rows), comparisons(rows)
    settings = [
        (target, width)
        for target in (*ENERGIES, *DATA)
        for width in sorted({width for _, width, of in found if of == target})
    ]
    columns = {"CNF": [mean_and_error(found.get(("cnf", width, target), [])) for target, width in settings]}
    for flow, name in DISCRETE.items():
        if any(of == flow for of, _, _ in found):
            keys = [(flow, width, target) for target, width in settings]
            columns[name] = [mean_and_error(found.get(key, [])) for key in keys]
            columns["lower" if flow == "nf" else "lower, for equal CPU time"] = [
                verdict(tests[key]) if key in tests else NOTHING for key in keys
            ]
    return Table(
        DataFrame(columns, index=MultiIndex.from_tuples(settings, names=["target", "K = M"])),
        "planar flows: KL in nats, mean over seeds ± its standard error, and which flow is lower",
        f"Welch's test over seeds; p is corrected after Holm for all {len(tests)} comparisons of this table, and "
        "“not told apart” means p ≥ 0.05. It shows which flow these trainings brought closer to the target at K = M; "
        "it does not show what either could represent, nor flows with equally many parameters.",
    )


TABLES = {"planar": (planar_table, comparison_table)}
