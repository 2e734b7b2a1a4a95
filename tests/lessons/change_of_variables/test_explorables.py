"""Lesson 05: its explorables plot what an independent computation finds, its table keeps three budgets apart."""

import math

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.stats import norm

from odelab.flows import PlanarCNF, PlanarFlow
from odelab.lessons.change_of_variables import explorables, figures
from odelab.lessons.change_of_variables.figures import density_strips, kl_by_width


@pytest.mark.parametrize("strength", [-0.6, 2.0])
def test_mass_strips_plots_a_density_whose_integral_is_the_cdf(strength: float) -> None:
    explorer = explorables.mass_strips()
    text = explorer.drive(strength=strength)
    left, middle, below = explorer.figure.axes
    density, x = map(np.asarray, left.lines[0].get_data())
    z = np.asarray(middle.lines[0].get_xdata())
    grown = np.concatenate([[0], np.cumsum(np.diff(x) * (density[1:] + density[:-1]) / 2)])
    assert np.allclose(grown, norm.cdf(z) - norm.cdf(z[0]), atol=1e-3), "mass up to x = g(z) is the mass up to z"
    assert f"{norm.pdf(0) / (1 + strength):.3f}" in text
    assert np.allclose(below.lines[0].get_ydata(), norm.pdf(z), atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "folds"), [({"turn": 180, "u": 1.8}, True), ({"turn": 180, "u": 1.8, "repair": True}, False)]
)
def test_planar_layer_is_red_where_the_map_turns_over(setting: dict, folds: bool) -> None:
    explorer = explorables.planar_layer()
    text = explorer.drive(w=1.5, angle=30, b=0.4, **setting)
    before, after, along = explorer.figure.axes
    x, y = after.lines[0].get_data()
    z = torch.tensor(np.stack(before.lines[0].get_data(), 1), dtype=torch.float64)
    w, u = (torch.tensor([line.get_xdata()[0], line.get_ydata()[0]], dtype=torch.float64) for line in before.lines[2:])
    image = z + u * torch.tanh(z @ w + 0.4)[:, None]
    assert np.allclose(np.stack([x, y], 1), image, atol=1e-5, equal_nan=True)
    det = torch.func.vmap(torch.func.jacrev(lambda z: z + u * torch.tanh(z @ w + 0.4)))(z.nan_to_num()).det()
    red = ~np.isnan(after.lines[1].get_xdata())
    there = ~z.isnan().any(1).numpy()
    assert np.array_equal(red[there], (det < 0).numpy()[there]) and red.any() == folds
    assert ("FOLDS" in text) == folds
    assert (np.nanmin(np.diff(along.lines[0].get_ydata())) < 0) == folds, "the curve turns back where the layer folds"


def test_step_and_flow_ends_folded_and_unfolded() -> None:
    fig, update, (step, flow) = explorables.step_and_flow(frames=3)
    update(fig, 2)
    left, right = fig.axes
    assert step == pytest.approx(1 - 2.4 * 1.5, abs=0.05) and 0 < flow < 1
    w, u = torch.tensor([1.5, 0.0]), torch.tensor([-1.0, 0.4])
    grid = explorables.square_grid(2.6, 15, 41).flatten(0, 1)
    there = torchdiffeq.odeint(lambda t, z: u * torch.tanh(z @ w)[:, None], grid, torch.tensor([0.0, 2.4]))[-1]
    drawn = np.stack(right.lines[0].get_data(), 1).reshape(30, 42, 2)[:, :41]  # the last of 42 is a gap
    assert np.allclose(drawn, there.view(30, 41, 2), atol=1e-3)
    assert np.isfinite(left.lines[1].get_xdata()).any()


@pytest.mark.parametrize("d", [4, 16])
def test_costs_plots_what_was_counted(d: int) -> None:
    measured = explorables.measured_costs((2, 4, 16))
    explorer = explorables.costs(measured)
    text = explorer.drive(d=d)
    one_pass = 2 * explorables.HIDDEN * d  # two matrices of d · hidden
    counts = [measured[d][route][0] for route in figures.ROUTES]
    assert counts[1] == one_pass * (d + 1), "f and d passes"
    assert counts[0] == counts[1] + sum(k + k * k for k in range(1, d))
    assert counts[2] == 2 * d * one_pass and counts[3] == 2 * one_pass
    for k, ax in enumerate(explorer.figure.axes):
        for line, route in zip(ax.lines, figures.ROUTES, strict=False):
            assert line.get_xydata().tolist() == [[n, measured[n][route][k]] for n in measured]
        assert set(ax.lines[4].get_xdata()) == {d}
    assert f"d = {d}." in text


