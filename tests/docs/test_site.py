"""The site, built without running a lesson: what its pages hold, and where their links lead."""

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs.site import api
from docs.site.__main__ import build
from docs.site.ledger import items
from docs.site.lessons import lessons, slider_html, without_steps
from docs.site.mathematics import MENTION, anchor
from docs.site.pages import LETTERS, STORED, bibliography, corrections
from docs.site.sliders import widgets
from tests.complaints import no_complaints
from tests.lessons.kit.test_ledger import REQUIRED
from tests.notebooks.reader import NOTEBOOKS

ROOT = Path(__file__).resolve().parents[2]
COURSE = lessons(NOTEBOOKS)
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}  # what a browser fetches


class Page(HTMLParser):
    """A built page: what it loads, links to, and names; its images; its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.alts: list[str | None] = []
        self.text: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        address = found.get(LOADED.get(tag, ""))
        if address and not (tag == "link" and found.get("rel") in ("canonical", "next", "prev", "index", "search")):
            self.loads.append(address)
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if found.get("id"):
            self.ids.add(str(found["id"]))
        if tag == "img":
            self.alts.append(found.get("alt"))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


class Site:
    """All pages by their path below the root of the site."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def pages(self) -> dict[str, Page]:
        return {path.relative_to(self.root).as_posix(): Page(path) for path in sorted(self.root.rglob("*.html"))}

    def lesson(self, name: str) -> Page:
        return self.pages[f"notebooks/{name}.html"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Sphinx turns every warning into a failure, a link that it cannot resolve among them."""
    folder = tmp_path_factory.mktemp("site")
    build(folder, {})
    return Site(folder / "html")


def test_every_page_is_there(site: Site) -> None:
    wanted = {f"notebooks/{lesson.name}.html" for lesson in COURSE}
    wanted |= {f"docs/{name}.html" for name in ("install", "ledger", "errata", "notation", "bibliography", "teaching")}
    wanted |= {str(Path(name).with_suffix(".html")) for name in STORED if (ROOT / name).is_file()}
    wanted |= {f"api/{room.replace('.', '_')}.html" for room in api.ROOMS} | {"index.html", "search.html"}
    assert wanted <= site.pages.keys()


def test_nothing_is_loaded_from_elsewhere(site: Site) -> None:
    loaded = {f"{name}: {address}" for name, page in site.pages.items() for address in page.loads}
    assert [line for line in loaded if urlsplit(line.partition(": ")[2]).netloc] == []
    assert (site.root / "_static/mathjax/tex-svg.js").stat().st_size > 1_000_000
    styles = "".join(path.read_text(encoding="utf-8") for path in site.root.rglob("*.css"))
    assert re.findall(r"""(?:@import|url\()\s*["']?(?:https?:)?//[^)"']+""", styles) == []


def test_every_internal_link_leads_somewhere(site: Site) -> None:
    broken = []
    for name, page in site.pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = (site.root / name).parent / unquote(parts.path) if parts.path else site.root / name
            target = site.pages.get(path.resolve().relative_to(site.root.resolve()).as_posix())
            if not path.exists() or (parts.fragment and target and unquote(parts.fragment) not in target.ids):
                broken.append(f"{name} links to {link}")
    assert broken == []


def test_every_figure_keeps_its_alternative_text(site: Site) -> None:
    for lesson in COURSE:
        stored = [
            output["metadata"]["image/png"]["alt"]
            for cell in lesson.notebook["cells"]
            for output in cell.get("outputs", ())
            if "image/png" in output.get("data", ())
        ]
        shown = [alt for alt in site.lesson(lesson.name).alts if alt not in ("", "Logo image")]
        assert stored and [alt for alt in shown if alt in stored] == stored, lesson.name
        assert None not in site.lesson(lesson.name).alts


def test_every_numbered_equation_has_an_address_and_mathjax_sees_its_number_outside_a_split(site: Site) -> None:
    count = 0
    for lesson in COURSE:
        page = site.lesson(lesson.name)
        for number in re.findall(r"\\tag\{([^}]*)\}", "\n".join(lesson.prose)):
            assert anchor(number) in page.ids, f"{lesson.name}: {number}"
            count += 1
        blocks = re.findall(r'<div class="math[^"]*">(.*?)</div>', page.source, re.DOTALL)
        assert not [block for block in blocks if r"\begin{split}" in block and r"\tag" in block]
    assert count > 80
    linked = [link for page in site.pages.values() for link in page.links if "#eq-" in link and ".html" in link]
    assert len(linked) > 50, "other pages link to equations"


def test_values_in_parentheses_are_no_mentions_of_equations() -> None:
    assert MENTION.findall("by (5.6) and (3.5), z(1.2), a′(2.3)") == ["5.6", "3.5"]


def test_solutions_checks_and_setups_are_folded(site: Site) -> None:
    folded = {"solution": "tag_hide-cell", "check": "tag_hide-input", "setup": "tag_hide-input"}
    seen = 0
    for lesson in COURSE:
        page = site.lesson(lesson.name)
        for tag, kind in folded.items():
            cells = [
                c for c in lesson.notebook["cells"] if tag in c["metadata"].get("tags", ()) and c["cell_type"] == "code"
            ]
            shown = re.findall(
                rf'class="cell [^"]*\b{kind}\b[^"]*\btag_{tag}\b|class="cell [^"]*\btag_{tag}\b[^"]*\b{kind}\b',
                page.source,
            )
            assert len(shown) == len(cells), f"{lesson.name}: {tag}"
            seen += len(cells)
    assert seen > 40


def test_claims_wrap_on_a_phone(site: Site) -> None:
    style = (site.root / "_static/site.css").read_text(encoding="utf-8")
    assert re.search(r"div\.cell_output pre \{[^}]*white-space: pre-wrap", style)


def test_the_front_page_is_lesson_00s_slider(site: Site) -> None:
    front = site.pages["index.html"]
    (widget,) = widgets(COURSE[0])
    alt = next(o["metadata"]["image/png"]["alt"] for o in widget["outputs"] if "image/png" in o["data"])
    assert alt in front.alts
    assert {f"notebooks/{lesson.name}.html" for lesson in COURSE} <= set(front.links)


def test_search_finds_the_adjoint(site: Site) -> None:
    index = (site.root / "searchindex.js").read_text(encoding="utf-8")
    terms = json.loads(re.search(r"Search\.setIndex\((.*)\)", index, re.DOTALL)[1])  # type: ignore[index]
    pages = set()
    for kind in ("terms", "titleterms"):
        found = terms[kind].get("adjoint", [])
        pages |= {terms["docnames"][k] for k in (found if isinstance(found, list) else [found])}
    assert "notebooks/03_adjoint" in pages


def test_the_ledger_is_complete(site: Site) -> None:
    known = [item for rows in items().values() for item in rows]
    names = {name for item in known for name in (item.source, item.checked_as)}
    assert names >= REQUIRED, "sources.toml leaves something out"
    assert len(items()) == 5 and len({item.source for item in known}) == len(known)
    text = " ".join(site.pages["docs/ledger.html"].text)
    rows = re.findall(r"<tr class=\"row-\w+\"><td>", site.pages["docs/ledger.html"].source)
    assert len(rows) >= len(known)
    assert "missing: no lesson checks it" not in text.replace("\n", " ")
    for lesson, section in {(item.lesson, item.section) for item in known if item.lesson}:
        assert any(lesson == other.name for other in COURSE), f"{section}: no lesson {lesson}"


def test_every_erratum_is_on_its_page(site: Site) -> None:
    """Whatever a lesson announces in bold as an error, a slip or a disagreement of its sources."""

    def letters(text: str) -> str:
        return re.sub(r"\W", "", text)  # Sphinx curls quotation marks

    text = letters("".join(site.pages["docs/errata.html"].text))
    words = r"[Ee]rrat(?:um|a)|[Ww]ording|[Mm]isprints?|[Ss]lips?|err|disagree"
    bold = rf"^(?:> |- )?\*\*([^*\n]*\b(?:{words})\b[^*\n]*)\*\*(.*)"
    announced = [
        (a + b) for lesson in COURSE for prose in lesson.prose for a, b in re.findall(bold, prose, re.MULTILINE)
    ]
    assert len(announced) > 12
    for sentence in announced:
        assert letters(re.split(r"[$*`(\[]", sentence)[0]) in text, sentence
    assert "Asignismissing" in text and "50ofthe62recorded" in text, "what an announcement announces"


def test_corrections_are_taken_whole() -> None:
    text = "a\n\n> **Erratum.** One.\n> More.\n\nb\n\n**Where the sources err**\n\n- c\n\nd\n\n$$x \\tag{3.1}$$\n\ne"
    assert [*corrections(text)] == [
        "**Erratum.** One.\nMore.",
        "**Where the sources err**\n\n- c\n\nd\n\n$$x \\qquad(3.1)$$\n\ne",
    ]
    text = "- **Wording** of a.\n- **Wording** of b.\n\nThe notes print $c$ here.\n\n**Errata:**\n\n| t |\n\nno"
    assert [*corrections(text)] == [
        "- **Wording** of a.",
        "- **Wording** of b.",
        "The notes print $c$ here.",
        "**Errata:**\n\n| t |\n\nno",
    ]


@no_complaints
def test_letters_are_those_of_the_lessons() -> Iterator[str]:
    """Each stands in a formula of its lesson, each name in its code; from 02 on every lesson adds some."""
    rows = re.findall(r"^\| (\d\d) \|(.*)\|(.*)\|(.*)\|$", LETTERS.read_text(encoding="utf-8"), re.MULTILINE)
    by_number = {lesson.number: lesson for lesson in COURSE}
    yield from (f"lesson {n} adds none" for n in by_number.keys() - {n for n, *_ in rows} - {"00", "01"})
    for number, letters, _, names in rows:
        prose = "\n".join(by_number[number].prose)
        formulas = " ".join(re.findall(r"\$\$.*?\$\$|\$[^$]+\$", prose, re.DOTALL))
        code = "\n".join("".join(cell["source"]) for cell in by_number[number].notebook["cells"])
        for letter in re.findall(r"\$([^$]+)\$", letters):
            if letter.replace(r"\|", "|") not in formulas:
                yield f"lesson {number} has no {letter}"
        for name in re.findall(r"`([^`]+)`", names):
            if not re.search(rf"\b{re.escape(name)}\b", code):
                yield f"lesson {number} has no {name} in code"


def test_the_glossary_is_in_order_and_has_words_of_every_lesson() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line.startswith("- **")]
    words = [re.sub(r"\W", "", unicodedata.normalize("NFKD", line.split("**")[1])).lower() for line in entries]
    assert words == sorted(words) and len(set(words)) == len(words)
    said = "\n".join(entries)
    assert [lesson.number for lesson in COURSE[1:] if f"[{lesson.number}](" not in said] == []


def test_every_cited_work_is_in_the_bibliography(site: Site) -> None:
    cited = {
        link
        for lesson in COURSE
        for heading, text in lesson.sections()
        if heading.startswith("References")
        for link in re.findall(r"\]\((https?://(?:arxiv|doi)\.org/(?:[^()\s]|\([^()\s]*\))+)\)", text)
    }
    assert len(cited) > 40 and cited <= set(site.pages["docs/bibliography.html"].links)


@no_complaints
def test_works_are_told_with_their_authors() -> Iterator[str]:
    for line in bibliography(COURSE).partition("## BibTeX")[0].splitlines():
        if line.startswith("- ") and not re.match(r"- (?:[A-Z]\.[ -]?)*[^\W\d_]{2,}[^\[]*, \[[^\]]", line):
            yield line
        if "/issues/" in line or "their code" in line:
            yield f"no work: {line}"


def test_no_page_asks_to_run_a_cell(site: Site) -> None:
    """The stored lessons do, and what they say next stays."""
    assert sum("Shift + Enter" in prose for lesson in COURSE for prose in lesson.prose) > 8
    assert [name for name, page in site.pages.items() if "Shift + Enter" in page.source and "notebooks" in name] == []
    said = "Run the two cells below (click into a cell, press Shift + Enter)."
    assert without_steps(f"a\n{said} Then press ▶.\n\n{said}") == "a\nPress ▶.\n\n"
    assert without_steps("(First run the two cells below: click and press Shift + Enter.)\nb") == "\nb"


def public_names() -> Iterator[tuple[str, str]]:
    for room in api.ROOMS:
        for name in api.names(room):
            yield room, name


def test_every_public_name_is_in_the_reference(site: Site) -> None:
    for room, name in public_names():
        page = site.pages[f"api/{room.replace('.', '_')}.html"]
        assert re.search(rf"<h2>{name}<", page.source), f"odelab.{room}.{name}"
    assert "Taught in" in " ".join(site.pages["api/solvers.html"].text)


def test_a_widget_without_an_export_says_so_and_one_with_an_export_lives() -> None:
    still = slider_html("its lesson <stopped>", "<img>", "folder")
    assert still.startswith("<img>") and "does not move on this page: its lesson &lt;stopped&gt;." in still
    export = {"texts": ["a </script> b", "c"], "start": 0, "from": "/nowhere", "positions": 4, "name": "w"}
    live = slider_html(export, "<img>", "folder")
    assert live.count("</script>") == 1 and "/nowhere" not in live
    assert "2 of its 4 positions are here: pictures of all" in live
    assert '<figcaption role="status" aria-live="polite">a &lt;/script&gt; b</figcaption>' in live
