"""The decks, built without running a lesson: what of a cell stands on a slide, and what has no effect."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from docs.site.lessons import Lesson, lessons
from docs.site.sliders import widgets
from docs.slides import html, parts
from docs.slides.decks import deck, plan
from docs.slides.html import deck_html, write
from tests.notebooks.reader import NOTEBOOKS

COURSE = lessons(NOTEBOOKS)
IDS = [lesson.name for lesson in COURSE]

TEXT = """## 2 · Bends

**Predict.** Halve the step (see He et al. (2016)). Is $a. B$ equal? So:
$$a = b \\tag{2.1}$$

<small>(2.1) · Butcher (1964).</small> It holds. *Always.* Mostly.

- **one** is first. It comes
  before
- two

> Quoted words. More of them.

**Misconception: "all is well."** It is not. *It was. It will be.*

| a | b |
|---|---|
| 1 | 2 |

$$c

= d$$"""


def test_parts_of_markdown_are_taken_by_their_opening_words() -> None:
    taken = {
        "Halve": "Halve the step (see He et al. (2016)).",
        "Halve…": "Halve the step (see He et al. (2016)). Is $a. B$ equal? So: $$a = b \\tag{2.1}$$",
        "Predict.": "**Predict.**",
        "Is $a": "Is $a. B$ equal?",
        "It holds": "It holds.",
        "Always": "*Always.*",
        "one": "- **one** is first.",
        "**one**": "- **one** is first.",
        "one…": "- **one** is first. It comes\n  before",
        "two": "- two",
        "Quoted": "Quoted words.",
        "Misconception": '**Misconception: "all is well."**',
        "It is not": "It is not.",
        "It was": "It was.",
        "It was…": "*It was. It will be.*",
        "formula 2.1": "$$a = b \\tag{2.1}$$",
        "formula 2": "$$c\n\n= d$$",
        "table": "| a | b |\n|---|---|\n| 1 | 2 |",
    }
    assert {wish: parts.of_markdown(TEXT, [wish]) for wish in taken} == taken
    together = parts.of_markdown(TEXT, ["one", "It comes", "two", "Quoted", "More"])
    assert together == "- **one** is first. It comes\n  before\n- two\n\nQuoted words. More of them."


@pytest.mark.parametrize("wish", ["Halves", "alve", "formula 3", "formula 2.2", "picture"])
def test_what_the_text_does_not_have_is_refused(wish: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wish)):
        parts.of_markdown(TEXT, [wish])


def test_statements_are_taken_at_any_depth_and_printed_lines_too() -> None:
    source = "%time\n@cache\ndef f(x):\n    while x:\n        x -= 1\n    return x\nf(3)"
    assert parts.of_code(source, "@cache") == source.split("\n", 1)[1].removesuffix("\nf(3)")
    assert parts.of_code(source, "while") == "while x:\n    x -= 1"
    assert parts.of_code(source, "for") is None
    cell = {"outputs": [{"text": "a = 1\n"}, {"text": ["b = 2\n"]}]}
    assert parts.of_printed(cell, "b =") == "b = 2" and parts.of_printed(cell, "c") is None


DOT = io.BytesIO()
Image.new("RGB", (2, 1)).save(DOT, "PNG")
PICTURE = {
    "output_type": "display_data",
    "data": {"image/png": base64.b64encode(DOT.getvalue()).decode()},
    "metadata": {"image/png": {"alt": "a dot"}},
}
PLAN = """## Teaching this lesson

<details><summary>Plans</summary>

**20 minutes**

