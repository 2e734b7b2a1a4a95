"""Copies of the lessons for whoever teaches with them: everything in sight, or an assignment that nbgrader marks."""

import ast
import re
from copy import deepcopy
from itertools import pairwise
from typing import Any

from odelab.lessons.kit.exercises import CALL
from odelab.lessons.kit.student import Cell, source, student_copy, tags

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def instructor_copy(notebook: dict[str, Any]) -> dict[str, Any]:
    """Everything in sight: solutions and answers unfolded, the teaching notes with their minutes after the title."""
    copy = deepcopy(notebook)
    for cell in copy["cells"]:
        cell["metadata"].pop("jupyter", None)
        if cell["cell_type"] == "markdown":
            cell["source"] = source(cell).replace("<details>", "<details open>").splitlines(keepends=True)
    notes = [cell for cell in copy["cells"] if "teaching" in tags(cell)]
    rest = [cell for cell in copy["cells"] if "teaching" not in tags(cell)]
    copy["cells"] = [*rest[:1], *notes, *rest[1:]]
    return copy


def assignment_copy(notebook: dict[str, Any]) -> dict[str, Any]:
    """The student's copy as source of an nbgrader assignment: answers between its marks, each check a graded cell.

    ``nbgrader generate_assignment`` takes out what stands between the marks. A check never raises, hence the assert.
    """
    copy, answers = student_copy(notebook), {}
    for exercise, solution in pairwise([cell for cell in notebook["cells"] if cell["cell_type"] == "code"]):
        if "exercise" in tags(exercise):
            answers[exercise["id"]] = source(solution)
    copy["cells"] = [new for cell in copy["cells"] for new in _graded(cell, answers.get(cell["id"]))]
    return copy


def _graded(cell: Cell, answer: str | None) -> list[Cell]:
    """A cell, or in place of an exercise one for the answer and one for each check."""
    if answer is None:
        return [cell]
    name = "_".join(CALL.findall(answer))
    cells = [_cell(f"answer_{name}", marked(answer), solution=True)]
    for call in checks(answer):
        (asked,) = CALL.findall(call)
        cells.append(_cell(f"check_{asked}", f"assert {call}", solution=False))
    return cells


def checks(answer: str) -> list[str]:
    """The statements of a solution that ask a check: ``check.euler(euler)``."""
    statements = (ast.get_source_segment(answer, node) or "" for node in ast.parse(answer).body)
    return [text for text in statements if re.match(r"check\.\w+\(", text)]


def marked(answer: str) -> str:
    """A solution up to its check, with the marks around what a student is to write: bodies of functions, and values."""
    lines, parts = answer.splitlines(), []
    for node in ast.parse(answer).body:
        text = lines[node.lineno - 1 : node.end_lineno]
        if CALL.search("\n".join(text)):
            break
        if isinstance(node, ast.FunctionDef):
            head = node.body[0].lineno - node.lineno
            if isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):  # a docstring
                head = (node.body[0].end_lineno or node.body[0].lineno) - node.lineno + 1
            parts.append("\n".join([*text[:head], f"    {BEGIN}", *text[head:], f"    {END}"]))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            parts.append("\n".join(text))
        elif parts and parts[-1].endswith(f"\n{END}"):  # a value after a value: one answer
            parts[-1] = "\n".join([parts[-1].removesuffix(END) + text[0], *text[1:], END])
        else:
            parts.append("\n".join([BEGIN, *text, END]))
    return "\n\n\n".join(parts)


def _cell(name: str, text: str, *, solution: bool) -> Cell:
    """A code cell with what nbgrader reads of it."""
    grading = {"grade": not solution, "grade_id": name, "locked": not solution, "schema_version": 3}
    grading |= {"solution": solution, "task": False, "cell_type": "code"} | ({} if solution else {"points": 1})
    return {
        "cell_type": "code",
        "id": re.sub(r"\W", "-", name)[:64],
        "metadata": {"nbgrader": grading},
        "execution_count": None,
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }
