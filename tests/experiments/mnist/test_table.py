"""MNIST: both sizes of features, what is told apart, costs and the dial."""

from odelab.experiments.mnist.table import (
    against,
    against_one_block,
    cost_table,
    dial_table,
    error_table,
    told_apart,
)
from tests.experiments.rows import cells, row


def runs(**errors: tuple[float, ...]) -> list:
    bodies = {body.replace("_", "-"): values for body, values in errors.items()}
    return [row({"body": body}, seed, test_error=e) for body, values in bodies.items() for seed, e in enumerate(values)]


def test_columns_are_kept_apart() -> None:
    rows = runs(mlp=(1.31, 1.41), no_block=(0.6,), no_block_6x6=(0.5,), one_block_6x6=(0.4, 0.41))
    table = error_table({"quick": {"mlp": 6.44, "no-block": 6.1}}, rows)
    assert cells(table, "1-layer MLP") == ["6.4", "1.36 ± 0.07 (2 seeds)", "–", "1.60"]
    assert cells(table, "no block") == ["6.1", "0.60 (1 seed)", "0.50 (1 seed)", "–"]
    assert cells(table, "ODE-Net") == ["–", "not run yet", "not run yet", "0.42"]
    compared = against_one_block(rows)
    small, large = cells(compared, "no block")
    assert small == "not run yet", "nothing to compare with"
    assert large.startswith("+0.09 ± 0.") and cells(compared, "ODE-Net") == ["–", "–"]
    assert "one residual block" not in compared.frame.index


def test_against_needs_two_seeds_and_tells_apart_what_is_apart() -> None:
    assert against([0.5], [0.4, 0.5]) == "+0.05 ± 0.10 by the test sets alone: too few seeds"
    assert against([], [0.4, 0.5]) == "not run yet"
    assert against([0.5, 0.51, 0.49], [0.9, 0.91, 0.92]).startswith("−0.41 ± 0.01: told apart")
    assert "not told apart" in against([0.5, 0.6, 0.4], [0.45, 0.55, 0.6])


def test_rows_are_told_apart_by_their_seeds() -> None:
    errors = {"MLP": (1.2, 1.3, 1.25), "ResNet": (0.4, 0.5, 0.45), "RK-Net": (0.42, 0.5, 0.47), "ODE-Net": (0.4,)}
    assert told_apart(errors).endswith("of 3 pairs: MLP from all others.")
    del errors["MLP"]
    assert told_apart(errors).endswith("of 1 pairs: none.")
    errors["no block"] = (0.9, 0.91, 0.92)
    assert told_apart(errors).endswith("of 3 pairs: no block from all others.")


def test_costs_are_means_over_the_runs_that_measured_them() -> None:
    same = {"parameters": 576778, "saved_bytes": 2.16e7, "epochs": [{"nfe_forward": 26.0, "nfe_backward": 20.0}]}
    rows = [row({"body": "resnet"}, 0, test_error=0.4, cpu_seconds=60.0, **same)]
    rows.append(row({"body": "resnet"}, 1, test_error=0.6, **same))
    table = cost_table({"quick": {"resnet": 0.72}}, rows)
    assert cells(table, "ResNet, six blocks") == ["0.7", "576,778", "21.6", "60", "26, 20", "2", "0.60 M", "O(L)"]
    assert cells(table, "no block") == ["–", *["not run yet"] * 5, "–", "–"]
    assert "1-layer MLP" not in cost_table(features="features of 6×6").frame.index, "it has no features"


def test_the_dial_is_a_mean_over_the_seeds_that_have_all_of_it() -> None:
    dials = [[{"tolerance": t, "error": e, "nfe": 14.0, "seconds": 7.0} for t in (0.1, 1e-5)] for e in (0.4, 0.6)]
    rows = [row({"body": "rk-net"}, seed, dial=dial) for seed, dial in enumerate([*dials, dials[0][:1]])]
    table = dial_table(rows)
    assert cells(table, "RK-Net", "1e-1") == ["0.50 ± 0.14", "14 ± 0", "7 ± 0", "2"]
    assert [*table.flat["tolerance of dopri5"]] == ["1e-1", "1e-5"]
