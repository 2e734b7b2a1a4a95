"""The base of every explorable: it follows its controls, remembers frames, redraws only what moved, and fails aloud."""

import base64
import io

import ipywidgets as widgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from odelab.lessons.kit import Explorable, describe, new_figure
from odelab.lessons.kit.blitting import Blitter
from odelab.lessons.kit.explorable import positions

X = np.linspace(0, 6, 50)
ALT = "a sine wave that moves to the left with the phase"


class Wave:
    """A figure that counts how often it is updated."""

    def __init__(self) -> None:
        self.updated = 0
        self.figure = describe(new_figure((4, 2)), ALT)
        axes = self.figure.subplots()
        axes.plot(X, np.sin(X), label="sine")
        axes.legend(loc="upper right")
        axes.set(xlim=(0, 6), ylim=(-1.2, 1.2))

    def update(self, fig: Figure, phase: int, kind: str) -> str:
        if phase == 9:
            raise ArithmeticError("phase 9 is haunted")
        self.updated += 1
        fig.axes[0].lines[0].set_ydata(np.sin(X + phase))
        fig.axes[0].set_title(f"phase {phase}")
        return f"<phase> {phase}, {kind}"


def explorable(wave: Wave, phase: int = 1, **options: object) -> Explorable:
    controls = {
        "phase": widgets.IntSlider(value=phase, min=0, max=9),
        "kind": widgets.Dropdown(options=["a", "b"], description="sort"),
    }
    return Explorable(wave.figure, wave.update, controls, **options)


def pixels(picture: Explorable) -> np.ndarray:
    """What the reader sees, shape (height, width, 3)."""
    encoded = picture._image.value.split("base64,")[1].split('"')[0]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")).astype(int)


def test_figure_and_readout_follow_the_controls() -> None:
    picture = explorable(Wave())
    before = pixels(picture)
    picture.controls["phase"].value = 4
    assert picture.text == "<phase> 4, a" and "&lt;phase&gt; 4, a" in picture._line.value
    assert np.abs(pixels(picture) - before).max() > 50
    np.testing.assert_allclose(picture.figure.axes[0].lines[0].get_ydata(), np.sin(X + 4))
    assert picture.drive(phase=2, kind="b") == "<phase> 2, b"
    assert picture.settings == {"phase": 2, "kind": "b"}
    assert 0 < picture.frame_ms < 10_000


def test_redrawing_what_moved_gives_the_same_picture_as_drawing_anew() -> None:
    moved = explorable(Wave())
    for phase in (3, 7, 0):
        moved.drive(phase=phase)
        apart = np.abs(pixels(moved) - pixels(explorable(Wave(), phase))).max(axis=2) > 3
        assert apart.mean() < 2e-4, "more than the rim of the legend's box"


def test_frames_are_remembered_and_the_figure_stays_true() -> None:
    wave = Wave()
    picture = explorable(wave)
    picture.drive(phase=3)
    picture.drive(phase=5)
    calls = wave.updated
    assert picture.drive(phase=3) == "<phase> 3, a"
    assert wave.updated == calls, "a frame seen before was drawn again"
    np.testing.assert_allclose(picture.figure.axes[0].lines[0].get_ydata(), np.sin(X + 3))


def test_drive_draws_once_and_knows_its_controls() -> None:
    wave = Wave()
    picture = explorable(wave)
    calls = wave.updated
    picture.drive(phase=6, kind="b")
    assert wave.updated == calls + 1
    with pytest.raises(KeyError, match="no control called"):
        picture.drive(depth=3)


def test_a_failing_drawing_fails_the_cell_and_tells_the_reader() -> None:
    picture = explorable(Wave())
    with pytest.raises(ArithmeticError, match="haunted"):
        picture.controls["phase"].value = 9
    assert "could not be drawn: ArithmeticError: phase 9 is haunted" in picture._line.value
    assert picture.drive(phase=2) == "<phase> 2, a", "the next setting works again"
    np.testing.assert_allclose(picture.figure.axes[0].lines[0].get_ydata(), np.sin(X + 2))


def test_what_the_browser_test_and_a_screen_reader_look_for() -> None:
    picture = explorable(Wave(), play="phase")
    assert "odelab-explorable" in picture._dom_classes and "odelab-readout" in picture._line._dom_classes
    assert f'class="odelab-figure" alt="{ALT}"' in picture._image.value and "max-width:100%" in picture._image.value
    assert 'aria-live="polite"' in picture._line.value and "&lt;phase&gt; 1" in picture._line.value
    assert picture.controls["phase"].description == "phase" and picture.controls["kind"].description == "sort"
    assert any(isinstance(w, widgets.Play) for w in walk(picture))
    with pytest.raises(ValueError, match="too short"):
        Explorable(new_figure(), Wave().update, {})


def walk(widget: widgets.Widget) -> list[widgets.Widget]:
    return [widget, *(leaf for child in getattr(widget, "children", ()) for leaf in walk(child))]


def test_leaves_a_picture_for_places_without_a_kernel() -> None:
    data, metadata = explorable(Wave())._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and data["text/plain"] == ALT
    assert metadata["image/png"]["alt"] == ALT and f'alt="{ALT}"' in data["text/html"]
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size == (440, 220)


def test_new_artists_and_new_limits_are_drawn_too() -> None:
    """Changes beyond data: the kept background is made anew, no ghosts stay."""

    def update(fig: Figure, n: int) -> str:
        (axes,) = fig.axes
        for line in axes.lines[1:]:
            line.remove()
        axes.lines[0].set_data([0, 1], [0, 1])
        axes.set(xlim=(0, n), ylim=(0, 1))
        for k in range(1, n):
            axes.axvline(k)
        return ""

    def build(n: int) -> Explorable:
        figure = describe(new_figure((4, 2)), ALT)
        figure.subplots().plot([0, 1], [0, 1])
        return Explorable(figure, update, {"n": widgets.IntSlider(value=n, min=1, max=5)})

    moved = build(2)
    for n in (4, 1, 3):
        moved.drive(n=n)
        ink = [(pixels(picture) < 200).any(axis=2).mean() for picture in (moved, build(n))]
        assert ink[0] == pytest.approx(ink[1], rel=0.02), "ghosts or gaps"


def test_blitter_keeps_its_background_beside_a_panel_without_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    fig = Figure(figsize=(4, 2))
    bare, plain = fig.subplots(1, 2)
    bare.set_axis_off()
    picture, (line,) = bare.imshow([[0.0, 1.0]]), plain.plot([0, 1])
    blitter = Blitter(fig)
    blitter.draw_changes()
    drawn = []
    monkeypatch.setattr(blitter.canvas, "draw", lambda: drawn.append("whole"))
    for k in range(3):
        picture.set_data([[k, 1.0]])
        line.set_ydata([0, k])
        blitter.draw_changes()
    assert len(drawn) <= 1, "once to learn what moves; a whole drawing takes longer than a hand on a slider waits"


def test_positions_of_every_ordinary_control() -> None:
    assert positions(widgets.IntSlider(value=2, min=0, max=6, step=2)) == [0, 2, 4, 6]
    assert positions(widgets.FloatSlider(value=0.1, min=0, max=0.3, step=0.1)) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert positions(widgets.SelectionSlider(options=[("1e-3", 1e-3), ("1e-6", 1e-6)])) == [1e-3, 1e-6]
    assert positions(widgets.Dropdown(options=["a", "b"])) == ["a", "b"]
    assert positions(widgets.Checkbox(value=True)) == [False, True]
    assert positions(widgets.Text("free")) == []
