"""Lesson 13's explorables plot what an independent computation finds, at two settings each."""

import math

import numpy as np
import pytest
import torch

from odelab.experiments.after_ffjord import torsions
from odelab.experiments.after_ffjord.digits import DigitField, one_hot
from odelab.flows import CNF
from odelab.lessons.after_ffjord import explorables, figures, stored
from odelab.nets import MLPField
from tests.experiments.rows import row
from tests.lessons.kit.contrast import faint


@pytest.mark.parametrize("steps", [1, 4])
def test_few_steps_are_euler_s(steps: int) -> None:
    torch.manual_seed(1)
    flows = {name: CNF(MLPField(2, (16,))) for name in ("one", "two")}
    data = torch.randn(300, 2)
    explorer = explorables.few_steps(flows, data, count=100)
    text = explorer.drive(steps=steps)
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    for ax, (name, flow) in zip(explorer.figure.axes, flows.items(), strict=False):
        y = z
        with torch.no_grad():
            for k in range(steps):
                y = y - flow.field(1 - k / steps, y) / steps
        assert np.allclose(ax.lines[1].get_xydata(), y, atol=1e-5)
        assert name in ax.get_title() and f"{name} " in text
    curve = explorer.figure.axes[-1]
    assert list(curve.lines[-1].get_xdata()) == [steps, steps]
    assert not list(faint(explorer.figure))


@pytest.mark.parametrize(("weight", "steps"), [(0.0, 1), (3.0, 2)])
def test_guided_shows_heun_s_images(weight: float, steps: int) -> None:
    torch.manual_seed(2)
    field = DigitField(196, hidden=8)
    numbers = {"agreement": 0.5, "distance": 0.9}
    real = {"without": {"test images": {"agreement": 0.75}}}
    rows = [row({"pixels": "14 × 14"}, guidance={f"{w:g}": numbers for w in explorables.WEIGHTS}, **real)]
    explorer = explorables.guided(field, rows, each=1)
    text = explorer.drive(weight=weight, steps=steps)
    asked = one_hot(torch.arange(10))
    y = torch.randn(10, 196, generator=torch.Generator().manual_seed(0))

    def f(t: float, y: torch.Tensor) -> torch.Tensor:
        return (1 - weight) * field(t, y, 0 * asked) + weight * field(t, y, asked)

    h = 1 / steps
    with torch.no_grad():
        for k in range(steps):
            slope = f(1 - k * h, y)
            y = y - h / 2 * (slope + f(1 - (k + 1) * h, y - h * slope))
    picture = explorer.figure.axes[0].images[0].get_array()
    assert picture.shape == (15, 150)
    assert np.allclose(picture[:14, 15:29], y[1].view(14, 14).clamp(-1, 1), atol=1e-4)
    assert [list(ax.lines[-1].get_ydata()) for ax in explorer.figure.axes[1:]] == [[0.5], [0.9]]
    assert list(explorer.figure.axes[1].lines[1].get_ydata()) == [0.75, 0.75]
    assert "50.0% agree with the label (real test images 75.0%), energy distance 0.900" in text
    assert f"{2 * steps} evaluations of the guided field, {4 * steps} of the network" in text


@pytest.mark.parametrize("place", [0, 24])
def test_angles_go_from_noise_to_what_the_flow_makes_of_it(place: int) -> None:
    torch.manual_seed(0)
    flow = torsions.torus_flow(2)
    explorer = explorables.on_torus(flow, np.ones((6, 6)), points=30)
    text = explorer.drive(place=place)
    torch.manual_seed(3)
    z = flow.base.sample((30,))
    with torch.no_grad():
        expected = z if place == 0 else flow.inverse(z)
    turn = np.radians(explorer.figure.axes[0].lines[0].get_xydata()) - expected.numpy()
    assert np.abs(np.sin(turn / 2)).max() < 1e-3, "up to full turns"
    assert text.startswith("t = 1.00" if place == 0 else "t = 0.00")


def test_a_path_over_the_edge_is_cut() -> None:
    fig = figures.on_torus(np.ones((4, 4)))
    paths = np.zeros((3, 2, 2))
    paths[:, 0, 0] = [math.pi - 0.2, math.pi - 0.05, math.pi + 0.1]
    figures.update_on_torus(fig, paths, 2)
    x = fig.axes[1].lines[0].get_xdata()
    assert np.isnan(x[2]) and np.allclose(x[:2], np.degrees([math.pi - 0.2, math.pi - 0.05]))
    assert fig.axes[1].lines[1].get_xdata()[0] == pytest.approx(np.degrees(0.1 - math.pi))


def test_sheets_keep_the_order_of_images() -> None:
    images = np.arange(6)[:, None, None] / 10 * np.ones((6, 2, 2))
    sheet = figures.sheet(images, 3)
    assert sheet.shape == (6, 9) and sheet[0, 3] == pytest.approx(0.1) and sheet[3, 0] == pytest.approx(0.3)


def test_stored_weights_are_there_or_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored.stored_flow("reflow").dim == stored.stored_ffjord().dim == 2
    monkeypatch.setattr(stored, "load_weights", lambda module, name: False)
    with pytest.raises(FileNotFoundError, match="reproduce guided-digits --budget full"):
        stored.stored_digits()


@pytest.mark.parametrize(("scale", "shape"), [(0.1, "small cloud"), (0.9, "as widely")])
def test_the_text_of_a_training_says_what_its_samples_are(scale: float, shape: str) -> None:
    data = np.random.default_rng(0).normal(size=(200, 2))
    fig = figures.learning(20, data, 8, "their pairs")
    for losses in ([3.0], [3.0, 2.0]):
        figures.update_learning(fig, losses, scale * data)
    text = str(fig.get_label())
    assert "their pairs" in text and shape in text and text.count("After") == 1 and "After 2 iterations" in text
