"""Lesson 02: the explorables plot what an independent computation finds, and the figures draw what they are given."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.integrate import solve_ivp
from torch import Tensor

from odelab.lessons.kit.panels import Panel, panels
from odelab.lessons.solvers import explorables, figures

# The slope explorer


@pytest.fixture(scope="module")
def slopes():
    return explorables.slope_explorer()


def test_slope_explorer_draws_the_four_slopes_of_rk4(slopes) -> None:
    h = 1.2
    text = slopes.drive(method="rk4_classic", shown=4, h=h)

    def field(t: float, y: float) -> float:
        return 1.5 * y * math.cos(t)

    k1 = field(0, 1)
    k2 = field(h / 2, 1 + h / 2 * k1)
    k3 = field(h / 2, 1 + h / 2 * k2)
    k4 = field(h, 1 + h * k3)
    places = [(0, 1), (h / 2, 1 + h / 2 * k1), (h / 2, 1 + h / 2 * k2), (h, 1 + h * k3)]
    (ax,) = slopes.figure.axes
    bars = [line for line in ax.lines if line.get_marker() not in (None, "None", "")]
    for bar, place, slope in zip(bars, places, (k1, k2, k3, k4), strict=True):
        x, y = bar.get_data()
        np.testing.assert_allclose((x[1], y[1]), place)
        np.testing.assert_allclose((y[2] - y[0]) / (x[2] - x[0]), slope)
    end = 1 + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0, 1], [h, end]])
    best = solve_ivp(field, (0, h), [1.0], rtol=1e-10, atol=1e-12).y[0, -1]
    np.testing.assert_allclose(ax.lines[2].get_xydata(), [[h, end], [h, best]], atol=1e-6)
    assert f"ends at {end:.3f}, the solution at {best:.3f}" in text and f"k₄ = {k4:.2f}" in text


def test_slope_explorer_shows_slopes_one_after_the_other(slopes) -> None:
    text = slopes.drive(method="heun3", shown=2, h=1.0)
    (ax,) = slopes.figure.axes
    assert [label.get_text() for label in ax.texts] == ["k₁", "k₂", "", ""]
    assert not len(ax.lines[1].get_xdata()) and "k₂" in text and "ends" not in text
    assert "ends at 2.500" in slopes.drive(method="euler", shown=1, h=1.0)


# The error explorer


@pytest.fixture(scope="module")
def explorer():
    return explorables.error_explorer()


def decay_by_euler(n: int) -> float:
    """|error| at t = 4 of y' = cos t − y, y(0) = 1, in plain floats."""
    y, h = 1.0, 4.0 / n
    for i in range(n):
        y += h * (math.cos(i * h) - y)
    return abs(y - (math.cos(4.0) + math.sin(4.0) + math.exp(-4.0)) / 2)


def kink_by_midpoint(n: int) -> float:
    """Largest |error| at t = 2 of y' = −max(y, 0.4), over its starts."""
    y0 = np.linspace(0.9, 1.1, 11)
    y, h = y0.copy(), 2.0 / n
    for _ in range(n):
        y = y - h * np.maximum(y - h / 2 * np.maximum(y, 0.4), 0.4)
    return float(np.abs(y - (0.4 - 0.4 * (2.0 - np.log(y0 / 0.4)))).max())


@pytest.mark.parametrize(
    ("method", "problem", "end", "evaluations", "error"),
    [
        ("euler", "forced decay", 4.0, 1, decay_by_euler),
        ("midpoint", "one kink", 2.0, 2, kink_by_midpoint),
    ],
)
def test_error_explorer_plots_independent_errors(explorer, method, problem, end, evaluations, error) -> None:
    text = explorer.drive(method=method, problem=problem, precision=torch.float64)
    left, right = explorer.figure.axes
    (curve,) = [line for line in left.lines if line.get_label() == method]
    (work,) = [line for line in right.lines if line.get_label() == method]
    steps = np.array(explorables.STEPS)
    np.testing.assert_allclose(curve.get_xdata(), end / steps)
    np.testing.assert_allclose(work.get_xdata(), evaluations * steps)
    expected = np.array([error(n) for n in steps])
    np.testing.assert_allclose(curve.get_ydata(), expected, rtol=1e-6)
    slope, _ = np.polyfit(np.log(end / steps[-6:]), np.log(expected[-6:]), 1)
    assert f"slope {slope:.2f}" in text and f"slope {slope:.2f}" in left.texts[0].get_text()


