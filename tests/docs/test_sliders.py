"""Lessons run and their widgets are exported, once: a lesson that stops, or a widget that cannot, is told with why."""

import json
from pathlib import Path
from typing import Any

import pytest

from docs.site import sliders
from docs.site.lessons import Lesson

SETUP = """
import ipywidgets, torch
from odelab.lessons.kit import Explorable, describe, new_figure

def widget(control):
    figure = describe(new_figure((2, 2)), "a line that rises with the slider")
    figure.subplots().plot([0, 1], [0, 1])
    return Explorable(figure, lambda figure, k: f"slope {k}, {_}", {"k": control})

_ = torch.rand(1)  # a lesson's own use of the name that IPython gives to the last output
"""


def lesson(folder: Path, *widgets: str) -> Lesson:
    cells: list[dict[str, Any]] = [{"id": "setup", "cell_type": "code", "source": SETUP, "metadata": {}}]
    for number, source in enumerate(widgets):
        tags = {"tags": ["widget"]}
        cells.append({"id": f"w{number}", "cell_type": "code", "source": source, "metadata": tags, "outputs": []})
    cells.append({"id": "last", "cell_type": "code", "source": "raise SystemError('not run')", "metadata": {}})
    path = folder / "03_small.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return Lesson(path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sliders, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_widgets_are_exported_once_and_reasons_are_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = lesson(
        tmp_path,
        "widget(ipywidgets.IntSlider(1, min=0, max=3))",
        "widget(ipywidgets.Text('free'))",
        "raise ValueError('no data')",
    )
    assert sliders.exports([small], only_kept=True) == dict.fromkeys(("w0", "w1", "w2"), sliders.NOT_EXPORTED)
    found = sliders.exports([small])
    assert [text.partition(",")[0] for text in found["w0"]["texts"]] == [f"slope {k}" for k in range(4)]
    assert "'k' has no finite choice of positions" in found["w1"]
    assert found["w2"] == "the lesson stopped before it" and "no data" in capsys.readouterr().err
    monkeypatch.setattr(sliders, "run", lambda *_: pytest.fail("run again, though nothing has changed"))
    assert sliders.exports([small]) == sliders.exports([small], only_kept=True) == found
    sliders.copy_pictures(found, tmp_path / "static")
    copied = {file.name for file in (tmp_path / "static" / "sliders" / "w0").iterdir()}
    assert copied == set(found["w0"]["frames"])


def test_a_kernel_that_dies_is_told_and_tried_again(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = lesson(tmp_path, "import os; os._exit(9)")
    for _ in range(2):
        assert sliders.exports([small]) == {"w0": "the lesson stopped before it"}
        assert "Kernel died" in capsys.readouterr().err


def test_the_cache_follows_the_code(tmp_path: Path) -> None:
    before = sliders.key(lesson(tmp_path, "widget(1)"))
    assert sliders.key(lesson(tmp_path, "widget(1)")) == before != sliders.key(lesson(tmp_path, "widget(2)"))
