"""The stored notebooks as the site shows them: pictures with their words, folded cells, sliders that move."""

import base64
import html
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from odelab.lessons.kit.style import STYLE

FOLDED = {"solution": "hide-cell", "check": "hide-input", "setup": "hide-input"}
SMALLEST_TEXT = 10 * STYLE["figure.dpi"] / 72  # pixels of a figure at its own size: no text is under 10 pt
READABLE = 9.5  # pixels: what that text keeps on a phone, where a figure wider than the screen scrolls
SCROLLED = re.compile(r'<div style="overflow-x: ?auto">')  # wide tables
FOR_A_KERNEL = re.compile(r"^\(?(?:First r|R)un the [^.\n]*Shift \+ Enter\W*(?:$| (?:Then )?(\w))", re.MULTILINE)
BY_KEYBOARD = '<div style="overflow-x: auto" tabindex="0" role="group" aria-label="Table">'
LINK = re.compile(r"\]\((?P<page>[^()\s#]*\.ipynb)?#(?P<heading>[^()\s]+)\)")


@dataclass(frozen=True)
class Lesson:
    """A notebook as stored."""

    path: Path

    @cached_property
    def notebook(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.name[:2]

    @property
    def prose(self) -> list[str]:
        """The Markdown cells."""
        return ["".join(cell["source"]) for cell in self.notebook["cells"] if cell["cell_type"] == "markdown"]

    @property
    def title(self) -> str:
        return self.prose[0].splitlines()[0].lstrip("# ")

    @property
    def promise(self) -> str:
        """The sentences in bold under the title."""
        bold = re.search(r"\*\*(.+?)\*\*", self.prose[0], re.DOTALL)
        return " ".join(bold[1].split()) if bold else ""

    @property
    def minutes(self) -> int:
        stated = re.search(r"(?:\*\*Time:?\*\*|\*\*together\*\*)\D*(\d+)", "\n".join(self.prose))
        return int(stated[1]) if stated else 0

    def sections(self) -> list[tuple[str, str]]:
        """Headings with the text below them, in order: ("Recap", "| | discrete flow …")."""
        parts = re.split(r"^#{1,4} +(.+)$", "\n\n".join(self.prose), flags=re.MULTILINE)
        return list(zip(parts[1::2], parts[2::2], strict=True))


def lessons(folder: Path) -> list[Lesson]:
    """All lessons of a folder in reading order."""
    return [Lesson(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def without_steps(text: str) -> str:
    """Without what only a page with a kernel needs: run the cells below. Then press … becomes Press …"""
    return FOR_A_KERNEL.sub(lambda step: (step[1] or "").upper(), text)


def slug(heading: str) -> str:
    """A heading's address on the site."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(lesson: Lesson, sliders: Mapping[str, Any], pictures: Path) -> dict[str, Any]:
    """The notebook of a lesson for MyST-NB.

    Args:
        sliders: cell id -> what the export of its widget wrote, or a sentence that says why there is none.
        pictures: the folder ``_static`` of the site's source, where images go.
    """
    cells = []
    for stored in lesson.notebook["cells"]:
        cell = json.loads(json.dumps(stored))
        tags = cell["metadata"].setdefault("tags", [])
        tags += [FOLDED[tag] for tag in list(tags) if tag in FOLDED]
        if cell["cell_type"] == "markdown":
            cell["source"] = SCROLLED.sub(BY_KEYBOARD, LINK.sub(address, without_steps("".join(cell["source"]))))
        if "outputs" in cell:  # how a picture is moved in Jupyter is not said where it moves
            cell["outputs"] = [output for output in cell["outputs"] if "odelab" not in output.get("metadata", {})]
        for number, output in enumerate(cell.get("outputs", [])):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = SCROLLED.sub(BY_KEYBOARD, "".join(data["text/html"]))
            if "image/png" in data:
                alt = output["metadata"]["image/png"]["alt"]
                image = base64.b64decode("".join(data["image/png"]))
                file = pictures / "figures" / f"{lesson.number}_{cell['id']}_{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(image)
                picture = image_html(f"../_static/figures/{file.name}", alt, image)
                if "widget" in tags and output["output_type"] == "execute_result":
                    picture = slider_html(sliders.get(cell["id"], "it was not exported"), picture, "../_static/sliders")
                output["data"] = {"text/html": picture, "text/plain": alt}
                output["metadata"] = {}
        cells.append(cell)
    links = slides_html(lesson, "../slides")
    cells[1:1] = [{"cell_type": "markdown", "id": "slides", "metadata": {}, "source": links}] if links else []
    return {**lesson.notebook, "cells": cells}


def slides_html(lesson: Lesson, folder: str) -> str:
    """Links to the deck of a lesson, its short cut, and the page that prints it; nothing where there is no deck."""
    if not any("slide" in cell["metadata"].get("tags", ()) for cell in lesson.notebook["cells"]):
        return ""
    deck = f"{folder}/{lesson.name}.html"
    return (
        f'<a href="{deck}">Slides</a> (<a href="{deck}?cut=15">15 minutes</a>, '
        f'<a href="{deck}?print-pdf">to print</a>; press S for the notes of the speaker)'
    )


def address(link: re.Match[str]) -> str:
    """A link to a heading, from JupyterLab's way of naming it to the site's."""
    return f"]({link['page'] or ''}#{slug(link['heading'].replace('-', ' '))})"


def image_html(source: str, alt: str, image: bytes) -> str:
    """A figure that is as wide as the page, but on a phone no smaller than its text can be read."""
    width, height = Image.open(io.BytesIO(image)).size
    least = round(width * READABLE / SMALLEST_TEXT)
    words = html.escape(alt, quote=True)
    return (
        f'<div class="figure-scroll" tabindex="0" role="group" aria-label="Figure"><img src="{source}" alt="{words}" '
        f'width="{width}" height="{height}" style="min-width:{least}px" loading="lazy"></div>'
    )


def slider_html(export: Any, picture: str, folder: str) -> str:
    """A widget that lives without a kernel; with a sentence in place of an export, its picture and why it does not."""
    if isinstance(export, str):
        return f'{picture}<p class="slider-still">This slider does not move on this page: {html.escape(export)}.</p>'
    start = html.escape(export["texts"][export["start"]])
    shown = {name: value for name, value in export.items() if name != "from"}
    spec = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<figure class="slider" data-folder="{folder}"><div class="slider-controls"></div>{picture}'
        f'<figcaption role="status" aria-live="polite">{start}</figcaption>'
        f'<script type="application/json">{spec}</script></figure>{thinned(export)}'
    )


def thinned(export: dict[str, Any]) -> str:
    """Says so, and why, where the page holds fewer positions than the notebook's sliders have."""
    drawn, all_of_them = len(export["texts"]), export.get("positions", 0)
    if drawn >= all_of_them:
        return ""
    told = f"{drawn:,} of its {all_of_them:,} positions are here: pictures of all would make the page too heavy"
    return f'<p class="slider-still">{told}, and the notebook computes them when it runs.</p>'
