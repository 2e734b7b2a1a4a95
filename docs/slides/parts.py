"""What of a cell stands on a slide: all of it, or what its metadata name.

A name is ``code``, ``output``, ``picture``, ``picture 2``, ``table``, ``formula``, ``formula 2`` (the second) or
``formula 3.4`` (its tag); everything else is the opening words of a sentence, an item of a list, a statement of Python
or a printed line. With an ellipsis at its end it takes what follows in the paragraph, too.
"""

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from docs.site.lessons import without_steps

FORMULA = re.compile(r"\$\$.*?\$\$", re.DOTALL)
ATOM = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\*\*.*?\*\*|\[[^\]]*\]\([^)]*\)", re.DOTALL)  # holds no boundary
# Where a sentence ends; \0 stands for what is hidden, \1 for a displayed formula.
BOUNDARY = re.compile(r"(?<=[.!?])[*_\"”)]*\s+(?=[A-ZÀ-ÖΑ-Ω\0*_“\"(])|\s+(?=\x01)|(?<=\x01)\s+")
SHORT = (" al.", "e.g.", "i.e.", "cf.")  # these end none
BOLD_END = re.compile(r"[.!?][\"”)]?\*\*$")
ITEM = re.compile(r"^\s*([-*]|\d+\.) ")
BLOCKS = re.compile(r"\$\$.*?\$\$|```.*?```", re.DOTALL)  # blank lines within them part nothing
ASIDE = re.compile(r"^> ?|^</?(?:div|details|summary).*$|<small>.*?</small> ?", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
BOX = "> **You will be able to**"
REST = "…"


def without_headings(text: str) -> str:
    return HEADING.sub("", without_steps(text)).strip()


def units(text: str) -> Iterator[str]:
    """Paragraphs, items of lists, tables; marks of quotes, small print and HTML of blocks are left out."""
    whole = BLOCKS.sub(lambda block: block[0].replace("\n\n", "\n"), ASIDE.sub("", text))
    for paragraph in re.split(r"\n\s*\n", whole):
        unit: list[str] = []
        for line in paragraph.split("\n"):
            if ITEM.match(line) and unit:
                yield "\n".join(unit)
                unit = []
            unit.append(line)
        yield "\n".join(unit)


def sentences(unit: str) -> list[str]:
    """The sentences of a unit, without the mark of an item."""
    plain = ITEM.sub("", unit)
    hidden = hide_all(plain)
    ends = [match.end() for match in BOUNDARY.finditer(hidden) if not hidden[: match.start()].endswith(SHORT)]
    cuts = [0, *ends, len(plain)]
    return [plain[a:b].strip() for a, b in pairwise(cuts)]


def hide_all(text: str) -> str:
    return ATOM.sub(hide, text)


def hide(atom: re.Match[str]) -> str:
    """As long, without what could end a sentence, but for the last mark in bold type: **Predict.** ends one."""
    text = atom[0]
    end = BOLD_END.search(text)
    stays = len(end[0]) if end else 0
    return ("\1" if text.startswith("$$") else "\0") * (len(text) - stays) + text[len(text) - stays :]


def begins(sentence: str, words: str) -> bool:
    return sentence.startswith(words) or sentence.lstrip("*_").startswith(words)


def of_markdown(text: str, wanted: Sequence[str]) -> str:
    """The parts of a Markdown cell that are wanted, in the order of the wishes.

    Raises:
        ValueError: when one of them is not in the cell.
    """
    pieces: list[tuple[str, str]] = []  # a unit of the cell, and what is taken of it
    for wish in wanted:
        unit, piece = markdown_part(text, wish)
        if pieces and pieces[-1][0] == unit:
            pieces[-1] = unit, f"{pieces[-1][1]} {ITEM.sub('', piece)}"
        else:
            pieces.append((unit, piece))
    blocks = [piece for _, piece in pieces]
    apart = ["\n" if ITEM.match(one) and ITEM.match(other) else "\n\n" for one, other in pairwise(blocks)]
    return "".join(map("".join, zip(blocks, [*apart, ""], strict=True)))


def markdown_part(text: str, wish: str) -> tuple[str, str]:
    """The unit in which a wish is found, and what it takes of it."""
    kind, _, number = wish.partition(" ")
    if kind == "formula":
        formulas = FORMULA.findall(text)
        if number.isdigit() and int(number) <= len(formulas):
            return wish, formulas[int(number) - 1]
        for formula in formulas:
            if not number or rf"\tag{{{number}}}" in formula:
                return wish, formula
        raise ValueError(f"the cell has no {wish!r}")
    if wish == "table":
        for unit in units(text):
            if unit.startswith("|"):
                return unit, unit
        raise ValueError("the cell has no table")
    words = wish.removesuffix(REST)
    for unit in units(text):
        parts = sentences(unit)
        for k, sentence in enumerate(parts):
            if begins(sentence, words):
                piece = " ".join(parts[k:]) if wish.endswith(REST) else sentence
                if hide_all(piece).count("*") % 2:  # italics that go on beyond
                    piece = piece.strip("*")
                item = ITEM.match(unit)
                return unit, f"{item[1]} {piece}" if item else piece
    raise ValueError(f"no sentence in the cell begins with {words!r}")


def before(cell: Mapping[str, Any], wanted: Sequence[str] | None) -> str:
    """The text of a Markdown cell down to the first part that is wanted, with the heading above it."""
    if cell["cell_type"] != "markdown":
        return ""
    text = "".join(cell["source"])
    if wanted is None:
        return text[: heading.end()] if (heading := HEADING.match(text)) else ""
    piece = ITEM.sub("", markdown_part(text, wanted[0])[1])
    return text[: max(text.find(piece.split("\n")[0][:20]), 0)]


def around(text: str, wanted: Sequence[str]) -> str:
    """What a cell says under the same heading as the first part that is wanted, for the speaker."""
    begun = len(HEADING.findall(before({"cell_type": "markdown", "source": text}, wanted)))
    rest = HEADING.split(text)[0::2][begun]
    return rest.partition(BOX)[0].strip()


def of_code(source: str, words: str) -> str | None:
    """The first statement of a cell, at any depth, that begins with these words."""
    lines = source.split("\n")
    tree = ast.parse(re.sub(r"^\s*[%!].*$", "pass", source, flags=re.MULTILINE))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
            if lines[first].strip().startswith(words):
                found.append((first, node.end_lineno))
    return textwrap.dedent("\n".join(lines[slice(*min(found))])) if found else None


def printed(cell: dict[str, Any]) -> str:
    return "".join("".join(output["text"]) for output in cell.get("outputs", ()) if "text" in output).rstrip()


def of_printed(cell: dict[str, Any], words: str) -> str | None:
    """The printed line that begins with these words."""
    return next((line for line in printed(cell).split("\n") if line.startswith(words)), None)
