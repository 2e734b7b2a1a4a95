"""Write the repository's address where readers look for it: ``python -m docs.address OWNER/NAME``.

Badges into README.md, `repository-code` into CITATION.cff, `[project.urls]` into pyproject.toml.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- badges:start -->", "<!-- badges:end -->"
LESSON = "00_start_here.ipynb"


def badges(repository: str) -> str:
    """Tests, Colab and Binder, as Markdown."""
    github = f"https://github.com/{repository}"
    colab = f"https://colab.research.google.com/github/{repository}/blob/colab/{LESSON}"
    binder = f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/notebooks/{LESSON}"
    shown = {
        "tests": (f"{github}/actions/workflows/tests.yml/badge.svg", f"{github}/actions/workflows/tests.yml"),
        "Open in Colab": ("https://colab.research.google.com/assets/colab-badge.svg", colab),
        "Open in Binder": ("https://mybinder.org/badge_logo.svg", binder),
    }
    return "\n".join(f"[![{text}]({picture})]({target})" for text, (picture, target) in shown.items())


def write(repository: str, root: Path = ROOT) -> None:
    """Write all three.

    Raises:
        ValueError: for what is no OWNER/NAME, and where README has no place for badges.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"{repository!r} is no OWNER/NAME")
    url = f"https://github.com/{repository}"
    readme, citation, project = (root / name for name in ("README.md", "CITATION.cff", "pyproject.toml"))
    text, count = re.subn(
        f"{START}.*?{END}",
        lambda _: f"{START}\n{badges(repository)}\n{END}",
        readme.read_text("utf-8"),
        flags=re.DOTALL,
    )
    if not count:
        raise ValueError(f"README.md has no {START} … {END}")
    readme.write_text(text, encoding="utf-8")
    lines = [line for line in citation.read_text("utf-8").splitlines() if not line.startswith("repository-code:")]
    citation.write_text("\n".join([*lines, f'repository-code: "{url}"', ""]), encoding="utf-8")
    rest = re.sub(r"\[project\.urls\]\n(?:\w+ = .*\n)*\n", "", project.read_text("utf-8"))
    urls = f'[project.urls]\nRepository = "{url}"\nChangelog = "{url}/blob/main/CHANGELOG.md"\n\n'
    project.write_text(rest.replace("[project.scripts]", f"{urls}[project.scripts]", 1), encoding="utf-8")


if __name__ == "__main__":
    write(*sys.argv[1:])
