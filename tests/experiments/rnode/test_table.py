"""The ablation: last and best iteration, the time to a target, the paper's numbers for one data set."""

from odelab.experiments.rnode.table import rnode_table, to_target
from tests.experiments.rows import cells, row


def test_time_to_a_target_counts_the_seeds_that_came_so_far() -> None:
    runs = [row({}, seed, target={"cpu_seconds": seconds}) for seed, seconds in enumerate((10.0, None, 14.0))]
    assert to_target(runs) == "12 ± 3 (2 of 3)" and to_target(runs[1:2]) == "never"
    assert to_target([runs[0], runs[2]]) == "12 ± 3" and to_target([]) == "–"


def test_one_data_set_stands_beside_the_paper() -> None:
    names = ("last_nll", "last_nll_own_solver", "last_nfe", "nll", "nll_own_solver", "nfe")
    rows = [
        row({"data": "checkerboard", "penalty": "none"}, seed, **dict(zip(names, values, strict=True)))
        for seed, values in enumerate(((5.0, 3.0, 200, 4.0, 4.0, 30), (7.0, 2.0, 240, 4.2, 4.1, 36)))
    ]
    table = rnode_table({"quick: here": {"none": "λ = 0: 4.50 (3.10), 120"}}, rows, "checkerboard")
    line = cells(table, "none")
    assert line[:4] == ["λ = 0: 4.50 (3.10), 120", "6.00 ± 1.41", "2.50 ± 0.71", "220 ± 28"]
    assert line[4:7] == ["4.10 ± 0.14", "4.05 ± 0.07", "33 ± 4"] and line[-1] == "0.97 bits/dim, 68.5 h"
    assert cells(table, "jacobian").count("not run yet") == 11 and "24.4 h" in cells(table, "both")[-1]
    assert cells(rnode_table(rows=rows), "checkerboard", "none") == line[1:-1], "all data sets: no paper"
