"""Lesson 08: its explorables plot what an independent computation finds."""

import re

import numpy as np
import pytest
import torch

from odelab.datasets import spirals
from odelab.latent import GaussianDecoder, LatentField, LatentODE, ODERNNEncoder, RecurrentEncoder
from odelab.latent.latent_ode import draw
from odelab.lessons.latent_odes import explorables, figures
from odelab.solvers import solve


@pytest.fixture(scope="module")
def model() -> LatentODE:
    torch.manual_seed(3)
    built = LatentODE(
        RecurrentEncoder(2, 3, 8, scale=5.0), LatentField(3, (8,)), GaussianDecoder(3, 2, (8,), 5.0), step=0.1
    )
    return built.requires_grad_(False)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def solved(model: LatentODE, z0: torch.Tensor, times: torch.Tensor) -> np.ndarray:
    """Decoded paths from z₀ at t = 0 to increasing times, by dopri5."""

    def to(ends: torch.Tensor) -> torch.Tensor:
        return (
            solve(model.field, z0, torch.cat([torch.zeros(1), ends]), rtol=1e-6, atol=1e-6).y[1:]
            if len(ends)
            else z0[None][:0]
        )

    parts = [to(times[times < 0].flip(0)).flip(0), z0[None][: int((times == 0).sum())], to(times[times > 0])]
    return model.decoder.mean(torch.cat(parts)).movedim(0, -2).numpy()


@pytest.mark.parametrize(("kept", "window"), [(5, 2), (50, 1)])
def test_mask_explorer_plots_draws_truth_and_what_was_seen(model: LatentODE, kept: int, window: int) -> None:
    explorer = explorables.mask_explorer(model, windows=3, seed=4)
    text = explorer.drive(kept=kept, window=window)
    data = spirals(3, kept=kept, generator=seeded(4))
    q = model.posterior(data.x, data.times, data.mask)
    paths = solved(model, draw(q, explorables.DRAWS, seeded(0)), data.curve_times)[:, window - 1]
    plane, first, second = explorer.figure.axes
    for third, line in enumerate(plane.lines[:3]):
        drawn = np.stack(line.get_data(), 1).reshape(explorables.DRAWS, -1, 2)[:, -101:-1]
        np.testing.assert_allclose(drawn, paths[:, 100 * third : 100 * third + 100], atol=2e-2)
    np.testing.assert_allclose(np.stack(plane.lines[3].get_data(), 1), data.curve[window - 1])
    seen = data.mask[window - 1]
    np.testing.assert_allclose(np.stack(plane.lines[4].get_data(), 1), data.x[window - 1, seen])
    for coordinate, ax in enumerate((first, second)):
        low = np.percentile(paths[..., coordinate], 5, axis=0)
        np.testing.assert_allclose(ax.lines[0].get_ydata(), low, atol=2e-2)
        np.testing.assert_allclose(ax.lines[6].get_xdata(), data.times[seen])
    error = (paths.mean(0) - data.curve[window - 1].numpy())[100:200]
    said = re.search(r"(\d+) of 100 points seen: RMSE (\d+\.\d+) inside", text)
    assert said and int(said[1]) == kept and float(said[2]) == pytest.approx(np.sqrt((error**2).mean()), abs=0.02)


def test_turning_explorer_plots_both_models_as_far_as_asked(model: LatentODE) -> None:
    torch.manual_seed(4)
    encoder, decoder = RecurrentEncoder(2, 3, 8, scale=5.0), GaussianDecoder(3, 2, (), 5.0)
    other = LatentODE(encoder, LatentField(3, (8,)), decoder, step=0.1).requires_grad_(False)
    explorer = explorables.turning_explorer({"a": model, "b": other}, windows=3, seed=4)
    text = explorer.drive(window=2, beyond=30)
    data = spirals(3, kept=30, generator=seeded(4))
    said = re.findall(r"(\d+\.\d+) inside, (\d+\.\d+) beyond", text)
    for each, ax, numbers in zip((model, other), explorer.figure.axes, said, strict=True):
        q = each.posterior(data.x, data.times, data.mask)
        paths = solved(each, draw(q, explorables.DRAWS, seeded(0)), data.curve_times)[:, 1]
        after = np.stack(ax.lines[2].get_data(), 1).reshape(explorables.DRAWS, -1, 2)[:, -101:-1]
        np.testing.assert_allclose(after[:, :30], paths[:, 200:230], atol=2e-2)
        assert np.isnan(after[:, 30:]).all(), "nothing is drawn farther on"
        squares = (paths.mean(0) - data.curve[1].numpy()) ** 2
        errors = [squares[part].mean() ** 0.5 for part in (slice(100, 200), slice(200, 230))]
        assert [float(number) for number in numbers] == pytest.approx(errors, abs=0.02)


def test_latent_velocity_of_a_rotation_turns_with_the_clock() -> None:
    class Rotation(torch.nn.Module):
        dim = 2

        def forward(self, t, z):
            return torch.stack([-z[..., 1], z[..., 0]], -1)

    turning = LatentODE(RecurrentEncoder(2, 2), LatentField(2), GaussianDecoder(2, 2, ()), step=0.05)
    turning.field = Rotation()
    data = spirals(5, kept=30, generator=seeded(1))
    assert explorables.turned(turning, data, torch.linspace(0, 2.5, 80)) == pytest.approx(2.5, abs=0.01)