@pytest.fixture(scope="module")
def flow() -> PlanarFlow:
    torch.manual_seed(0)
    made = PlanarFlow(2, 4)
    with torch.no_grad():
        made.u.mul_(8)
    return made


@pytest.mark.parametrize("k", [1, 4])
def test_layers_plots_the_density_of_that_many_layers(flow: PlanarFlow, k: int) -> None:
    explorer = explorables.layers(flow)
    explorer.drive(k=k)
    left, middle, right = explorer.figure.axes
    drawn = left.images[0].get_array()
    samples = flow.intermediate(torch.randn(200_000, 2))[0][k].detach().numpy()
    counted, _, _ = np.histogram2d(samples[:, 1], samples[:, 0], bins=12, range=[[-4, 4], [-4, 4]])
    by_block = np.asarray(drawn).reshape(12, 6, 12, 6).mean((1, 3)) * (8 / 12) ** 2
    assert np.abs(counted / len(samples) - by_block).max() < 0.01
    assert right.lines[0].get_ydata()[k] == pytest.approx(1, abs=0.05)
    x, y = middle.lines[1].get_data()
    if k < 4:
        w, _, b = (part[k].detach().numpy() for part in flow.effective())
        assert np.allclose(np.stack([x, y], 1) @ w + b, 0, atol=1e-4), "the next layer's line"
    else:
        assert np.isnan(x).all()


@pytest.mark.parametrize("t", [0.25, 1.0])
def test_movie_plots_what_torchdiffeq_carries(t: float) -> None:
    torch.manual_seed(1)
    field = PlanarCNF(2, 4)
    film = explorables.Film(field, frames=5)
    explorer = explorables.movie(film)
    text = explorer.drive(t=t)
    left, middle, right = explorer.figure.axes

    def augmented(t, state):
        f, div = field.with_divergence(t, state[0])
        return f, -div

    start = explorables.MARKED
    with torch.no_grad():
        z, log_p = torchdiffeq.odeint(augmented, (start, explorables.log_normal(start)), torch.tensor([0.0, t]))
    marked = np.array([line.get_xydata()[0] for line in left.lines[1:]])
    assert np.allclose(marked, z[-1], atol=1e-3)
    at = [line.get_ydata()[round(4 * t)] for line in middle.lines[:4]]
    assert np.allclose(at, log_p[-1], atol=1e-3)
    cell = np.floor((marked + 4) / (8 / explorables.SIDE)).astype(int)
    pixels = np.asarray(left.images[0].get_array())[cell[:, 1], cell[:, 0]]
    centres = torch.tensor((cell + 0.5) * (8 / explorables.SIDE) - 4, dtype=torch.float32)
    with torch.no_grad():
        back, gained = torchdiffeq.odeint(augmented, (centres, torch.zeros(len(cell))), torch.tensor([t, 0.0]))
    density = (explorables.log_normal(back[-1]) - gained[-1]).exp()
    assert np.allclose(pixels, density, atol=1e-3), "the picture shows the density that torchdiffeq carries back"
    assert np.allclose(right.lines[0].get_ydata(), 1, atol=0.02) and film.drift < 0.02
    assert f"t = {t:.2f}" in text


def test_kl_by_width_marks_every_seed_and_joins_the_means() -> None:
    panels = {"U1": {"NF": {2: [0.5], 8: [0.1, 0.3]}, "CNF": {8: [0.05]}}, "U2": {"NF": {}, "CNF": {2: [0.2]}}}
    left, right = kl_by_width(panels).axes
    assert left.lines[0].get_xydata().tolist() == [[2, 0.5], [8, 0.2]]
    assert left.lines[1].get_xydata().tolist() == [[2, 0.5], [8, 0.1], [8, 0.3]]
    assert right.lines[3].get_xydata().tolist() == [[2, 0.2]] and [t.get_text() for t in left.get_xticklabels()] == [
        "2",
        "8",
    ]


def test_density_strips_draws_every_picture() -> None:
    pictures = np.random.default_rng(0).random((3, 8, 8))
    fig = density_strips({"a": (pictures, ["x", "y", "z"]), "b": (pictures[:2], ["u", "v"])}, 4.0)
    drawn = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert len(drawn) == 5 and np.array_equal(drawn[1], pictures[1])
    assert math.isclose(drawn[0].max(), pictures[0].max())
    fig = density_strips({"a": ([pictures[0], 3 * pictures[1]], ["x", "y"])}, 4.0, common=True)
    low, high = (ax.images[0].get_clim()[1] for ax in fig.axes)
    assert low == high > pictures[0].max(), "one scale for the row"
