"""MNIST: both sizes of features, what is told apart, costs and the dial."""

import numpy as np
import pytest
from scipy.stats import binomtest

from odelab.experiments.mnist.table import (
    NAMES,
    compare,
    cost_table,
    dial_table,
    error_table,
    mcnemar,
    pairs_table,
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
    compared = pairs_table(rows, against=NAMES["one-block"])
    assert cells(compared, "features of 6×6", "no block", "one residual block")[0] == "+0.09 ± (0.09)"
    assert [*compared.frame.index] == [("features of 6×6", "no block", "one residual block")], "nothing else to compare"


def of(errors: tuple[float, ...], *mistakes: list[int]) -> list:
    """Runs with these errors in percent; with lists of mistakes, if given."""
    told = [{"mistakes": wrong} for wrong in mistakes] or [{}] * len(errors)
    return [row({"body": "x"}, i, test_error=e, **m) for i, (e, m) in enumerate(zip(errors, told, strict=True))]


def test_runs_of_old_have_no_mistakes_and_are_compared_by_their_seeds() -> None:
    frame = compare({"a": of((0.5, 0.51, 0.49)), "b": of((0.9, 0.91, 0.92)), "c": of((0.4,)), "d": []})
    assert frame.loc[("a", "b"), "told apart"] == "yes, by seeds"
    assert frame.loc[("a", "b"), "points"] == "−0.41 ± 0.01"
    assert (
        frame.loc[("a", "c"), "told apart"] == "too few seeds" and frame.loc[("a", "c"), "points"] == "+0.10 ± (0.09)"
    )
    assert {*frame["wrong alone"], *frame["p, other images"]} == {"–"}
    assert [*frame.index] == [("a", "b"), ("a", "c"), ("b", "c")], "d was not run"


def test_a_pair_has_one_p_whether_all_pairs_are_shown_or_some() -> None:
    models = {"a": of((0.5, 0.51, 0.49)), "b": of((0.55, 0.56, 0.54)), "c": of((0.52, 0.53, 0.5))}
    everything = compare(models)
    some = compare(models, against="b")
    assert [*some.index] == [("a", "b"), ("c", "b")]
    assert some["p, other seeds"].tolist() == everything["p, other seeds"].loc[[("a", "b"), ("b", "c")]].tolist()
    columns = [*pairs_table(runs(mlp=(1.2, 1.3), resnet=(0.4, 0.5))).frame.columns]
    assert columns == ["points", "p, other seeds", "told apart"], "nothing to show of images"


def test_mcnemar_counts_what_one_alone_gets_wrong() -> None:
    """Of one run each, 79 of 2048 outcomes of twelve coins are as uneven; shared mistakes do not count."""
    shared = [*range(100, 140)]
    frame = compare({"a": of((0.5,), [*shared, *range(10)]), "b": of((0.42,), [*shared, 98, 99])})
    assert frame.iloc[0]["wrong alone"] == "10 : 2" and frame.iloc[0]["p, other images"] == f"{79 / 2048:.2g}"
    assert mcnemar([[*range(10)]], [[98, 99]]) == pytest.approx(binomtest(10, 12).pvalue)
    assert frame.iloc[0]["told apart"] == "yes, by images"
    assert frame.iloc[0]["points"] == "+0.08 ± (0.03)"  # √12 images
    assert mcnemar([shared], [shared]) == 1 and mcnemar([], [shared]) is None


def test_several_runs_are_compared_by_the_mean_over_runs_of_each_image() -> None:
    """By the coin itself, thrown twenty thousand times for every image."""
    rng = np.random.default_rng(0)
    ours, theirs = (
        [sorted({*rng.integers(0, 60, 40), *rng.integers(60, 200, extra)}) for _ in range(3)] for extra in (24, 16)
    )
    rates = [sum(np.isin(np.arange(200), run) for run in runs) / 3 for runs in (ours, theirs)]
    images = rates[0] - rates[1]
    thrown = (rng.choice([-1, 1], (20_000, 200)) * images).sum(1)
    assert mcnemar(ours, theirs) == pytest.approx((np.abs(thrown) >= abs(images.sum()) - 1e-9).mean(), abs=0.01)
    assert 0.01 < mcnemar(ours, theirs) < 0.5


def test_rows_are_told_apart_when_other_seeds_and_other_images_would_show_it() -> None:
    few, many = [*range(40)], [*range(10, 90)]
    steady, wild = (0.4, 0.41, 0.42), (0.3, 1.1, 1.0)
    frame = compare({"a": of(steady, few, few, few), "b": of(wild, many, many, many)})
    assert frame.iloc[0]["told apart"] == "no", "the seeds scatter too much"
    frame = compare({"a": of(steady, few, few, few), "b": of((0.8, 0.81, 0.82), many, many, many)})
    assert frame.iloc[0]["told apart"] == "yes"
    frame = compare({"a": of(steady, few, few, few), "b": of((0.44, 0.45, 0.46), few, few, [*few, 50])})
    assert frame.iloc[0]["told apart"] == "no", "a single image could be another one"


def test_rows_told_apart_in_words() -> None:
    errors = {"MLP": (1.2, 1.3, 1.25), "ResNet": (0.4, 0.5, 0.45), "RK-Net": (0.42, 0.5, 0.47), "ODE-Net": (0.4,)}
    models = {name: of(values) for name, values in errors.items()}
    assert told_apart(models).endswith("of 3 pairs: MLP from all others.")
    del models["MLP"]
    assert told_apart(models).endswith("of 1 pair: none.")
    models["no block"] = of((0.9, 0.91, 0.92))
    assert told_apart(models).endswith("of 3 pairs: no block from all others.")
    assert told_apart({}).endswith("of 0 pairs: none.")


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
