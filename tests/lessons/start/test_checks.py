"""Lesson 00: its explorable plots what an ODE solver computes, its map and its table tell what is there."""

import json
from fractions import Fraction
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.artist import Artist

from odelab import solve
from odelab.lessons.kit import use_style
from odelab.lessons.start import course, explorables
from odelab.lessons.start.figures import course_map, places
from tests.lessons.kit.answers import Answers, every_answer, judge
from tests.lessons.kit.contrast import faint
from tests.notebooks.reader import lessons as stored_lessons

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"


def field(t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """The rule of the lesson, written again in torch."""
    return 2 * torch.tanh(3 * z - 3 + 6 * t) - 2 * torch.tanh(2 * z + 2 - 3 * t) + 2.5 * torch.cos(5 * t)


def solved(depth: int | None) -> np.ndarray:
    """States by our solver: Euler with ``depth`` steps, or the ODE at 129 times."""
    inputs = torch.linspace(-2, 2, 11, dtype=torch.float64)
    t = torch.linspace(0, 1, (depth or 128) + 1, dtype=torch.float64)
    if depth:
        return np.asarray(solve(field, inputs, t, method="euler").y)
    return np.asarray(solve(field, inputs, t, rtol=1e-11, atol=1e-11).y)


def _middle(drawn: Artist) -> np.ndarray:
    return np.mean(drawn.get_window_extent().get_points(), axis=0)


@pytest.mark.parametrize("depth", [3, 40])
def test_explorable_plots_euler_over_the_ode(depth: int) -> None:
    explorer = explorables.residual_to_ode()
    text = explorer.drive(depth=depth)
    left, right = explorer.figure.axes
    curves, network = (line.get_ydata().reshape(11, -1)[:, :-1].T for line in left.lines[1:3])
    np.testing.assert_allclose(network, solved(depth), atol=1e-12)
    np.testing.assert_allclose(curves, solved(None), atol=1e-6)
    gap = np.abs(solved(depth)[-1] - solved(None)[-1]).max()
    np.testing.assert_allclose(right.lines[2].get_data(), [[depth], [gap]], rtol=1e-4)
    assert f"{depth} layers" in text and f"within {gap:.2g} of" in text


def test_the_readout_counts_inputs_that_changed_places() -> None:
    explorer = explorables.residual_to_ode()
    assert f"{(np.diff(solved(1)[-1]) <= 0).sum()} neighbours" in explorer.drive(depth=1)
    assert "no two inputs" in explorer.drive(depth=64)
    assert not list(faint(explorer.figure))


# The course, read from the notebooks


def test_map_and_list_hold_every_notebook() -> None:
    lessons = course.read_course(NOTEBOOKS)
    assert course.read_course() == lessons, "wherever one stands"
    files = sorted(path.name for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    assert [lesson.file for lesson in lessons.values()] == files
    assert all(lesson.minutes > 0 and len(lesson.promise) > 40 for lesson in lessons.values())
    titles = {number: lesson.short_title for number, lesson in lessons.items()}
    minutes = {number: lesson.minutes for number, lesson in lessons.items()}
    with mpl.rc_context():
        use_style()
        axes = course_map(titles, minutes, course.direct_needs(lessons)).axes[0]
        axes.figure.draw_without_rendering()
    boxes = [text.get_text() for text in axes.texts if text.get_text()]
    assert len(boxes) == 2 * len(files) and sum("min" in text for text in boxes) == len(files)
    for title, minute in zip(axes.texts[-2 * len(files) :: 2], axes.texts[1 - 2 * len(files) :: 2], strict=True):
        box = min(axes.patches, key=lambda patch: np.hypot(*(_middle(patch) - _middle(title))))
        inside, words, below = (drawn.get_window_extent() for drawn in (box, title, minute))
        assert inside.x0 < words.x0 and words.x1 < inside.x1 and words.y1 < inside.y1, title.get_text()
        assert inside.y0 < below.y0 and below.y1 < words.y0, title.get_text()
    listed = course.CourseList(lessons)._repr_markdown_()
    assert all(f"]({name})" in listed for name in files)
    stored = next(lesson for lesson in stored_lessons() if lesson.number == 0)
    shown = [
        output["data"] for cell in stored.code for output in cell.outputs if "text/markdown" in output.get("data", {})
    ]
    assert listed in ["".join(data["text/markdown"]) for data in shown], (
        "a lesson's title, promise, prerequisites or minutes changed: "
        "python -m odelab.lessons.kit.refresh notebooks/00_start_here.ipynb"
    )


def test_arrows_are_the_prerequisites_and_leave_out_what_follows_from_others() -> None:
    lessons = course.read_course(NOTEBOOKS)
    direct = course.direct_needs(lessons)

    def reached(number: int) -> set[int]:
        return {*direct[number], *(further for need in direct[number] for further in reached(need))}

    for number, lesson in lessons.items():
        assert set(lesson.needs) <= reached(number) and all(need < number for need in lesson.needs)
        for need in direct[number]:
            assert all(need not in reached(other) for other in direct[number])
    assert [number for number, before in direct.items() if not before] == [0], "a lesson that nothing leads to"


def test_lessons_stand_to_the_right_of_what_they_need_and_in_each_others_way_nowhere() -> None:
    place = places(course.direct_needs(course.read_course(NOTEBOOKS)))
    assert len(set(place.values())) == len(place)
    for number, before in course.direct_needs(course.read_course(NOTEBOOKS)).items():
        assert all(place[need][0] < place[number][0] for need in before)


def test_a_notebook_that_does_not_introduce_itself_is_named(tmp_path: Path) -> None:
    text = "# 01 · A\n\n**Promise.**\n\n> **Prerequisites** [00](00_b.ipynb), lesson 00.\n>\n> **Time** core 5 minutes"
    path = tmp_path / "01_a.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": text}]}))
    assert course.read_course(tmp_path) == {1: course.Lesson("01_a.ipynb", "A", "Promise.", 5, (0,))}
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": text.replace("Time", "Tim")}]}))
    with pytest.raises(ValueError, match=r"01_a.ipynb does not state its minutes"):
        course.read_course(tmp_path)


