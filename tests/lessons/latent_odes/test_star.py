"""Lesson 08: windows of a star's record, gaps in them, and what is put there."""

import numpy as np
import pytest
import torch

from odelab.datasets import Series, eta_aquilae
from odelab.latent import GaussianDecoder, LatentField, LatentODE, RecurrentEncoder, RecurrentForecaster
from odelab.lessons.latent_odes import explorables, star


def wave(days: torch.Tensor) -> torch.Tensor:
    return 4.0 - 0.3 * torch.sin(2 * torch.pi * days / 7.2)


@pytest.fixture(scope="module")
def made_up() -> Series:
    """A star whose magnitude is a sine of 7.2 days, on 300 evenings."""
    days = (torch.rand(300, generator=torch.Generator().manual_seed(0)).double() * 2 + 0.5).cumsum(0) + 2450000
    return Series(days, wave(days)[:, None], ("magnitude",), "magnitudes", "made up")


def test_windows_hold_the_evenings_of_the_record_and_nothing_else() -> None:
    record = eta_aquilae()
    data = star.windows_of(record)
    number = data.mask.sum(1)
    assert len(data) > 400 and (number >= star.FEWEST).all() and (data.times <= star.DAYS).all()
    for row in (0, 57, len(data) - 1):
        t, magnitude = record.t.numpy(), record.y[:, 0].numpy()
        inside = (t >= float(data.start[row])) & (t < float(data.start[row]) + star.DAYS)
        points = data[row : row + 1].points(data.mask[row : row + 1])
        np.testing.assert_allclose(points[:, 0], t[inside] - t[inside][0], atol=1e-5)
        np.testing.assert_allclose(points[:, 1], magnitude[inside], atol=1e-6)
    assert not data.x[~data.mask].any() and (data.times.diff(dim=1) >= 0).all()


def test_parts_of_a_record_share_no_evening() -> None:
    record = eta_aquilae()
    first = 3 * len(record.t) // 4
    known, later = star.windows_of(record, slice(0, first)), star.windows_of(record, slice(first, None))
    assert (known.start[:, None] + known.times).max() < record.t[first] <= later.start.min()


def test_a_gap_hides_what_lies_in_it() -> None:
    data = star.windows_of(eta_aquilae())[:5]
    hidden = data.hidden(6.0, 8.0)
    assert hidden.any() and not (hidden & ~data.mask).any()
    assert ((data.times[hidden] > 6) & (data.times[hidden] < 14)).all()
    seen = data.mask & ~hidden
    assert ((data.times[seen] <= 6) | (data.times[seen] >= 14)).all()
    each = data.hidden(torch.full((5, 1), 6.0), torch.full((5, 1), 8.0))
    assert torch.equal(each, hidden)


def test_a_straight_line_joins_the_evenings_on_both_sides(made_up: Series) -> None:
    data = star.windows_of(made_up)[:1]
    seen = data.mask & ~data.hidden(6.0, 8.0)
    line = star.straight_line(data, seen)
    torch.testing.assert_close(line[seen], data.x[seen])
    left, right = (
        data.times[0, seen[0]][data.times[0, seen[0]] <= 6][-1],
        data.times[0, seen[0]][data.times[0, seen[0]] >= 14][0],
    )
    ends = [data.x[0, (data.times[0] == end).nonzero()[0, 0], 0] for end in (left, right)]
    for k in (data.mask & ~seen)[0].nonzero()[:, 0]:
        share = (data.times[0, k] - left) / (right - left)
        torch.testing.assert_close(line[0, k, 0], torch.lerp(*ends, share), rtol=1e-4, atol=1e-5)


def test_the_periodic_curve_finds_a_period_that_is_there(made_up: Series) -> None:
    curve = star.folded(made_up, slice(0, 200))
    assert curve.period == pytest.approx(7.2, abs=2e-3)
    later = star.windows_of(made_up, slice(200, None))
    assert (curve(later) - later.x)[later.mask].abs().max() < 0.05


