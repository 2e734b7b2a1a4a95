"""The part of a lesson that its widgets need: what CI runs of the longer lessons.

A cell is kept when it is tagged `setup`, `widget` or `widget-data`, or when a kept cell reads a name that it binds.
A name changed without being bound (`fit(model)`) is not seen: tag that cell `widget-data` if the widget needs it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

KEPT = {"setup", "widget", "widget-data"}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.comprehension)
Cell = dict[str, Any]
Notebook = dict[str, Any]


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def tags(cell: Cell) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def names(cell: Cell) -> tuple[set[str], set[str]]:
    """The names a cell binds at its top level, and all the names it reads anywhere."""
    python = re.sub(r"^\s*[%!].*$", "", source(cell), flags=re.MULTILINE)  # magics are not Python
    tree = ast.parse(python)
    bound, read = set(top_level(tree)), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            read.add(node.target.id)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            read.add(node.id)
    return bound, read


def top_level(node: ast.AST) -> Iterator[str]:
    """Names bound outside the bodies of functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            yield from [child.name] if isinstance(child, ast.FunctionDef | ast.ClassDef) else []
            continue
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif isinstance(child, ast.alias):
            yield (child.asname or child.name).split(".")[0]
        yield from top_level(child)


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
