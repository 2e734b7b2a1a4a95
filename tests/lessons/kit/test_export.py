"""Explorables for pages without a kernel: what is exported is what the sliders say, at every position."""

import io
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from odelab.lessons.kit import Explorable, describe, new_figure
from odelab.lessons.kit.export import Twin, export, positions
from odelab.lessons.solvers.explorables import tolerance_explorer
from odelab.lessons.start.explorables import residual_to_ode

X = np.linspace(0, 6, 50)


def wave(**options: object) -> Explorable:
    """A sine of 21 phases, two kinds and a box; every picture is another one."""
    figure = describe(new_figure((4, 2)), "a sine wave that moves to the left with the phase")
    figure.subplots().plot(X, np.sin(X))

    def update(fig: Figure, phase: float, kind: str, flipped: bool) -> str:
        fig.axes[0].lines[0].set_ydata((-1) ** flipped * np.sin(X + phase) * (1 if kind == "full" else 0.5))
        return f"{kind}, {phase:.2f}, {flipped}"

    controls = {
        "phase": widgets.FloatSlider(value=0.35, min=0, max=1, step=0.05, readout_format=".2f"),
        "kind": widgets.Dropdown(options=["half", "full"], description="size"),
        "flipped": widgets.Checkbox(True),
    }
    return Explorable(figure, update, controls, **options)


@pytest.mark.parametrize("make", [wave, residual_to_ode, tolerance_explorer])
def test_readouts_are_those_of_drive_at_every_position(make: Callable[[], Explorable]) -> None:
    shown, other = make(), make()
    spec = shown.export().spec
    places = [positions(control) for control in other.controls.values()]
    assert spec["positions"] == len(spec["texts"]) == len(spec["frames"])
    for text, values in zip(spec["texts"], product(*places), strict=True):
        assert text == other.drive(**dict(zip(other.controls, values, strict=True)))


def test_pictures_are_those_of_the_figure_and_the_explorable_stays_as_it_is() -> None:
    shown = wave()
    before, text = shown.settings, shown.text
    made = shown.export()
    assert shown.settings == before and shown.text == text == made.spec["texts"][made.spec["start"]]
    file = made.spec["frames"][made.spec["start"]]
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (made.pictures[file], shown.png)]
    assert pictures[0].size == pictures[1].size == (440, 220)
    gap = np.abs(np.asarray(pictures[0], int) - np.asarray(pictures[1], int))
    assert gap.max() < 60 and gap.mean() < 1, "fewer colours, no other picture"


def test_controls_are_told_as_a_page_needs_them() -> None:
    phase, kind, flipped = wave().export().spec["controls"]
    assert (phase["name"], phase["label"], phase["kind"]) == ("phase", "phase", "range")
    assert phase["labels"][:2] == ["0.00", "0.05"] and phase["labels"][phase["start"]] == "0.35"
    assert (kind["label"], kind["kind"], kind["labels"], kind["start"]) == ("size", "list", ["half", "full"], 0)
    assert (flipped["kind"], flipped["start"]) == ("box", 1)


def test_too_many_positions_are_thinned_but_ends_rest_and_lists_stay() -> None:
    whole = wave().export()
    thin = export(wave(), budget=whole.bytes // 3)
    phase, kind, flipped = thin.spec["controls"]
    assert thin.bytes <= whole.bytes // 3 and len(thin.spec["texts"]) < len(whole.spec["texts"]) == 84
    assert {"0.00", "0.35", "1.00"} <= set(phase["labels"]) and len(kind["labels"]) == len(flipped["labels"]) == 2
    assert thin.spec["positions"] == 84 and set(thin.spec["texts"]) < set(whole.spec["texts"])
    assert len(export(wave(), budget=whole.bytes).spec["texts"]) == 84, "thinned, though all of it fits"
    with pytest.raises(ValueError, match=r"\d positions do not fit"):
        export(wave(), budget=100)


def test_a_twin_takes_the_place_of_pictures() -> None:
    made = wave(twin=Twin("wave", {"speed": 2})).export()
    phase, kind, _ = made.spec["controls"]
    assert made.pictures == {} and made.spec["twin"] == "wave" and made.spec["data"] == {"speed": 2}
    assert wave(twin=Twin("wave", lambda: {"speed": 3})).export().spec["data"] == {"speed": 3}
    assert (phase["min"], phase["max"], phase["step"], phase["start"]) == (0, 1, 0.05, 0.35)
    assert kind["values"] == kind["labels"] == ["half", "full"]
    assert made.spec["texts"] == ["half, 0.35, True"]


def test_a_control_without_positions_needs_a_twin() -> None:
    figure = describe(new_figure((4, 2)), "nothing is drawn in this figure")
    free = Explorable(figure, lambda fig, word: word, {"word": widgets.Text("free")})
    with pytest.raises(ValueError, match="'word' has no finite choice of positions: give the explorable a twin"):
        free.export()


def test_saved_files_hold_all(tmp_path: Path) -> None:
    made = wave().export()
    made.save(tmp_path, "w1")
    spec = json.loads((tmp_path / "w1.json").read_text(encoding="utf-8"))
    assert spec == {"name": "w1", **json.loads(json.dumps(made.spec))}
    assert {file.name for file in (tmp_path / "w1").iterdir()} == set(spec["frames"])
