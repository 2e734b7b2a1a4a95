"""The flows' benchmark on tiny models; docs/benchmarks.md says what was measured. Nothing is timed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import flows, report, run
from benchmarks.timing import Effort
from benchmarks.usual_flows import UsualField, UsualFlow, d_backward_passes
from odelab.experiments.report import between_markers
from odelab.flows import exact_divergence

ROOT = Path(__file__).resolve().parents[2]
ONCE = Effort(seconds=0, least=1, most=1, sample=0, warm=0)


def test_the_usual_flow_is_the_same_flow() -> None:
    flow, x, t = flows.trained_flow((8,), iterations=0), torch.randn(5, 2), torch.tensor(0.3)
    usual = UsualField(flow.field)  # type: ignore[arg-type]
    for ours, theirs in zip(exact_divergence(flow.field, t, x), d_backward_passes(usual, t, x.clone()), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(UsualFlow(usual, 0.5, 1e-5).loss(x), -flow.log_prob(x).mean(), rtol=1e-4, atol=1e-5)


def test_both_did_the_same_work() -> None:
    row = flows.ffjord(ONCE, flows.trained_flow((8,), iterations=0), batch=8)
    assert row["accepted, nfe"]["usual"] == row["accepted, nfe"]["odelab"]
    sizes = row["gradient_norm"]
    assert abs(sizes["checkpoint"] / sizes["backprop"] - 1) < 1e-4
    assert abs(sizes["usual"] / sizes["backprop"] - 1) < 0.05
    row = flows.ode_net(ONCE, batch=2, channels=4)
    assert row["accepted, nfe"]["usual"] == row["accepted, nfe"]["odelab"]
    assert row["gradient_error"]["checkpoint"] < 1e-5


def test_side_rows() -> None:
    (row,) = flows.traces(ONCE, (3,), batch=4)
    assert row["error"] < 1e-5 and row["columns"]["exact, pushed"]["ratio"] > 0
    assert flows.sampling(ONCE, flows.trained_flow((8,), iterations=0), 10)["samples per CPU second"] > 0


# --- what was measured ---


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return json.loads((ROOT / "data" / "results" / "bench_flows.json").read_text())


def test_results_reach_their_targets(kept: dict[str, Any]) -> None:
    assert kept["command"] == "python -m benchmarks.run --only flows" and kept["threads"] == 1
    for row in kept["iterations"]:
        cells = [cell for cell in row["columns"].values() if cell["target"]]
        assert cells and all(cell["ratio"] >= cell["target"] and cell["rounds"] >= 5 for cell in cells), row["title"]
        assert abs(row["accepted, nfe"]["usual"][0] - row["accepted, nfe"]["odelab"][0]) <= 1, "other steps"
    assert [row["dim"] for row in kept["traces"]] == [2, 8, 32, 64]


def test_the_page_says_what_was_measured(kept: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    assert between_markers(text, *run.markers("flows"), flows.page(kept)) == text


def test_the_terminal_shows_quartiles_and_targets(kept: dict[str, Any]) -> None:
    text = flows.page(kept, report.spread, report.text)
    for row in kept["iterations"]:
        assert row["title"] in text and all(report.spread(cell) in text for cell in row["columns"].values())
