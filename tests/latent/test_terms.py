"""Every term of the objectives against an independent computation from torch.distributions and autograd."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.func import jacrev

from odelab.latent import ODE2VAE, Terms, flow
from odelab.latent.elbo import WEIGHTS
from tests.latent.latent_problems import CHANNELS, FRAMES, own_clocks, seeded, sequences, vector_model


def by_hand(model: ODE2VAE, x, times, mask=None) -> dict[str, list]:
    """Sequence by sequence, frame by frame, for the draw of `seeded()`; log q_ode from the flow map's determinant."""
    generator, n, m = seeded(), len(x), model.frames
    q_all = [encoder_of(model, x[i : i + 1, :m]) for i in range(n)]
    eps = torch.randn(n, model.dynamics.dim, generator=generator, dtype=x.dtype)
    field = model.dynamics.draw((), generator)
    found: dict[str, list] = {name: [0.0] * n for name in WEIGHTS if name != "weights_kl"}
    for i, q in enumerate(q_all):
        z0 = q.mean[0] + q.variance[0].sqrt() * eps[i]
        clock = times if times.ndim == 1 else times[i]
        p = Normal(torch.zeros_like(z0), torch.ones_like(z0))
        found["initial_kl"][i] = kl_divergence(Normal(q.mean[0], q.variance[0].sqrt()), p).sum()

        def path(z, clock=clock):
            return flow(field, z[None], clock, substeps=model.substeps, gradient="backprop")[0]

        states, volumes = path(z0), torch.linalg.slogdet(jacrev(path)(z0)).logabsdet
        for frame, z in enumerate(states):
            observed = torch.ones(CHANNELS, dtype=torch.bool) if mask is None else mask[i, frame].expand(CHANNELS)
            if not observed.any():
                continue
            log_q = q.log_prob(z0[None])[0] - volumes[frame]
            s = z[: model.dynamics.position_dim]
            mean = 2.0 * model.decoder.net(s)
            fit = Normal(mean, model.decoder.log_std.exp()).log_prob(x[i, frame])[observed].sum()
            if frame == 0:
                found["first_reconstruction"][i] = fit
                continue
            found["reconstruction"][i] += fit
            found["dynamic_kl"][i] += log_q - p.log_prob(z).sum()
            window = slice(frame, frame + m)
            whole = mask is None or bool(mask[i, window].all())
            if frame + m <= x.shape[1] and whole:
                found["encoder_kl"][i] += log_q - encoder_of(model, x[i : i + 1, window]).log_prob(z[None])[0]
    return found


def encoder_of(model: ODE2VAE, x) -> Independent:
    mean, log_std = model.encoder(x)
    return Independent(Normal(mean, log_std.exp()), 1)


CASES = ["plain", "first order", "own clocks", "missing frames", "missing channels"]


@pytest.mark.parametrize("case", CASES)
def test_terms_by_hand(case):
    model, (x, times) = vector_model(1 if case == "first order" else 2, substeps=10), sequences()
    mask = None
    if case == "own clocks":
        times = own_clocks()
    if case == "missing frames":
        mask = torch.ones(4, 6, dtype=torch.bool)
        mask[0, 2:4], mask[1, 4], mask[3, 5] = False, False, False
        times = own_clocks()
    if case == "missing channels":
        mask = torch.ones(4, 6, CHANNELS, dtype=torch.bool)
        mask[0, 2], mask[1, 3, 0], mask[2, 4:, 1:] = False, False, False
    given = x if mask is None else torch.where(mask if mask.ndim == 3 else mask[..., None], x, torch.nan)
    terms = model.terms(given, times, mask, generator=seeded())
    for name, expected in by_hand(model, x, times, mask).items():
        value = getattr(terms, name)
        assert value.shape == (4,), name
        torch.testing.assert_close(value, torch.stack(expected), rtol=0, atol=1e-6, msg=lambda m, name=name: name + m)
    torch.testing.assert_close(terms.weights_kl, model.dynamics.kl())


def test_initial_density_is_complete():
    """With −Σ log σ: the mean of log q(z₀) is minus the entropy, and its gradient reaches the encoder's σ."""
    model, (x, _) = vector_model(), sequences()
    q = model.posterior(x)
    z0 = q.rsample((20000,))
    torch.testing.assert_close(q.log_prob(z0).mean(0), -q.entropy(), rtol=0, atol=0.05)
    q.log_prob(q.mean).sum().backward()
    assert all(net[-1].bias.grad[Q_STD].abs().min() > 0.5 for net in model.encoder.nets)


Q_STD = slice(2, 4)  # the second half of the outputs of an encoder net: log σ


