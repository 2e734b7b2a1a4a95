"""The latent models' benchmark on tiny models; docs/benchmarks.md says what was measured. Nothing is timed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import latent, report, run
from benchmarks.timing import Effort
from benchmarks.usual_latent import usually
from odelab.experiments.report import between_markers

ROOT = Path(__file__).resolve().parents[2]
ONCE = Effort(seconds=0, least=1, most=1, sample=0, warm=0)


@pytest.mark.parametrize("problem", [latent.digits(2, 3, 4, 14), latent.walks(1, 3, 6)], ids=["digits", "walks"])
def test_the_usual_model_is_the_same_model(problem: latent.Problem) -> None:
    _, model, x, times = problem
    model.method = "rk4"
    found = [m.terms(x, times, generator=torch.Generator().manual_seed(0)).named() for m in (model, usually(model))]
    for name, value in found[0].items():
        assert value == pytest.approx(found[1][name], rel=1e-4, abs=1e-3), name
    model.method = "rk4_classic"
    row = latent.training(ONCE, problem, 1.0)
    assert row["gradient_error"]["rollout"] < 1e-4 and row["columns"]["rollout"]["ratio"] > 0
    assert model.method == "rk4_classic"


def test_forecasts() -> None:
    row = latent.forecasting(ONCE, n=2, frames=5, draws=3)
    assert row["sequences per CPU second"] > 0
    _, model, x, times = latent.walks(1, 2, 5)
    assert latent.one_after_another(usually(model), x, times, 3).shape == model.forecast(x, times, 3).draws.shape


# --- what was measured ---


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return json.loads((ROOT / "data" / "results" / "bench_latent.json").read_text())


def test_results_reach_their_targets(kept: dict[str, Any]) -> None:
    assert kept["command"] == "python -m benchmarks.run --only latent" and kept["threads"] == 1
    assert len(kept["iterations"]) == 3
    for row in kept["iterations"]:
        cell = row["columns"]["rollout"]
        assert cell["ratio"] >= cell["target"] >= 1.3 and cell["rounds"] >= 5, row["title"]
        assert row["gradient_error"]["rollout"] < 1e-3, "other steps"


def test_the_page_says_what_was_measured(kept: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    assert between_markers(text, *run.markers("latent"), latent.page(kept)) == text


def test_the_terminal_shows_quartiles_and_targets(kept: dict[str, Any]) -> None:
    text = latent.page(kept, report.spread, report.text)
    for row in kept["iterations"]:
        assert row["title"] in text and all(report.spread(cell) in text for cell in row["columns"].values())
