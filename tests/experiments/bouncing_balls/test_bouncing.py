"""The experiment with bouncing balls: errors over spans of frames by hand, baselines, a whole run in small."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from odelab.datasets import bouncing_balls
from odelab.experiments.bouncing_balls import run as bouncing
from odelab.experiments.bouncing_balls.recipe import MODELS, RECIPES, keys, recipe_of
from odelab.experiments.bouncing_balls.run import baselines, over_spans, run, spans
from odelab.experiments.recipe import VideoRecipe
from odelab.experiments.registry import experiment
from tests.experiments.run_context import context_in

TINY = VideoRecipe(q=3, hidden=8, filters=2, frames=3, iterations=4, batch=4, lr=1e-3, every=2)


@pytest.fixture
def small(monkeypatch, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for budget in ("lecture", "full"):
        monkeypatch.setitem(RECIPES, budget, TINY)
    monkeypatch.setattr(bouncing, "COUNTS", {budget: {16: (8, 5)} for budget in ("lecture", "full")})
    monkeypatch.setattr(bouncing, "LONG", 30)
    monkeypatch.setattr(bouncing, "DRAWS", 2)

    yield partial(context_in, tmp_path)
    torch.set_num_threads(threads)


def test_errors_over_spans_by_hand():
    errors = {"per draw": torch.arange(50.0).expand(4, 50)}
    found = over_spans(errors, 3)
    assert found == {
        "10 frames": {"per draw": pytest.approx(sum(range(3, 13)) / 10)},
        "20 frames": {"per draw": pytest.approx(sum(range(3, 23)) / 20)},
        "47 frames": {"per draw": pytest.approx(sum(range(3, 50)) / 47)},
    }
    assert spans(3, 50)["20 frames"] == slice(3, 23)


def test_baselines_by_hand():
    test = bouncing_balls(3, 6, size=16, seed=3)
    mean = torch.rand(1, 16, 16)
    found = baselines(mean, test, 3)
    for k in (1, 2, 5):
        assert torch.allclose(found["last frame"][:, k], ((test.x[:, k] - test.x[:, 2]) ** 2).mean((1, 2, 3)))
        assert torch.allclose(found["mean frame"][:, k], ((test.x[:, k] - mean) ** 2).mean((1, 2, 3)))
    assert found["last frame"][:, 2].eq(0).all()


@pytest.mark.parametrize("model", MODELS)
def test_a_run(small, model, tmp_path):
    result = run({"size": 16, "balls": 3, "model": model}, small(budget="full"))
    assert set(result["errors"]) == {"10 frames", "20 frames", "27 frames"}
    assert set(result["errors"]["10 frames"]) == {"mean of draws", "per draw", "posterior mean"}
    assert set(result["baselines"]["27 frames"]) == {"last frame", "mean frame"}
    by_frame = result["by_frame"]
    assert all(len(each) == 30 for each in by_frame.values()) and by_frame["last frame"][2] == 0
    over_ten = sum(by_frame["per draw"][3:13]) / 10
    assert result["errors"]["10 frames"]["per draw"] == pytest.approx(over_ten, abs=2e-6)
    assert (tmp_path / "weights" / f"bouncing_16_3_{model}.safetensors").stat().st_size < 1e6
    assert result["training_sequences"] == 8 and result["test_sequences"] == 5


def test_lecture_runs_keep_no_weights(small, tmp_path):
    run({"size": 16, "balls": 1, "model": "order-1"}, small())
    assert not (tmp_path / "weights").exists()


def test_seeds_train_on_other_balls_and_are_judged_on_the_same(small, tmp_path):
    key = {"size": 16, "balls": 1, "model": "order-1"}
    one, other = (run(key, replace(small(seed=seed), folder=tmp_path / str(seed))) for seed in (0, 1))
    assert one["by_frame"]["last frame"] == other["by_frame"]["last frame"]
    assert one["by_frame"]["mean frame"] != other["by_frame"]["mean frame"]


def test_keys_and_recipes():
    assert len(keys(16, (1, 3))) == 8 and {key["balls"] for key in keys(32, (3,))} == {3}
    paper = recipe_of({"size": 32, "balls": 3}, "full")
    assert (paper.q, paper.hidden, paper.filters, paper.batch, paper.frames) == (25, 100, 16, 10, 3)
    assert paper.iterations >= 10_000 and len(experiment("bouncing-balls-32").runs("full")) == 4 * 3
    assert bouncing.COUNTS["full"][32] == (10_000, 500)
    assert recipe_of({"size": 16, "balls": 1}, "full") == replace(RECIPES["full"], q=4)
