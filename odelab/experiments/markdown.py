"""Stored rows as Markdown: a table, and a cell of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from odelab.experiments.results import Row, summary


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table, its first column text and the others numbers."""
    names = list(header)
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def over_seeds(rows: Iterable[Row], *path: str, spec: str = ".2f") -> str:
    """Mean ± standard deviation of the number at a path in the results; empty where nobody measured it."""
    found: list[Any] = []
    for row in rows:
        value: Any = row.result
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        found += [] if value is None else [value]
    return format(summary(found), spec) if found else ""