def test_every_method_shows_its_order_and_loses_it_on_the_kink() -> None:
    orders = {"euler": 1, "midpoint": 2, "heun3": 3, "rk4_classic": 4, "dopri5": 5}
    for problem, highest in {"pendulum": 5, "neural field (tanh)": 5, "neural field (ReLU)": 2, "one kink": 2}.items():
        for method, order in orders.items():
            step, _, error = explorables.errors(problem, torch.float64)[method]
            slope, _ = figures.power_law(step, error)
            np.testing.assert_allclose(slope, min(order, highest), atol=0.45, err_msg=f"{method} on {problem}")


def test_single_precision_has_a_floor() -> None:
    error = explorables.errors("pendulum", torch.float32)["dopri5"][2]
    assert error[-4:].min() > 1e-8 and error[-4:].max() < 1e-5


def test_power_law_needs_three_clean_points() -> None:
    h = 0.5 ** np.arange(6)
    np.testing.assert_allclose(figures.power_law(h, 3 * h**2), (2, 3))
    assert math.isnan(figures.power_law(h, np.array([2, 2, 1e-14, 1e-14, 0.5, 0.1]))[0])


# The tolerance explorer


@pytest.fixture(scope="module")
def stepper():
    return explorables.tolerance_explorer()


class Watched(torch.nn.Module):
    """A field whose solver reports its steps: torchdiffeq's own, the independent route."""

    def __init__(self, field: Callable) -> None:
        super().__init__()
        self.field, self.nfe = field, 0
        self.steps: dict[bool, list[tuple[float, float]]] = {True: [], False: []}

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.field(t, y)

    def callback_accept_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.steps[True].append((float(t), float(dt)))

    def callback_reject_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.steps[False].append((float(t), float(dt)))


@pytest.mark.parametrize(("problem", "method", "digits"), [("van der Pol", "dopri5", 4), ("pendulum", "bosh3", 5)])
def test_tolerance_explorer_plots_the_steps_another_solver_takes(stepper, problem, method, digits) -> None:
    text = stepper.drive(problem=problem, method=method, digits=digits)
    case, tolerance = explorables.ADAPTIVE[problem], 10.0**-digits
    watched = Watched(case.field)
    y0 = torch.tensor(case.start, dtype=torch.float64)
    t = torch.tensor([0, case.end], dtype=torch.float64)
    torchdiffeq.odeint(watched, y0, t, method=method, rtol=tolerance, atol=tolerance)
    accepted, rejected = stepper.figure.axes[1].lines
    ours = np.array(accepted.get_xydata())
    theirs = np.array(watched.steps[True])
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours[:-1], theirs[:-1], rtol=1e-4)  # torchdiffeq's last step runs past the end
    np.testing.assert_allclose(rejected.get_xydata(), np.array(watched.steps[False]).reshape(-1, 2), rtol=1e-4)
    assert f"{len(theirs)} steps accepted, {len(watched.steps[False])} rejected, {watched.nfe} evaluations" in text


