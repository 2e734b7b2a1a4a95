"""The page that says, for everything numbered in the five sources, which lesson checks it and what was measured."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from docs.site.lessons import Lesson, slug
from docs.site.mathematics import anchor
from odelab.lessons.kit.ledger import Entry, cell_entries

SOURCES = Path(__file__).with_name("sources.toml")


@dataclass(frozen=True)
class Item:
    """Something numbered in a source.

    Attributes:
        source: its name in the ledger: "notes 24.9", "notes Figure 24.8".
        what: in words.
        checked_as: the source of the ledger entries that check it, where it has another name there.
        lesson, section: where a figure is drawn anew, by the stem of the notebook and a part of the heading.
        missing: why nothing checks it.
    """

    source: str
    what: str = ""
    checked_as: str = ""
    lesson: str = ""
    section: str = ""
    missing: str = ""


def items() -> dict[str, list[Item]]:
    """Title of a source -> everything numbered in it, in its order."""
    table = tomllib.loads(SOURCES.read_text(encoding="utf-8"))
    return {source["title"]: [Item(**item) for item in source["item"]] for source in table["source"]}


class Cells(HTMLParser):
    """The cells of an HTML table, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def verified(lesson: Lesson) -> list[dict[str, str]]:
    """The stored table *What we verified* of a lesson: equation, source, claim, measured, … for every claim."""
    for cell in lesson.notebook["cells"]:
        for output in cell.get("outputs", ()):
            table = Cells()
            table.feed("".join(output.get("data", {}).get("text/html", "")))
            if table.rows and {"equation", "claim", "measured"} <= set(table.rows[0]):
                return [dict(zip(table.rows[0], row, strict=True)) for row in table.rows[1:]]
    return []


def entries(lesson: Lesson) -> list[Entry]:
    """What a lesson registers, read from its code."""
    code = [cell for cell in lesson.notebook["cells"] if cell["cell_type"] == "code"]
    return [entry for cell in code for entry in cell_entries(lesson.name, "".join(cell["source"]))]


def ledger_page(course: Sequence[Lesson]) -> str:
    """Two tables: by source, complete; and everything else that lessons number and check."""
    registered = {lesson: entries(lesson) for lesson in course}
    measured = {lesson: verified(lesson) for lesson in course}
    known = items()
    lines = [
        "# The ledger of equations",
        "",
        "Everything that the five sources number, where the course checks it, and what was measured when the stored "
        "notebook ran. A claim compares two independent routes; a test breaks each numbered equation on purpose and "
        "sees its claim fail. What nothing checks says so.",
    ]
    named = set()
    for title, rows in known.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| number | what | lesson | what was checked, and measured |",
            "| --- | --- | --- | --- |",
        ]
        for item in rows:
            source = item.checked_as or item.source
            named.add(source)
            places = [
                (lesson, entry) for lesson, found in registered.items() for entry in found if entry.source == source
            ]
            number = item.source.partition(" ")[2]
            lines.append(
                f"| {number} | {item.what} | {where(item, places, course)} | {checks(item, places, measured)} |"
            )
    lines += [
        "",
        "## Other numbered equations of the lessons",
        "",
        "| number | source | lesson | what was checked, and measured |",
        "| --- | --- | --- | --- |",
    ]
    for lesson, found in registered.items():
        for entry in found:
            if entry.source not in named:
                place = [(lesson, entry)]
                lines.append(
                    f"| {link(lesson, entry)} | {entry.source} | {lesson.number} | {checks(None, place, measured)} |"
                )
    return "\n".join(lines) + "\n"


def where(item: Item, places: Sequence[tuple[Lesson, Entry]], course: Sequence[Lesson]) -> str:
    """Links to the equations that stand for an item, or to the section that draws it anew."""
    links = [f"{lesson.number}: {link(lesson, entry)}" for lesson, entry in places]
    if item.lesson:
        lesson = next(lesson for lesson in course if lesson.name == item.lesson)
        heading = next((name for name, _ in lesson.sections() if item.section in name), lesson.title)
        links.append(f"{lesson.number}: [{heading}](../notebooks/{lesson.path.name}#{slug(heading)})")
    return ", ".join(dict.fromkeys(links)) or "none"


def link(lesson: Lesson, entry: Entry) -> str:
    """The number of an equation, linked where the lesson prints it."""
    printed = rf"\tag{{{entry.number}}}" in "\n".join(lesson.prose)
    return f"[({entry.number})](#{anchor(entry.number)})" if printed else f"({entry.number})"


def checks(
    item: Item | None, places: Sequence[tuple[Lesson, Entry]], measured: dict[Lesson, list[dict[str, str]]]
) -> str:
    """Claims with their measured values; for an item without any, why."""
    texts = []
    for lesson, entry in places:
        rows = [row for row in measured[lesson] if (row["equation"], row["source"]) == (entry.number, entry.source)]
        texts += [cell(f"{row['claim']}: {row['measured']}") for row in rows] or [cell(text) for text in entry.claims]
    if not texts and item is not None:
        texts.append(item.missing or ("drawn anew" if item.lesson else "**missing**: no lesson checks it"))
    return "<br>".join(dict.fromkeys(texts))


def cell(text: str) -> str:
    """Text that Markdown leaves alone in the cell of a table."""
    return re.sub(r"([\\|*_`$<>\[\]])", r"\\\1", text)
