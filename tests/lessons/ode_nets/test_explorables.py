"""Lesson 04: explorables plot what an independent computation finds; its measurements and tables say what was there."""

import numpy as np
import pytest
import torch
import torchdiffeq

from odelab import nets
from odelab.experiments.mnist.table import NAMES, PAPER
from odelab.lessons.ode_nets import explorables, figures
from odelab.lessons.ode_nets.figures import mosaic
from odelab.lessons.ode_nets.measures import errors_under_noise, measure_dial, with_solver
from odelab.nets import saved_for_backward as kept

# Explorables: what is plotted, against another computation, at two settings each.


@pytest.fixture(scope="module")
def model() -> nets.Classifier:
    torch.manual_seed(0)
    return nets.classifier("ode-net", stem="strided", channels=8, groups=2, rtol=1e-5, atol=1e-5).eval()


@pytest.mark.parametrize(("image", "moment"), [(2, 0), (5, 14)])
def test_feature_path_shows_the_block_at_work(model: nets.Classifier, image: int, moment: int) -> None:
    images, labels = torch.rand(12, 1, 28, 28), torch.arange(12) % 10
    data = explorables.journeys(model, images, labels)
    explorer = explorables.feature_path(data)
    text = explorer.drive(image=image, moment=moment)
    picture, tiles, plane, bars = explorer.figure.axes
    with torch.no_grad():
        t = torch.linspace(0, 1, 21)
        states = torchdiffeq.odeint(model.body.field, model.stem(images), t, rtol=1e-6, atol=1e-6)
        says = model.head(states[moment])[image].softmax(-1)
    assert np.allclose(picture.images[0].get_array(), images[image, 0])
    shown = np.ma.filled(tiles.images[0].get_array(), np.nan)
    assert np.allclose(shown[:3, 4:7], states[moment, image, 1], atol=3e-3), "the second map is the second tile"
    assert np.allclose([bar.get_width() for bar in bars.containers[0]], says, atol=1e-3)
    flat = states.flatten(2).flatten(0, 1).numpy()
    spread, axes = np.linalg.eigh(np.cov(flat.T))
    ours, theirs = data.plane.reshape(-1, 2), (flat - flat.mean(0)) @ axes[:, [-1, -2]]
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1.5e-2), "principal components, up to their signs"
    assert data.share == pytest.approx(spread[-2:].sum() / spread.sum(), abs=1e-3)
    assert np.allclose(plane.lines[-1].get_xydata()[0], data.plane[moment, image])
    assert np.allclose(plane.lines[-2].get_xydata(), data.plane[:, image])
    assert f"t = {moment / 20:.2f}: the head says {int(says.argmax())}" in text


def test_journeys_need_an_ode_block() -> None:
    with pytest.raises(ValueError, match="none"):
        explorables.journeys(nets.classifier("no-block", channels=8, groups=2), torch.rand(2, 1, 28, 28), torch.ones(2))


@pytest.mark.parametrize("tolerance", [1e-1, 1e-4])
def test_tolerance_dial_plots_what_was_measured(tolerance: float) -> None:
    measured = {
        tol: {"nfe": 14.0 + 6 * k, "gap": tol / 3, "error": 5.0 - 0.1 * k, "seconds": 0.1 + k}
        for k, tol in enumerate((1e-1, 1e-2, 1e-4))
    }
    explorer = explorables.tolerance_dial(measured, images=1000)
    text = explorer.drive(tolerance=tolerance)
    for ax, what in zip(explorer.figure.axes, ("nfe", "gap", "error", "seconds"), strict=True):
        assert ax.lines[0].get_xydata().tolist() == [[tol, row[what]] for tol, row in measured.items()]
        assert set(ax.lines[1].get_xdata()) == {tolerance}
    row = measured[tolerance]
    assert f"{row['nfe']:.0f} evaluations" in text and f"{10 * row['error']:.0f} of 1000 images" in text


# Figures and the table


def test_the_table_as_a_picture_says_which_rows_are_missing() -> None:
    names = [*NAMES.values()]
    paper = {NAMES[body]: error for body, (error, *_) in PAPER.items()}
    ours = {"small": {"RK-Net": [0.40, 0.50], "ODE-Net": []}, "large": {"no block": [0.3]}}
    fig = figures.table(names, ours, paper)
    (ax,) = fig.axes
    assert sum("no full run" in text.get_text() for text in ax.texts) == len(names) - 2
    for marker, errors in (("o", [0.40, 0.50]), ("s", [0.3])):
        assert [list(line.get_xdata()) for line in ax.lines if line.get_marker() == marker] == [errors]
    assert "small: RK-Net 0.45 %; large: no block 0.30 %" in fig.get_label() and "ODE-Net 0.42 %" in fig.get_label()
    assert "none stored yet" in figures.table(names, {"small": {}}, paper).get_label()


def test_differences_shades_by_standard_errors() -> None:
    points, errors = np.array([[0, -1.0], [1.0, 0]]), np.array([[0, 0.5], [0.5, 0]])
    fig = figures.differences(["a", "b"], points, errors, "b is two standard errors worse than a")
    assert fig.axes[0].images[0].get_array().tolist() == [[2.0]]
    assert [text.get_text() for text in fig.axes[0].texts] == ["+1.0\n± 0.5"]


def test_mosaic_lays_maps_row_by_row() -> None:
    picture = mosaic(np.arange(3 * 2 * 2).reshape(3, 2, 2))
    assert picture.shape == (5, 5) and np.isnan(picture[2]).all() and np.isnan(picture[3:, 3:]).all()
    assert picture[:2, 3:].tolist() == [[4, 5], [6, 7]] and picture[3:, :2].tolist() == [[8, 9], [10, 11]]


# Measurements


def test_kept_counts_what_is_alive() -> None:
    z, square = torch.randn(1000, requires_grad=True), torch.nn.Parameter(torch.ones(1000))
    assert kept(lambda z: z * 2, z, []) == 0
    assert kept(lambda z: (z * square).exp(), z, [square]) == 2 * 4000, (
        "z and the result of exp; weights are there anyway"
    )
    assert kept(lambda z: (z.exp().sum() * 0).detach() + z.sin(), z, []) == 4000, "what was dropped is not counted"


def test_the_dial_leaves_the_network_as_the_lesson_tests_it(model: nets.Classifier) -> None:
    images, labels = torch.rand(10, 1, 28, 28), torch.arange(10)
    dial = measure_dial(model, images, labels, (1e-1, 1e-5))
    assert dial[1e-5]["nfe"] > dial[1e-1]["nfe"] and dial[1e-5]["gap"] < dial[1e-1]["gap"]
    with torch.no_grad():
        wrong = (with_solver(model, tolerance=1e-5)(images).argmax(1) != labels).double().mean()
    assert dial[1e-5]["error"] == pytest.approx(100 * wrong.item())
    clean, noisy = errors_under_noise([model], images, labels, (0.0, 5.0))[0]
    assert clean == pytest.approx(100 * wrong.item()) and 0 <= noisy <= 100
