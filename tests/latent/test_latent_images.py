"""Convolutional encoders and decoders: sizes, likelihood, and statistics of training kept out of evaluation."""

import pytest
import torch
from torch.nn import functional as F

from odelab.latent import ODE2VAE, BernoulliDecoder, FirstOrder, ImageEncoder, SecondOrder


def images(n: int = 6, frames: int = 5, size: int = 14, channels: int = 1) -> torch.Tensor:
    return torch.rand(n, frames, channels, size, size, generator=torch.Generator().manual_seed(0))


def model_of(size: int = 14, frames: int = 3, order: int = 2, channels: int = 1) -> ODE2VAE:
    torch.manual_seed(0)
    dynamics = SecondOrder(3, (5, 5), activation="relu") if order == 2 else FirstOrder(3, (5, 5))
    encoder = ImageEncoder(size, 3, frames, 2, order, channels)
    return ODE2VAE(encoder, dynamics, BernoulliDecoder(3, size, 2, channels))


@pytest.mark.parametrize(("order", "channels"), [(2, 1), (1, 3)])
@pytest.mark.parametrize("size", [14, 16, 28, 32, 9, 21])
def test_sizes(size, order, channels):
    model, x = model_of(size, order=order, channels=channels), images(size=size, channels=channels)
    terms = model.terms(x, torch.arange(5.0))
    (-terms.penalised()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    forecast = model.forecast(x[:, :3], torch.arange(7.0), draws=2)
    assert forecast.mean.shape == (6, 7, channels, size, size) and 0 <= forecast.mean.min() <= forecast.mean.max() <= 1
    if size > 14:
        widths = [conv.weight.shape[0] for conv in model.encoder.nets[0] if isinstance(conv, torch.nn.Conv2d)]
        assert widths == [2, 4, 8, 16]


def test_position_sees_the_first_frame_and_velocity_all_of_them():
    model, x = model_of().eval(), images()
    posterior = model.posterior(x)
    assert torch.equal(posterior.mean[:, :3], model.posterior(x[:, [0, 4, 4, 4, 4]]).mean[:, :3])
    assert not torch.allclose(posterior.mean[:, 3:], model.posterior(x[:, [0, 1, 4, 3, 4]]).mean[:, 3:])
    assert torch.equal(posterior.mean, model.posterior(x[:, [0, 1, 2, 4, 4]]).mean)
    assert torch.allclose(posterior.stddev, torch.ones(())), "σ starts at one"


def test_likelihood_is_minus_the_cross_entropy():
    torch.manual_seed(0)
    decoder, s, x = BernoulliDecoder(3, 14, 2).eval(), torch.randn(2, 6, 3), images(2, 6)
    entropy = F.binary_cross_entropy(decoder.mean(s), x, reduction="none")
    torch.testing.assert_close(decoder.distribution(s).log_prob(x), -entropy, rtol=1e-4, atol=1e-5)


def test_evaluation_does_not_depend_on_the_batch():
    model, x, times = model_of(), images(), torch.arange(5.0)
    model.terms(x, times)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.encoder.eval()
    whole = model.forecast(x, times, mean=True)
    one = model.forecast(x[:1], times, mean=True)
    torch.testing.assert_close(whole.mean[:1], one.mean)
    assert model.training and not model.encoder.training, "every part's mode is put back"
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers()), "no statistics moved"
    batch = model.train().posterior(x).mean[:1]
    assert not torch.allclose(batch, model.eval().posterior(x).mean[:1]), "nothing to tell apart"


def test_what_cannot_be():
    with pytest.raises(ValueError, match="size must be at least 9 pixels"):
        ImageEncoder(8, 3)
    x, mask = images(), torch.ones(6, 5, dtype=torch.bool)
    mask[2, 1] = False
    with pytest.raises(ValueError, match=r"x has shape \(6, 5, 14, 14\), but the model reads \(n, T, 1, 14, 14\)"):
        model_of().terms(x[:, :, 0], torch.arange(5.0))
    with pytest.raises(ValueError, match="sequence 2: frame 1 is not observed"):
        model_of().terms(x, torch.arange(5.0), mask)
    assert model_of(frames=1).terms(x, torch.arange(5.0), mask).elbo().isfinite()