def test_environment_tells_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODELAB_DATA", raising=False)
    rows = course.environment().frame["here"]
    assert rows["torch"] == torch.__version__ and "found" in rows["lynx and hare counts (03)"]
    assert "not set" in rows["mnist"]
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "images.gz").touch()
    monkeypatch.setenv("ODELAB_DATA", str(tmp_path))
    monkeypatch.setattr(course, "PACKAGES", ("torch", "no-such-package"))
    table = course.environment()
    rows = table.frame["here"]
    assert rows["no-such-package"] == "not installed"
    assert "1 files" in rows["mnist"]
    assert rows["mocap"].startswith("not under ODELAB_DATA")
    assert str(tmp_path) not in repr(table) + table._repr_html_()


GAP_AT_128: Answers = {
    "half of 0.023": (0.0115, None),
    "from layers × gap": (1.47 / 128, None),
    "measured": (np.abs(solved(128)[-1] - solved(None)[-1]).max(), None),
    "a tensor": (torch.tensor(0.0116), None),
    "an eighth of the gap at 16": (0.088 / 8, None),
    "no change": (0.023, "does twice the depth change nothing"),
    "doubled": (0.046, "you let it rise"),
    "a quarter": (0.0057, "that is too much"),
    "layers × gap": (1.48, "divide it by the layers"),
    "the same difference": (0.0008, "at their difference|too small"),
    "zero": (0.0, "never becomes zero"),
    "a guess": (0.3, "too large.*by which factor|By which factor"),
    "one over the layers": (1 / 128, "too small.*By which factor"),
    "in percent": (1.15, "too large"),
    "a fraction": (Fraction(115, 10_000), None),
    "two numbers": ([0.0115, 0.0115], "one number"),
    "a word": ("half", "should be a number"),
    "the stub": (..., "not attempted"),
}


@every_answer({"gap_at_128": GAP_AT_128})
def test_answers(exercise, answer, hint, capsys):  # type: ignore[no-untyped-def]
    judge(exercise, answer, hint, capsys)