def test_scores_of_a_forecast_that_is_right_and_of_one_that_is_not() -> None:
    data = star.windows_of(eta_aquilae())
    hidden = data.hidden(6.0, 8.0)
    noisy = data.x + 0.1 * torch.randn(data.x.shape, generator=torch.Generator().manual_seed(1))
    right = star.scores(star.spread(noisy, 0.1, torch.Generator().manual_seed(2)), data, hidden)
    assert right["RMSE"] == pytest.approx(0.1, rel=0.1) and right["90 % band covers"] == pytest.approx(0.9, abs=0.03)
    assert right["CRPS"] == pytest.approx(0.1 / np.sqrt(np.pi), rel=0.1)  # of a normal, averaged over its own truths
    narrow = star.scores(star.spread(noisy, 0.01, torch.Generator().manual_seed(2)), data, hidden)
    assert narrow["90 % band covers"] < 0.3 and narrow["CRPS"] > 1.1 * right["CRPS"]


def test_the_period_of_paths_that_turn_with_a_known_speed() -> None:
    class Rotation(torch.nn.Module):
        dim = 2

        def forward(self, t, z):
            return 2 * torch.pi / 7.2 * torch.stack([-z[..., 1], z[..., 0]], -1)

    model = LatentODE(RecurrentEncoder(1, 2), LatentField(2), GaussianDecoder(2, 1, ()), step=0.3)
    model.field = Rotation()
    assert star.period_of(model, star.windows_of(eta_aquilae())[:9]) == pytest.approx(7.2, abs=0.03)


def test_gap_explorer_draws_and_scores_what_the_models_say() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(1, 3, 6, cell="gru", gaps=True, scale=0.4)
    model = LatentODE(encoder, LatentField(3, (8,), "tanh"), GaussianDecoder(3, 1, (), 0.4, 0.1), step=1.0)
    rnn = RecurrentForecaster(1, 6, cell="gru", scale=0.4)
    data = star.windows_of(eta_aquilae())[:200]
    explorer = explorables.gap_explorer(model.requires_grad_(False), rnn.requires_grad_(False), data, windows=2)
    text = explorer.drive(window=2, start=7, width=8)
    row = explorables.fullest(data, 2)[1:]
    hidden = row.hidden(7.0, 8.0)
    seen = row.mask & ~hidden
    fan, band, line, guess, dots, squares, ends = explorer.figure.axes[0].lines
    np.testing.assert_allclose(np.stack(dots.get_data(), 1), row.points(seen), atol=1e-6)
    np.testing.assert_allclose(np.stack(squares.get_data(), 1), row.points(hidden), atol=1e-6)
    np.testing.assert_allclose(np.stack(line.get_data(), 1), row.points(seen), atol=1e-6)
    drawn = np.stack(fan.get_data(), 1).reshape(explorables.DRAWS, -1, 2)[:, :-1]
    far = star.MIDDLE - drawn[..., 1]
    mean = model.predict(row.x, row.times, seen, torch.from_numpy(drawn[0, :, 0]).float())[0, :, 0]
    assert np.abs(far.mean(0) - mean.numpy()).max() < 3 * far.std(0).max()
    at = torch.from_numpy(guess.get_xdata()).float()
    expected = star.MIDDLE - rnn.predict(row.x, row.times, seen, at)[0, :, 0]
    np.testing.assert_allclose(guess.get_ydata(), expected.numpy(), atol=1e-5)
    assert f"{int(hidden.sum())} of {int(row.mask.sum())} hidden" in text and "RMSE" in text
    error = (star.straight_line(row, seen) - row.x)[hidden].square().mean().sqrt().item()
    assert f"straight line {error:.2f}" in text
    assert "nothing to bridge" in explorer.drive(width=0)
    assert np.nanmin(band.get_ydata()) < np.nanmax(band.get_ydata()) and list(ends.get_xdata()[:2]) == [7, 7]


def test_the_fullest_windows_do_not_overlap() -> None:
    data = star.windows_of(eta_aquilae())
    chosen = explorables.fullest(data, 3)
    assert len(chosen) == 3 and chosen.mask.sum(1).max() == data.mask.sum(1).max()
    assert (chosen.start[:, None] - chosen.start).abs().add(100 * torch.eye(3)).min() > star.DAYS
