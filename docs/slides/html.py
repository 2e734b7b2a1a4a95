"""A deck as one HTML file that needs nothing beside it: reveal.js, MathJax, pictures and sliders are within."""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from docs.site.lessons import Lesson, slider_html, thinned
from docs.site.sliders import twins
from docs.slides.decks import Part, Slide, deck

HERE = Path(__file__).parent
SLIDERS = HERE.parent / "site" / "static" / "sliders.js"  # as on the site
CODE = HtmlFormatter(style="a11y-high-contrast-light", nowrap=True)
BYTES = 15_000_000  # of one deck
BESIDE = 1.6  # a picture less wide than this times its height has the words of its slide beside it
TAG = re.compile(r"\\tag\{([^}]*)\}")  # which browsers' own mathematics, of the notes, does not know
UNBROKEN = re.compile(r'<span class="math inline">[^<]*</span>[.,;:?!)]+')  # a formula and the mark after it
BLANK = re.compile(r"\n(?=\n\n)")  # of two blank lines one
LINK = re.compile(r'<a href="(?!https?:)[^"]*">(.*?)</a>', re.DOTALL)  # to lessons that do not lie beside a deck


@cache
def markdown() -> MarkdownIt:
    """The dialect of the site's pages."""
    return (
        MarkdownIt("commonmark", {"html": True, "highlight": colored})
        .enable("table")
        .use(dollarmath_plugin, double_inline=True, allow_labels=False, renderer=formula)
    )


def colored(code: str, language: str, attrs: str = "") -> str:
    return highlight(code, PythonLexer(), CODE) if language == "python" else html.escape(code)


def formula(content: str, options: Mapping[str, Any]) -> str:
    left, right = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
    return left + html.escape(content) + right


def rendered(text: str) -> str:
    return UNBROKEN.sub(r"<span class='unbroken'>\g<0></span>", LINK.sub(r"\1", markdown().render(text)))


def write(folder: Path, course: Sequence[Lesson], sliders: Mapping[str, Any]) -> list[Path]:
    """Write the deck of each lesson that has one; the files.

    Args:
        sliders: cell id -> what the export of its widget wrote, or a sentence that says why there is none.

    Raises:
        ValueError: when a deck has more than 15 MB, or a tag of a lesson has no effect.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for lesson in course:
        if slides := deck(lesson):
            written.append(folder / f"{lesson.name}.html")
            written[-1].write_text(deck_html(lesson, slides, sliders), encoding="utf-8")
            if (size := written[-1].stat().st_size) > BYTES:
                raise ValueError(f"the deck {written[-1].name} has {size / 1e6:.1f} MB, more than {BYTES / 1e6:.0f}")
    return written


def deck_html(lesson: Lesson, slides: Sequence[Slide], sliders: Mapping[str, Any]) -> str:
    """The whole file."""
    sections = "\n".join(section(slide, sliders, "title" if slide is slides[0] else "") for slide in slides)
    styles = [packaged("sphinx-revealjs", "revealjs/dist/reveal.css"), CODE.get_style_defs(".code")]
    styles.append((HERE / "static" / "slides.css").read_text(encoding="utf-8"))
    scripts = [packaged("sphinx-revealjs", f"revealjs/{name}.js") for name in ("dist/reveal", "plugin/notes/notes")]
    scripts += [twins(), SLIDERS.read_text(encoding="utf-8")]
    scripts.append((HERE / "static" / "slides.js").read_text(encoding="utf-8"))
    scripts.append(packaged("sphinx-mathjax-offline", "mathjax/tex-svg-full.js"))
    return f"""<!doctype html>
