"""Lesson 05: its explorables plot what an independent computation finds, its table keeps three budgets apart."""

import math

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.stats import norm

from odelab.datasets.plane import plane_grid
from odelab.flows import PlanarCNF, PlanarFlow
from odelab.lessons.change_of_variables import explorables, figures
from odelab.lessons.change_of_variables.figures import density_strips, kl_by_width


@pytest.mark.parametrize(("frame", "place"), [(4, 0.0), (15, 0.8)])
def test_patch_plots_what_torchdiffeq_carries(frame: int, place: float) -> None:
    explorer = explorables.patch()
    text = explorer.drive(frame=frame, place=place, size="small")
    left, right = explorer.figure.axes

    def split(t, state):
        x, y = state[0].unbind(-1)
        f = torch.stack((torch.tanh(2 * x) + y / 2, torch.sin(x + t) - 0.7 * y), -1)
        return f, -(2 / torch.cosh(2 * x) ** 2 - 0.7)

    t = frame / 10
    centre = torch.tensor([[place, 0.3]])
    corners = centre + 0.02 * torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    start = torch.cat([centre, corners]).double()
    z, change = torchdiffeq.odeint(split, (start, torch.zeros(5).double()), torch.tensor([0.0, t]), rtol=1e-8)
    drawn = np.asarray(left.lines[2].get_xydata())
    for corner in z[-1, 1:].numpy():
        assert np.linalg.norm(drawn - corner, axis=1).min() < 1e-3, "the corners of the patch"
    area, density, product = (line.get_ydata() for line in right.lines)
    assert len(area) == frame + 1 and right.lines[0].get_xdata()[-1] == pytest.approx(t)
    assert density[-1] == pytest.approx(change[-1, 0].exp().item(), rel=1e-3)
    assert area[-1] == pytest.approx(1 / density[-1], rel=0.05) and product[-1] == pytest.approx(1, abs=0.05)
    assert f"{density[-1]:.2f} times what it was" in text


def test_a_patch_is_outlined_once_around() -> None:
    outline = explorables.outline(5)
    assert outline.abs().max() == 0.5 and explorables.polygon_area(outline) == pytest.approx(1)


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


def test_portraits_of_both_flows_have_the_mass_of_their_samples(flow: PlanarFlow) -> None:
    torch.manual_seed(2)
    cnf = PlanarCNF(2, 4)
    start = torch.randn(200_000, 2)
    with torch.no_grad():
        ends = {
            flow: flow(start)[0],
            cnf: explorables.carried(cnf, start, start[:, 0], torch.tensor([0.0, 1.0]))[0][-1],
        }
    for model, samples in ends.items():
        drawn = explorables.portrait(model, half_width=4.0, side=48)
        counted, _, _ = np.histogram2d(*samples.numpy().T[::-1], bins=12, range=[[-4, 4], [-4, 4]])
        by_block = drawn.reshape(12, 4, 12, 4).mean((1, 3)).numpy() * (8 / 12) ** 2
        assert np.abs(counted / len(start) - by_block).max() < 0.01


def test_densities_on_the_way_to_the_base_end_at_the_base(flow: PlanarFlow) -> None:
    points = plane_grid(6.0, 60)[0].float()
    with torch.no_grad():
        data, half, base = explorables.remaining_densities(flow, points, (0, 2, 4))
        end, log_det = flow(points)
    assert torch.allclose(base, explorables.log_normal(points).exp())
    assert torch.allclose(data, (explorables.log_normal(end) + log_det).exp(), atol=1e-6)
    assert float(half.sum()) * 0.2**2 == pytest.approx(1, abs=0.02)


def test_training_draws_curves_and_densities() -> None:
    fig = figures.training(np.ones((8, 8)), 10)
    pictures = {"NF": np.full((8, 8), 0.2), "CNF": np.full((8, 8), 0.7)}
    figures.update_training(fig, {"NF": [3.0, 2.0], "CNF": [1.0, 0.5]}, pictures)
    curves, target, *others = fig.axes
    assert [line.get_xydata().tolist() for line in curves.lines[:2]] == [[[0, 3.0], [1, 2.0]], [[0, 1.0], [1, 0.5]]]
    assert [ax.images[0].get_array().mean() for ax in (target, *others)] == pytest.approx([1.0, 0.2, 0.7])
    assert [ax.get_title() for ax in (target, *others)] == ["target", "NF", "CNF"]


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