def test_windows_that_turn_the_other_way_are_counted() -> None:
    data = spirals(10, generator=seeded(2))
    assert torch.equal(explorables.sense(data.truth) < 0, data.clockwise)
    model = LatentODE(RecurrentEncoder(2, 2), LatentField(2), GaussianDecoder(2, 2, ()))
    mirrored = data.truth * torch.tensor([1.0, -1.0])
    answers = torch.cat([mirrored[:3], data.truth[3:]])
    model.predict = lambda x, times, mask, at: answers  # type: ignore[method-assign]
    assert explorables.turned_wrongly(model, data) == pytest.approx(0.3)


@pytest.mark.parametrize("frame", [2, 33])
def test_portrait_player_plots_latent_places_and_what_they_decode_to(model: LatentODE, frame: int) -> None:
    data = spirals(8, kept=30, generator=seeded(5))
    player = explorables.portrait_player(model, data)
    player.drive(frame=frame)
    left, right = player.figure.axes
    times = torch.linspace(float(data.curve_times[0]), float(data.curve_times[-1]), explorables.FRAMES)
    z0 = model.posterior(data.x, data.times, data.mask).mean
    decoded = solved(model, z0, times[frame : frame + 1])[:, 0]
    movers = [line for line in right.lines if line.get_gid() == "mover"]
    for flag, line in enumerate(movers):
        np.testing.assert_allclose(
            np.stack(line.get_data(), 1), decoded[data.clockwise.numpy() == bool(flag)], atol=2e-2
        )
    z = model.trajectory(z0, times).flatten(0, 1)
    places = np.concatenate([np.stack(line.get_data(), 1) for line in left.lines if line.get_gid() == "mover"])
    values = torch.linalg.eigvalsh(torch.cov(z.T)).flip(0)
    paths = np.concatenate([np.stack(line.get_data(), 1) for line in left.lines if line.get_gid() != "mover"])
    np.testing.assert_allclose(np.cov(paths.T).diagonal(), values[:2], rtol=1e-3, err_msg="the two widest directions")
    assert len(places) == 8 and f"{times[frame]:.2f}" in left.get_title(loc="left")


def test_hidden_paths_wait_in_the_gru_and_flow_in_the_ode_rnn() -> None:
    torch.manual_seed(0)
    plain, flowing = RecurrentEncoder(2, 3, 6, cell="gru"), ODERNNEncoder(2, 3, 6)
    data = spirals(1, kept=7, generator=seeded(6))
    times, paths = explorables.hidden_paths(plain, flowing, data, units=6, points=900)
    mean = flowing.head(paths["ODE-RNN"][0])[:3]  # back at t₀ the state is what the code is read from
    torch.testing.assert_close(mean, flowing(data.x, data.times, data.mask).mean[0])
    torch.testing.assert_close(plain.head(paths["GRU"][0])[:3], plain(data.x, data.times, data.mask).mean[0])
    jumps = (paths["GRU"].diff(dim=0).abs().amax(1) > 0).sum()
    assert jumps == 7 or jumps == 6, "once per observation, but for one at the very end of the window"
    begun = paths["ODE-RNN"].abs().amax(1) > 0
    assert begun[: int(0.6 * 900)].all() and (paths["ODE-RNN"][begun].diff(dim=0).abs().amax(1) > 0).all()
    assert len(times) == 900


def test_figures_draw_what_they_are_given() -> None:
    rows = {"RNN": {30: {"inside": [0.4, 0.6], "beyond": [1.0, 1.2]}}, "latent ODE": {50: {"before": [0.5]}}}
    before, inside, beyond = figures.by_density(rows, 0.3).axes
    assert list(inside.lines[0].get_ydata()) == [0.4, 0.6] and list(inside.lines[1].get_ydata()) == [0.5]
    assert list(beyond.lines[1].get_ydata()) == pytest.approx([1.1]) and list(before.lines[2].get_xdata()) == [50]
    ends = [ax.get_ylim() for ax in (before, inside, beyond)]
    assert all(low < 0.3 and high > 1.2 for low, high in ends), "nothing is cut off"
    promised, widened = figures.calibration(
        [0.5, 0.9],
        {"a": {key: [0.2, 0.4] for key in figures.REGIONS}}
        | {"b": {"before": [0.5, 0.9], "inside": [0.5, 0.9], "beyond": [0.4, 0.8]}},
        {
            title: dict(zip(figures.REGIONS, values, strict=True))
            for title, values in {"a": (1, 2, 3), "b": (4, 5, 6)}.items()
        },
    ).axes
    assert [text.get_text() for text in widened.get_legend().get_texts()][1] == "inside: 5.000"
    assert list(promised.lines[1].get_ydata()) == [0.2, 0.4] and list(widened.lines[2].get_ydata()) == [0.4, 0.8]
    left, right = figures.two_clocks([1.0, 2.0], {"a": [0.0, 5.0], "b": [3.0, 5.0]}).axes
    assert list(left.lines[1].get_xdata()) == [3.0, 5.0] and list(right.lines[1].get_xdata()) == [0, 1]
    tiles = np.zeros((2, 2, 3, 3))
    tiles[1, 0] = 1  # above, on the left
    picture = figures.code_map(np.zeros((4, 2)), [0, 1, 1, 2], tiles, 2.0).axes[1].images[0].get_array()
    assert picture[:3, :3].min() == 1 and picture.sum() == 9
