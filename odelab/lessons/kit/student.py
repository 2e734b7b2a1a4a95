"""Copies of the lessons to hand out: without solutions, answers, teaching notes and outputs.

Use: ``python -m odelab.lessons.kit.student build/student notebooks/*.ipynb``.

An exercise left open stops nothing: where later cells use the answer, the copy holds, in the solution's place, a folded
cell that runs the solution (packed, so that nobody reads it by accident) unless the reader's answer has passed its
check. So an untouched copy runs the lesson's own code in the lesson's order, and a copy with the solutions pasted in
runs it without the empty stubs.
"""

import json
import re
import symtable
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from odelab.lessons.kit.exercises import CALL, pack
from odelab.lessons.kit.refresh import load

LEFT_OUT = {"solution", "teaching"}
ANSWER = re.compile(r"\s*<details>\s*<summary>\s*(<b>)?\s*(Solution|Answer)")
STAND_IN = """# Until your answer passes its check, the lesson goes on with an answer of its own.
from odelab.lessons.kit.exercises import stand_in

stand_in(globals(), {packed!r})"""
Cell = dict[str, Any]


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def tags(cell: Cell) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def names(cell: Cell) -> tuple[set[str], set[str]]:
    """The global names a cell binds, and those it reads, inside its functions too."""
    python = re.sub(r"^\s*[%!].*$", "", source(cell), flags=re.MULTILINE)  # magics are not Python
    bound, read = set(), set()
    scopes = [symtable.symtable(python, "cell", "exec")]
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if scope.get_type() == "module" or symbol.is_global():
                bound |= {symbol.get_name()} if symbol.is_assigned() or symbol.is_imported() else set()
                read |= {symbol.get_name()} if symbol.is_referenced() else set()
    return bound, read


def student_copy(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook to hand out; the one given is left as it is."""
    copy = deepcopy(notebook)
    cells = copy["cells"]
    copy["cells"] = [cell for i, cell in enumerate(cells) if not _left_out(cell) or _becomes_stand_in(cells, i)]
    for cell in copy["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return copy


def _left_out(cell: Cell) -> bool:
    return bool(tags(cell) & LEFT_OUT or ANSWER.match(source(cell)))


def _becomes_stand_in(cells: Sequence[Cell], place: int) -> bool:
    """Turn the solution of an exercise whose names are read further on into its stand-in; leave any other cell."""
    cell = cells[place]
    if cell["cell_type"] != "code":
        return False
    asked = CALL.findall(source(cell))
    exercises = [other for other in cells[:place] if "exercise" in tags(other) and CALL.findall(source(other)) == asked]
    bound = {name for exercise in exercises for name in names(exercise)[0]}
    later = [other for other in cells[place + 1 :] if other["cell_type"] == "code" and not tags(other) & LEFT_OUT]
    if not any(bound & names(other)[1] for other in later):
        return False
    cell["source"] = STAND_IN.format(packed=pack(source(cell)))
    cell["metadata"] = {"tags": ["stand-in"], "jupyter": {"source_hidden": True}}
    return True


def main(folder: str, *paths: str) -> None:
    """Write the copies of these notebooks into ``folder``."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path in map(Path, paths):
        copy = json.dumps(student_copy(load(path)), indent=1, ensure_ascii=False)
        (Path(folder) / path.name).write_text(copy + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
