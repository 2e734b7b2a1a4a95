"""The benchmark's machinery on tiny problems; docs/benchmarks.md says what was measured. Nothing is timed."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import memory, others, problems, report, run, solvers
from benchmarks.problems import PROBLEMS, Problem
from benchmarks.timing import Effort, interleave, ratio
from odelab.experiments.report import between_markers

ROOT = Path(__file__).resolve().parents[2]
ONCE = Effort(seconds=0, least=1, most=1, sample=0)


def tiny_spiral() -> Problem:
    func = problems.Spiral(iterations=0)
    return Problem("tiny", "tiny spiral", func, torch.rand(3, 2), torch.linspace(0, 1, 3), 1e-4, 1e-5, {"forward": 2.0})


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    return solvers.measure(tiny_spiral(), ONCE)


def test_contestants_take_turns_and_the_order_alternates() -> None:
    calls: list[str] = []
    tasks = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = interleave(tasks, Effort(seconds=math.inf, least=1, most=3, sample=0))
    assert "".join(calls) == "ab" + "aabb" + "bbaa" + "aabb", "a first call, then rounds of warm-up and sample"
    assert [len(samples) for samples in seconds.values()] == [3, 3]


def test_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    """A slow round slows both contestants and leaves their ratio alone."""
    assert ratio([2.0, 20.0, 9.0], [1.0, 10.0, 3.0]) == {"ratio": 2.0, "low": 2.0, "high": 2.5, "rounds": 3}


def test_row_has_every_column_and_is_json(row: dict[str, Any]) -> None:
    row = json.loads(json.dumps(row))
    assert set(row["columns"]) == set(solvers.COLUMNS)
    assert all(cell["ratio"] > 0 and cell["rounds"] == 1 for cell in row["columns"].values())
    assert row["columns"]["forward"]["target"] == 2.0
    for cost in row["cost"].values():
        assert cost["accepted"] > 0 and cost["nfe"] > 6 * cost["accepted"]
        assert cost["error"] < 1e-3


def test_both_libraries_did_the_same_work(row: dict[str, Any]) -> None:
    ours, theirs = row["cost"]["odelab"], row["cost"]["torchdiffeq"]
    assert {**ours, "error": 0} == {**theirs, "error": 0}


def test_gradient_error_is_a_distance_to_backprop(row: dict[str, Any]) -> None:
    assert row["gradient_error"]["checkpoint"] < 1e-5
    assert 1e-7 < row["gradient_error"]["odeint_adjoint"] < 1e-1


def test_contestants_compute_the_same_thing() -> None:
    problem = replace(problems.convolution(batch=2, channels=4), rtol=1e-5, atol=1e-5)
    results = {name: task() for name, task in solvers.tasks(problem).items()}
    for column, (ours, theirs) in solvers.COLUMNS.items():
        assert solvers.distance(results[ours], results[theirs]) < 0.05, column  # type: ignore[arg-type]


def test_memory_counts_what_backward_needs() -> None:
    problem = tiny_spiral()
    coarse, fine = memory.measure(problem, (1e-2, 1e-6))
    assert fine["accepted"] > coarse["accepted"]
    assert fine["bytes"]["backprop"] > coarse["bytes"]["backprop"]
    assert fine["bytes"]["adjoint"] == coarse["bytes"]["adjoint"]
    steps = fine["accepted"] - coarse["accepted"]
    state = problem.y0.numel() * problem.y0.element_size()
    assert fine["bytes"]["checkpoint"] - coarse["bytes"]["checkpoint"] == steps * state


def test_memory_sees_what_functions_hide_in_their_context() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: torch.Tensor) -> torch.Tensor:
            ctx.hidden = [y.clone()]
            return y**2

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return 2 * ctx.hidden[0] * grad

    problem = tiny_spiral()
    assert memory.kept_bytes(problem, lambda func, y0, t, **options: Square.apply(y0)) == 24


@pytest.mark.parametrize("name", ["decay", "spiral20"])
def test_others_solve_the_same_problem(name: str) -> None:
    problem = replace(PROBLEMS[name](), t=torch.linspace(0, 1, 3))
    rows = others.measure(problem, ONCE)["rows"]
    assert {"SciPy RK45, f in NumPy", "torchode", "diffrax, jitted"} <= rows.keys()
    assert all(row["error"] < 1e-3 for row in rows.values() if row is not None)
    assert rows["odelab"]["ratio"] == 1


def test_missing_library_is_said_to_be_missing() -> None:
    ours = {"odelab": {**ratio([1.0], [1.0]), "cpu_seconds": 1.0, "error": 0.1}}
    rows = [{"title": "decay", "rows": ours | {"torchode": None}}, {"title": "spiral", "rows": ours}]
    lines = [line.split() for line in report.others_tables(rows).splitlines() if line.startswith("torchode")]
    assert lines == 3 * [["torchode", "not", "installed", "–"]], "missing, and not measured, in each table"


def test_parts_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--only", "spiral21"])
    assert "unknown part 'spiral21'" in capsys.readouterr().err


# --- what was measured, and what the page says of it ---


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return json.loads(run.RESULTS.read_text())


def test_results_say_how_they_came_about(kept: dict[str, Any]) -> None:
    assert kept["command"] == "python -m benchmarks.run"
    assert kept["commit"] and kept["cpu"] and kept["date"] and kept["threads"] == 1
    assert kept["versions"]["torchdiffeq"] == "0.2.5"
    assert list(kept["problems"]) == list(PROBLEMS)
    for row in kept["problems"].values():
        assert set(row["columns"]) == set(solvers.COLUMNS)
        assert row["columns"]["forward"]["rounds"] >= 5


def test_results_reach_their_targets(kept: dict[str, Any]) -> None:
    cells = {
        f"{name}: {column}": cell for name, row in kept["problems"].items() for column, cell in row["columns"].items()
    }
    assert not [name for name, cell in cells.items() if cell["target"] and cell["ratio"] < cell["target"]]
    for row in kept["problems"].values():
        assert row["gradient_error"]["checkpoint"] <= 1e-5
        assert abs(row["cost"]["odelab"]["accepted"] - row["cost"]["torchdiffeq"]["accepted"]) <= 2, "other steps"
        assert abs(row["columns"]["itself"]["ratio"] - 1) < 0.1, "this machine was too busy to trust the rest"
    shares = [row["bytes"]["checkpoint"] / row["bytes"]["backprop"] for row in kept["memory"]]
    assert max(shares) <= 0.01
    assert len({row["bytes"]["adjoint"] for row in kept["memory"]}) == 1


def test_the_page_says_what_was_measured(kept: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    page = report.page(kept)
    assert between_markers(text, *run.markers("solvers"), page) == text, "python -m benchmarks.run --page prints it"


def test_the_terminal_shows_every_number_that_is_kept(kept: dict[str, Any]) -> None:
    text = report.everything(kept)
    for row in kept["problems"].values():
        assert row["title"] in text
        assert all(report.spread(cell) in text for cell in row["columns"].values())
        assert all(f"{1e3 * seconds:.1f}" in text for seconds in row["cpu_seconds"].values())
        assert all(f"{error:.1e}" in text for error in row["gradient_error"].values())
        assert all(f"{number:.4g}" in text for cost in row["cost"].values() for number in cost.values())
    for row in kept["memory"]:
        assert all(f"{size:,}" in text for size in row["bytes"].values())
    for cell in (cell for row in kept["others"] for cell in row["rows"].values()):
        assert report.spread(cell) in text and f"{cell['error']:.1e}" in text


def test_the_page_is_printed_from_the_kept_numbers_alone(
    kept: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run.main(["--page"])
    assert capsys.readouterr().out == report.page(kept) + "\n"


def test_results_go_between_the_markers_and_nowhere_else(
    kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RESULTS", tmp_path / "bench_solvers.json")
    monkeypatch.setattr(run, "PAGE", tmp_path / "benchmarks.md")
    start, end = run.markers("solvers")
    run.PAGE.write_text(f"above\n{start}\nold\n{end}\nbelow\n")
    run.keep("solvers", kept, "new")
    assert run.PAGE.read_text() == f"above\n{start}\nnew\n{end}\nbelow\n"
    assert json.loads(run.RESULTS.read_text()) == kept


def test_only_keep_touches_the_published_numbers(
    kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published = [run.RESULTS.read_text(), run.PAGE.read_text()]
    monkeypatch.setattr(run, "measure", lambda parts, effort: {"problems": kept["problems"]})
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "MEASURED", tmp_path / "build")
    monkeypatch.setattr(run.report, "everything", lambda results: "")
    monkeypatch.setattr(run.report, "page", lambda results: "")
    monkeypatch.setattr(run, "EXTRAS", ())
    monkeypatch.setattr(run, "PAGES", ())
    run.main([])
    assert "--keep publishes them" in capsys.readouterr().out
    assert json.loads((tmp_path / "build" / "bench_solvers.json").read_text())["problems"] == kept["problems"]
    assert [run.RESULTS.read_text(), run.PAGE.read_text()] == published


def test_keep_refuses_where_columns_would_be_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    monkeypatch.delenv("DIFFRAX_PYTHON", raising=False)
    for arguments, reason in (
        (["--keep"], r"would lose columns of the page: install diffrax .* and torchode"),
        (["--keep", "--only", "compiled"], "install diffrax"),
        (["--keep", "--quick"], "a quick run is not kept"),
    ):
        with pytest.raises(SystemExit):
            run.main(arguments)
        assert re.search(reason, capsys.readouterr().err)
