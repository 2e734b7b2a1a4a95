"""Lesson 07's explorables plot what an independent computation finds, at two settings each."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.optimize import linear_sum_assignment

from odelab.datasets import density
from odelab.experiments.flow_training import points_of
from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.results import Row
from odelab.lessons.straight_paths import explorables, figures, stored
from odelab.lessons.straight_paths.figures import Trained
from tests.experiments.rows import row
from tests.experiments.run_context import context_in

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


def test_turning_flows_are_those_of_section_1() -> None:
    x = density("8gaussians").sample(20, torch.Generator().manual_seed(0))
    family = explorables.turning_flows(x)
    assert [*family] == [k / 4 for k in range(9)]
    truth = -density("8gaussians").log_prob(x).mean().item()
    assert all(member.nll == pytest.approx(truth, abs=1e-3) for member in family.values())
    energies = [family[turns].energy - family[0].energy for turns in (1, 2)]
    assert energies[1] == pytest.approx(4 * energies[0], rel=0.02), "a parabola in the turns"


def test_the_mean_velocity_is_that_of_many_lines() -> None:
    generator = torch.Generator().manual_seed(3)
    x = density("8gaussians").sample(400_000, generator)
    z = torch.randn(400_000, 2, generator=generator)
    place = torch.tensor([1.0, 1.2])
    close = (0.6 * x + 0.4 * z - place).norm(dim=1) < 0.1
    expected = explorables.TurningFlow(0).mean_velocity(0.4, place)
    lines = (z - x)[close]
    assert (lines.mean(0) - expected).norm() < 6 * (lines.var(0).sum() / len(lines)) ** 0.5 + 0.05


def test_own_and_true_fills_its_panels_as_training_goes() -> None:
    fig = figures.own_and_true(100, ["λ = 0", "λ = 1"], 3.466)
    figures.update_own_and_true(fig, [[(50, 4.0, 4.1, 32), (100, 3.5, 4.2, 44)], []])
    left, right = fig.axes
    assert left.lines[0].get_xydata().tolist() == [[50, 4.1], [100, 4.2]], "true"
    assert left.lines[1].get_xydata().tolist() == [[50, 4.0], [100, 3.5]], "own"
    assert len(right.lines[0].get_xdata()) == 0
    assert [ax.get_title() for ax in (left, right)] == ["λ = 0", "λ = 1"] and len(fig.legends) == 1


def test_matching_shows_losses_and_paths() -> None:
    fig = figures.matching(5.0, 100)
    paths = np.random.default_rng(0).normal(size=(7, 3, 2))
    figures.update_matching(fig, [9.0, 8.0, 6.0], paths)
    curve, plane = fig.axes
    assert curve.lines[0].get_xydata().tolist() == [[0, 9], [1, 8], [2, 6]] and curve.lines[1].get_ydata()[0] == 5.0
    assert np.allclose(plane.lines[2].get_xydata(), paths[-1])


def test_crossing_draws_every_line_and_the_mean() -> None:
    starts, ends = np.array([[-1.0, 0.0], [0.0, -1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    (ax,) = figures.crossing(starts, ends, (0.0, 0.0), (1.0, 1.0)).axes
    assert np.allclose(ax.lines[1].get_xydata(), starts) and np.allclose(ax.lines[2].get_xydata(), ends)
    assert ax.texts[0].xy == (0.5, 0.5)


def stored_row(penalty: str, seed: int, nfe: int, gap: float) -> Row:
    curve = [{"step": k, "loss": 3.0 - k / 1000, "nfe": 50 + k, "cpu_seconds": 2.0 * k} for k in (100, 200)]
    return row({"data": "circles", "penalty": penalty}, seed, nfe=nfe, gap=gap, curve=curve)


ROWS = [stored_row("none", 0, 100, 0.03), stored_row("none", 1, 120, 0.05), stored_row("both", 0, 50, 0.04)]


def test_pareto_draws_every_seed_and_the_means() -> None:
    arms = stored.evaluations_and_gaps(ROWS, "circles")
    assert arms == {"none": ([100, 120], [0.03, 0.05]), "both": ([50], [0.04])}
    fig = figures.pareto({"circles": arms, "rings": {}}, ["none", "both"])
    left, right = fig.axes
    chain, none, mean, *_ = left.lines
    assert np.allclose(chain.get_xydata(), [[100, 0.03], [50, 0.04]]), "of seed 0"
    assert np.allclose(none.get_xydata(), [[100, 0.03], [120, 0.05]]) and np.allclose(mean.get_xydata(), [[110, 0.04]])
    assert right.texts[0].get_text() == "not run yet" and len(fig.legends) == 1


def test_races_end_at_the_target() -> None:
    curves = stored.curves(ROWS, "circles")
    assert [*curves] == ["none", "both"] and [len(seeds) for seeds in curves.values()] == [2, 1]
    target = stored.target(ROWS, "circles")
    assert target == pytest.approx(curves["none"][0]["gap"][-1] + 0.02)
    left, right = figures.races(curves, target, "circles").axes
    assert left.lines[0].get_xydata().tolist() == [[100, 150], [200, 250]] and len(left.lines) == 3
    assert right.lines[0].get_xdata().tolist() == [200, 400]
    gap = density("circles")
    held = gap.sample(2000, torch.Generator().manual_seed(1_000_003))
    assert right.lines[0].get_ydata()[1] == pytest.approx(2.8 + gap.log_prob(held).mean().item(), abs=1e-5)


def test_pictures_of_no_runs_say_so() -> None:
    assert stored.densities([]) == ["swissroll", "circles", "rings"] and stored.target([], "circles") is None
    one = row({"data": "8gaussians", "penalty": "both"})
    assert stored.densities([one]) == ["8gaussians", "swissroll", "circles"], "what was trained comes first"
    fig = figures.races(stored.curves([], "circles"), None, "circles")
    assert [ax.texts[0].get_text() for ax in fig.axes] == ["not run yet"] * 2
    fig = figures.pareto({name: stored.evaluations_and_gaps([], name) for name in stored.densities([])}, ["none"])
    assert [ax.texts[0].get_text() for ax in fig.axes] == ["not run yet"] * 3


def test_validation_points_are_those_of_the_runs(tmp_path: Path) -> None:
    _, held, _ = points_of(density("circles"), FlowRecipe(iterations=1), context_in(tmp_path), 2000)
    by_points = -density("circles").log_prob(held).mean().item()
    assert stored.truth_on_validation("circles") == pytest.approx(by_points, abs=1e-6)
