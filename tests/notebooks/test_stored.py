"""What every lesson owes its reader, read from the stored notebooks; running them is nbval's part of `make test`."""

from __future__ import annotations

import ast
import html
import re
from html.parser import HTMLParser
from statistics import median

import pytest

from odelab.lessons.kit import ledger
from odelab.lessons.kit.refresh import LIVE, code_hash, load
from tests.notebooks.reader import NOTEBOOKS, Cell, Lesson, lessons

MEGABYTE = 1_000_000
SHORTEST_ALT = 20
BOX = ("You will be able to", "Prerequisites", "Time", "Device")
# The way in: it teaches nothing to be checked or taught in class.
EXEMPT = {"00_start_here": {"equations", "exercises", "teaching", "what-is-wrong"}}
PRIVATE = re.compile(r"(?<![\w./])(/work|/tmp|/home|/root|/Users|/usr/lib|/opt|[A-Z]:\\\\)[/\\\w]")

every_lesson = pytest.mark.parametrize("lesson", lessons(), ids=str)


def lessons_with(part: str) -> pytest.MarkDecorator:
    """The lessons that are not exempt from ``part``."""
    chosen = [lesson for lesson in lessons() if part not in EXEMPT.get(lesson.name, ())]
    return pytest.mark.parametrize("lesson", chosen, ids=str)


# Proportions


@every_lesson
def test_code_comes_in_small_pieces(lesson: Lesson) -> None:
    lines = sorted(cell.lines for cell in lesson.code)
    assert median(lines) <= 6, f"median code cell has {median(lines)} lines"
    long = [cell.index for cell in lesson.code if cell.lines > 15]
    assert len(long) <= 0.1 * len(lines), f"more than a tenth of the code cells exceed 15 lines: {long}"
    assert lines[-1] <= 30, f"the longest code cell has {lines[-1]} lines"


@every_lesson
def test_half_is_prose_and_it_fits_in_one_sitting(lesson: Lesson) -> None:
    assert len(lesson.prose) >= 0.5 * len(lesson.cells), f"{len(lesson.prose)} of {len(lesson.cells)} cells are prose"
    assert len(lesson.cells) <= 60
    assert lesson.path.stat().st_size <= 1.5 * MEGABYTE


# Shape


@every_lesson
def test_opens_with_title_and_box(lesson: Lesson) -> None:
    assert lesson.cells[0].source.startswith("# ")
    box = " ".join(cell.source for cell in lesson.cells[:4] if cell.kind == "markdown")
    missing = [word for word in BOX if word not in box]
    assert not missing, f"the box at the top lacks {missing}"
    assert sum(cell.source.startswith("# ") for cell in lesson.prose) == 1, "one title per lesson"


@every_lesson
def test_closes_with_references(lesson: Lesson) -> None:
    sections = [cell.source for cell in lesson.prose if re.search(r"^#+ .*References", cell.source, re.MULTILINE)]
    assert sections, "no section called References"
    assert len(re.findall(r"\]\(https?://[^)\s]+\)", sections[-1])) >= 3, "References without three links"


@lessons_with("teaching")
def test_has_a_folded_teaching_cell(lesson: Lesson) -> None:
    (cell,) = lesson.tagged("teaching")
    assert cell.kind == "markdown" and "<details>" in cell.source
    assert all(minutes in cell.source for minutes in ("20", "45", "90")), "a plan for 20, 45 and 90 minutes"


@lessons_with("what-is-wrong")
def test_asks_what_is_wrong_here(lesson: Lesson) -> None:
    cells = lesson.tagged("what-is-wrong")
    assert any(cell.kind == "code" for cell in cells), "a broken cell to diagnose"
    assert any("What is wrong here?" in cell.source for cell in lesson.prose)


@lessons_with("equations")
def test_closes_with_what_was_verified(lesson: Lesson) -> None:
    tables = [cell for cell in lesson.code if re.search(r"^verified\(\)$", cell.source, re.MULTILINE)]
    assert tables and "<table>" in tables[-1].text, "a cell `verified()` with its table"


MARGIN = 3
# Claims that only a truth value decides, because nothing in them is a number that could come close to a bound.
DECIDED: dict[str, set[str]] = {}


@lessons_with("equations")
def test_every_claim_holds_with_margin(lesson: Lesson) -> None:
    tables = [cell for cell in lesson.code if re.search(r"^verified\(\)$", cell.source, re.MULTILINE)]
    header, *rows = table_rows(tables[-1].text)
    if "margin" not in header:
        pytest.skip("its claims know no margin yet")
    margins = {row[header.index("claim")]: row[header.index("margin")] for row in rows}
    undecided = {claim for claim, margin in margins.items() if not margin} ^ DECIDED.get(lesson.name, set())
    assert not undecided, f"no margin, or in DECIDED although there is one: {undecided}"
    numbers = {claim: float(margin.removeprefix("over ")) for claim, margin in margins.items() if margin[-1:].isdigit()}
    narrow = {claim: margin for claim, margin in numbers.items() if margin < MARGIN}
    assert not narrow, f"another processor or seed may break: {narrow}"


def table_rows(text: str) -> list[list[str]]:
    """Texts of the cells of an HTML table, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


# Figures and widgets


class Images(HTMLParser):
    """Alternative texts of the images in a piece of HTML; an empty string where there is none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.alts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alts.append(dict(attrs).get("alt") or "")


