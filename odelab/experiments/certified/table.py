"""Clean, attacked and certified accuracy by training."""

from odelab.experiments.certified.recipe import EPSILON, EPSILONS, TRAININGS
from odelab.experiments.results import Row
from odelab.experiments.tables import Cell, Rows, Table, over_seeds, seeds, summarise


def at(epsilon: float, what: str) -> Cell:
    """The cell for one of the accuracies at this ε."""

    def cell(runs: list[Row]) -> str:
        entries = [entry for row in runs for entry in row.result["accuracies"] if entry["epsilon"] == epsilon]
        return over_seeds([entry[what] for entry in entries], ".1f")

    return cell


def certified_table(rows: Rows = None) -> Table:
    """Percent of test points, at three radii."""
    cells: dict[str, Cell] = {"clean": at(0.0, "clean")}
    for epsilon in EPSILONS[2:5:1]:
        cells |= {f"attacked, ε = {epsilon:g}": at(epsilon, "attacked")}
        cells |= {f"certified, ε = {epsilon:g}": at(epsilon, "certified")}
    frame = summarise("certified", rows, ("training",), cells | {"seeds": seeds})
    return Table(
        frame.rename(index=TRAININGS).rename_axis("training"),
        "Two moons, 500 test points, an ODE-Net of eight Euler steps: accuracy in %",
        f"Attacked: PGD with 20 steps from the point itself. Certified: proved by boxes. Trained with ε = {EPSILON:g}.",
    )


TABLES = {"certified": (certified_table,)}
