"""Rows of runs that never were, and the cells of a table."""

from typing import Any

from odelab.experiments.results import Row
from odelab.experiments.tables import Table


def row(key: dict[str, Any], seed: int = 0, **result: Any) -> Row:
    return Row(key, seed, "full", result, 1.0, "", "", "", "")


def cells(table: Table, *names: Any) -> list[str]:
    """What stands in a row, found by its name or names, from left to right."""
    lines = [line for line in table.flat.astype(str).to_numpy().tolist() if line[: len(names)] == [*map(str, names)]]
    assert len(lines) == 1, f"{len(lines)} rows are called {names}"
    return lines[0][len(names) :]