| minutes | what | where |
|---|---|---|
| 12 | the picture | [top of the page](#03-·-Small) |
| 8 | bends | [section 2](#2-·-Bends) |

**45 minutes**: the same, and

| minutes | what | where |
|---|---|---|
| 20 | bends again | section 2 |
| 5 | goodbye | |

**90 minutes**: the same, and

| minutes | what | where |
|---|---|---|
| 45 | sleep | section 9 |

**Questions.** Who sleeps?
</details>"""


def cell(text: str, *tags: str, kind: str = "markdown", outputs: Any = (), **wishes: Any) -> dict[str, Any]:
    metadata = {"tags": list(tags)} | ({"odelab": {"slide": wishes}} if wishes else {})
    made = {"id": "c" + str(abs(hash((text, tags))))[:8], "cell_type": kind, "source": text, "metadata": metadata}
    return made | ({"outputs": list(outputs)} if kind == "code" else {})


def lesson(folder: Path, *cells: dict[str, Any]) -> Lesson:
    path = folder / "03_small.ipynb"
    first = cell("# 03 · Small\n\n**A promise. And another.**", "slide", "cut-15")
    taught = cell(PLAN, "teaching")
    path.write_text(json.dumps({"cells": [first, *cells, taught], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return Lesson(path)


def test_a_deck_of_cells(tmp_path: Path) -> None:
    small = lesson(
        tmp_path,
        cell(
            "x = 1\nprint(x)", "same-slide", kind="code", outputs=[{"text": "1\n"}], show=["print", ". . .", "output"]
        ),
        cell(TEXT, "slide", show=["Halve", "--- Two", "two", ". . .", "formula 2.1"]),
        cell("", "fragment", "check", kind="code", outputs=[PICTURE, {"text": "checked ✓\n"}]),
        cell("It is $a$.\n\n<details><summary>More</summary>\n\nRead.\n</details>", "notes"),
    )
    first, second, third = deck(small)
    assert [slide.title for slide in (first, second, third)] == ["03 · Small", "Bends", "Two"]
    assert [slide.cut for slide in (first, second, third)] == [True, False, False]
    assert [(part.kind, part.fragment) for part in first.parts[1:]] == [("code", False), ("printed", True)]
    assert [(part.content, part.fragment) for part in third.parts[:2]] == [
        ("- two", False),
        ("$$a = b \\tag{2.1}$$", True),
    ]
    assert [(part.kind, part.fragment) for part in third.parts[2:]] == [("printed", True), ("picture", True)]
    assert first.notes[0] == "**12 min** · the picture" and first.minutes == 12
    assert second.notes[:2] == ["**8 min** · bends", "**20 min** · bends again"]
    assert second.minutes == third.minutes - 5 == 14  # section 2 has two slides, the last is the goodbye
    assert second.notes[2].startswith("**Predict.** Halve") and "## 2" not in second.notes[2]
    assert third.notes[0] == "**5 min** · goodbye" and "More\n\nRead." in third.notes[-2]
    assert third.notes[-1].startswith("**Questions.**")
    page = deck_html(small, deck(small), {})
    assert page.count("<section") == 3 and len(re.findall(r"<section[^>]* data-cut", page)) == 1
    assert 'alt="a dot"' in page and r"\[a = b \tag{2.1}\]" in page
    told = "".join(re.findall(r'<aside class="notes">(.*?)</aside>', page, re.DOTALL))
    assert r"\tag" not in told and r"\qquad (2.1)" in told


FAULTS = {
    "no slide has begun": [cell("early", "notes")],
    "tag 'cut-15' and a title go with tag 'slide'": [cell("a", "slide"), cell("b", "fragment", "cut-15")],
    "has no tag 'slide', 'same-slide', 'fragment' or 'notes'": [cell("a", "slide"), cell("b", title="none")],
    "one excludes the other": [cell("a", "slide", "notes")],
    "have no effect; known are": [cell("a", "slide", tittle="b")],
    "begins with 'b'": [cell("a", "slide", show=["b"])],
    "it puts nothing on the slide": [cell("pass", "slide", kind="code", show=["output"])],
    "no statement and no printed line": [cell("pass", "slide", kind="code", show=["print"])],
    "and no 'picture 2'": [cell("pass", "slide", kind="code", outputs=[PICTURE], show=["picture 2"])],
    "the plan for 45 minutes names '2--bends'": [cell("## 1 · Else\n\na", "slide")],
}


@pytest.mark.parametrize("complaint", FAULTS)
def test_what_has_no_effect_is_refused(complaint: str, tmp_path: Path) -> None:
    small = lesson(tmp_path, *FAULTS[complaint], cell("## 2 · Bends\n\nA word."))
    if complaint.startswith("no slide"):
        notebook = json.loads(small.path.read_text())
        small.path.write_text(json.dumps({**notebook, "cells": notebook["cells"][1:]}))
        small = Lesson(small.path)
    with pytest.raises(ValueError, match=re.escape(complaint)) as raised:
        deck(small)
    assert "03_small.ipynb" in str(raised.value)


def test_a_deck_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "BYTES", 1000)
    with pytest.raises(ValueError, match="more than 0"):
        write(tmp_path, COURSE[:1], {})


class Loads(HTMLParser):
    """What a page asks for, and the alternative texts of its pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.alts: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("img", "script", "iframe", "source"):
            self.asked += [str(given["src"])] if "src" in given else []
        if tag == "link":
            self.asked.append(str(given.get("href")))
        if tag == "img":
            self.alts.append(given.get("alt"))


@pytest.mark.parametrize("lesson", COURSE, ids=IDS)
def test_every_lesson_has_a_deck_that_follows_its_plan(lesson: Lesson) -> None:
    """And every slider of it; what has no effect would raise."""
    slides = deck(lesson)
    assert slides, "no cell is tagged 'slide'"
    living = {part.content["id"] for slide in slides for part in slide.parts if part.kind == "slider"}
    assert living == {cell["id"] for cell in widgets(lesson)}, "not every widget is on a slide"
    assert any(slide.cut for slide in slides) and not all(slide.cut for slide in slides), "the 15-minute cut"
    if lesson is not COURSE[0]:  # it takes 15 minutes
        assert sum(item.minutes for item in plan(lesson)) == 45, "the plan for 45 minutes"
        assert sum(slide.minutes or 0 for slide in slides) == pytest.approx(45)
    page = Loads(deck_html(lesson, slides, {}))
    assert [asked[:40] for asked in page.asked if not asked.startswith("data:")] == []
    assert None not in page.alts and "" not in page.alts
