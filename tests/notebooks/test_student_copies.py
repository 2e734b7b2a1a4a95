"""`make student`: the lessons without solutions, answers and teaching notes, which run with nothing filled in.

`make test` runs every untouched copy by nbval. A solved one is not run again: it is shown here to run the lesson's own
code. What a copy leaves out binds nothing that is read later; with the solutions pasted in, the stand-ins do nothing,
and only the stubs are missing. A lesson of four cells and lesson 00 are run solved all the same; `make test-student`
runs every solved copy.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from odelab.lessons.kit.exercises import CALL, check, pack
from odelab.lessons.kit.refresh import load
from odelab.lessons.kit.student import ANSWER, LEFT_OUT, STAND_IN, names, source, student_copy, tags
from tests.complaints import no_complaints
from tests.notebooks.paste import solved_copy

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUN = "00_start_here.ipynb"  # takes some seconds
GONE = re.compile(
    r"folded below|collapsed cell|solution (cell|\d)|open the answer|teaching (notes|this lesson)", re.IGNORECASE
)


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_make_student_writes_the_copies() -> None:
    """With this very environment."""
    command = ["make", "student", f"VENV={sys.prefix}", f"--assume-old={sys.prefix}/.installed"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    for path in LESSONS:
        assert load(ROOT / "build" / "student" / path.name) == student_copy(load(path)), path.name


@no_complaints
def test_copies_give_nothing_away_and_point_to_nothing_that_is_gone() -> Iterator[str]:
    for path in LESSONS:
        for cell in student_copy(load(path))["cells"]:
            if tags(cell) & LEFT_OUT or ANSWER.match(source(cell)) or cell.get("outputs"):
                yield f"{path.name}: {source(cell)[:80]!r} should not be there"
            if cell["cell_type"] == "markdown" and (text := GONE.search(source(cell))):
                yield f"{path.name}: {text.group()!r}, which a copy does not have; give this sentence a tagged cell"


@no_complaints
def test_an_untouched_copy_runs_the_code_of_the_lesson() -> Iterator[str]:
    for path in LESSONS:
        whole, copy = code(load(path)), [source(cell) for cell in code(student_copy(load(path)))]
        for place, cell in enumerate(whole):
            if copy and copy[0] in (source(cell), STAND_IN.format(packed=pack(source(cell)))):
                copy.pop(0)
            elif not tags(cell) & LEFT_OUT:
                yield f"{path.name}: not in its place in the copy: {source(cell)[:80]!r}"
            else:
                gone = names(cell)[0]
                for bound, read in (names(other) for other in whole[place + 1 :] if not tags(other) & LEFT_OUT):
                    if lost := gone & read - bound:
                        yield f"{path.name}: {lost}, bound in a solution, is read later, and no exercise binds it"
                    gone -= bound
        if copy:
            yield f"{path.name}: the copy has more code than the lesson: {copy[0][:80]!r}"


@no_complaints
def test_a_solution_pasted_in_runs_in_its_place() -> Iterator[str]:
    """Its cell follows the exercise with no code between, binds what the exercise binds, and asks the same check."""
    for path in LESSONS:
        cells = code(load(path))
        for exercise, solution in pairwise(cells):
            if "exercise" in tags(exercise):
                asked, answered = (CALL.findall(source(cell)) for cell in (exercise, solution))
                if "solution" not in tags(solution) or asked != answered:
                    yield f"{path.name}: the exercise {asked} is followed by {source(solution)[:60]!r}"
                if missing := names(exercise)[0] - names(solution)[0]:
                    yield f"{path.name}: the solution of {asked} does not bind {missing}"


def ran(notebook: dict[str, Any], folder: Path) -> str:
    """Everything that the notebook printed, run from top to bottom."""
    path = folder / "copy.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    executed = nbformat.read(path, as_version=4)
    NotebookClient(
        executed, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return "\n".join(str(output.get("text", "")) for cell in code(executed) for output in cell["outputs"])


@pytest.mark.parametrize("state", ["untouched", "wrong", "solved"])
def test_a_later_cell_goes_on_whatever_the_answer(
    state: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lesson of four cells, in this process."""
    monkeypatch.setattr(check, "_passed", set())
    sources = {
        "setup": "from odelab.lessons.kit import check",
        "exercise": "def end_of_euler(L):\n    return ...\n\n\ncheck.end_of_euler(end_of_euler)",
        "solution": "def end_of_euler(L):\n    return (1 + 1 / L) ** L\n\n\ncheck.end_of_euler(end_of_euler)\nprint(2)",
        "later": "print('two steps end at', end_of_euler(2))",
    }
    cells = [new_code_cell(source, metadata={"tags": [tag]}) for tag, source in sources.items()]
    lesson = new_notebook(cells=cells)
    copy = solved_copy(lesson) if state == "solved" else student_copy(lesson)
    if state == "wrong":
        copy["cells"][1]["source"] = copy["cells"][1]["source"].replace("...", "2.7")
    namespace: dict[str, Any] = {}
    for cell in code(copy):
        exec(source(cell), namespace)
    text = capsys.readouterr().out
    assert "two steps end at 2.25" in text
    assert ("goes on with an answer of its own" in text) == (state != "solved")
    assert {"untouched": "not attempted", "wrong": "✗ not yet", "solved": "✓ end_of_euler"}[state] in text
    assert ("\n2\n" in text) == (state == "solved")


@pytest.mark.slow
def test_a_solved_copy_runs_from_top_to_bottom(tmp_path: Path) -> None:
    for path in LESSONS:
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    text = ran(solved_copy(load(ROOT / "notebooks" / RUN)), tmp_path)
    assert "✓ gap_at_128" in text and "checked: " in text
