"""FFJORD in the plane: ours beside the truth and beside a discrete flow."""

from odelab.experiments.ffjord_toy.run import coupling_flow, toy_flow
from odelab.experiments.ffjord_toy.table import coupling_table, toy_table
from tests.experiments.rows import cells, row


def test_densities_say_what_has_not_been_run() -> None:
    rows = [row({"density": "checkerboard"}, 0, nll=3.5, truth=3.466, gap=0.05, nfe=100, iterations=4000)]
    rows.append(row({"density": "checkerboard"}, 1, nll=3.7, truth=3.466, gap=0.07, nfe=120))
    coupling = [row({"density": "moons"}, gap=0.2, cpu_seconds=40.2)]
    table = toy_table({"quick: this notebook": {"moons": "2.500 (1 seed)"}}, rows, coupling)
    numbers = ["3.600 ± 0.141", "3.466", "0.060 ± 0.014", "110 ± 14", "1,200 or 4,000", "–", "2"]
    assert cells(table, "checkerboard") == ["–", *numbers, *["not run yet"] * 3]
    assert cells(table, "moons") == ["2.500 (1 seed)", *["not run yet"] * 7, "0.200", "40", "1"]
    alone = [row({"density": "moons"}, nll=2.6, truth=2.4, gap=0.2, cpu_seconds=40.2, iterations=5000)]
    assert cells(coupling_table(alone), "moons") == ["2.600", "2.400", "0.200", "5,000", "40", "1"]


def test_the_discrete_flow_has_as_many_parameters_as_the_continuous_one() -> None:
    sizes = [sum(p.numel() for p in flow.parameters()) for flow in (toy_flow(), coupling_flow())]
    assert sizes == [9224, 9154], "the table's note and the recipe say so"