def test_two_objectives_differ_by_the_dynamic_term():
    model, (x, times) = vector_model(), sequences()
    terms = model.terms(x, times, sequences=40)
    fit = terms.first_reconstruction + terms.reconstruction
    path = (fit - terms.initial_kl).mean() - model.dynamics.kl() / 40
    torch.testing.assert_close(terms.path_elbo(), path)
    torch.testing.assert_close(terms.elbo(), path - terms.dynamic_kl.mean())
    penalised = terms.elbo() + model.dynamics.kl() / 40 * (1 - 0.3) - 0.7 * terms.encoder_kl.mean()
    torch.testing.assert_close(terms.penalised(0.3, 0.7), penalised)
    beta = 4 / model.dynamics.weight_count
    assert terms.beta == beta and model.dynamics.weight_count == 4 * 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2
    torch.testing.assert_close(terms.penalised(), terms.penalised(beta, 1.0))


def test_path_elbo_bounds_the_evidence_of_a_linear_model():
    """Where everything is Gaussian log p(X) is known: the path ELBO is below it, and touches it at the posterior."""
    torch.manual_seed(0)
    model, (x, times) = vector_model(substeps=4), sequences(n=1)
    dynamics = type(model.dynamics)(2, (), variance="none").double()
    model.dynamics, model.decoder.net = dynamics, torch.nn.Linear(2, CHANNELS).double()
    with torch.no_grad():
        basis = torch.cat([torch.zeros(1, 4), torch.eye(4)]).double()
        frames = model.decoder.mean(flow(dynamics.draw(), basis, times, substeps=4)[..., :2]).flatten(1)
        offset, matrix = frames[0], (frames[1:] - frames[0]).T  # frames are an affine function of z₀
        noise = model.decoder.std.square()
        covariance = matrix @ matrix.T + noise * torch.eye(len(matrix))
        evidence = torch.distributions.MultivariateNormal(offset, covariance).log_prob(x.flatten())
        precision = torch.eye(4) + matrix.T @ matrix / noise
        mean = torch.linalg.solve(precision, matrix.T @ (x.flatten() - offset) / noise)

        class Best(torch.nn.Module):
            """The best q(z₀) with independent entries; its gap to the evidence is known."""

            frames, dim, shape = FRAMES, 4, (CHANNELS,)

            def forward(self, x):
                return mean.expand(len(x), 4), -0.5 * precision.diagonal().log().expand(len(x), 4)

        model.encoder = Best()
        value = model.terms(x, times, draws=20000, encoder_kl=False, generator=seeded()).path_elbo()
    gap = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    assert gap > 0.01
    torch.testing.assert_close(evidence - value, gap, rtol=0, atol=0.1)


def test_many_draws_average():
    model, (x, times) = vector_model(), sequences()
    terms = model.terms(x, times, draws=3, generator=seeded())
    eps, generator = torch.randn(3, 4, 4, generator=seeded(), dtype=x.dtype), seeded()
    torch.randn(3, 4, 4, generator=generator, dtype=x.dtype)
    field, q = model.dynamics.draw((3,), generator), model.posterior(x)
    z = flow(field, q.mean + q.variance.sqrt() * eps, times)
    fit = model.decoder.distribution(z[..., :2]).log_prob(x).sum(-1).mean(0)
    torch.testing.assert_close(terms.first_reconstruction, fit[:, 0])
    torch.testing.assert_close(terms.reconstruction, fit[:, 1:].sum(-1))


def terms_of(**values: float) -> Terms:
    tensors = {name: torch.tensor([value]) for name, value in {**dict.fromkeys(WEIGHTS, 1.0), **values}.items()}
    return Terms(**tensors | {"weights_kl": torch.tensor(8.0)}, sequences=4, beta=0.5)


def test_terms_can_be_switched_off():
    terms = terms_of(dynamic_kl=torch.inf, reconstruction=-3.0)
    assert terms.path_elbo() == -2.0 - 1.0 + 1.0 - 3.0
    assert terms.combine(dynamic_kl=0, weights_kl=0, initial_kl=0.5, reconstruction=2) == -0.5 + 1 - 6
    assert terms.named()["weights_kl"] == 2.0 and list(terms.named()) == list(WEIGHTS)
    left_out = vector_model().terms(*sequences(), encoder_kl=False)
    assert not left_out.encoder_kl.any() and left_out.penalised(gamma=0).isfinite()
    with pytest.raises(ValueError, match="encoder_kl was left out of these terms"):
        left_out.penalised()
    with pytest.raises(ValueError, match="unknown term 'kl'; the terms are weights_kl"):
        terms.combine(kl=0)
