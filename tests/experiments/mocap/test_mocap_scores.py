"""Walks: what is called an error, what a forecast may read, how windows are cut."""

import pytest
import torch

from odelab.experiments.mocap.recipe import WalkerRecipe
from odelab.experiments.mocap.scores import baseline, errors, score
from odelab.experiments.mocap.training import clock, played, walker

TINY = WalkerRecipe(iterations=4, every=2, draws=2, first=10, longest=12, hidden=(5, 5))


def waves(n, frames=40, channels=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    phase = 6.3 * torch.rand(n, 1, channels, generator=generator)
    return 5 * torch.sin(0.3 * torch.arange(frames)[None, :, None] + phase)


def test_three_errors_by_hand():
    # One walk of three frames and two channels, the first frame given; two draws.
    x = torch.tensor([[[9.0, 9.0], [1.0, 0.0], [0.0, 2.0]]])
    first = torch.tensor([[[0.0, 0.0], [1.0, 2.0], [0.0, 2.0]]])
    second = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, 0.0]]])
    centre = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]]])
    found = errors(torch.stack([first, second]), centre, x, frames=1)
    # Errors of the draws: (0, 2 | 0, 0) and (2, 0 | 0, −2); of their mean: (1, 1 | 0, −1).
    assert found["per_draw"] == pytest.approx((4 + 4 + 4) / 8)
    assert found["mean_of_draws"] == pytest.approx(3 / 4)
    assert found["posterior_mean"] == pytest.approx(1 / 4)
    assert found["horizon"] == [1.0, 0.5]
    assert found["sequences"] == {"mean_of_draws": [0.75], "per_draw": [1.5], "posterior_mean": [0.25]}


def test_the_mean_of_the_draws_errs_less_than_the_draws_by_their_spread():
    x, draws = waves(2), torch.randn(7, 2, 40, 50)
    found = errors(draws, draws.mean(0), x, frames=3)
    spread = draws[:, :, 3:].var(0, correction=0).mean().item()
    assert found["per_draw"] == pytest.approx(found["mean_of_draws"] + spread, rel=1e-4)
    assert found["posterior_mean"] == pytest.approx(found["mean_of_draws"])


def test_baselines_by_hand():
    train, x = waves(3), waves(2, seed=5)
    mean = train.mean((0, 1))
    assert baseline("training mean", train, x)["mean_of_draws"] == pytest.approx(
        (x[:, 3:] - mean).square().mean().item()
    )
    still = (x[:, 3:] - x[:, 2:3]).square().mean().item()
    assert baseline("last frame", train, x)["mean_of_draws"] == pytest.approx(still)


def test_a_forecast_reads_the_first_frames_only():
    torch.manual_seed(0)
    model, x = walker(TINY), waves(2)
    other = x.clone()
    other[:, model.frames :] = torch.nan
    guess = model.forecast(x[:, : model.frames], clock(40), 3, torch.Generator().manual_seed(1)).draws
    found = score(model, x, seed=1, draws=3)
    assert found["mean_of_draws"] == pytest.approx((guess.mean(0) - x)[:, 3:].square().mean().item(), rel=1e-5)
    blind = model.forecast(other, clock(40), 3, torch.Generator().manual_seed(1)).draws
    assert torch.equal(guess, blind)


def test_windows_are_cut_from_the_walks():
    torch.manual_seed(0)
    x = torch.arange(20.0)[None, :, None].expand(5, 20, 4).contiguous()
    window = played(x, 8)
    assert window.shape == (5, 8, 4)
    assert torch.equal(window.diff(dim=1), torch.ones(5, 7, 4))
    assert len({w[0, 0].item() for w in window}) > 1
    assert torch.equal(played(x, 20), x)
    with pytest.raises(ValueError, match="windows of 21"):
        played(x, 21)


def test_a_slower_walk_takes_smaller_steps():
    torch.manual_seed(0)
    x = torch.arange(20.0)[None, :, None].expand(50, 20, 4).contiguous()
    window = played(x, 8, tempo=0.3, steps=1)
    speed = window[:, 1, 3] - window[:, 0, 3]
    assert speed.min() < 0.85 and speed.max() > 1.15
    assert speed.log().abs().max() <= 0.3 + 1e-5
    assert torch.allclose(window[..., 0], window[..., 3] * speed[:, None], atol=1e-4)
    assert played(x, 20, tempo=0.3)[..., 3].max() <= 19  # never beyond the walk
