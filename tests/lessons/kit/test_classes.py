"""Copies for whoever teaches: everything in sight; and an assignment that gives 0 of n untouched, n of n solved."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from odelab.folders import notebooks
from odelab.lessons.kit.classes import BEGIN, END, assignment_copy, instructor_copy, marked
from odelab.lessons.kit.exercises import CALL, check
from odelab.lessons.kit.refresh import load
from odelab.lessons.kit.student import ANSWER, names, source, tags
from tests.complaints import no_complaints

EXERCISES = {
    path: sum(len(CALL.findall(source(cell))) for cell in load(path)["cells"] if "exercise" in tags(cell))
    for path in notebooks()
}


def grading(cell: dict[str, Any]) -> dict[str, Any]:
    return cell["metadata"].get("nbgrader", {})


def released(cell: dict[str, Any]) -> str:
    """What `nbgrader generate_assignment` leaves of a cell: a stub in place of what stands between the marks."""
    region = rf"^( *){BEGIN}\n.*?^ *{END}$"
    return re.sub(region, r"\1# YOUR CODE HERE\n\1raise NotImplementedError()", source(cell), flags=re.DOTALL | re.M)


def points(copy: dict[str, Any], *, solved: bool) -> tuple[int, int]:
    """Points of a copy, and all there are, as nbgrader counts: the graded cells that raise nothing.

    Run are the answers, the graded cells, and cells before them that bind what they read.
    """
    cells = [cell for cell in copy["cells"] if cell["cell_type"] == "code" and "stand-in" not in tags(cell)]
    wanted, needed = [], set[str]()
    for cell in reversed(cells):
        bound, read = names(cell)
        if grading(cell) or (bound & needed):
            wanted.append(cell)
            needed = (needed - bound) | read
    space: dict[str, Any] = {}
    reached = 0
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in reversed(wanted):
            try:
                exec(source(cell) if solved else released(cell), space)
            except Exception:
                assert grading(cell), "only answers and graded cells may fail"
            else:
                reached += grading(cell).get("points", 0)
    return reached, sum(grading(cell).get("points", 0) for cell in cells)


@pytest.mark.parametrize("path", [path for path, count in EXERCISES.items() if count], ids=lambda path: path.stem)
def test_an_assignment_gives_nothing_untouched_and_all_points_solved(path: Path) -> None:
    passed = set(check._passed)
    torch.set_num_threads(1)
    try:
        copy = assignment_copy(load(path))
        assert points(copy, solved=False) == (0, EXERCISES[path])
        assert points(copy, solved=True) == (EXERCISES[path], EXERCISES[path])
    finally:
        check._passed = passed


@no_complaints
def test_an_assignment_is_in_the_format_of_nbgrader() -> Iterator[str]:
    """Each graded cell is locked and has points, each answer can be written to; every name is there once."""
    for path in notebooks():
        copy = assignment_copy(load(path))
        ids = [grading(cell)["grade_id"] for cell in copy["cells"] if grading(cell)]
        if len(set(ids)) != len(ids) or not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) for name in ids):
            yield f"{path.name}: {ids} are no names of cells"
        if len({cell["id"] for cell in copy["cells"]}) != len(copy["cells"]):
            yield f"{path.name}: two cells have one id"
        for cell in copy["cells"]:
            if tags(cell) & {"exercise", "solution", "teaching"} or cell.get("outputs"):
                yield f"{path.name}: {source(cell)[:60]!r} should not be there"
            said, text = grading(cell), source(cell)
            if said and said["schema_version"] != 3:
                yield f"{path.name}: another schema"
            if said.get("grade") and not (
                said["locked"] and said["points"] == 1 and re.match(r"assert check\.\w+\(", text) and END not in text
            ):
                yield f"{path.name}: {text!r} is no graded cell"
            if said.get("solution") and not (text.count(BEGIN) == text.count(END) > 0 and not said["locked"]):
                yield f"{path.name}: {text!r} is no answer"


def test_marks_go_around_what_a_student_writes() -> None:
    values, function = "a = 1\nb = 2", 'def f(x):\n    """Half."""\n    return x / 2'
    answer = "\n\n\n".join(["from math import pi", values, function, "check.f(f, a, b)\nplot(f)"])
    assert marked(answer).split("\n") == [
        "from math import pi",
        *["", ""],
        *[BEGIN, "a = 1", "b = 2", END],
        *["", ""],
        *["def f(x):", '    """Half."""', f"    {BEGIN}", "    return x / 2", f"    {END}"],
    ]


@no_complaints
def test_an_instructor_sees_everything() -> Iterator[str]:
    """Teaching notes first, with their minutes; solutions and answers unfolded; nothing lost."""
    for path in notebooks():
        lesson, copy = load(path), instructor_copy(load(path))
        if sorted(cell["id"] for cell in lesson["cells"]) != sorted(cell["id"] for cell in copy["cells"]):
            yield f"{path.name}: cells were lost"
        if lesson["cells"][0] != copy["cells"][0]:
            yield f"{path.name}: does not begin with its title"
        notes = [cell for cell in lesson["cells"] if "teaching" in tags(cell)]
        if notes and not ("teaching" in tags(copy["cells"][1]) and "minutes" in source(copy["cells"][1])):
            yield f"{path.name}: its teaching notes do not follow the title"
        for cell in copy["cells"]:
            if cell["metadata"].get("jupyter", {}).get("source_hidden") or ANSWER.match(source(cell)):
                yield f"{path.name}: {source(cell)[:60]!r} is folded"
