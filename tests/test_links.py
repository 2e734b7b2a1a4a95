"""A link that leads nowhere is found, one that leads somewhere is not."""

import json
from pathlib import Path

import pytest

from tests.links import broken_links, pages

HEADINGS = "# Two commands\n## `make lab`, now\n## Why?\n## Why?\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "a file.md").write_text(HEADINGS)
    cells = [{"cell_type": "markdown", "source": ["## Solutions here\n", "text"]}]
    (tmp_path / "notebooks" / "01_a.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[a](notebooks/01_a.ipynb) and ![b](<a file.md>) and [c](a%20file.md 'title')", None),
        ("[a](notebooks/01_a.ipynb#Solutions-here)", None),
        ("[a](<a file.md#two-commands>), [b](a%20file.md#why-1), [c](a%20file.md#make-lab-now)", None),
        ("[here](#above)\n## Above", None),
        ('[there](#cell)<a id="cell"></a>', None),
        ("[web](https://example.org/gone#x), [mail](mailto:a@example.org)", None),
        ("`[code](gone)` and $E[f](x)$ and\n```\n[block](gone)\n```", None),
        ("[a](notebooks/02_b.ipynb)", "notebooks/02_b.ipynb, which is not there"),
        ("![picture](gone.png)", "gone.png, which is not there"),
        ('<img src="gone.png" alt="">', "gone.png, which is not there"),
        ("text [a][1]\n\n[1]: gone.md", "gone.md, which is not there"),
        ("[a](notebooks/01_a.ipynb#solutions-here)", "01_a.ipynb has no such heading"),
        ("[a](#below)\n## Above", "has no such heading"),
        ("[a](../secret.md)", "outside the repository"),
    ],
)
def test_only_broken_links_are_named(root: Path, text: str, complaint: str | None) -> None:
    page = root / "README.md"
    page.write_text(text)
    complaints = list(broken_links(page, root))
    assert not complaints if complaint is None else len(complaints) == 1 and complaint in complaints[0]


def test_all_that_readers_open_is_checked() -> None:
    names = {path.name for path in pages()}
    assert {"README.md", "CONTRIBUTING.md", "00_start_here.ipynb", "10_ode2vae_at_scale.ipynb"} <= names
