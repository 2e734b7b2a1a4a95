"""From the cells of a lesson to the slides of its deck, and from its teaching cell to what the speaker is told."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from docs.site.lessons import LINK, Lesson, slug
from docs.slides import parts

TAGS = {"slide", "same-slide", "fragment", "notes", "cut-15"}
BREAK, PAUSE = "---", ". . ."  # within a cell: another slide; what follows comes at the next key
PREFIX = re.compile(r"^\w+ · (Optional[^:]*: )?")  # of a heading: its number
HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)
ROW = re.compile(r"^\| *(\d+) *\|(.+)\|([^|]*)\| *$", re.MULTILINE)
PLAN = re.compile(r"\*\*(\d+) minutes\*\*")
SECTION = re.compile(r"section (\w+)")
TOP, END = "top", "end"


@dataclass(frozen=True)
class Part:
    """One thing on a slide: Markdown, Python, printed text, HTML, a picture, or a slider's cell."""

    kind: str
    content: Any
    fragment: bool = False


@dataclass
class Slide:
    """A slide before it is HTML.

    Attributes:
        headings: slugs of the headings above its first cell, outermost first.
        notes: Markdown that the speaker sees.
        minutes: what the plan gives to it, or None.
    """

    id: str
    title: str
    headings: tuple[str, ...]
    cut: bool
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    minutes: float | None = None


@dataclass(frozen=True)
class Item:
    """A row of the plan in the teaching cell: minutes, what happens, and the heading it happens under."""

    minutes: int
    what: str
    where: str


def deck(lesson: Lesson) -> list[Slide]:
    """The slides of a lesson.

    Raises:
        ValueError: naming the cell, when its tags or metadata have no effect or name what it does not have.
    """
    slides: list[Slide] = []
    above: dict[int, str] = {}
    for cell in lesson.notebook["cells"]:
        try:
            place_cell(cell, above, slides)
        except ValueError as error:
            raise ValueError(f"{lesson.path.name}, cell {cell['id']}: {error}") from error
        if cell["cell_type"] == "markdown":
            above = below_headings(above, "".join(cell["source"]))
    if slides:
        slides[0].title = lesson.title
        brief_the_speaker(lesson, slides)
    return slides


def below_headings(above: Mapping[int, str], text: str) -> dict[int, str]:
    """The headings, by their level, that something after a text stands under."""
    under = dict(above)
    for marks, heading in HEADING.findall(text):
        under = {level: name for level, name in under.items() if level < len(marks)} | {len(marks): heading}
    return under


def place_cell(cell: Mapping[str, Any], above: Mapping[int, str], slides: list[Slide]) -> None:
    """Begin slides with a cell, add it to the last one, or tell it to the speaker, as its tags say.

    Raises:
        ValueError: when a tag or an entry of the metadata has no effect.
    """
    tags = set(cell["metadata"].get("tags", ())) & TAGS
    wishes = cell["metadata"].get("odelab", {}).get("slide", {})
    if unknown := wishes.keys() - {"title", "show"}:
        raise ValueError(f"metadata {sorted(unknown)} have no effect; known are 'title' and 'show'")
    places = tags - {"cut-15"}
    if not places and (wishes or tags):
        raise ValueError("it is meant for a slide, and has no tag 'slide', 'same-slide', 'fragment' or 'notes'")
    if len(places) > 1:
        raise ValueError(f"of the tags {sorted(places)} one excludes the other")
    if not places:
        return
    if "slide" not in tags and ("cut-15" in tags or "title" in wishes):
        raise ValueError("tag 'cut-15' and a title go with tag 'slide'")
    begins, title, fragment, count = "slide" in tags, wishes.get("title"), "fragment" in tags, 0
    for kind, wish in split(wishes.get("show")):
        if kind == "pause":
            fragment = True
        elif kind == "begin":
            begins, title, fragment = True, wish, False
        else:
            if begins:
                headings = [*below_headings(above, parts.before(cell, wish)).values()]
                key = f"{cell['id']}-{count}" if count else cell["id"]
                title = title or PREFIX.sub("", headings[-1])
                slides.append(Slide(key, title, tuple(map(slug, headings)), "cut-15" in tags))
                begins, count = False, count + 1
            if not slides:
                raise ValueError(f"tag {min(places)!r}, and no slide has begun")
            if "notes" in tags:
                slides[-1].notes.append(noted(cell, wish))
            else:
                fill(slides[-1], cell, wish, fragment)


def fill(slide: Slide, cell: Mapping[str, Any], wanted: Sequence[str] | None, fragment: bool) -> None:
    """Put a cell, or what is wanted of it, on a slide; what else stands around it is told to the speaker."""
    made = shown(cell, wanted, fragment)
    if not made:
        raise ValueError("it puts nothing on the slide")
    slide.parts += made
    if wanted is not None and cell["cell_type"] == "markdown":
        around = parts.around("".join(cell["source"]), wanted)
        slide.notes += [around] if around not in slide.notes else []


