"""The equation ledger: which printed formula is checked where, read from the notebooks without running them."""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


class LedgerError(ValueError):
    """A notebook registers an equation that nothing checks, or registers it in two ways."""


@dataclass(frozen=True)
class Entry:
    """One numbered equation: the lesson (file stem), both numbers, and the claims that check it."""

    lesson: str
    number: str
    source: str
    claims: tuple[str, ...]


class Ledger(tuple[Entry, ...]):
    """All entries in reading order; printing it gives a markdown table."""

    __slots__ = ()

    @property
    def sources(self) -> set[str]:
        """The sources' own numbers that are checked somewhere."""
        return {entry.source for entry in self}

    def __str__(self) -> str:
        lines = ["| equation | source | lesson | checked by |", "|---|---|---|---|"]
        for entry in self:
            claims = "; ".join(entry.claims).replace("|", "\\|")
            lines.append(f"| {entry.number} | {entry.source} | {entry.lesson} | {claims} |")
        return "\n".join(lines)

    _repr_markdown_ = __str__


def ledger(folder: str | Path = "notebooks") -> Ledger:
    """Read every ``*.ipynb`` in ``folder``; raises :class:`LedgerError` for a check that is none."""
    entries: list[Entry] = []
    for path in sorted(Path(folder).glob("*.ipynb")):
        for source in code_cells(path):
            entries += cell_entries(path.stem, source)
    _refuse_contradictions(entries)
    return Ledger(entries)


def code_cells(path: Path) -> Iterator[str]:
    """Sources of the code cells of a notebook."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def cell_entries(lesson: str, source: str) -> list[Entry]:
    """Entries of one code cell. Each ``equation(...)`` needs a ``.claim`` in the same cell."""
    plain = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)  # magics are no Python
    tree = ast.parse(plain)
    calls = {id(node): node for node in ast.walk(tree) if _is_call_of(node, "equation")}
    names = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and id(node.value) in calls
    }
    claims: dict[int, list[str]] = {key: [] for key in calls}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "claim":
            owner = node.func.value
            target = names.get(owner.id) if isinstance(owner, ast.Name) else owner
            if id(target) in claims:
                claims[id(target)].append(_text(_argument(node, 0, "text")))
    return [_entry(lesson, call, claims[key]) for key, call in calls.items() if isinstance(call, ast.Call)]


def _entry(lesson: str, call: ast.Call, claims: Sequence[str]) -> Entry:
    number = _text(_argument(call, 0, "number"))
    if not claims:
        raise LedgerError(f"{lesson}: equation {number} has no .claim in its cell")
    return Entry(lesson, number, _text(_argument(call, 1, "source")), tuple(claims))


def _refuse_contradictions(entries: Sequence[Entry]) -> None:
    known: dict[str, Entry] = {}
    for entry in entries:
        first = known.setdefault(entry.number, entry)
        if (first.source, first.lesson) != (entry.source, entry.lesson):
            raise LedgerError(
                f"equation {entry.number} is {first.source!r} in {first.lesson} and {entry.source!r} in {entry.lesson}"
            )


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _argument(call: ast.Call, position: int, name: str) -> ast.expr:
    if len(call.args) > position:
        return call.args[position]
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    raise LedgerError(f"line {call.lineno}: argument {name!r} is missing")


def _text(node: ast.expr) -> str:
    """A string literal; an f-string keeps its placeholders: ``f"order {p}"`` reads ``order {p}``."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            "{" + ast.unparse(p.value) + "}" if isinstance(p, ast.FormattedValue) else _text(p) for p in node.values
        )
    raise LedgerError(f"line {node.lineno}: write {ast.unparse(node)!r} as a literal string, so that it can be read")
