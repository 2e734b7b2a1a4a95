"""The ablation: what a penalty changes seed by seed, the time to a target, and rows that are still few."""

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from odelab.experiments.results import Row
from odelab.experiments.rnode.table import coarse_table, matching_table, outcome, rnode_table, seconds_to_target
from tests.experiments.rows import cells, row


def arm(penalty: str, seed: int, gap: float, nfe: int, losses: tuple[float, ...]) -> Row:
    curve = [{"loss": loss, "cpu_seconds": 10.0 * (i + 1)} for i, loss in enumerate(losses)]
    measured = {"nll": 2.0 + gap, "gap": gap, "gap_error": 0.001, "nfe": nfe, "nfe_loose": nfe / 2, "cpu_seconds": 30.0}
    return row({"data": "circles", "penalty": penalty}, seed, curve=curve, **measured)


ROWS = [
    arm("none", 0, 0.03, 100, (2.5, 2.2, 2.0)),
    arm("none", 1, 0.05, 140, (2.5, 2.2, 2.0)),
    arm("both", 0, 0.04, 50, (2.5, 2.01, 2.0)),
    arm("both", 1, 0.04, 70, (2.5, 2.4, 2.1)),
    arm("both x10", 1, 0.14, 35, (2.6, 2.5, 2.4)),
]


def test_time_to_a_target_counts_the_seeds_that_came_so_far() -> None:
    assert seconds_to_target(ROWS[0], ROWS[0]) == 30.0 and seconds_to_target(ROWS[2], ROWS[0]) == 20.0
    assert seconds_to_target(ROWS[3], ROWS[1]) is None
    table = rnode_table(rows=ROWS)
    column = list(table.frame.columns).index("CPU s to the target")
    assert [cells(table, "circles", name)[column] for name in ("none", "both", "both x10")] == [
        "30 ± 0",
        "20 (1 of 2)",
        "never",
    ]
    assert cells(rnode_table(rows=ROWS[2:]), "circles", "both")[column] == "–", "nothing to compare with"


def test_gaps_are_compared_seed_by_seed() -> None:
    table = rnode_table(rows=ROWS)
    column = list(table.frame.columns).index("gap − that of none")
    assert cells(table, "circles", "both")[column] == "0.000 ± 0.014"
    assert cells(table, "circles", "both x10")[column] == "0.090"
    assert cells(table, "circles", "kinetic") == ["not run yet"] * len(table.frame.columns)


def test_the_sentence_follows_the_rows() -> None:
    assert "on circles 0.50 times the evaluations (0.50 to 0.50)" in outcome(ROWS)
    assert "+0.000 nats (-0.010 to +0.010; 2 pairs of runs)" in outcome(ROWS) and "1 of 5" in outcome(ROWS)
    assert outcome(ROWS[:2]) == "No flow with both has been run beside one without a penalty yet."
    assert outcome(ROWS) in rnode_table(rows=ROWS).note
    assert "told apart" not in outcome(ROWS), "two pairs are too few for a test"


def test_both_changes_are_tested_pair_by_pair() -> None:
    pairs = [("none", 0.03, 100), ("none", 0.05, 140), ("none", 0.04, 120)]
    pairs += [("both", 0.04, 52), ("both", 0.04, 70), ("both", 0.045, 61)]
    rows = [arm(penalty, k % 3, gap, nfe, (2.5,)) for k, (penalty, gap, nfe) in enumerate(pairs)]
    ratios = np.log([52 / 100, 70 / 140, 61 / 120])
    fewer = 2 * ttest_1samp(ratios, 0).pvalue
    worse = ttest_1samp([0.01, -0.01, 0.005], 0).pvalue
    assert f"the evaluations is told apart from none (p = {fewer:.2g})" in outcome(rows)
    assert f"that of the gap is not told apart from none (p = {worse:.2g})" in outcome(rows)


def test_densities_are_told_one_by_one_and_tested_together() -> None:
    """Against a least-squares fit with a mean for each density, of which the mean is tested."""
    pairs = {"swissroll": [(0.5, 0.01), (0.6, -0.01), (0.55, 0.005)], "rings": [(0.9, 0.01), (1.0, 0.02)]}
    rows = []
    for data, changes in pairs.items():
        for seed, (ratio, worse) in enumerate(changes):
            for one in (arm("none", seed, 0.03, 1000, (2.5,)), arm("both", seed, 0.03 + worse, 1000 * ratio, (2.5,))):
                one.key["data"] = data
                rows.append(one)
    text = outcome(rows)
    rows[0].result["straightness"] = 1.234
    assert "3 pairs of runs; the paths of none are 1.23 times as long as straight ones)" in outcome(rows)
    assert text.index("on swissroll 0.55 times") < text.index("on rings 0.95 times") and "2 of 5 densities" in text
    y = np.log([ratio for changes in pairs.values() for ratio, _ in changes])
    design = np.array([[1, 0]] * 3 + [[0, 1]] * 2, dtype=float)
    means, (residual,), *_ = np.linalg.lstsq(design, y, rcond=None)
    contrast = np.array([0.5, 0.5])
    error = np.sqrt(residual / 3 * contrast @ np.linalg.inv(design.T @ design) @ contrast)
    p = 2 * 2 * student.sf(abs(contrast @ means / error), 3)
    assert f"told apart from none (p = {p:.2g})" in text and "in the mean over these densities" in text


def test_one_density_stands_beside_the_paper() -> None:
    table = rnode_table({"quick: here": {"none": "2.10, 120"}}, ROWS, "circles")
    line = cells(table, "none")
    assert line[:3] == ["2.10, 120", "2.040 ± 0.014", "0.040 ± 0.014"] and line[-1] == "0.97 bits/dim, 68.5 h"
    assert "24.4 h" in cells(table, "both")[-1]


@pytest.mark.parametrize("rows", [None, []])
def test_tables_of_stored_rows_and_of_none_can_be_made(rows: list[Row] | None) -> None:
    table = rnode_table(rows=rows)
    assert len(table.frame) == 50 and " nan" not in table.markdown()
    assert {len(names) for names in coarse_table(rows=rows).frame.index} == {3}
    assert len(matching_table(rows).frame) == 10
