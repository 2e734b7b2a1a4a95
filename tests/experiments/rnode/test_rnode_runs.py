"""The ablation's λ, and that every kind of run leaves a row that the tables can read."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from odelab.experiments import flow_training
from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import experiment
from odelab.experiments.results import Row, unstorable
from odelab.experiments.rnode import run as runs
from odelab.experiments.rnode.recipe import COARSE_RECIPES, DATA, MATCHING, PENALTIES, RECIPES, notes_weights
from odelab.experiments.rnode.table import rnode_table
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in

TINY = FlowRecipe(iterations=4, every=2, batch=32)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for recipes in (RECIPES, MATCHING, COARSE_RECIPES):
        for budget in ("lecture", "full"):
            monkeypatch.setitem(recipes, budget, TINY)
    monkeypatch.setattr(flow_training, "TEST_POINTS", 300)


def test_weights_give_the_reference_s_objective() -> None:
    """NLL/(d ln 2) + λ_K ½ mean f² + λ_J mean J², times ln 2, is (NLL + λ_K Σf² + λ_J ΣJ²)/d."""
    d, nll, kinetic, jacobian = 3, 4.1, 2.5, 7.0
    ours = notes_weights(0.01, 0.02)
    notes = (nll + ours["kinetic"] * kinetic + ours["jacobian"] * jacobian) / d
    reference = nll / (d * math.log(2)) + 0.01 * kinetic / d / 2 + 0.02 * jacobian / d
    assert notes == pytest.approx(reference * math.log(2))
    assert notes_weights(0.01, 0.01) == pytest.approx({"kinetic": 0.0035, "jacobian": 0.0069}, rel=0.02)
    assert notes_weights(0.0, 0.0) == {}


def test_the_first_density_comes_whole_before_the_second() -> None:
    keys = experiment("rnode").keys("full")
    assert [key["data"] for key in keys] == [name for name in DATA for _ in PENALTIES]


def measured(name: str, key: dict[str, str], folder: Path, **changes: int) -> Row:
    result = experiment(name).run(key, replace(context_in(folder), **changes))
    assert list(unstorable(result)) == []
    return row(key, 0, **result)


def test_every_arm_leaves_a_row_and_starts_alike(tmp_path: Path) -> None:
    rows = [
        measured("rnode", {"data": "circles", "penalty": penalty}, tmp_path / penalty.replace("/", "_"))
        for penalty in ("none", "both/3", "both x10")
    ]
    for each in rows:
        assert [point["step"] for point in each.result["curve"]] == [2, 4]
        assert 0 < each.result["curve"][0]["cpu_seconds"] < each.result["curve"][1]["cpu_seconds"]
        assert each.result["nfe_loose"] <= each.result["nfe"]
        assert each.result["gap"] == pytest.approx(each.result["nll"] - each.result["truth"], abs=0.3)
    assert rows[2].result["lambda_notes"] == pytest.approx({"kinetic": 0.0347, "jacobian": 0.0693}, rel=0.01)
    assert "not run yet" not in cells(rnode_table(rows=rows), "circles", "both x10")


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"data": "circles", "penalty": "both"}
    whole = measured("rnode", key, tmp_path / "whole").result
    fresh = flow_training.fit

    def interrupted(flow: torch.nn.Module, loss: object, draw: object, **settings: object) -> object:
        def stops(iteration: int) -> torch.Tensor:
            if iteration == 3:
                raise KeyboardInterrupt
            return draw(iteration)  # type: ignore[operator]

        return fresh(flow, loss, stops, **settings | {"save_seconds": 0.0, "estimate": False})  # type: ignore[arg-type]

    monkeypatch.setattr(flow_training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measured("rnode", key, tmp_path / "cut")
    monkeypatch.setattr(flow_training, "fit", fresh)
    later = measured("rnode", key, tmp_path / "cut", resume=True).result
    assert later["nll"] == pytest.approx(whole["nll"], abs=1e-6)
    assert [point["step"] for point in later["curve"]] == [2, 4]


@pytest.mark.parametrize("coupling", ["independent", "optimal"])
def test_matching_leaves_a_row(coupling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[torch.Tensor] = []
    monkeypatch.setattr(runs, "optimal_pairs", lambda x, z: pairs.append(z) or z)
    result = measured("flow-matching", {"data": "circles", "coupling": coupling}, tmp_path).result
    assert bool(pairs) == (coupling == "optimal")
    assert {"nll", "gap", "nfe", "nfe_loose", "kinetic", "cpu_seconds", "curve"} <= set(result)


def test_coarse_runs_take_the_weights_of_their_steps(tmp_path: Path) -> None:
    two = measured("rnode-coarse", {"steps": 2, "data": "8gaussians", "penalty": "both"}, tmp_path / "2")  # type: ignore[dict-item]
    four = measured("rnode-coarse", {"steps": 4, "data": "8gaussians", "penalty": "jacobian"}, tmp_path / "4")  # type: ignore[dict-item]
    assert two.result["lambda_notes"] == {"kinetic": 0.125, "jacobian": 0.25} and two.result["nfe_training"] == 8
    assert four.result["lambda_notes"] == pytest.approx({"jacobian": 0.00693}, rel=0.01)
    assert four.result["nfe_training"] == 16
