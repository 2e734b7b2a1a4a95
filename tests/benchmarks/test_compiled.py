"""The compiled solver's benchmark on a tiny problem. Nothing is timed, nothing compiled."""

import pytest
import torch

from benchmarks import compiled
from benchmarks.problems import Problem, Spiral
from benchmarks.timing import QUICK


def test_without_diffrax_the_others_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    monkeypatch.delenv("DIFFRAX_PYTHON", raising=False)
    problem = Problem("tiny", "tiny spiral", Spiral(0), torch.rand(3, 2), torch.linspace(0, 1, 3), 1e-4, 1e-5)
    theirs = compiled.Diffrax(problem)
    calls: list[str] = []
    tasks = {name: lambda name=name: calls.append(name) for name in ("compiled", "torchdiffeq")}
    seconds = compiled.rounds(tasks, theirs, "forward", QUICK)
    theirs.close()
    assert set(seconds) == {"compiled", "torchdiffeq"} and set(calls) == set(seconds)
    row = compiled.compared(seconds, 2.0)
    assert row["columns"]["torchdiffeq"]["target"] == 2.0 and row["columns"]["torchdiffeq"]["ratio"] > 0


def test_what_was_not_compiled_says_why() -> None:
    rows = [{"title": "decay", "not_compiled": "the solve is not compiled: no compiler"}]
    assert "decay: the solve is not compiled: no compiler" in compiled.page({"rows": rows, "sweep": []})
    assert compiled.measure(QUICK) == {"rows": [], "sweep": []}, "a quick run does not compile"


def test_the_page_has_ratios_errors_and_first_calls() -> None:
    part = compiled.compared({"compiled": [0.002, 0.002], "odelab": [0.014, 0.016]})
    calls = {when: {"cpu": [cpu, 2 * cpu], "clock": [1.0, 1.0]} for when, cpu in (("empty", 20.0), ("filled", 6.0))}
    row = {"title": "decay", "forward": part, "gradient": part, "first_calls": calls}
    row["gradient_error"] = {"compiled": 2e-6, "odelab": 3e-6}
    page = compiled.page({"rows": [row], "sweep": [{"batch": 1_000, "attempts": 9, "us": {"compiled": 52.25}}]})
    for line in ("| decay | 7.5 | 2 |", "| decay | 2e-6 | 3e-6 |", "| decay | 20 | 40 | 6 | 12 |", "| 1,000 | 52.2 |"):
        assert line in page, line
