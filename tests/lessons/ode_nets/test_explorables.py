"""Lesson 04: explorables plot what an independent computation finds; its measurements and tables say what was there."""

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.stats import t as t_distribution

from odelab import nets
from odelab.datasets import mnist
from odelab.experiments.mnist.run import prepared
from odelab.experiments.mnist.table import NAMES, PAPER
from odelab.lessons.ode_nets import explorables, figures
from odelab.lessons.ode_nets.figures import mosaic
from odelab.lessons.ode_nets.measures import (
    error_of,
    errors_under_noise,
    less,
    measure_dial,
    stored_net,
    with_solver,
)
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


@pytest.fixture(scope="module")
def dial(model: nets.Classifier) -> figures.Dial:
    generator = torch.Generator().manual_seed(1)
    return measure_dial(
        model, torch.rand(40, 1, 28, 28, generator=generator), torch.arange(40) % 10, (1e-1, 1e-3, 1e-5)
    )


@pytest.mark.parametrize("tolerance", [1e-1, 1e-5])
def test_tolerance_dial_shows_which_answers_can_change(
    model: nets.Classifier, dial: figures.Dial, tolerance: float
) -> None:
    """Held against another library's solution."""
    images = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    explorer = explorables.tolerance_dial(
        dial,
    )
    text = explorer.drive(tolerance=tolerance)
    cloud, cost = explorer.figure.axes
    with torch.no_grad():
        ends = torchdiffeq.odeint(model.body.field, model.stem(images), torch.tensor([0.0, 1.0]), rtol=1e-6, atol=1e-6)
        exact = model.head(ends[-1])
        logits = with_solver(model, tolerance=tolerance)(images)
    best = exact.sort(1).values
    shown = np.concatenate([line.get_xydata() for line in cloud.lines[1:]])
    shown = shown[shown[:, 0].argsort()]
    order = (best[:, -1] - best[:, -2]).argsort()
    assert np.allclose(shown[:, 0], (best[:, -1] - best[:, -2])[order], atol=1e-4)
    assert np.allclose(shown[:, 1], 2 * (logits - exact).abs().amax(1)[order], atol=2e-4)
    assert cost.lines[1].get_xydata().tolist() == [[dial.measured[tolerance][what] for what in ("nfe", "gap")]]
    wrong = int((logits.argmax(1) != torch.arange(40) % 10).sum())
    assert f"({wrong} of 40 images)" in text and f"{model.block.nfe} evaluations" in text


def test_an_answer_that_differs_lies_above_the_diagonal() -> None:
    """Of images for which two classes nearly tie, because the head's bias makes it so; at a tolerance of 10."""
    torch.manual_seed(0)
    net = nets.classifier("ode-net", stem="strided", channels=8, groups=2).eval()
    images = torch.rand(300, 1, 28, 28)
    with torch.no_grad():
        logits = with_solver(net, tolerance=1e-7)(images)
        net.head[-1].bias += logits.mean() - logits.mean(0)
    data = measure_dial(net, images, torch.zeros(300), (10.0,))
    flipped, able = data.flipped[10.0], 2 * data.off[10.0] >= data.margin
    assert flipped.sum() > 10 and not (flipped & ~able).any()


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


def test_apart_draws_two_standard_errors_of_each_row() -> None:
    quick = {"a": (1.0, 0.2, 0.4), "b": (0.3, 0.25, 0.5)}
    rows = {"a": figures.Difference(2.0, 0.1, True), "b": figures.Difference(-0.1, 0.06, False)}
    fig = figures.apart("c", quick, {"small": rows, "large": {}})
    left, right = fig.axes
    bars = [sorted(np.ptp(np.array(path), 0)[0] for path in bar.lines[2][0].get_segments()) for bar in left.containers]
    assert bars == [pytest.approx([1.6, 2.0]), pytest.approx([0.8, 1.0])]
    assert right.containers[0].lines[2][0].get_segments()[0][:, 0] == pytest.approx([-0.16, -0.04])
    assert right.containers[0].lines[0].get_markerfacecolor() == "white", "not told apart"
    assert [text.get_text() for text in right.texts] == ["beyond this axis: +2.00 ± 0.10 →"]
    assert "outside for a." in fig.get_label()
    assert "small: a +2.00 ± 0.10, told apart, b −0.10 ± 0.06; large: none" in fig.get_label()


