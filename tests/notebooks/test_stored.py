"""What every lesson owes its reader, read from the stored notebooks; running them is nbval's part of `make test`."""

import ast
import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from odelab.lessons.kit import ledger
from odelab.lessons.kit.refresh import FOLDED, LIVE, code_hash, load
from tests.complaints import no_complaints
from tests.notebooks.reader import NOTEBOOKS, Cell, Lesson, lessons

LARGEST = 1_500_000  # bytes with outputs: a page that a phone opens
SHORTEST_ALT = 20
# The way in: it teaches nothing to be checked or taught in class.
TAUGHT = [lesson for lesson in lessons() if lesson.name != "00_start_here"]
PRIVATE = re.compile(r"(?<![\w./])(/work|/tmp|/home|/root|/Users|/usr/lib|/opt|[A-Z]:\\\\)[/\\\w]")


@no_complaints
def test_a_lesson_opens_quickly() -> Iterator[str]:
    for lesson in lessons():
        size = lesson.path.stat().st_size
        if size > LARGEST:
            yield f"{lesson}: {size:,} bytes, {LARGEST:,} at most"


@no_complaints
def test_lessons_have_what_the_readme_promises() -> Iterator[str]:
    """Exercises, a broken cell to diagnose, a plan for teaching, an explorable, and what was verified."""
    for lesson in lessons():
        if not lesson.tagged("widget"):
            yield f"{lesson}: no explorable (tag widget)"
    for lesson in TAUGHT:
        if not lesson.tagged("exercise"):
            yield f"{lesson}: no exercise (tag exercise)"
        if not any(cell.kind == "code" for cell in lesson.tagged("what-is-wrong")):
            yield f"{lesson}: no broken cell to diagnose (tag what-is-wrong)"
        plans = [cell.source for cell in lesson.tagged("teaching") if "<details>" in cell.source]
        if not any(all(minutes in plan for minutes in ("20", "45", "90")) for plan in plans):
            yield f"{lesson}: no folded plan for teaching it in 20, 45 or 90 minutes (tag teaching)"
        tables = [cell for cell in lesson.code if re.search(r"^verified\(\)$", cell.source, re.MULTILINE)]
        if not any("<table>" in cell.text for cell in tables):
            yield f"{lesson}: no cell `verified()` with its table"


# Claims

MARGIN = 3
# Claims that only a truth value decides, because nothing in them is a number that could come close to a bound.
DECIDED: dict[str, set[str]] = {}


@no_complaints
def test_every_claim_holds_with_a_margin() -> Iterator[str]:
    """Another processor, or another seed, may break a claim that holds by less; the table of `verified()` tells."""
    for lesson in TAUGHT:
        header, *rows = table_rows(lesson)
        if "margin" not in header:
            continue
        margins = {row[header.index("claim")]: row[header.index("margin")] for row in rows}
        without = {text for text, margin in margins.items() if not margin}
        for text in without ^ DECIDED.get(lesson.name, set()):
            yield f"{lesson}: {text}: a bound is missing (below, above, near, exactly), or DECIDED is out of date"
        for text, margin in margins.items():
            if margin not in ("", "exact", "over 1000") and float(margin) < MARGIN:
                yield f"{lesson}: {text}: holds by a factor, or standard deviations, of {margin} only"


def table_rows(lesson: Lesson) -> list[list[str]]:
    """Texts of the cells of the table that `verified()` shows, row by row, the header first."""
    text = "".join(cell.text for cell in lesson.code if re.search(r"^verified\(\)$", cell.source, re.MULTILINE))
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


# Path and proof

# Lessons in which code that draws or verifies is kept apart from code that teaches.
APART = {
    "00_start_here",
    "01_residual_networks",
    "02_solvers",
    "03_adjoint",
    "05_change_of_variables",
    "06_ffjord",
    "07_straight_paths",
    "10_ode2vae_at_scale",
    "11_robust_and_right",
    "12_new_data_and_the_future",
}


@no_complaints
def test_what_draws_or_verifies_is_folded() -> Iterator[str]:
    """Code that is no part of the method: tag check, and refresh folds it."""
    for lesson in lessons():
        for cell in lesson.code:
            where = f"{lesson}, cell {cell.index}"
            verifies = re.search(r"\bclaim\(", cell.source)
            if lesson.name in APART and verifies and not cell.tags & FOLDED:
                yield f"{where}: a claim among the code that everybody reads"
            if cell.tags & FOLDED and not cell.metadata.get("jupyter", {}).get("source_hidden"):
                yield f"{where}: its source is in plain sight"
            if "check" not in cell.tags:
                continue
            if not cell.source.startswith("# "):
                yield f"{where}: its first line is no comment that says what the cell shows"
            if not alternative_texts(cell) and "checked: " not in cell.text:
                yield f"{where}: it shows neither a picture nor what was checked"


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


