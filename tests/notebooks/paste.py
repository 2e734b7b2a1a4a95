"""Student copies with the solutions pasted in, as a student leaves them who got everything right.

Use: ``python -m tests.notebooks.paste build/solved notebooks/*.ipynb``.
"""

import json
import sys
from pathlib import Path
from typing import Any

from odelab.lessons.kit.exercises import CALL
from odelab.lessons.kit.refresh import load
from odelab.lessons.kit.student import source, student_copy, tags


def solved_copy(notebook: dict[str, Any]) -> dict[str, Any]:
    """The student copy of a lesson, each exercise's cell replaced by the code of its solution."""
    solutions: dict[tuple[str, ...], str] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "solution" in tags(cell):
            solutions.setdefault(tuple(CALL.findall(source(cell))), source(cell))
    copy = student_copy(notebook)
    for cell in copy["cells"]:
        if "exercise" in tags(cell):
            cell["source"] = solutions[tuple(CALL.findall(source(cell)))]
    return copy


def main(folder: str, *paths: str) -> None:
    """Write the solved copies of these notebooks into ``folder``."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path in map(Path, paths):
        (Path(folder) / path.name).write_text(json.dumps(solved_copy(load(path))), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
