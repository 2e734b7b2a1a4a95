"""Where the links of README, lessons and docs lead: ``python -m tests.links`` (a part of ``make lint``).

Links within the repository are followed to their file and heading. Addresses on the web are not fetched.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "data/**/*.md", "docs/**/*.md", "notebooks/*.ipynb")
BLOCKS = re.compile(r"^(```|~~~).*?^\1|<!--.*?-->", re.DOTALL | re.MULTILINE)  # code and comments
INLINE = re.compile(r"`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)  # code and formulas: E[f](x) is no link
LINK = re.compile(
    r"""\]\(\s*(?:<([^>]*)>|([^()\s]*))[^)]*\)"""  # [text](target "title"), ![alt](<target>)
    r"""|\b(?:href|src)=["']([^"']*)["']"""
    r"""|^\[(?!\^)[^\]\n]+\]:\s*(\S+)""",  # [name]: target
    re.MULTILINE,
)


def pages(root: Path = ROOT) -> list[Path]:
    """All files whose links are checked."""
    return sorted({path for pattern in PAGES for path in root.glob(pattern)})


@cache
def prose(path: Path) -> str:
    """The Markdown of a page; of a notebook, that of its Markdown cells. Blocks of code are left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return BLOCKS.sub(" ", text)


@cache
def anchors(path: Path) -> frozenset[str]:
    """What may follow # in a link to a page: as GitHub names headings, or as JupyterLab does in a notebook."""
    text = prose(path)
    names = re.findall(r"""<\w+[^>]*\b(?:id|name)=["']([^"']+)["']""", text)
    slugs: Counter[str] = Counter()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", text, re.MULTILINE):
        if path.suffix == ".ipynb":
            names.append(heading.replace(" ", "-"))
        else:
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            names.append(f"{slug}-{slugs[slug]}" if slugs[slug] else slug)
            slugs[slug] += 1
    return frozenset(names)


def broken_links(path: Path, root: Path = ROOT) -> Iterator[str]:
    """A sentence for each link of a page that leads nowhere."""
    for groups in LINK.findall(INLINE.sub(" ", prose(path))):
        link = "".join(groups)
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:  # https:, mailto:, attachment:, data:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        where = f"{path.relative_to(root)} links to {link}"
        if not target.is_relative_to(root):
            yield f"{where}, outside the repository"
        elif not target.exists():
            yield f"{where}, which is not there"
        elif parts.fragment and target.suffix in {".md", ".ipynb"} and unquote(parts.fragment) not in anchors(target):
            yield f"{where}, but {target.name} has no such heading"


def main(paths: Iterable[Path]) -> int:
    """Print what is broken; the number of broken links, at most 1 as an exit status."""
    broken = [line for path in paths for line in broken_links(path)]
    print("\n".join(broken), file=sys.stderr, end="\n" if broken else "")
    return min(len(broken), 1)


if __name__ == "__main__":
    sys.exit(main(pages()))
