"""The latent ODE: its trajectory, its bound, what it says between and beyond observations; and the baseline."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from torch.profiler import ProfilerActivity, profile

from odelab.latent import GaussianDecoder, LatentField, LatentODE, ODERNNEncoder, RecurrentEncoder
from odelab.latent.latent_ode import draw, hermite
from odelab.solvers import NonFiniteState, solve


def model(step: float = 0.05, encoder: str = "rnn") -> LatentODE:
    torch.manual_seed(0)
    read = RecurrentEncoder(2, 3, 7) if encoder == "rnn" else ODERNNEncoder(2, 3, 7)
    built = LatentODE(read, LatentField(3, (8,)), GaussianDecoder(3, 2, (5,), initial_std=0.5), step=step).double()
    for p in built.field.parameters():
        p.data *= 2  # bends more than a fresh one does
    return built


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Four sequences with clocks of their own."""
    generator = torch.Generator().manual_seed(1)
    x, times = (torch.randn(4, 9, 2, generator=generator), torch.rand(4, 9, generator=generator).cumsum(1) + 3)
    return x.double(), times.double(), torch.rand(4, 9, generator=generator) < 0.6


@pytest.mark.parametrize("draws", [(), (3,)])
def test_trajectory_solves_the_ode_both_ways_each_sequence_at_its_own_times(draws: tuple[int, ...]) -> None:
    latent, generator = model(), torch.Generator().manual_seed(2)
    z0 = torch.randn(*draws, 4, 3, generator=generator).double()
    times = (torch.rand(4, 6, generator=generator).double() - 0.5) * 4
    times[:, 2] = 0
    z = latent.trajectory(z0, times)
    assert z.shape == (*draws, 4, 6, 3)
    torch.testing.assert_close(z[..., 2, :], z0)
    for row in range(4):
        for k in (0, 1, 3, 4, 5):
            span = torch.stack([0 * times[row, k], times[row, k]])
            exact = solve(latent.field, z0[..., row, :], span, rtol=1e-9, atol=1e-9).y[-1]
            torch.testing.assert_close(z[..., row, k, :], exact, atol=3e-5, rtol=0)
    torch.testing.assert_close(latent.trajectory(z0, times[1])[..., 1, :, :], z[..., 1, :, :])


@pytest.mark.parametrize("ends", [(0.0, 0.0), (0.5, 0.7), (-0.9, -0.3), (0.0, 0.4)])
def test_trajectory_whatever_the_times(ends: tuple[float, float]) -> None:
    latent, z0 = model(step=0.2), torch.randn(2, 3).double()
    times = torch.linspace(*ends, 3).double()
    z = latent.trajectory(z0, times)
    for k, t in enumerate(times):
        exact = solve(latent.field, z0, torch.stack([0 * t, t]), rtol=1e-9, atol=1e-9).y[-1] if t else z0
        torch.testing.assert_close(z[:, k], exact, atol=1e-3, rtol=0)


def test_the_cubic_is_exact_for_cubics() -> None:
    knots, times = torch.arange(-2, 5).double() * 0.3, torch.tensor([-0.6, -0.1, 0.0, 0.77, 1.2]).double()
    values, slopes = knots**3 - knots, 3 * knots**2 - 1
    for clocks in (times, torch.stack([times, times.flip(0)])):
        at = hermite(*(part.view(7, 1, 1, 1).expand(7, 3, 2, 1) for part in (values, slopes)), clocks, knots, 0.3)
        expected = (clocks**3 - clocks).expand(3, 2, 5)[..., None]
        torch.testing.assert_close(at, expected, atol=1e-12, rtol=0)


def test_a_long_sequence_takes_memory_for_its_knots_and_points_only() -> None:
    """Weights of every knot at every point would be 600 times as many numbers."""
    points, knots = 2000, 6000
    values = torch.randn(knots, 1, 2, requires_grad=True)
    grid = torch.arange(knots) * 0.2
    times = torch.linspace(0, float(grid[-1]), points)
    for clocks in (times, times[None]):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            hermite(values, values, clocks, grid, 0.2).sum().backward()
        largest = max(event.cpu_memory_usage for event in record.events())
        assert largest < 40 * values.element_size() * (points + knots)


def test_a_path_that_overflows_says_to_take_another_unit_of_time() -> None:
    latent = model(step=0.2).float()
    with torch.no_grad():
        for p in latent.field.parameters():
            p.copy_(0.5 * torch.ones_like(p))
    x, times = torch.zeros(1, 3, 2), torch.tensor([0.0, 10, 700])
    with pytest.raises(NonFiniteState, match=r"reach 700 units of time, 3500 steps of 0\.2; take another.*times / 70"):
        latent.terms(x, times)


