"""Planar flows: each target in its column, both flows of a size side by side."""

from odelab.experiments.planar.table import planar_table
from tests.experiments.rows import cells, row


def test_targets_have_columns_and_sizes_have_rows() -> None:
    errors = {("nf", "U1"): (0.4, 0.6), ("nf", "U3"): (1.0,)}
    rows = [
        row({"flow": flow, "width": 2, "target": target}, seed, kl=kl)
        for (flow, target), values in errors.items()
        for seed, kl in enumerate(values)
    ]
    rows.append(row({"flow": "nf", "width": 64, "target": "moons"}, gap=0.012))
    table = planar_table({"parameters": {(2, "nf"): "10", (2, "cnf"): "1,516"}}, rows)
    assert cells(table, "NF, K = 2") == ["10", "0.500 ± 0.141 (2 seeds)", "–", "1.000 (1 seed)", "–", "–"]
    assert cells(table, "CNF, M = 2") == ["1,516", *["not run yet"] * 5]
    assert cells(table, "NF, K = 64") == ["–", "–", "–", "–", "–", "0.012 (1 seed)"]
    assert [*table.flat["model"][:4]] == ["NF, K = 2", "CNF, M = 2", "NF, K = 8", "CNF, M = 8"]
