"""Every lesson in JupyterLab, as a reader meets it. Screenshots are kept under build/browser/."""

from collections.abc import Callable
from pathlib import Path

import pytest

from odelab.lessons.kit.student import source, tags
from tests.browser.conftest import LESSONS
from tests.browser.excerpt import excerpt, needed_cells
from tests.browser.laboratory import Laboratory
from tests.browser.reader import Reader

MINUTES = 10  # for one lesson on two slow cores; it should take two
NARROW = 390  # pixels: a phone

Prepare = Callable[[Path], Path]
OpenReader = Callable[..., Reader]

STATED = "MNIST is a subset here"  # what a lesson says, and should, where there is neither network nor data


def check_cells(reader: Reader, file: Path) -> None:
    """Every code cell ran, none shows an error or a warning, and what is tagged as a widget is one."""
    cells, explorables = reader.save(file)["cells"], reader.explorables_by_cell()
    assert len(cells) == len(explorables)
    for cell, shown in zip(cells, explorables, strict=True):
        if cell["cell_type"] != "code" or not source(cell).strip():
            continue
        for output in cell["outputs"]:
            assert output["output_type"] != "error", f"{output['ename']}: {output['evalue']}, in {source(cell)}"
            text = "".join(output.get("text", ""))
            assert output.get("name") != "stderr" or STATED in text, text
        assert cell["execution_count"], f"not run: {source(cell)}"
        assert shown or "widget" not in tags(cell), f"shows no widget: {source(cell)}"
    assert not reader.complaints


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson(path: Path, lesson: Prepare, open_reader: OpenReader, laboratory: Laboratory) -> None:
    file = lesson(path)
    reader = open_reader(path.stem)
    reader.open(laboratory.url(path.name))
    reader.run_all(60 * MINUTES)
    reader.photograph_pages()
    check_cells(reader, file)
    for number, explorable in enumerate(reader.explorables(), start=1):
        explorable.scroll_into_view_if_needed()
        assert explorable.locator(".noUi-handle").count(), f"widget {number} has no slider"
        reader.photograph(f"widget_{number}_before", explorable)
        moved = reader.slide(explorable)
        reader.photograph(f"widget_{number}_after", explorable)
        assert moved, f"widget {number}: no slider changes both the figure and the readout"
    assert not reader.overflows()
    assert not reader.complaints


@pytest.mark.parametrize("path", LESSONS[:1], ids=lambda path: path.stem)
@pytest.mark.parametrize(("name", "theme", "width"), [("phone", "Light", NARROW), ("dark", "Dark", 1280)])
def test_other_readers(
    path: Path, name: str, theme: str, width: int, lesson: Prepare, open_reader: OpenReader, laboratory: Laboratory
) -> None:
    """On a phone and in the dark theme nothing sticks out sideways."""
    file = lesson(path)
    laboratory.theme(theme)
    try:
        reader = open_reader(f"{path.stem}_{name}", width=width)
        reader.open(laboratory.url(path.name, single=True))
        reader.run_all(60 * MINUTES)
    finally:
        laboratory.theme("Light")
    reader.photograph_pages()
    check_cells(reader, file)
    assert reader.page.evaluate("document.body.dataset.jpThemeLight") == str(theme == "Light").lower()
    assert not reader.overflows()
    assert not reader.complaints


def test_there_are_lessons() -> None:
    assert LESSONS


def test_excerpt_follows_names_back_to_the_cells_that_bind_them() -> None:
    code = ["import math", "unused = 1", "n = 3", "def f(x):\n    return math.sin(n * x)", "%time\nf(2)", "show(f)"]
    kinds = [[], [], [], [], [], ["widget"]]
    cells = [
        {"cell_type": "code", "source": text, "metadata": {"tags": kind}, "outputs": [1], "execution_count": 1}
        for text, kind in zip(code, kinds, strict=True)
    ]
    notebook = {"cells": [{"cell_type": "markdown", "source": "# Title", "metadata": {}}, *cells]}
    assert needed_cells(notebook) == {1, 3, 4, 6}
    short = excerpt(notebook, whole=False)
    assert [source(cell) for cell in short["cells"]] == ["# Title", code[0], code[2], code[3], code[5]]
    assert all(cell.get("outputs", []) == [] for cell in short["cells"])
    assert len(excerpt(notebook, whole=True)["cells"]) == 7
    assert cells[0]["outputs"] == [1], "the notebook itself stays as it was"