def test_terms_are_those_of_a_loop(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    latent, (x, times, mask) = model(), batch
    for p in latent.parameters():
        p.requires_grad_(False)
    terms = latent.terms(x, times, mask, draws=2, generator=torch.Generator().manual_seed(3))
    q = latent.posterior(x, times, mask)
    z0 = draw(q, 2, torch.Generator().manual_seed(3))
    for row in range(4):
        parts = []
        for start in z0[:, row]:
            t = torch.cat([times[row, :1], times[row, 1:]]) - times[row, 0]
            z = solve(latent.field, start, t, rtol=1e-9, atol=1e-9).y.detach()
            log_p = Normal(latent.decoder.mean(z), latent.decoder.std).log_prob(x[row])
            parts.append(log_p[mask[row]].sum())
        assert terms.reconstruction[row] == pytest.approx(sum(parts).item() / 2, abs=1e-3)
        mean, std = q.mean[row], q.stddev[row]
        prior, here = MultivariateNormal(0 * mean, torch.eye(3).double()), MultivariateNormal(mean, std.diag() ** 2)
        assert terms.kl[row] == pytest.approx(torch.distributions.kl_divergence(here, prior).item())
    assert terms.elbo() == pytest.approx((terms.reconstruction - terms.kl).mean().item())
    assert terms.elbo(0.0) == pytest.approx(terms.reconstruction.mean().item())


def test_full_mask_permutation_and_gradients(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    latent, (x, times, mask) = model(encoder="ode-rnn"), batch
    at, order = torch.linspace(2, 8, 5).double(), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(latent.predict(x, times, torch.ones_like(mask), at), latent.predict(x, times, None, at))
    permuted = latent.predict(x[order], times[order], mask[order], at)
    torch.testing.assert_close(permuted, latent.predict(x, times, mask, at)[order])
    latent.terms(x, times, mask).elbo().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in latent.parameters())


def test_the_bound_holds_and_is_tight_for_the_true_posterior() -> None:
    """z stands still and is seen with noise: p(x) is a Gaussian in closed form, and so is p(z₀ | x)."""

    class Exact(torch.nn.Module):
        def forward(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> torch.distributions.Independent:
            precision = 1 + 4 * x.shape[1]
            mean = 4 * x.sum(1) / precision
            return torch.distributions.Independent(Normal(mean, (mean * 0 + precision) ** -0.5), 1)

    latent = LatentODE(Exact(), LatentField(1, (2,)), GaussianDecoder(1, 1, (), initial_std=0.5)).double()
    for p in latent.field.parameters():
        p.data.zero_()
    latent.decoder.net[0].weight.data.fill_(1)
    latent.decoder.net[0].bias.data.zero_()
    x, times = torch.randn(1, 6, 1).double(), torch.arange(6).double()
    truth = MultivariateNormal(torch.zeros(6).double(), 0.25 * torch.eye(6).double() + 1).log_prob(x[0, :, 0])
    for p in latent.parameters():
        p.requires_grad_(False)
    bound = latent.terms(x, times, draws=4000).elbo()
    assert bound == pytest.approx(truth.item(), abs=0.1)
    seen_less = latent.terms(x, times, torch.tensor([[True] * 3 + [False] * 3]), draws=4000).elbo()
    assert seen_less != pytest.approx(bound.item(), abs=0.5), "the mask does not reach the likelihood"


def test_forecast_samples_and_files(batch: tuple[Tensor, Tensor, Tensor], tmp_path: Path) -> None:
    latent, (x, times, mask) = model(), batch
    at = torch.linspace(0, 9, 7).double()
    forecast = latent.forecast(x, times, at, mask, draws=400, generator=torch.Generator().manual_seed(0))
    assert forecast.draws.shape == (400, 4, 7, 2) and forecast.z.shape == (400, 4, 7, 3)
    anchor = forecast.z - latent.trajectory(
        draw(latent.posterior(x, times, mask), 400, torch.Generator().manual_seed(0)), at - times[:, :1]
    )
    assert anchor.abs().max() == 0
    assert (forecast.quantile(0.9) >= forecast.quantile(0.1)).all()
    latent.save(tmp_path / "model.safetensors")
    again = LatentODE.load(tmp_path / "model.safetensors", "cpu")
    assert torch.equal(again.predict(x, times, mask, at), latent.predict(x, times, mask, at)) and not again.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_start_from_the_prior(dtype: torch.dtype) -> None:
    latent, times = model().to(dtype), torch.linspace(-1, 1, 5, dtype=dtype)
    series = latent.sample(6, times, torch.Generator().manual_seed(1))
    z0 = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
    assert series.shape == (6, 5, 2) and series.dtype == dtype
    torch.testing.assert_close(series[:, 2], latent.decoder.mean(z0).detach())


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="step"):
        model(step=0.0)
    with pytest.raises(ValueError, match="elu"):
        LatentField(3, activation="rel")
