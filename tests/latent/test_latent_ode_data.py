"""What a latent ODE is given and asked: series with holes, clocks, forecasts by one call, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from odelab.datasets import load_sequences
from odelab.latent import GaussianDecoder, LatentField, LatentODE, ODERNNEncoder, RecurrentEncoder
from odelab.latent.latent_ode import draw

ENCODERS: dict[str, Callable[[], torch.nn.Module]] = {
    "rnn": lambda: RecurrentEncoder(2, 3, 7),
    "gru, gaps": lambda: RecurrentEncoder(2, 3, 7, cell="gru", gaps=True),
    "ode-rnn": lambda: ODERNNEncoder(2, 3, 7),
}
X = torch.randn(4, 9, 2, generator=torch.Generator().manual_seed(1)).double()
TIMES = torch.rand(4, 9, generator=torch.Generator().manual_seed(2)).double().cumsum(1) + 3
SEEN = torch.rand(4, 9, 2, generator=torch.Generator().manual_seed(3)) < 0.6


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def model(encoder: str = "ode-rnn") -> LatentODE:
    torch.manual_seed(0)
    decoder = GaussianDecoder(3, 2, (5,), initial_std=0.5)
    return LatentODE(ENCODERS[encoder](), LatentField(3, (8,)), decoder).double()


@pytest.mark.parametrize("mask", [SEEN, SEEN.any(-1)], ids=["channels", "frames"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_nothing_unobserved_is_read(encoder: str, mask: Tensor) -> None:
    """Neither the bound nor a gradient depends on what stands where nothing was observed, NaN included."""
    latent, found = model(encoder), []
    for filling in (0.0, torch.nan, 1e9):
        x = torch.where(mask if mask.ndim == 3 else mask[..., None], X, filling)
        latent.zero_grad()
        elbo = latent.terms(x, TIMES, mask, draws=2, generator=seeded()).elbo()
        elbo.backward()
        found.append([elbo.detach(), *[p.grad.clone() for p in latent.parameters() if p.grad is not None]])
        assert torch.equal(
            latent.predict(x, TIMES, mask, TIMES), latent.predict(X * mask.view(4, 9, -1), TIMES, mask, TIMES)
        )
    assert all(part.isfinite().all() for part in found[0])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


def test_the_likelihood_counts_single_channels() -> None:
    latent = model()
    terms = latent.terms(X, TIMES, SEEN, generator=seeded())
    q = latent.encoder(X * SEEN, TIMES, SEEN.any(-1))
    z = latent.trajectory(draw(q, 1, seeded())[0], TIMES - TIMES[:, :1])
    log_p = Normal(latent.decoder.mean(z), latent.decoder.std).log_prob(X)
    torch.testing.assert_close(terms.reconstruction, torch.stack([log_p[i][SEEN[i]].sum() for i in range(4)]))
    whole = SEEN.any(-1)
    frames, entries = (latent.terms(X, TIMES, m, generator=seeded()) for m in (whole, whole[..., None].expand(4, 9, 2)))
    torch.testing.assert_close(frames.elbo(), entries.elbo())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_clocks_may_be_more_precise_than_the_model(encoder: str) -> None:
    latent = model(encoder).float()
    fine, coarse = (latent.predict(X.float(), t, None, t) for t in (TIMES, TIMES.float()))
    torch.testing.assert_close(fine, coarse)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_seconds_since_1970_keep_their_gaps(encoder: str) -> None:
    """float32 has room for steps of 128 there; a clock is rounded after it was made relative."""
    latent, late = model(encoder).float(), TIMES + 1_614_556_800
    relative = late - late[:, :1]
    means = [latent.forecast(X.float(), t, t, mean=True).mean for t in (late, relative)]
    torch.testing.assert_close(means[0], means[1])
    elbos = [latent.terms(X.float(), t, generator=seeded()).elbo() for t in (late, relative)]
    torch.testing.assert_close(elbos[0], elbos[1])
    encoded = [latent.encoder(X.float(), t).mean for t in (late, relative)]
    torch.testing.assert_close(encoded[0], encoded[1])


@pytest.mark.parametrize("times", [TIMES, TIMES[0]], ids=["clocks of their own", "one clock"])
def test_forecast_of_the_first_frames_at_all_times(times: Tensor) -> None:
    latent, mask = model(), SEEN[:, :5]
    forecast = latent.forecast(X[:, :5], times, mask=mask, draws=50, generator=seeded())
    same = latent.forecast(X[:, :5], times[..., :5], times, mask, draws=50, generator=seeded())
    assert forecast.draws.shape == (50, 4, 9, 2) and torch.equal(forecast.draws, same.draws)
    assert torch.equal(forecast.times, times) and forecast.noise is not None and not forecast.mean.requires_grad
    low, high = forecast.quantile([0.1, 0.9])
    assert bool((low < forecast.mean).all()) and bool((forecast.mean < high).all())
    path = latent.forecast(X[:, :5], times, mask=mask, mean=True)
    torch.testing.assert_close(path.mean, latent.predict(X[:, :5], times[..., :5], mask, times))


def test_an_iteration_does_not_get_dearer_by_padding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """48 hours, hourly in one sequence and three times in another: the solver goes as far as observations do."""
    lines = [f"often,{hour},1,2" for hour in range(49)] + [f"seldom,{hour},1,2" for hour in (0, 20, 48)]
    (tmp_path / "a.csv").write_text("\n".join(["sequence,time,a,b", *lines]))
    data, latent, calls = load_sequences(tmp_path / "a.csv"), model().float(), []
    monkeypatch.setattr(latent.field, "forward", lambda t, z, f=latent.field.forward: calls.append(t) or f(t, z))
    counts = []
    for some in (data, data[:1]):
        calls.clear()
        latent.terms(some.x, some.times, some.mask)
        counts.append(len(calls))
    assert counts[0] == counts[1] > 48 / latent.step
    assert data.last_times.tolist() == [48, 48]
    ahead = data.last_times[:, None] + torch.linspace(0, 3, 4)
    assert latent.forecast(data.x, data.times, ahead, data.mask).times.tolist() == [[48, 49, 50, 51]] * 2


@pytest.mark.parametrize("how", [{"mean": True}, {"draws": 1}], ids=["the mean", "one draw"])
def test_one_path_has_no_spread(how: dict) -> None:
    forecast = model().forecast(X, TIMES, **how)
    for ask in (lambda: forecast.std, lambda: forecast.quantile([0.1, 0.9]), lambda: forecast.quantile(0.5)):
        with pytest.raises(ValueError, match=r"one path has no spread.*draws=50, not mean=True"):
            ask()
    assert forecast.mean.isfinite().all()
    assert model().forecast(X, TIMES, draws=2).std.isfinite().all()


BAD = {
    "NaN without a mask": ((X / 0 * 0, TIMES), r"not finite in sequence 0, frame 0; .*mask=~x.isnan\(\)"),
    "times backwards": ((X, TIMES.flip(1)), "times must increase; sequence 0: frame 1 .* sort the frames"),
    "other channels": ((X[..., :1], TIMES), r"x has shape \(4, 9, 1\), but the model reads \(n, T, 2\)"),
    "other mask": ((X, TIMES, SEEN[:, :5]), r"mask has shape \(4, 5, 2\); it must be \(4, 9\)"),
    "too few times": ((X, TIMES[0, :5]), r"times has shape \(5,\); it must be \(9,\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data(name: str) -> None:
    arguments, message = BAD[name]
    latent = model()
    for call in (latent.terms, latent.posterior, lambda x, t, mask=None: latent.forecast(x, t, t, mask)):
        with pytest.raises(ValueError, match=message):
            call(*arguments)


def test_bad_questions() -> None:
    latent = model()
    for call in (latent.terms, latent.forecast):
        with pytest.raises(ValueError, match=r"draws must be at least 1, got 0; one path .* forecast\(…, mean=True\)"):
            call(X, TIMES, draws=0)
        with pytest.raises(TypeError, match=r"x is torch.float32, the model's weights torch.float64: convert one"):
            call(X.float(), TIMES)
    with pytest.raises(ValueError, match=r"at has shape \(3, 9\); it must be \(T,\).*\(4, T\)"):
        latent.forecast(X, TIMES, TIMES[:3])
    with pytest.raises(TypeError, match=r"at must be a floating .* got int; convert it with torch.as_tensor\(at\)"):
        latent.forecast(X, TIMES, 50)
    with pytest.raises(TypeError, match=r"times must be a floating point tensor.* got list"):
        latent.forecast(X, [0.0, 1.0])


def test_parts_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="encoder gives z₀ of size 3, but the field moves one of size 4"):
        LatentODE(RecurrentEncoder(2, 3), LatentField(4), GaussianDecoder(4, 2))
