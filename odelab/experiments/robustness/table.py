"""Accuracy of four nets under disturbances, with other solvers at test, and attacked through other solvers."""

from collections.abc import Sequence

from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.robustness.recipe import ARMS, ATTACKERS, EPSILON, LEVELS, SOLVERS
from odelab.experiments.tables import Cell, Rows, Table, first, number, over_seeds, seeds, summarise
from odelab.extras import extra

with extra("train"):
    from pandas import DataFrame, MultiIndex

SHOWN = {"noise": 0.3, "blur": 1.5, "rotation": 30.0, "PGD": 0.05}
UNITS = {"noise": "σ = {}", "blur": "{} pixels", "rotation": "{}°", "PGD": "ε = {}"}


def at(disturbance: str, level: float) -> Cell:
    """The cell for the accuracy at one level."""
    place = LEVELS[disturbance].index(level)
    return lambda runs: over_seeds([row.result["curves"][disturbance][place] for row in runs], ".1f")


def robustness_table(rows: Rows = None) -> Table:
    """By net: clean, and one level of every disturbance."""
    cells: dict[str, Cell] = {"parameters": first("parameters", ",d"), "clean": at("noise", 0.0)}
    for name, level in SHOWN.items():
        cells[f"{name}, {UNITS[name].format(f'{level:g}')}"] = at(name, level)
    cells["motion after the end"] = number("steady", spec=".3f")
    frame = summarise("robustness", rows, ("arm",), cells | {"seeds": seeds})
    return Table(
        frame.rename(index=ARMS).rename_axis("net"),
        "Accuracy in % on disturbed MNIST",
        "6,000 training images, none of them disturbed; 1,000 test images, 250 for PGD (10 steps). ODE-Nets are "
        "trained, attacked and tested with two RK4 steps. Motion after the end: the steady-state term, the integral of "
        "the mean absolute entry of f from t = 1 to 2.",
    )


def entries(runs: Sequence[Row], part: str, name: str, value: str, what: str) -> list[float]:
    """One number of every row, from the entry of a list whose `name` is `value`."""
    return [entry[what] for row in runs for entry in row.result[part] if entry[name] == value]


def listed(rows: Rows, part: str, name: str, values: Sequence[str], columns: Sequence[str], head: str) -> DataFrame:
    """A line for every net and entry of a list that each row holds."""
    groups = by_key(stored_rows("robustness") if rows is None else rows, "arm")
    lines, index = [], []
    for arm, title in ARMS.items():
        runs = [row for row in groups.get(arm, []) if part in row.result]
        for value in values if runs else ():
            lines.append([over_seeds(entries(runs, part, name, value, what), ".1f") for what in columns])
            index.append((title, value))
    return DataFrame(
        lines, MultiIndex.from_tuples(index or [("", "")], names=["net", head])[: len(lines)], list(columns)
    )


def solver_table(rows: Rows = None) -> Table:
    """Other solvers at test."""
    return Table(
        listed(
            rows, "solvers", "solver", [*SOLVERS], ("clean", "noise", "attack through own", "nfe"), "solver at test"
        ),
        "Accuracy in % when the solver changes after training",
        f"Noise of 0.3; the attack, ε = {EPSILON:g}, was made through the solver of training.",
    )


def masking_table(rows: Rows = None) -> Table:
    """Attacks through adaptive solvers."""
    columns = ("clean", "through itself", "through own")
    return Table(
        listed(rows, "masking", "attacker", [*ATTACKERS], columns, "solver and gradient of the attacker"),
        "Accuracy in % of a net with an adaptive solver, attacked through it and through two RK4 steps",
        f"250 images, PGD with 10 steps, ε = {EPSILON:g}. The lower number is the one that counts.",
    )


TABLES = {"robustness": (robustness_table, solver_table, masking_table)}
