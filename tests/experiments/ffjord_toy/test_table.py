"""FFJORD in the plane: ours beside the truth."""

from odelab.experiments.ffjord_toy.table import toy_table
from tests.experiments.rows import cells, row


def test_densities_say_what_has_not_been_run() -> None:
    rows = [row({"density": "checkerboard"}, 0, nll=3.5, truth=3.466, gap=0.05, nfe=100, iterations=4000)]
    rows.append(row({"density": "checkerboard"}, 1, nll=3.7, truth=3.466, gap=0.07, nfe=120))
    table = toy_table({"quick: this notebook": {"moons": "2.500 (1 seed)"}}, rows)
    numbers = ["3.600 ± 0.141", "3.466", "0.060 ± 0.014", "110 ± 14", "1,200 or 4,000", "2"]
    assert cells(table, "checkerboard") == ["–", *numbers]
    assert cells(table, "moons") == ["2.500 (1 seed)", *["not run yet"] * 6]