def alternative_texts(cell: Cell) -> list[str]:
    """One text per image in a cell or its outputs."""
    if cell.kind == "markdown":
        return re.findall(r"!\[([^\]]*)\]\(", cell.source) + Images(cell.source).alts
    alts = []
    for output in cell.outputs:
        data = output.get("data", {})
        alts += [output["metadata"].get(kind, {}).get("alt", "") for kind in data if kind.startswith("image/")]
        alts += Images("".join(data.get("text/html", ""))).alts
    return alts


@every_lesson
def test_every_figure_has_alternative_text(lesson: Lesson) -> None:
    short = [(cell.index, alt) for cell in lesson.cells for alt in alternative_texts(cell) if len(alt) < SHORTEST_ALT]
    assert not short, f"figures without a sentence of alt text: {short}; show them with odelab.lessons.kit.show"
    assert any(alternative_texts(cell) for cell in lesson.cells), "a lesson without a figure"


@every_lesson
def test_every_widget_is_driven_and_leaves_a_picture(lesson: Lesson) -> None:
    for cell in lesson.tagged("widget"):
        name = shown_name(cell.source)
        assert name, f"cell {cell.index}: assign the widget to a name and end the cell with it"
        driven = re.compile(rf"\b{name}\.(drive\(|controls\[.*\]\.value = )")
        assert any(driven.search(other.source) for other in lesson.code), f"no cell drives {name}"
        assert alternative_texts(cell), f"cell {cell.index}: no picture of {name} for readers without a kernel"
    assert lesson.tagged("widget"), "a lesson without an explorable"


def shown_name(source: str) -> str:
    """The name a cell ends with, displayed; empty when it ends otherwise."""
    last = ast.parse(source).body[-1]
    return last.value.id if isinstance(last, ast.Expr) and isinstance(last.value, ast.Name) else ""


# Equations


@lessons_with("equations")
def test_equations_are_numbered_and_in_the_ledger(lesson: Lesson) -> None:
    printed = lesson.printed_equations()
    numbers = [number for number, _ in printed]
    assert numbers == [f"{lesson.number}.{k + 1}" for k in range(len(numbers))], "numbered from 1, in order, once each"
    checked = {entry.number: entry.source for entry in ledger(NOTEBOOKS) if entry.lesson == lesson.name}
    assert checked.keys() == set(numbers), f"printed xor checked: {sorted(checked.keys() ^ set(numbers))}"
    silent = [number for number, cell in printed if checked[number] not in cell.source]
    assert not silent, f"equations {silent} stand without their source's own number beside them"


# Exercises


@lessons_with("exercises")
def test_exercises_untouched_say_so_and_solutions_pass(lesson: Lesson) -> None:
    asked, solved = outcomes(lesson, "exercise"), outcomes(lesson, "solution")
    assert asked, "a lesson without an exercise"
    for name, text in asked.items():
        assert "not attempted yet" in text, f"the untouched stub of {name} printed: {text}"
        assert f"✓ {name}" in solved.get(name, ""), f"no solution cell passes check.{name}"
    assert all("..." in cell.source for cell in lesson.tagged("exercise") if "def " in cell.source)


def outcomes(lesson: Lesson, tag: str) -> dict[str, str]:
    """What the cells with this tag printed, by the exercises they check."""
    cells = [cell for cell in lesson.tagged(tag) if cell.kind == "code"]
    return {name: cell.text for cell in cells for name in re.findall(r"\bcheck\.(\w+)\(", cell.source)}


@every_lesson
def test_solutions_are_folded(lesson: Lesson) -> None:
    for cell in lesson.tagged("solution"):
        if cell.kind == "code":
            assert cell.metadata.get("jupyter", {}).get("source_hidden"), f"cell {cell.index}: solution in plain sight"


# Stored outputs


@every_lesson
def test_outputs_are_fresh(lesson: Lesson) -> None:
    counts = [cell.execution_count for cell in lesson.code if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1)), "not run once from top to bottom"
    stale = lesson.metadata.get("odelab", {}).get("code") != code_hash(load(lesson.path))
    assert not stale, (
        f"code changed after its outputs: python -m odelab.lessons.kit.refresh notebooks/{lesson.path.name}"
    )


@every_lesson
def test_nothing_went_wrong(lesson: Lesson) -> None:
    for cell in lesson.code:
        for output in cell.outputs:
            assert output["output_type"] != "error", f"cell {cell.index} raised {output.get('ename')}"
            assert output.get("name") != "stderr", f"cell {cell.index} wrote to stderr: {output['text']}"


@every_lesson
def test_runs_anywhere_and_tells_nothing_of_its_author(lesson: Lesson) -> None:
    assert lesson.metadata["kernelspec"]["name"] == "python3"
    assert "widgets" not in lesson.metadata, "widget state stored; use odelab.lessons.kit.refresh"
    assert not any(LIVE in output.get("data", {}) for cell in lesson.code for output in cell.outputs)
    places = [lesson.metadata, *(cell.metadata for cell in lesson.cells), *(cell.text for cell in lesson.code)]
    leaks = [match.group() for place in places for match in PRIVATE.finditer(strip_images(str(place)))]
    assert not leaks, f"paths of one machine: {leaks}"


def strip_images(text: str) -> str:
    """Base64 may spell anything."""
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
