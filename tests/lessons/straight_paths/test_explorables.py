"""Lesson 07's explorables plot what an independent computation finds, at two settings each."""

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.optimize import linear_sum_assignment

from odelab.lessons.straight_paths import explorables, figures
from odelab.lessons.straight_paths.figures import Trained, own_and_true

S1, S2 = explorables.FROM.numpy(), explorables.TO.numpy()


@pytest.mark.parametrize("turns", [0.5, 1.0])
def test_turning_plots_what_was_measured(turns: float) -> None:
    rng = np.random.default_rng(0)
    family = {
        k: figures.Measured(rng.normal(size=(5, 3, 2)), 80 + int(60 * k), 5 + 100 * k**2, 2.8) for k in (0, 0.5, 1)
    }
    explorer = explorables.turning(family)
    text = explorer.drive(turns=turns)
    left, right = explorer.figure.axes
    x, y = left.lines[0].get_data()
    assert np.allclose(np.stack([x, y], 1).reshape(3, 6, 2)[:, :5], family[turns].paths.transpose(1, 0, 2))
    assert np.allclose(left.lines[1].get_xydata(), family[turns].paths[0])
    assert np.allclose(left.lines[2].get_xydata(), family[turns].paths[-1])
    assert np.allclose(right.lines[0].get_ydata(), [1, 6, 21]), "energy over that of the first"
    assert np.allclose(right.lines[1].get_ydata(), [1, 110 / 80, 140 / 80])
    assert np.allclose(
        right.lines[3].get_xydata(), [(turns, line.get_ydata()[int(2 * turns)]) for line in right.lines[:3]]
    )
    assert f"NFE {family[turns].nfe}" in text and f"energy {family[turns].energy:.3g}" in text


@pytest.mark.parametrize(("angle", "percent"), [(0, 25), (90, 60)])
def test_displacement_carries_one_gaussian_to_the_other(angle: int, percent: int) -> None:
    explorer = explorables.displacement(points=60)
    explorer.drive(angle=angle, percent=0)
    start = explorer.figure.axes[0].lines[4].get_xydata().copy()
    explorer.drive(angle=angle, percent=100)
    end = explorer.figure.axes[0].lines[4].get_xydata().copy()
    text = explorer.drive(angle=angle, percent=percent)
    left, right = explorer.figure.axes
    t = percent / 100
    assert np.allclose(left.lines[4].get_xydata(), start + t * (end - start)), "straight, at constant speed"
    matrix = np.linalg.lstsq(start, end, rcond=None)[0].T  # found from what is drawn
    assert np.allclose(matrix @ S1 @ matrix.T, S2), "the mass arrives"
    assert (np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix).min() > 0) == (angle == 0)
    cost = right.lines[2].get_ydata()[0]
    assert cost == pytest.approx(np.trace((matrix - np.eye(2)).T @ (matrix - np.eye(2)) @ S1))
    assert right.lines[2].get_xdata()[0] == angle and f"cost {cost:.3f}" in text
    middle = scipy.linalg.sqrtm(scipy.linalg.sqrtm(S1) @ S2 @ scipy.linalg.sqrtm(S1)).real
    assert right.lines[1].get_ydata()[0] == pytest.approx(np.trace(S1 + S2 - 2 * middle))
    area = np.linalg.det((1 - t) * np.eye(2) + t * matrix)
    assert f"has become {area:.3f}" in text
    ring = left.lines[3].get_xydata()
    now = (1 - t) * np.eye(2) + t * matrix
    assert np.allclose(np.einsum("ni,ij,nj->n", ring, np.linalg.inv(now @ S1 @ now.T), ring), 4), (
        "the 2σ ellipse of now"
    )


def test_no_pairing_beats_the_optimal_map() -> None:
    x = np.random.default_rng(1).multivariate_normal([0, 0], S1, 80)
    matrix = explorables.gaussian_map(explorables.FROM, explorables.TO).numpy()
    cost = ((x[:, None] - (x @ matrix.T)[None]) ** 2).sum(-1)
    assert (linear_sum_assignment(cost)[1] == np.arange(80)).all()


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_regularised_plots_the_chosen_flow(strength: float) -> None:
    rng = np.random.default_rng(0)
    flows = {
        lam: Trained(
            rng.random((6, 6)), rng.normal(size=(4, 5, 2)), 3.9 - lam, 3.6 + lam, int(100 - 500 * lam), 4.0, 1.2
        )
        for lam in (0.0, 0.1)
    }
    explorer = explorables.regularised(flows, 4.0, 3.466)
    text = explorer.drive(strength=strength)
    image, paths, nll, nfe = explorer.figure.axes
    flow, place = flows[strength], [0.0, 0.1].index(strength)
    assert np.allclose(image.images[0].get_array(), flow.density)
    x, y = image.transAxes.transform((0.5, 0.5))
    picture = np.asarray(explorer._blitter.picture())
    assert (picture[len(picture) - int(y), int(x)] < 255).any(), "the moving density is not hidden by its panel"
    assert np.allclose(paths.lines[2].get_xydata(), flow.paths[-1])
    assert nll.lines[0].get_ydata().tolist() == [3.9, 3.8] and nll.lines[1].get_ydata().tolist() == [3.6, 3.7]
    assert nll.lines[-1].get_xydata().tolist() == [[place, flow.nll]]
    assert nfe.lines[-1].get_xydata().tolist() == [[place, flow.nfe]] and f"NFE {flow.nfe}" in text


def test_own_and_true_draws_both_and_what_lies_between() -> None:
    curves = {"λ = 0": (torch.tensor([4.0, 3.5]), torch.tensor([4.1, 4.2])), "λ = 1": ([4.0, 3.8], [4.0, 3.8])}
    fig = own_and_true([50, 100], curves, 3.466)
    left, right = fig.axes
    assert np.allclose(left.lines[0].get_ydata(), [4.1, 4.2]) and np.allclose(left.lines[1].get_ydata(), [4.0, 3.5])
    assert [ax.get_title() for ax in (left, right)] == [*curves] and len(fig.legends) == 1
