"""The course's style: legible, told apart without colour, and never shown without alternative text."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from odelab.lessons.kit import COLORS, Live, animate, describe, line_style, new_figure, show, use_style
from odelab.lessons.kit.animation import LARGEST, apng
from odelab.lessons.kit.ledger import code_cells
from odelab.lessons.kit.style import CYCLE, STYLE, png
from tests.complaints import no_complaints
from tests.lessons.kit.contrast import contrast_with_white, faint

ROOT = Path(__file__).resolve().parents[3]
ALT = "a straight line from zero to one"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """What the running cell would display."""
    outputs: list[tuple[dict[str, str], dict[str, Any]]] = []

    class Place:
        """An output that can be replaced."""

        def update(self, data: dict[str, str], metadata: dict[str, Any], raw: bool) -> None:
            outputs[-1] = (data, metadata)

    def display(data: dict[str, str], metadata: dict[str, Any], raw: bool, display_id: bool = False) -> Place | None:
        outputs.append((data, metadata))
        return Place() if display_id else None

    monkeypatch.setattr("IPython.display.display", display)
    return outputs


def line() -> Figure:
    fig = new_figure((4, 2))
    fig.subplots().plot([0, 1])
    return fig


def test_style_is_legible_and_double_coded() -> None:
    sizes = [value for key, value in STYLE.items() if "size" in key and "fig" not in key and "marker" not in key]
    assert min(sizes) >= 10
    styles = [line_style(k) for k in range(len(CYCLE))]
    for key in ("color", "linestyle", "marker"):
        assert len({str(style[key]) for style in styles}) == len(CYCLE), f"two curves share their {key}"
    with mpl.rc_context():
        use_style()
        axes = Figure().subplots()
        drawn = [axes.plot([0, 1])[0] for _ in CYCLE]
        assert [curve.get_color() for curve in drawn] == [COLORS[name] for name in CYCLE]
        assert len({str(curve._dash_pattern) for curve in drawn}) == len(CYCLE)


def test_every_colour_shows_on_white_even_from_a_projector() -> None:
    assert contrast_with_white("black") == pytest.approx(21) and contrast_with_white("#C9C9C9") < 2
    assert {name: contrast_with_white(color) for name, color in COLORS.items() if contrast_with_white(color) < 3} == {}


def test_a_faint_line_is_named() -> None:
    fig = line()
    assert not list(faint(fig))
    fig.axes[0].lines[0].set_alpha(0.3)
    fig.axes[0].quiver([0, 1], [0, 1], [1, 1], [0, 1], color="#C9C9C9")
    assert [("line" in sentence, "arrow" in sentence) for sentence in faint(fig)] == [(True, False), (False, True)]


@no_complaints
def test_lessons_take_their_colours_from_the_style() -> Iterator[str]:
    """Else nothing measures their contrast."""
    literal = re.compile(r"""["']#[0-9a-fA-F]{6}["']|colors?=\[?["'](?!black|white|none)\w[^"']*["']""")
    for path in [*ROOT.glob("odelab/lessons/*/*.py"), *ROOT.glob("notebooks/*.ipynb")]:
        text = "\n".join(code_cells(path)) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        for color in literal.findall(text):
            if path.name != "style.py":
                yield f"{path.relative_to(ROOT)}: {color}"


def test_show_gives_the_image_its_text_and_closes_the_figure(shown: list) -> None:
    fig, axes = plt.subplots(figsize=(4, 2))
    axes.plot([0, 1])
    show(fig, alt=f"  {ALT}\n with a <tag>")
    ((data, metadata),) = shown
    assert metadata["image/png"]["alt"] == f"{ALT} with a <tag>" == data["text/plain"]
    assert f'alt="{ALT} with a &lt;tag&gt;"' in data["text/html"]
    assert not plt.fignum_exists(fig.number)


@pytest.mark.parametrize("alt", [None, "", "a line"])
def test_no_figure_without_alternative_text(alt: str | None, shown: list) -> None:
    with pytest.raises(ValueError, match="say in a sentence"):
        show(line(), alt=alt)
    assert not shown
    show(describe(line(), ALT))
    assert shown


def test_pyplot_knows_nothing_of_a_new_figure() -> None:
    line()
    assert not plt.get_fignums()


def test_small_images_look_the_same() -> None:
    fig = line()
    whole, small = (np.asarray(Image.open(io.BytesIO(png(fig, small=s))).convert("RGB"), dtype=int) for s in (0, 1))
    assert len(png(fig, small=True)) < 0.5 * len(png(fig))
    assert np.abs(whole - small).mean() < 1


def move(fig: Figure, height: float) -> None:
    fig.axes[0].lines[0].set_ydata([0, height])


def test_animation_is_one_png_that_rests_on_its_last_frame(shown: list) -> None:
    image = Image.open(io.BytesIO(apng(line(), move, [0.1, 0.5, 0.9], fps=5)))
    assert image.n_frames == 4  # the resting image, then three
    frames = []
    for k in range(image.n_frames):
        image.seek(k)
        frames.append(np.asarray(image.convert("RGB"), dtype=int))
    assert np.abs(frames[0] - frames[3]).max() <= 3 < np.abs(frames[1] - frames[2]).max()
    animate(line(), move, [0.1, 0.9], alt=ALT)
    assert shown[0][1]["image/png"]["alt"] == ALT


def test_animation_refuses_nothing_and_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        animate(line(), move, [], alt=ALT)
    monkeypatch.setattr("odelab.lessons.kit.animation.LARGEST", 100)
    with pytest.raises(ValueError, match="fewer frames"):
        animate(line(), move, [0.1], alt=ALT)
    assert LARGEST == 400_000


def test_a_live_figure_is_redrawn_in_its_place_and_ends_as_an_animation(shown: list) -> None:
    live = Live(describe(line(), ALT), move)
    pictures = []
    for height in (0.1, 0.5, 0.9):
        live.redraw(height)
        ((data, _),) = shown  # one output, whatever is drawn in it
        pictures.append(data["image/png"])
    assert len(set(pictures)) == 3
    live.rest()
    ((data, metadata),) = shown
    assert metadata["image/png"]["alt"] == ALT
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).n_frames == 4
    live.rest(pictures=2)
    assert Image.open(io.BytesIO(base64.b64decode(shown[0][0]["image/png"]))).n_frames == 3


def test_a_live_figure_needs_a_text_and_a_picture(shown: list) -> None:
    with pytest.raises(ValueError, match="say in a sentence"):
        Live(line(), move)
    with pytest.raises(ValueError, match="at least one frame"):
        Live(describe(line(), ALT), move).rest()
    assert not shown
