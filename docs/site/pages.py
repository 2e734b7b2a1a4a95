"""Pages beside the lessons: those of docs/ as they are, and those that other files know everything of."""

import base64
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.site.ledger import ledger_page
from docs.site.lessons import LINK as LESSON_LINK
from docs.site.lessons import Lesson, address, image_html, slider_html, slides_html, slug
from docs.site.which_solver import measured_table

STORED = ("docs/results.md", "docs/benchmarks.md", "docs/your_own_series.md", "docs/glossary.md")
STORED += ("docs/which_solver.md", "docs/coming_from.md", "docs/jupyterhub.md", "CHANGELOG.md")
LETTERS = Path(__file__).with_name("letters.md")
LINK = re.compile(r"\]\(<?([^()\s<>]+)>?\)")
# What begins so corrects a source: this paragraph; all to the end of the cell's section, where it stands alone.
CORRECTIONS = re.compile(
    r"(?:- )?\*\*(?:Errat(?:um|a)\b|Wording\b|Where the sources err|Slips in the notes|"
    r"Where poster, slides and data disagree)[^*]*\*\*"
)
# A sentence within the text that says what a source prints where the lesson has something else.
REMARK = re.compile(r"\bnotes print \$|\bwhich print |\bprintings |slides \([^)]*\) print |notes leave out")
NO_WORK = re.compile(r"github\.com/[^/]+/[^/]+/(?:issues|blob)/")
REFERENCE = re.compile(r"\[(?P<title>[^\]]+)\]\((?P<url>https?://(?:[^()\s]|\([^()\s]*\))+)\)")


def stored(root: Path) -> dict[str, str]:
    """Pages that are in the repository, by their path."""
    texts = {name: (root / name).read_text(encoding="utf-8") for name in STORED if (root / name).is_file()}
    texts["docs/which_solver.md"] = texts["docs/which_solver.md"].replace("<!-- measured -->", measured_table())
    return texts


def generated(course: Sequence[Lesson], sliders: Mapping[str, Any], root: Path) -> dict[str, str]:
    """Pages that are made from the lessons, by their path."""
    return {
        "index.md": front_page(course, sliders, "CHANGELOG" if (root / "CHANGELOG.md").is_file() else ""),
        "docs/install.md": install(root),
        "docs/ledger.md": ledger_page(course),
        "docs/errata.md": errata(course),
        "docs/notation.md": notation(course),
        "docs/bibliography.md": bibliography(course),
        "docs/teaching.md": teaching(course),
    }


def front_page(course: Sequence[Lesson], sliders: Mapping[str, Any], changelog: str) -> str:
    """Lesson 00's slider, what this is, the map with minutes, and the table of contents."""
    first = course[0]
    widget = next(cell for cell in first.notebook["cells"] if "widget" in cell["metadata"].get("tags", ()))
    export = sliders.get(widget["id"], "it was not exported")
    number, output = next((k, o) for k, o in enumerate(widget["outputs"]) if "image/png" in o.get("data", ()))
    source = f"_static/figures/{first.number}_{widget['id']}_{number}.png"
    image = base64.b64decode("".join(output["data"]["image/png"]))
    picture = image_html(source, output["metadata"]["image/png"]["alt"], image)
    rows = [
        f"| [{lesson.title}](notebooks/{lesson.path.name}) | {lesson.promise} | {lesson.minutes or ''} |"
        for lesson in course
    ]
    trees = {
        "Lessons": [f"notebooks/{lesson.name}" for lesson in course],
        "What came out": ["docs/results", "docs/ledger", "docs/errata", "docs/benchmarks"],
        "Using odelab": ["docs/install", "docs/which_solver", "docs/coming_from", "docs/your_own_series", "api/index"],
        "Looking up": ["docs/notation", "docs/glossary", "docs/bibliography"],
        "Teaching": ["docs/teaching", "docs/jupyterhub", *([changelog] if changelog else [])],
    }
    trees_text = "\n\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```"])
        for caption, names in trees.items()
    )
    return f"""# Neural ordinary differential equations

{first.promise}

{slider_html(export, picture, "_static/sliders")}

This is a course in executable notebooks, from a residual network seen as Euler's method to models of real data, and
the package that it builds by hand: `odelab`, ODE solvers for PyTorch that can be read in one sitting. Every result that
the course asks you to believe is checked when a notebook runs. The pages here are the notebooks with their stored
outputs; the sliders move without Python.

| lesson | what it promises | minutes |
| --- | --- | --: |
{chr(10).join(rows)}

To run the lessons, see [Running it yourself](docs/install.md). To teach them, see the
[teaching guide](docs/teaching.md): plans for 20, 45 and 90 minutes, and slides with these sliders for every lesson.
To use the solvers alone, start with [Which solver?](docs/which_solver.md). To move a script over, read
[Coming from torchdiffeq or diffrax](docs/coming_from.md). To model your own measurements, take
[Your own series](docs/your_own_series.md).

{trees_text}
"""


