"""Every latent model lives where its weights and data do, forward and backward, whatever the default device is."""

import pytest
import torch

from odelab.latent import (
    ODE2VAE,
    BernoulliDecoder,
    FirstOrder,
    GaussianDecoder,
    ImageEncoder,
    LatentField,
    LatentODE,
    ODERNNEncoder,
    RecurrentEncoder,
    SecondOrder,
    VectorEncoder,
    flow,
)

ELSEWHERE = torch.device("meta")  # holds no data: a tensor made without naming its device cannot be computed with
VECTOR = (4, 5, 3)
IMAGE = (4, 5, 1, 14, 14)


def vectors(dynamics, order: int = 2, **settings) -> ODE2VAE:
    return ODE2VAE(VectorEncoder(3, 2, 2, (4,), order), dynamics, GaussianDecoder(2, 3, (4,)), **settings)


MODELS = {
    "second order": (lambda: vectors(SecondOrder(2, (4, 4)), substeps=2), VECTOR),
    "first order, per weight": (lambda: vectors(FirstOrder(2, (4,), variance="per-weight"), 1), VECTOR),
    "deep, deterministic": (lambda: vectors(SecondOrder(2, (4, 3, 4), variance="none"), method="dopri5"), VECTOR),
    "images": (
        lambda: ODE2VAE(ImageEncoder(14, 2, 2, 2), SecondOrder(2, (4,), activation="relu"), BernoulliDecoder(2, 14, 2)),
        IMAGE,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_forward_and_backward(name):
    torch.manual_seed(0)
    build, shape = MODELS[name]
    model, x, mask = build(), torch.rand(shape), torch.ones(shape[:2], dtype=torch.bool)
    mask[1, 3] = False
    shared = torch.arange(5.0)
    own = shared + torch.arange(4.0)[:, None] * shared
    with ELSEWHERE:
        for times, draws in ((shared, 1), (own, 3)):
            terms = model.terms(x, times, mask, draws=draws)
            (-terms.penalised()).backward()
            assert all(p.grad is None or p.grad.device == x.device for p in model.parameters())
            forecast = model.forecast(x, times, draws=2)
            assert forecast.mean.device == forecast.quantile([0.1, 0.9]).device == x.device
        assert model.sample(2, shared).device == model.posterior(x).mean.device == x.device
        field = model.dynamics.draw((2,))
        z0 = torch.rand(2, 4, model.dynamics.dim, device=x.device, requires_grad=True)
        z, log_q = flow(field, z0, own, density=z0.sum(-1), gradient="backprop")
        (z.sum() + log_q.sum()).backward()
    assert {z.device, log_q.device, z0.grad.device} == {x.device}


ENCODERS = {"gru": lambda: RecurrentEncoder(3, 2, 4, cell="gru", gaps=True), "ode-rnn": lambda: ODERNNEncoder(3, 2, 4)}


@pytest.mark.parametrize("name", ENCODERS)
def test_latent_ode_forward_and_backward(name):
    torch.manual_seed(0)
    model = LatentODE(ENCODERS[name](), LatentField(2, (4,)), GaussianDecoder(2, 3, (4,)))
    x, shared = torch.rand(VECTOR), torch.arange(5.0)
    own, mask = shared + torch.rand(4, 1), torch.rand(VECTOR) > 0.3
    with ELSEWHERE:
        for times in (shared, own):
            (-model.terms(x, times, mask, draws=2).elbo()).backward()
            assert all(p.grad.device == x.device for p in model.parameters())
            assert model.forecast(x[:, :3], times, draws=2).mean.device == x.device
        assert model.sample(2, shared).device == x.device


@pytest.mark.parametrize("name", MODELS)
def test_a_model_moves_whole(name):
    """On the device without data, shapes and devices are all there is to check."""
    model = MODELS[name][0]().to(ELSEWHERE)
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
    field, z = model.dynamics.draw((3,)), torch.zeros(3, 5, model.dynamics.dim, device=ELSEWHERE)
    z, log_q = flow(field, z, torch.arange(4.0), density=z[..., 0])
    assert z.is_meta and log_q.is_meta and model.dynamics.kl().is_meta
