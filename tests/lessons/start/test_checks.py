"""Lesson 00: its explorable plots what an ODE solver computes, its map and its table tell what is there."""

from pathlib import Path

import numpy as np
import pytest
import torch

from odelab import solve
from odelab.lessons.start import checks as course
from odelab.lessons.start import explorables
from odelab.lessons.start.figures import course_map

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


def test_every_notebook_is_on_the_map_and_nothing_else_is_called_ready(tmp_path: Path) -> None:
    ready = course.ready_lessons(NOTEBOOKS)
    assert set(ready) == {int(path.name[:2]) for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    assert set(ready) <= {stop.number for stop in course.LESSONS} and all(minutes > 0 for minutes in ready.values())
    texts = [text.get_text() for text in course_map(course.LESSONS, ready).axes[0].texts]
    assert sum(text == "planned" for text in texts) == len(course.LESSONS) - len(ready)
    assert course.ready_lessons(tmp_path) == {}


def test_lessons_stand_to_the_right_of_what_they_build_on_or_below() -> None:
    place = {stop.number: stop.place for stop in course.LESSONS}
    for stop in course.LESSONS:
        for number in stop.needs:
            right, down = stop.place[0] - place[number][0], place[number][1] - stop.place[1]
            assert right > 0 or (right == 0 and down > 0)


def test_environment_tells_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODELAB_DATA", raising=False)
    rows = course.environment().frame["here"]
    assert rows["torch"] == torch.__version__ and "found" in rows["lynx–hare counts (lesson 03)"]
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