def install(root: Path) -> str:
    """How to run the course, as README says it.

    Raises:
        ValueError: when README has no such parts.
    """
    readme = (root / "README.md").read_text(encoding="utf-8")
    lessons = re.search(r"^```bash\n.*?(?=^## The course)", readme, re.DOTALL | re.MULTILINE)
    solver = re.search(r"^## The solver alone\n.*?(?=^A script for torchdiffeq)", readme, re.DOTALL | re.MULTILINE)
    if not lessons or not solver:
        raise ValueError("README.md has no commands above '## The course', or no '## The solver alone'")
    place = re.search(r'^repository-code: "(.+)"', (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    clone = (
        f"`git clone {place[1]}`, and in its folder:"
        if place
        else "In the folder of the course, as cloned or unpacked:"
    )
    text = re.sub(r"<details><summary><b>(.+?)</b></summary>", r"## \1", lessons[0].replace("</details>", ""))
    text = "\n".join(["# Running it yourself", "", clone, "", text, solver[0]])
    return text.replace("](docs/", "](").replace("](notebooks/", "](../notebooks/")


def errata(course: Sequence[Lesson]) -> str:
    """Everything in the lessons that corrects a source, under its lesson, in the lesson's words."""
    lines = [
        "# Errata of the sources",
        "",
        "What the lessons found wrong, or unclear, in the documents and papers that they retell; each as its lesson "
        "says it, with a link to the place.",
    ]
    for lesson in course:
        blocks = []
        for heading, text in lesson.sections():
            if wrong := [*corrections(text)]:
                blocks += [*wrong, f"[{heading}](../notebooks/{lesson.path.name}#{slug(heading)})"]
        if blocks:
            lines += ["", f"## {lesson.title}", "", from_elsewhere("\n\n".join(blocks), lesson)]
    return "\n".join(lines) + "\n"


def corrections(text: str) -> Iterator[str]:
    """The paragraphs, lists, tables and formulas of a section that correct a source."""
    unquoted = re.sub(r"^> ?|</?small>", "", text, flags=re.MULTILINE)
    blocks = [block for part in re.split(r"(\$\$.*?\$\$)", unquoted, flags=re.DOTALL) for block in paragraphs(part)]
    while blocks:
        block = blocks.pop(0)
        if marked := CORRECTIONS.match(block):
            alone = marked.end() == len(block)
            if alone or block.endswith(":"):  # what it announces goes on to the end, or is the next table or list
                block = "\n\n".join([block, *(blocks if alone else blocks[:1])])
                blocks = [] if alone else blocks[1:]
            yield re.sub(r"\\tag\{(.+?)\}", r"\\qquad(\1)", block)
        elif REMARK.search(block) and not block.startswith(("|", "$$")):
            yield " ".join(block.split())


def paragraphs(text: str) -> list[str]:
    """Parted by blank lines, and items of a list that are errata each apart; a formula is one."""
    if text.startswith("$$"):
        return [text]
    return [part.strip() for part in re.split(r"\n\s*\n|\n(?=- \*\*)", text) if part.strip()]


def from_elsewhere(text: str, lesson: Lesson) -> str:
    """Markdown of a lesson for a page in docs: its links lead to the lessons."""
    text = re.sub(r"\]\((?=\d\d_)", "](../notebooks/", text)
    text = re.sub(r"\]\(#([^)]+)\)", rf"](../notebooks/{lesson.path.name}#\1)", text)
    return LESSON_LINK.sub(address, text)


def notation(course: Sequence[Lesson]) -> str:
    """The table of letters, from the first lesson that has it, with the sentences around it; what later lessons add.

    Raises:
        ValueError: when no lesson has one.
    """
    for lesson in course:
        for heading, text in lesson.sections():
            if re.search(r"^\|.*notes.*in code.*\|$", text, re.MULTILINE):
                place = f"[{lesson.title}](../notebooks/{lesson.path.name}#{slug(heading)})"
                return f"# Notation\n\nFrom {place}.\n{text}\n{LETTERS.read_text(encoding='utf-8')}"
    raise ValueError("no lesson has the table of notation: a header row with 'notes' and 'in code'")


def bibliography(course: Sequence[Lesson]) -> str:
    """Every paper that a lesson refers to, with the lessons, and all of them as BibTeX."""
    works: dict[str, tuple[str, str, list[Lesson]]] = {}
    for lesson in course:
        for url, authors, title in references(lesson):
            known = works.setdefault(url, (authors, title, []))
            known[2].append(lesson)
            if re.search(r"\d{4}", authors) and not re.search(r"\d{4}", known[0]):
                works[url] = authors, title, known[2]  # said more fully here
    lines = [
        "# Bibliography",
        "",
        "The works that the lessons refer to; the same as BibTeX at the end of the page.",
        "",
    ]
    for url, (authors, title, cited) in sorted(works.items(), key=lambda work: work[1][0].lower()):
        places = ", ".join(f"[{lesson.number}](../notebooks/{lesson.path.name})" for lesson in dict.fromkeys(cited))
        lines.append(f"- {authors + ', ' if authors else ''}[{title}]({url}). Lessons {places}.")
    entries = [bibtex(url, authors, title) for url, (authors, title, _) in sorted(works.items())]
    return "\n".join([*lines, "", "## BibTeX", "", "```bibtex", *entries, "```", ""])


def references(lesson: Lesson) -> Iterator[tuple[str, str, str]]:
    """Address, authors with year, and title of every work that a lesson's references link to.

    What stands between the beginning of an item, or the link before, and a link are its authors.
    """
    for heading, text in lesson.sections():
        if not heading.startswith("References"):
            continue
        for item in re.split(r"\n(?=[-*] )|\n\s*\n", text):
            begun, people = 0, ""
            for link in REFERENCE.finditer(item):
                before = re.sub(r"^\s*[-*] ", "", item[begun : link.start()])
                begun = link.end()
                source_of_data = re.search(r"\bfrom( the)?\s*$", before)
                if NO_WORK.search(link["url"]) or link["title"] == "their code" or source_of_data:
                    continue
                authors, title = " ".join(before.split()).strip(" ,.;:·"), link["title"]
                if named := re.search(r": *\*(.+?)\.?\*$", authors):  # the title stands before a link to its doi
                    authors, title = authors[: named.start()], named[1]
                authors = re.sub(r"^\((?!\d{4}\))[^()]*\)[;,]? *", "", authors)  # an aside on the work before
                authors = re.split(r"(?:(?<=[^\W\d_]{2})|(?<=[*)]))[.:;] (?=[A-Z])", authors)[-1]
                authors = re.sub(r"^(\d{4}, )?and\b ?", "", authors)
                if not re.search(r"[^\W\d_]{3}", authors):  # the same people, perhaps in another year
                    authors = f"{people.rpartition(' (')[0]} {authors}" if authors else people
                people = authors
                yield link["url"], authors, title


def bibtex(url: str, authors: str, title: str) -> str:
    """One entry; its key is made of the first author, the year and the first word of the title."""
    stated = re.search(r"\((\d{4})\)|\b((?:19|20)\d{2})\b", authors)
    year = next((group for group in stated.groups() if group), "") if stated else ""
    names = re.sub(r"\(\d{4}\)|[*_]", "", authors).strip(" ,:")
    surname = re.search(r"[^\W\d_]{3,}", names)
    word = re.search(r"[^\W\d_]{3,}", title)
    key = (surname[0] if surname else "anonymous") + year + (word[0] if word else "")
    people = " and ".join(part.strip() for part in re.split(r",| and |&", names) if part.strip())
    fields = {"title": f"{{{title}}}", "author": people, "year": year, "url": url}
    inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@misc{{{key.lower()},\n{inside}\n}}"


def teaching(course: Sequence[Lesson]) -> str:
    """The folded teaching cells of all lessons, opened, one below the other."""
    lines = [
        "# Teaching guide",
        "",
        "What each lesson says to whoever teaches it: plans for 20, 45 and 90 minutes, questions that tell who has "
        "followed, and what goes wrong in class. Each lesson has slides that follow the plan for 45 minutes. "
        "`make student` writes copies for the class without solutions.",
    ]
    for lesson in course:
        for cell in lesson.notebook["cells"]:
            if "teaching" in cell["metadata"].get("tags", ()) and cell["cell_type"] == "markdown":
                text = re.sub(r"^#+ .*\n|</?details>|<summary>.*?</summary>", "", "".join(cell["source"]), flags=re.M)
                text = from_elsewhere(text, lesson)
                lines += ["", f"## [{lesson.title}](../notebooks/{lesson.path.name})", ""]
                lines += [slides_html(lesson, "../slides"), "", text.strip()]
    return "\n".join(lines) + "\n"


def copy_linked_files(source: Path, root: Path) -> None:
    """Put files that pages link to, code and data, where the links expect them: they become downloads."""
    for page in [*source.rglob("*.md"), *source.rglob("*.ipynb")]:
        place = page.relative_to(source).parent
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            path = link.partition("#")[0]
            if not path or ":" in path:
                continue
            file = (root / place / path).resolve()
            if not file.is_relative_to(root) or not file.is_file():
                continue
            target = source / file.relative_to(root)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
