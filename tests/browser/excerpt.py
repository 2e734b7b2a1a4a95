"""The part of a lesson that its widgets need: what CI runs of the longer lessons.

A cell is kept when it is tagged `setup`, `widget` or `widget-data`, or when a kept cell reads a name that it binds.
A name changed without being bound (`fit(model)`) is not seen: tag that cell `widget-data` if the widget needs it.
"""

from copy import deepcopy
from typing import Any

from odelab.lessons.kit.student import names, tags

KEPT = {"setup", "widget", "widget-data"}
Notebook = dict[str, Any]


def needed_cells(notebook: Notebook) -> set[int]:
    """Indices of the code cells that the tagged ones need, themselves included."""
    code = {i: cell for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"}
    known = {i: names(cell) for i, cell in code.items()}
    kept = {i for i, cell in code.items() if tags(cell) & KEPT}
    todo = list(kept)
    while todo:
        reader = todo.pop()
        for name in known[reader][1]:
            binders = [i for i in code if name in known[i][0]]
            before = [i for i in binders if i < reader][-1:]  # a function may read what is bound only after it
            for binder in before or binders[:1]:
                if binder not in kept:
                    kept.add(binder)
                    todo.append(binder)
    return kept


def excerpt(notebook: Notebook, *, whole: bool) -> Notebook:
    """A copy without outputs, so that what is seen is fresh: all cells, or the prose and what the widgets need."""
    copy = deepcopy(notebook)
    kept = needed_cells(notebook)
    copy["cells"] = [
        cell for i, cell in enumerate(copy["cells"]) if whole or i in kept or cell["cell_type"] == "markdown"
    ]
    for cell in copy["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return copy
