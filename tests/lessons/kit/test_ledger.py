"""Every numbered equation is checked by a claim that fails when the equation is broken.

Each lesson runs once in this process. At a cell that registers an equation, the cell runs again as it is (it must
still hold, or breaking it would prove nothing) and then once per mutation: a flipped sign, a dropped term. Each of
them has to end in ClaimFailed, and every equation of the cell has to be caught by at least one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

from odelab.lessons.kit import ClaimFailed, ledger
from odelab.lessons.kit.claims import record
from odelab.lessons.kit.ledger import LedgerError, cell_entries
from odelab.lessons.kit.rehearsal import Rehearsal
from tests.notebooks.reader import NOTEBOOKS, Lesson, lessons

REQUIRED = {
    *(f"notes 24.{number}" for number in range(1, 32)),
    "notes Algorithm 1",
    *(
        f"slides {number}"
        for number in ("1", "2", "3", "4a", "4b", "4c", "5", "6", "7a", "7b", "7c", "8", "9a", "9b", "10")
    ),
    *(f"slides 11{letter}" for letter in "abcde"),
    *(f"slides {number}" for number in range(12, 22)),
    *(f"poster {what}" for what in ("display 1", "display 2", "ELBO")),
}
WITH_EQUATIONS = [lesson for lesson in lessons() if lesson.equation_cells()]


@pytest.fixture
def quiet_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A lesson sets seed, threads, types and styles for itself, not for the tests after it."""
    monkeypatch.chdir(NOTEBOOKS)
    monkeypatch.setenv("MPLBACKEND", "agg")
    dtype, threads, seed = torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state()
    with mpl.rc_context():
        mpl.use("agg")
        yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.set_rng_state(seed)
    record.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_process")
@pytest.mark.parametrize("lesson", WITH_EQUATIONS, ids=str)
def test_broken_equations_are_caught(lesson: Lesson) -> None:
    last = max(cell.index for cell in lesson.equation_cells())
    rehearsal = Rehearsal(lesson.path)
    complaints: list[str] = []
    for cell in rehearsal:
        entries = cell_entries(lesson.name, cell["source"])
        if entries:
            complaints += survivors(rehearsal, cell, {entry.number for entry in entries})
        if cell["id"] == lesson.cells[last].id:
            break
    assert not complaints, "\n".join(complaints)


def survivors(rehearsal: Rehearsal, cell: dict, numbers: set[str]) -> list[str]:
    """What is wrong with the checks of one cell, in words; empty when every equation's check can fail."""
    source = cell["source"]
    again = rehearsal.attempt(source)
    if again is not None:
        return [f"{sorted(numbers)}: run twice, the cell fails ({type(again).__name__}: {again})"]
    complaints, caught = [], set()
    for old, new in cell["metadata"].get("odelab", {}).get("mutations", []):
        if source.count(old) != 1:
            complaints.append(f"{sorted(numbers)}: {old!r} is in the cell {source.count(old)} times, not once")
            continue
        error = rehearsal.attempt(source.replace(old, new))
        if isinstance(error, ClaimFailed):
            caught.add(error.number)
        else:
            complaints.append(f"{sorted(numbers)}: {old!r} -> {new!r} gave {error!r} instead of ClaimFailed")
    return complaints + [f"{number}: no mutation makes its claim fail" for number in sorted(numbers - caught)]


def test_the_sources_equations_are_all_checked() -> None:
    missing = REQUIRED - ledger(NOTEBOOKS).sources
    assert not missing, f"no lesson checks {sorted(missing)}"


@pytest.mark.parametrize("lesson", WITH_EQUATIONS, ids=str)
def test_every_ledger_cell_carries_mutations(lesson: Lesson) -> None:
    bare = [cell.index for cell in lesson.equation_cells() if not cell.metadata.get("odelab", {}).get("mutations")]
    assert not bare, f"cells {bare} register an equation but say nowhere how to break it"


GOOD = 'equation("1.1", source="notes 24.1").claim("doubling", 2 * x, abs(2 * x - (x + x)) < 1e-9)'
TAUTOLOGY = 'equation("1.1", source="notes 24.1").claim("doubling", 2 * x, 2 * x == 2 * x)'
ONCE = 'x = x + 1\nequation("1.1", source="notes 24.1").claim("two", x, x == 2)'


@pytest.mark.parametrize(
    ("source", "mutations", "complaint"),
    [
        pytest.param(GOOD, [["abs(2 * x", "abs(3 * x"]], None, id="caught"),
        pytest.param(GOOD, [["2 * x, a", "3 * x, a"]], "gave None instead of ClaimFailed", id="only-the-print"),
        pytest.param(TAUTOLOGY, [["2 * x, 2", "3 * x, 2"]], "gave None instead of ClaimFailed", id="tautology"),
        pytest.param(GOOD, [["2 * x, a", "2 * z, a"]], "NameError", id="another-error"),
        pytest.param(GOOD, [["2 * x", "3 * x"]], "2 times, not once", id="ambiguous"),
        pytest.param(GOOD, [], "no mutation makes its claim fail", id="no-mutation"),
        pytest.param(ONCE, [["x + 1", "x + 3"]], None, id="assigns"),
        pytest.param(ONCE.replace("x = x + 1", "box[0] += 1; x = box[0]"), [], "run twice", id="not-repeatable"),
    ],
)
def test_survivors(tmp_path: Path, source: str, mutations: list, complaint: str | None) -> None:
    write(tmp_path, "01_a", "from odelab.lessons.kit import equation\nx, box = 1, [1]", source)
    rehearsal = Rehearsal(tmp_path / "01_a.ipynb")
    *_, cell = rehearsal
    before = rehearsal.namespace["x"]
    cell["metadata"] = {"odelab": {"mutations": mutations}}
    complaints = survivors(rehearsal, cell, {"1.1"})
    assert (complaint in " ".join(complaints)) if complaint else not complaints
    assert rehearsal.namespace["x"] == before, "an attempt left its assignments behind"


def write(folder: Path, name: str, *sources: str) -> None:
    cells: list[dict] = [{"cell_type": "code", "source": source, "metadata": {}} for source in sources]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def test_ledger_reads_without_running(tmp_path: Path) -> None:
    write(
        tmp_path, "02_b", '%time\nraise SystemExit\neq = equation("2.1", source="slides 1")\neq.claim("a | b", 1, True)'
    )
    write(tmp_path, "01_a", 'e = equation("1.1", "notes 24.1")\nfor p in (1, 2):\n    e.claim(f"order {p}", p, True)')
    book = ledger(tmp_path)
    assert [(entry.lesson, entry.number, entry.source, entry.claims) for entry in book] == [
        ("01_a", "1.1", "notes 24.1", ("order {p}",)),
        ("02_b", "2.1", "slides 1", ("a | b",)),
    ]
    assert "| 2.1 | slides 1 | 02_b | a \\| b |" in str(book)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (['equation("1.1", source="notes 24.1")'], "no .claim"),
        (['eq = equation("1.1", source="notes 24.1")', 'eq.claim("later", 1, True)'], "no .claim"),
        (['equation(number, source="notes 24.1").claim("x", 1, True)'], "literal"),
        (['equation("1.1").claim("x", 1, True)'], "'source' is missing"),
        ([GOOD, GOOD.replace("24.1", "24.2")], "equation 1.1 is"),
    ],
)
def test_ledger_refuses(tmp_path: Path, sources: list[str], message: str) -> None:
    write(tmp_path, "01_a", *sources)
    with pytest.raises(LedgerError, match=message):
        ledger(tmp_path)
