"""Planar flows: each target in its column, both flows of a size side by side."""

from odelab.experiments.planar.table import comparison_table, comparisons, planar_table
from odelab.experiments.results import Row
from tests.experiments.rows import cells, row


def test_targets_have_columns_and_sizes_have_rows() -> None:
    errors = {("nf", "U1"): (0.4, 0.6), ("nf", "U3"): (1.0,)}
    rows = [
        row({"flow": flow, "width": 2, "target": target}, seed, kl=kl, cpu_seconds=6.0)
        for (flow, target), values in errors.items()
        for seed, kl in enumerate(values)
    ]
    rows.append(row({"flow": "nf", "width": 64, "target": "moons"}, gap=0.012, cpu_seconds=110.0))
    table = planar_table({"parameters": {(2, "nf"): "10", (2, "cnf"): "1,516"}}, rows)
    assert cells(table, "NF, K = 2") == ["10", "0.500 ± 0.141 (2 seeds)", "–", "1.000 (1 seed)", "–", "–", "6 ± 0"]
    assert cells(table, "CNF, M = 2") == ["1,516", *["not run yet"] * 6]
    assert cells(table, "NF, K = 64") == ["–", "–", "–", "–", "–", "0.012 (1 seed)", "110"]
    assert [*table.flat["model"][:3]] == ["NF, K = 2", "NF, CPU time of the CNF, K = 2", "CNF, M = 2"]


def rows_of(flow: str, width: int, target: str, *values: float | None) -> list[Row]:
    name = "gap" if target in ("circles", "moons") else "kl"
    key = {"flow": flow, "width": width, "target": target}
    return [row(key, seed, **{name: value}) for seed, value in enumerate(values)]


def test_the_lower_flow_is_named_where_the_test_tells_the_two_apart() -> None:
    rows = rows_of("cnf", 2, "U1", 0.10, 0.11, 0.12) + rows_of("nf", 2, "U1", 0.50, 0.51, 0.52)
    rows += rows_of("cnf", 8, "U1", 0.10, 0.30, 0.20) + rows_of("nf", 8, "U1", 0.25, 0.20, 0.15)
    rows += rows_of("nf-cpu", 2, "U1", 0.01, 0.02, 0.03)
    rows += rows_of("cnf", 64, "moons", 0.1) + rows_of("nf", 64, "moons", 0.2)
    tests = comparisons(rows)
    lower = {setting: test.lower for setting, test in tests.items()}
    assert lower == {("nf", 2, "U1"): -1, ("nf-cpu", 2, "U1"): 1, ("nf", 8, "U1"): 0, ("nf", 64, "moons"): 0}
    table = comparison_table(rows)
    cpu = "0.0200 ± 0.0058"
    assert cells(table, "U1", 2)[:2] == ["0.1100 ± 0.0058", "0.5100 ± 0.0058"]
    assert cells(table, "U1", 2)[2].startswith("CNF (p = ") and cells(table, "U1", 2)[3] == cpu
    assert cells(table, "U1", 2)[4].startswith("NF (p = ")
    assert cells(table, "U1", 8)[2].startswith("not told apart (p = ")
    assert cells(table, "moons", 64) == ["0.1000", "0.2000", "too few seeds", "–", "–"]
    assert "all 4 comparisons" in table.note


def test_a_run_that_diverged_is_said_and_not_averaged_away() -> None:
    rows = rows_of("cnf", 2, "U1", 0.1, 0.2, 0.3) + rows_of("nf", 2, "U1", 0.5, None, 0.6)
    assert comparisons(rows) == {}
    assert cells(comparison_table(rows), "U1", 2)[1:] == ["0.5500 ± 0.0500, 1 diverged", "–"]