<html lang="en">
<!-- reveal.js, its licence:
{packaged("sphinx-revealjs", "revealjs/LICENSE").strip()}
MathJax is under the Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0 -->
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(lesson.title)} · slides</title>
{"".join(f"<style>{style}</style>" for style in styles)}
</head>
<body>
<div class="reveal laid-out"><div class="slides">
{sections}
</div></div>
{"".join(f"<script>{inlined(script)}</script>" for script in scripts)}
</body>
</html>
"""


@cache
def packaged(package: str, ending: str) -> str:
    """The text of a file that a package brings.

    Raises:
        FileNotFoundError: when the package is not installed, or does not have the file.
    """
    for file in files(package) or []:
        if file.as_posix().endswith("/" + ending):
            return Path(str(file.locate())).read_text(encoding="utf-8")
    raise FileNotFoundError(f"{package} has no {ending}: pip install -e '.[docs]' -c constraints.txt")


def inlined(script: str) -> str:
    """A script whose text does not end the element it stands in."""
    return re.sub(r"<(?=/script|!--)", r"\\x3C", script, flags=re.IGNORECASE)


def section(slide: Slide, sliders: Mapping[str, Any], kind: str) -> str:
    exports = [sliders.get(part.content["id"]) for part in slide.parts if part.kind == "slider"]
    told = [*slide.notes, *(thinned(export) for export in exports if isinstance(export, dict))]
    seconds = f' data-timing="{round(60 * slide.minutes)}"' if slide.minutes else ""
    cut = " data-cut" if slide.cut else ""
    notes = rendered(TAG.sub(r"\\qquad (\1)", "\n\n".join(filter(None, told))))
    title = markdown().renderInline(slide.title)
    return (
        f'<section id="{slide.id}" class="{kind}"{cut}{seconds}><div class="page"><h2>{title}</h2>'
        f'{body(slide.parts, sliders)}</div><aside class="notes">{notes}</aside></section>'
    )


def body(parts: Sequence[Part], sliders: Mapping[str, Any]) -> str:
    """The parts one below the other, or words on the left and an upright picture on the right."""
    words, pictures, flow, upright = [], [], [], True
    for part in parts:
        text, ratio = part_html(part, sliders)
        if part.fragment:
            text = f'<div class="fragment{" of-picture" if ratio else ""}">{text}</div>'
        (pictures if ratio else words).append(text)
        flow.append(text)
        upright = upright and ratio < BESIDE
    if words and len(pictures) == 1 and upright:
        return f'<div class="body beside"><div class="words">{"".join(words)}</div>{pictures[0]}</div>'
    prose = "" if pictures or any(part.kind in ("code", "printed") for part in parts) else " prose"
    return f'<div class="body{prose}">{"".join(flow)}</div>'


def part_html(part: Part, sliders: Mapping[str, Any]) -> tuple[str, float]:
    """A part, and width over height if it is a picture, else 0."""
    if part.kind == "markdown":
        return rendered(part.content), 0
    if part.kind == "html":
        return f'<div class="shown">{part.content}</div>', 0
    if part.kind == "code":
        return f'<pre class="code"><code>{colored(BLANK.sub("", part.content), "python")}</code></pre>', 0
    if part.kind == "printed":
        return f'<pre class="printed">{html.escape(part.content)}</pre>', 0
    output = part.content
    if part.kind == "slider":
        output = next(o for o in part.content["outputs"] if "image/png" in o.get("data", ()))
    image, ratio = picture(output)
    if part.kind == "picture":
        return f'<div class="picture">{image}</div>', ratio
    export = sliders.get(part.content["id"], "it was not exported")
    return f'<div class="alive" data-prevent-swipe>{slider_html(within(export), image, "")}</div>', ratio


def picture(output: Mapping[str, Any]) -> tuple[str, float]:
    data = "".join("".join(output["data"]["image/png"]).split())
    width, height = Image.open(io.BytesIO(base64.b64decode(data))).size
    alt = html.escape(output["metadata"]["image/png"]["alt"], quote=True)
    return f'<img src="data:image/png;base64,{data}" alt="{alt}" width="{width}" height="{height}">', width / height


def within(export: Any) -> Any:
    """An export with its pictures in it."""
    if isinstance(export, str) or not export.get("frames"):
        return export
    folder = Path(export["from"]) / export["name"]
    pictures = {file: (folder / file).read_bytes() for file in dict.fromkeys(export["frames"])}
    encoded = {file: "data:image/webp;base64," + base64.b64encode(image).decode() for file, image in pictures.items()}
    return {**export, "pictures": encoded}