def split(show: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """What to show in runs: ("show", wishes or None for all), ("pause", None), ("begin", a title or "")."""
    run: list[str] = []
    for wish in show or ():
        if wish != PAUSE and not wish.startswith(BREAK):
            run.append(wish)
            continue
        if run:
            yield "show", run
            run = []
        yield ("pause", None) if wish == PAUSE else ("begin", wish.removeprefix(BREAK).strip())
    if run or not show:
        yield "show", run or None


def shown(cell: Mapping[str, Any], wanted: Sequence[str] | None, fragment: bool) -> list[Part]:
    """What of a cell stands on the slide."""
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        words = parts.without_headings(text) if wanted is None else parts.of_markdown(text, wanted)
        return [Part("markdown", words, fragment)] if words else []
    if wanted is None:
        tags = cell["metadata"].get("tags", ())
        wanted = ["picture"] if "widget" in tags else ["output", "picture"] if "check" in tags else ["code", "output"]
    return [Part(kind, content, fragment) for wish in wanted for kind, content in code_part(cell, text, wish)]


def code_part(cell: Mapping[str, Any], text: str, wish: str) -> Iterator[tuple[str, Any]]:
    """Kind and content of each thing that a wish takes from a code cell; a widget's picture is its slider."""
    pictures = [output for output in cell["outputs"] if "image/png" in output.get("data", ())]
    kind, _, number = wish.partition(" ")
    if wish == "code":
        yield "code", text
    elif wish == "output":
        yield from outputs(cell)
    elif wish == "picture" and "widget" in cell["metadata"].get("tags", ()):
        yield "slider", cell
    elif kind == "picture" and (not number or number.isdigit()):
        if int(number or 1) > len(pictures) > 0:
            raise ValueError(f"it has {len(pictures)} pictures, and no {wish!r}")
        yield from (("picture", p) for p in (pictures[int(number) - 1 : int(number)] if number else pictures))
    elif (statement := parts.of_code(text, wish)) is not None:
        yield "code", statement
    elif (line := parts.of_printed(cell, wish)) is not None:
        yield "printed", line
    else:
        raise ValueError(f"no statement and no printed line begins with {wish!r}")


def outputs(cell: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a cell printed, and its tables."""
    if printed := parts.printed(cell):
        yield "printed", printed
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "odelab" not in output.get("metadata", {}) and "image/png" not in data:
            kinds = {"text/html": "html", "text/markdown": "markdown", "text/plain": "printed"}
            yield from [(kind, "".join(data[name])) for name, kind in kinds.items() if name in data][:1]


def noted(cell: Mapping[str, Any], wanted: Sequence[str] | None) -> str:
    """A cell, or the wanted parts of it, as the speaker sees it."""
    text = "".join(cell["source"])
    if cell["cell_type"] == "code":
        return f"```python\n{text}\n```"
    if wanted is not None:
        return parts.of_markdown(text, wanted)
    return re.sub(r"</?(details|summary)>", "", parts.without_headings(text)).strip()


def teaching(lesson: Lesson) -> str:
    """The text of the teaching cell."""
    cells = [c for c in lesson.notebook["cells"] if "teaching" in c["metadata"].get("tags", ())]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return re.sub(r"</?details>|<summary>.*?</summary>", "", parts.without_headings(text))


def plan(lesson: Lesson) -> list[Item]:
    """What 45 minutes hold (a plan for 45 minutes adds to that for 20), row by row."""
    begun = [*PLAN.finditer(teaching(lesson))]
    items = []
    for here, after in zip_longest(begun, begun[1:]):
        if int(here[1]) > 45:
            continue
        rows = teaching(lesson)[here.end() : after.start() if after else None]
        for minutes, what, where in ROW.findall(rows):
            items.append(Item(int(minutes), what.strip(), place(lesson, where)))
    return items


def place(lesson: Lesson, where: str) -> str:
    """The slug of the heading that a row of the plan names: by a link, as "section 2", or as the top of the page."""
    if "top of the page" in where:
        return TOP
    if link := LINK.search(where):
        return slug(link["heading"].replace("-", " "))
    if named := SECTION.search(where):
        for heading, _ in lesson.sections():
            if heading.startswith(f"{named[1]} · "):
                return slug(heading)
    return END


def brief_the_speaker(lesson: Lesson, slides: Sequence[Slide]) -> None:
    """Hand the rows of the plan to the slides under their headings; questions and pitfalls to the last.

    Raises:
        ValueError: when a row of the plan has no slide.
    """
    told: dict[str, list[Item]] = {}
    for item in plan(lesson):
        told.setdefault(item.where, []).append(item)
    for where, items in told.items():
        under = [slide for slide in slides if where in slide.headings[1:]]
        mine = {TOP: slides[:1], END: slides[-1:]}.get(where, under)
        if not mine:
            raise ValueError(f"{lesson.path.name}: the plan for 45 minutes names {where!r}, and no slide is from there")
        mine[0].notes[:0] = [f"**{item.minutes} min** · {item.what}" for item in items]
        for slide in mine:
            slide.minutes = (slide.minutes or 0) + sum(item.minutes for item in items) / len(mine)
    rest = re.split(
        r"\n(?=\*\*Board plan|\*\*The board|\*\*Diagnostic|\*\*Questions|\*\*What goes wrong)", teaching(lesson)
    )
    if len(rest) > 1:
        board = [text for text in rest[1:] if "oard" in text[:14]]
        slides[0].notes += board
        slides[-1].notes += [text for text in rest[1:] if text not in board]
