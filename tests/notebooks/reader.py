"""The lessons as the tests see them: cells with their tags, sources and stored outputs."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@dataclass(frozen=True)
class Cell:
    """One cell; ``index`` counts from 0 over all cells."""

    index: int
    id: str
    kind: str
    source: str
    metadata: dict[str, Any]
    outputs: tuple[dict[str, Any], ...] = ()
    execution_count: int | None = None

    @property
    def tags(self) -> set[str]:
        return set(self.metadata.get("tags", ()))

    @property
    def text(self) -> str:
        """Everything readable in the outputs."""
        parts = []
        for output in self.outputs:
            data = output.get("data", {})
            for piece in (output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")):
                parts.append("".join(piece))
        return "\n".join(parts)


@dataclass(frozen=True)
class Lesson:
    """One notebook."""

    path: Path
    cells: tuple[Cell, ...]
    metadata: dict[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> int:
        """The lesson's number: 3 for ``03_adjoint.ipynb``."""
        return int(self.name.split("_")[0])

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "code"]

    @property
    def prose(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "markdown"]

    def tagged(self, tag: str) -> list[Cell]:
        return [cell for cell in self.cells if tag in cell.tags]

    def printed_equations(self) -> list[tuple[str, Cell]]:
        r"""Every ``\tag{3.4}`` in reading order, with its cell."""
        return [(number, cell) for cell in self.prose for number in re.findall(r"\\tag\{([^}]*)\}", cell.source)]


def read(path: Path) -> Lesson:
    """A notebook from disk."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = tuple(
        Cell(
            index=index,
            id=cell.get("id", ""),
            kind=cell["cell_type"],
            source="".join(cell["source"]),
            metadata=cell["metadata"],
            outputs=tuple(cell.get("outputs", ())),
            execution_count=cell.get("execution_count"),
        )
        for index, cell in enumerate(notebook["cells"])
    )
    return Lesson(path, cells, notebook["metadata"])


@cache
def lessons() -> tuple[Lesson, ...]:
    """All lessons in reading order."""
    return tuple(read(path) for path in sorted(NOTEBOOKS.glob("*.ipynb")))