def test_less_is_a_difference_of_means_with_welchs_interval() -> None:
    errors = {"a": [1.0, 2.0, 3.0], "b": [0.5, 0.7], "c": [4.0]}
    row = less(errors, "b")["a"]
    error = (1 / 3 + 0.02 / 2) ** 0.5
    freedom = error**4 / ((1 / 3) ** 2 / 2 + (0.02 / 2) ** 2)
    assert row.points == pytest.approx(1.4)
    assert row.half == pytest.approx(t_distribution.ppf(0.975, freedom) * error)
    assert not row.told_apart and [*less(errors, "b")] == ["a"]
    assert less(errors, "c") == {}, "one seed has no scatter"


def test_an_interval_without_zero_is_not_enough_when_many_pairs_are_asked() -> None:
    """As in the table of pairs: corrected after Holm for all pairs, also for those that are not drawn."""
    errors = {"a": [1.0, 1.1, 1.2], "b": [1.3, 1.4, 1.5]}
    alone = less(errors, "b")["a"]
    assert alone.told_apart and abs(alone.points) > alone.half
    among_many = less(errors | {"c": [1.2, 1.3, 1.4], "d": [1.25, 1.35, 1.45]}, "b")["a"]
    assert abs(among_many.points) > among_many.half and not among_many.told_apart


def test_learning_grows_curve_by_curve() -> None:
    fig = figures.learning(["a", "b"], 100)
    figures.update_learning(fig, {"b": ([10, 20], [50.0, 0.5])})
    assert [line.get_xydata().tolist() for line in fig.axes[0].lines] == [[], [[10, 50], [20, 2]]], "2 is the rim"


def test_a_solvers_bill_has_both_solvers_in_three_panels_and_training_in_the_fourth() -> None:
    row = {"nfe": [14, 26], "error": [1e-2, 1e-3], "seconds": [0.1, 0.2], "backward": [7, 26]}
    bill = figures.solver_bill({"dopri5": row, "LSODA": row})
    time = figures.solver_time({"dopri5": row, "LSODA": row}, {"by pass": ([1, 2], [20, 26])})
    panels = [*bill.axes, *time.axes]
    assert [len(ax.lines) for ax in panels] == [2, 4, 2, 1]
    for ax, values in zip(panels, (row["error"], [0.5, 1.0], row["seconds"]), strict=False):
        assert ax.lines[1].get_xydata().tolist() == [[n, v] for n, v in zip(row["nfe"], values, strict=True)]
    assert panels[3].lines[0].get_xydata().tolist() == [[1, 20], [2, 26]]
    assert "dopri5 from 0.5 to 1" in bill.get_label() and "by pass from 20 to 26" in time.get_label()


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
    measured = measure_dial(model, images, labels, (1e-1, 1e-5)).measured
    assert measured[1e-5]["nfe"] > measured[1e-1]["nfe"] and measured[1e-5]["gap"] < measured[1e-1]["gap"]
    assert model.block.rtol == model.block.atol == 1e-3
    with torch.no_grad():
        wrong = (with_solver(model, tolerance=1e-5)(images).argmax(1) != labels).double().mean()
    assert measured[1e-5]["error"] == pytest.approx(100 * wrong.item())
    clean, noisy = errors_under_noise([model], images, labels, (0.0, 5.0))[0]
    assert clean == pytest.approx(100 * wrong.item()) and 0 <= noisy <= 100


def test_the_stored_network_reads_digits() -> None:
    """Whatever images are at hand; its own full run has the number."""
    digits = mnist("test").subset(200)
    net = stored_net()
    assert error_of(net, prepared(digits), digits.y) < 4 and net.block.rtol == 1e-3 and net.block.method == "dopri5"