@no_complaints
def test_every_figure_has_alternative_text() -> Iterator[str]:
    """A figure has a sentence for those who do not see it: odelab.lessons.kit.show(fig, alt=…)."""
    for lesson in lessons():
        for cell in lesson.cells:
            for alt in alternative_texts(cell):
                if len(alt) < SHORTEST_ALT:
                    yield f"{lesson}, cell {cell.index}: {alt!r}"


@no_complaints
def test_every_widget_is_driven_and_leaves_a_picture() -> Iterator[str]:
    for lesson in lessons():
        for cell in lesson.tagged("widget"):
            where, name = f"{lesson}, cell {cell.index}", shown_name(cell.source)
            if not name:
                yield f"{where}: assign the widget to a name and end the cell with it"
                continue
            driven = re.compile(rf"\b{name}\.(drive\(|controls\[.*\]\.value = )")
            if not any(driven.search(other.source) for other in lesson.code):
                yield f"{where}: no cell drives {name}"
            if not alternative_texts(cell):
                yield f"{where}: no picture of {name} for readers without a kernel"
            if not any("odelab" in output.get("metadata", {}) for output in cell.outputs):
                yield f"{where}: nothing says how to move the picture; refresh the notebook"


def shown_name(source: str) -> str:
    """The name a cell ends with, displayed; empty when it ends otherwise."""
    last = ast.parse(source).body[-1]
    return last.value.id if isinstance(last, ast.Expr) and isinstance(last.value, ast.Name) else ""


# Equations


@no_complaints
def test_equations_are_numbered_and_in_the_ledger() -> Iterator[str]:
    entries = ledger(NOTEBOOKS)
    for lesson in TAUGHT:
        printed = lesson.printed_equations()
        numbers = [number for number, _ in printed]
        if numbers != [f"{lesson.number}.{k + 1}" for k in range(len(numbers))]:
            yield f"{lesson}: not numbered from 1, in order, once each: {numbers}"
        checked = {entry.number: entry.source for entry in entries if entry.lesson == lesson.name}
        for number in sorted(checked.keys() ^ set(numbers)):
            yield f"{lesson}: equation {number} is printed and not checked, or checked and not printed"
        for number, cell in printed:
            if checked.get(number, "") not in cell.source:
                yield f"{lesson}: equation {number} stands without {checked[number]!r} beside it"


# Exercises


@no_complaints
def test_exercises_untouched_say_so_and_solutions_pass() -> Iterator[str]:
    for lesson in TAUGHT:
        solved = outcomes(lesson, "solution")
        for name, text in outcomes(lesson, "exercise").items():
            if "not attempted yet" not in text:
                yield f"{lesson}: the untouched stub of {name} printed: {text}"
            if f"✓ {name}" not in solved.get(name, ""):
                yield f"{lesson}: no solution cell passes check.{name}"


def outcomes(lesson: Lesson, tag: str) -> dict[str, str]:
    """What the cells with this tag printed, by the exercises they check."""
    cells = [cell for cell in lesson.tagged(tag) if cell.kind == "code"]
    return {name: cell.text for cell in cells for name in re.findall(r"\bcheck\.(\w+)\(", cell.source)}


# Stored outputs


@no_complaints
def test_outputs_are_fresh() -> Iterator[str]:
    """After a change: python -m odelab.lessons.kit.refresh notebooks/NAME.ipynb"""
    for lesson in lessons():
        counts = [cell.execution_count for cell in lesson.code if cell.source.strip()]
        if counts != list(range(1, len(counts) + 1)):
            yield f"{lesson}: not run once from top to bottom"
        if lesson.metadata.get("odelab", {}).get("code") != code_hash(load(lesson.path)):
            yield f"{lesson}: code changed after its outputs"


@no_complaints
def test_nothing_went_wrong() -> Iterator[str]:
    for lesson in lessons():
        for cell in lesson.code:
            for output in cell.outputs:
                if output["output_type"] == "error":
                    yield f"{lesson}, cell {cell.index} raised {output.get('ename')}"
                if output.get("name") == "stderr":
                    yield f"{lesson}, cell {cell.index} wrote to stderr: {output['text']}"


@no_complaints
def test_runs_anywhere_and_tells_nothing_of_its_author() -> Iterator[str]:
    for lesson in lessons():
        if lesson.metadata["kernelspec"]["name"] != "python3":
            yield f"{lesson}: needs a kernel called {lesson.metadata['kernelspec']['name']}"
        if "widgets" in lesson.metadata or any(LIVE in o.get("data", {}) for cell in lesson.code for o in cell.outputs):
            yield f"{lesson}: widget state stored; use odelab.lessons.kit.refresh"
        places = [lesson.metadata, *(cell.metadata for cell in lesson.cells), *(cell.text for cell in lesson.code)]
        for place in places:
            for match in PRIVATE.finditer(strip_images(str(place))):
                yield f"{lesson}: a path of one machine: {match.group()}"


def strip_images(text: str) -> str:
    """Base64 may spell anything."""
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