def test_tolerance_explorer_measures_the_true_error(stepper) -> None:
    text = stepper.drive(problem="van der Pol", method="dopri5", digits=5)

    def field(t: float, y: np.ndarray) -> list[float]:
        return [y[1], 6 * (1 - y[0] ** 2) * y[1] - y[0]]

    best = solve_ivp(field, (0, 13), [2.0, 0.0], "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    case = explorables.ADAPTIVE["van der Pol"]
    np.testing.assert_allclose(case.solution(), best, atol=1e-9)
    error = float(re.search(r"at the end ([\d.e-]+),", text)[1])
    assert 1e-7 < error < 1e-4


def test_a_loose_tolerance_steps_over_the_kick(stepper) -> None:
    missed, noticed = (explorables.adaptive_run("kicked pendulum", "dopri5", digits)[1] for digits in (3, 5))
    assert missed > 0.1 > 1e-3 > noticed


# The pictures


def test_the_orbit_closes() -> None:
    y0 = np.array(explorables.LAUNCH)

    def field(t: float, y: np.ndarray) -> np.ndarray:
        return explorables.arenstorf(t, torch.from_numpy(y)).numpy()

    end = solve_ivp(field, (0, explorables.PERIOD), y0, "DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(end[:2], y0[:2], atol=1e-5)


def test_orbits_draws_places_only() -> None:
    path = np.arange(12.0).reshape(3, 4)
    fig = figures.orbits({"one": (path, path[:2]), "two": (path, path)}, bodies=np.zeros((2, 2)))
    assert len(fig.axes) == 2
    for ax in fig.axes:
        np.testing.assert_allclose(ax.lines[0].get_xydata(), path[:, :2])
        assert len(ax.lines) == 3


def test_panels_draw_their_curves_and_label_narrow_log_axes() -> None:
    x = np.array([0.1, 0.2, 0.4])
    one = Panel("a", "h", "e", {"first": (x, x**2)}, "x", guides={"guide": (x, x)}, ylim=(0, 1))
    two = Panel("b", "h", "e", {"first": (x, x**2), "second": (x, x)}, legend=False, marks="points")
    fig = panels(one, two, alt="Two panels with a curve or two in each of them.")
    np.testing.assert_allclose(fig.axes[0].lines[1].get_ydata(), x**2)
    assert fig.axes[0].get_ylim() == (0, 1) and fig.axes[1].get_legend() is None
    fig.canvas.draw()
    labels = [tick.get_text() for tick in fig.axes[0].get_xticklabels()]
    assert {"0.1", "0.2"} <= set(labels)


def test_stability_regions_shade_where_the_factor_is_small() -> None:
    real, imag = np.linspace(-3, 1, 41), np.linspace(-2, 2, 41)
    z = real + 1j * imag[:, None]
    fig = figures.stability_regions({"euler": 1 + z, "implicit": 1 / (1 - z + 1e-9)}, real, imag)
    assert [ax.get_title() for ax in fig.axes] == ["euler", "implicit"]
    (outline,) = fig.axes[0].collections[1].get_paths()
    np.testing.assert_allclose(np.abs(outline.vertices[:, 0] + 1 + 1j * outline.vertices[:, 1]), 1, atol=0.02)


def test_rooted_trees_have_their_nodes_and_edges() -> None:
    fig = figures.rooted_trees({"one": (), "four": ((), ((),))})
    (ax,) = fig.axes
    nodes = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(nodes) == 1 + 4 and len(ax.lines) - len(nodes) == 3
    assert len({tuple(line.get_xydata()[0]) for line in nodes}) == 5
    assert [text.get_text() for text in ax.texts] == ["one", "four"]


def test_stored_costs_are_drawn_as_the_benchmark_kept_them() -> None:
    rows = json.loads((Path(__file__).parents[3] / "data" / "results" / "bench_compiled.json").read_text())["sweep"]
    costs = explorables.stored_costs()
    (ax,) = figures.cost_by_batch(costs).axes
    lines = {line.get_label(): line.get_xydata() for line in ax.lines}
    assert lines.keys() == costs.keys() and len(costs) == len(rows[0]["us"]) >= 4
    for name, key in (("odelab, compiled", "compiled"), ("torchdiffeq", "torchdiffeq")):
        np.testing.assert_allclose(lines[name], [(row["batch"], row["us"][key]) for row in rows])
