"""The whole model: orders, clocks, lengths, masks, forecasts, samples, files, precision."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from odelab.latent import (
    ODE2VAE,
    BernoulliDecoder,
    DrawnField,
    FirstOrder,
    Forecast,
    GaussianDecoder,
    ImageEncoder,
    SecondOrder,
    VectorEncoder,
    flow,
)
from odelab.latent.elbo import WEIGHTS
from tests.latent.latent_problems import CHANNELS, Q, own_clocks, seeded, sequences, vector_model


@pytest.mark.parametrize("variance", ["shared", "per-weight", "none"])
@pytest.mark.parametrize("order", [2, 1])
def test_every_part_learns(order, variance):
    torch.manual_seed(0)
    dynamics = SecondOrder(2, variance=variance) if order == 2 else FirstOrder(2, variance=variance)
    encoder, decoder = VectorEncoder(CHANNELS, 2, 2, order=order), GaussianDecoder(2, CHANNELS)
    model, (x, times) = ODE2VAE(encoder, dynamics, decoder), sequences()
    (-model.terms(x.float(), times.float()).penalised()).backward()
    assert model.dynamics.position_dim == 2 and model.dynamics.dim == 2 * order
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing


def test_a_batch_is_its_sequences():
    """Lengths, clocks and gaps of their own, in one batch: the same terms as one by one."""
    model, (x, _), times = vector_model(missing="zeros"), sequences(), own_clocks()
    lengths = torch.tensor([6, 4, 5, 2])
    mask = torch.arange(6) < lengths[:, None]
    mask[0, 3] = False
    for i, length in enumerate(lengths):
        times[i, length:] = times[i, length - 1]  # padded: the clock stands still
    field = model.dynamics.draw(generator=seeded())
    model.dynamics.draw = lambda *a, **k: field  # the same function for all
    eps = torch.randn(4, 4, dtype=x.dtype, generator=seeded())
    whole = terms_with(model, x, times, mask, eps)
    for i, length in enumerate(lengths):
        row = slice(i, i + 1)
        alone = terms_with(model, x[row, :length], times[i, :length], mask[row, :length], eps[row])
        for name in WEIGHTS:
            if name != "weights_kl":
                torch.testing.assert_close(getattr(whole, name)[row], getattr(alone, name), msg=name)


def terms_with(model, x, times, mask, eps):
    """Terms for given noise."""
    usual = torch.randn
    torch.randn = lambda *shape, **settings: eps
    try:
        return model.terms(x, times, mask)
    finally:
        torch.randn = usual


def test_nothing_unobserved_is_read():
    model, (x, times) = vector_model(), sequences()
    mask = torch.rand(4, 6, CHANNELS, generator=seeded()) > 0.3
    mask[:, :2] = True
    found = []
    for filling in (torch.nan, 0.0, 1e9):
        terms = model.terms(torch.where(mask, x, filling), times, mask, generator=seeded())
        found.append({name: getattr(terms, name).detach() for name in WEIGHTS})
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


def test_forecast():
    model, (x, _) = vector_model(), sequences()
    times = torch.linspace(0, 3, 13, dtype=torch.float64)
    forecast = model.forecast(x[:, :2], times, draws=40, generator=seeded())
    assert forecast.draws.shape == (40, 4, 13, CHANNELS) and forecast.z.shape == (40, 4, 13, 4)
    torch.testing.assert_close(forecast.mean, forecast.draws.mean(0))
    low, high = forecast.quantile([0.1, 0.9])
    assert bool((low <= forecast.quantile(0.5)).all()) and bool((forecast.quantile(0.5) <= high).all())
    torch.testing.assert_close(forecast.quantile(0.25), torch.quantile(forecast.draws, 0.25, dim=0))
    again = model.forecast(x, times[::2], draws=40, generator=seeded())  # later frames are not read
    torch.testing.assert_close(again.draws[:, :, 0], forecast.draws[:, :, 0])
    spread = forecast.observations(seeded()) - forecast.draws
    torch.testing.assert_close(spread.std(), model.decoder.std.detach(), rtol=0.05, atol=0)
    with pytest.raises(ValueError, match="p must be between 0 and 1"):
        forecast.quantile(1.5)
    own = model.forecast(x, own_clocks(), draws=3, generator=seeded())
    assert own.mean.shape == (4, 6, CHANNELS) and not own.mean.requires_grad
    path = model.forecast(x, times, mean=True)
    assert path.draws.shape == (1, 4, 13, CHANNELS)
    torch.testing.assert_close(path.z[0, :, 0], model.posterior(x).mean.detach())


def test_draws_are_whole_functions():
    """Draws of (W, z₀) fan out; each is the solve of one field from one start."""
    model, (x, times) = vector_model(), sequences(n=1)
    z = model.forecast(x, times, draws=5, generator=seeded()).z
    generator = seeded()
    torch.randn(5, 1, 4, generator=generator, dtype=x.dtype)
    field = model.dynamics.draw((5,), generator)
    slopes = field(0.0, z[:, :, :1])[:, :, 0]
    start = (z[:, :, 1] - z[:, :, 0]) / 0.2
    assert (start - slopes).norm() < 0.5 * slopes.norm()
    assert z[:, 0, -1].std(0).min() > 0


def test_sample_walks_from_the_prior():
    model, (_, times) = vector_model(), sequences()
    frames = model.sample(7, times, seeded())
    assert frames.shape == (7, 6, CHANNELS) and frames.dtype == torch.float64
    z0 = torch.randn(7, 1, 4, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(frames[:, 0], model.decoder.mean(z0[:, 0, :2]).detach())
    assert model.sample(4, own_clocks()).shape == (4, 6, CHANNELS)


@pytest.mark.parametrize("order", [2, 1])
def test_file(order, tmp_path):
    model, (x, times) = vector_model(order, substeps=2), sequences()
    model.float().save(tmp_path / "model.safetensors")
    other = ODE2VAE.load(tmp_path / "model.safetensors")
    assert not other.training and other.substeps == 2 and other.encoder.scale == 2.0
    draws = [m.forecast(x.float(), times.float(), 5, seeded()).draws for m in (model, other)]
    assert torch.equal(*draws)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    vector_model().save(path)
    for device in ("cuda", torch.device("cuda", 1)):
        with pytest.raises(ValueError, match=rf"^device '{device}' is not there; this machine has cpu"):
            ODE2VAE.load(path, device)
    assert next(ODE2VAE.load(path, "auto").parameters()).device.type == "cpu"


def test_second_derivatives() -> None:
    """Of a rollout they are refused in words, by backpropagation they are there."""
    _, times = sequences()
    for gradient in ("rollout", "backprop"):
        model = vector_model(gradient=gradient)
        weights = model.dynamics.net.mean_weights
        objective = model._flow(model.dynamics.draw(mean=True), torch.ones(1, 4).double(), times).sum()
        (first,) = torch.autograd.grad(objective, weights, create_graph=True)
        if gradient == "rollout":
            with pytest.raises(
                RuntimeError, match=r"rollout.*differentiated once.*second derivative: take gradient='backprop'"
            ):
                torch.autograd.grad(first.square().sum(), weights)
        else:
            assert torch.autograd.grad(first.square().sum(), weights)[0].abs().max() > 0


def test_settings_changed_after_construction_are_saved_or_refused(tmp_path):
    path, (x, times) = tmp_path / "model.safetensors", sequences()
    model = vector_model()
    model.substeps, model.method, model.missing, model.encoder.scale = 5, "rk4", "zeros", 3.0
    model.save(path)
    other = ODE2VAE.load(path)
    assert (other.substeps, other.method, other.missing, other.encoder.scale) == (5, "rk4", "zeros", 3.0)
    draws = [m.forecast(x, times, 5, seeded()).draws for m in (model, other)]
    assert torch.equal(*draws)
    whole = path.read_bytes()
    model.dynamics.net.activation = "relu"  # an argument of SecondOrder, but no attribute of it
    with pytest.raises(
        ValueError, match=r"dynamics\.net\.activation is 'relu', but was 'tanh' when the model was built"
    ):
        model.save(path)
    model.dynamics.net.activation = "tanh"
    model.decoder.net.append(torch.nn.Linear(CHANNELS, CHANNELS))
    with pytest.raises(
        ValueError, match=r"decoder\.net\.\S+ is .*, but not there as the constructor of ODE2VAE makes it"
    ):
        model.save(path)
    assert path.read_bytes() == whole
    before, same = torch.random.get_rng_state(), vector_model()
    torch.random.set_rng_state(before)
    same.save(path)
    assert torch.equal(torch.random.get_rng_state(), before)  # what is built to compare with draws nothing


@pytest.mark.parametrize(
    ("written", "read"),
    [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.float16, torch.float32)],
)
def test_file_keeps_the_precision(written, read, tmp_path):
    """Half precision is for small files: what comes back can be computed with."""
    model = vector_model().to(written)
    model.save(tmp_path / "model.safetensors")
    weights = dict(ODE2VAE.load(tmp_path / "model.safetensors").named_parameters())
    assert {p.dtype for p in weights.values()} == {read}
    assert all(torch.equal(weights[name], p.to(read)) for name, p in model.named_parameters())


def test_file_of_images(tmp_path):
    torch.manual_seed(0)
    model = ODE2VAE(ImageEncoder(14, 3, 2, 2), SecondOrder(3, (5,), activation="relu"), BernoulliDecoder(3, 14, 2))
    x, times = torch.rand(5, 4, 1, 14, 14), torch.arange(4.0)
    model.terms(x, times)  # moves the running statistics
    model.save(tmp_path / "model.safetensors")
    draws = [m.forecast(x, times, 2, seeded()).draws for m in (model, ODE2VAE.load(tmp_path / "model.safetensors"))]
    assert torch.equal(*draws)


def test_broken_files(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="no model at"):
        ODE2VAE.load(path)
    model = vector_model()
    model.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is no ODE2VAE that can be loaded"):
        ODE2VAE.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="describes no model"):
        ODE2VAE.load(path)
    path.write_bytes(whole)
    assert not list(tmp_path.glob("*.part")) and "dynamics.net.mean_weights" in load_file(path)
    model.decoder.net = torch.nn.Sequential()
    with pytest.raises(TypeError, match="Custom cannot be saved: derive its class"):
        ODE2VAE(Custom(), model.dynamics, model.decoder).save(path)
    assert path.read_bytes() == whole


class Custom(torch.nn.Module):
    frames, dim, shape = 2, 4, (CHANNELS,)


def test_mixed_precision_keeps_the_density():
    model, (x, times) = vector_model().float(), sequences()
    x, times = x.float(), times.float()
    exact = model.terms(x, times, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.terms(x, times, generator=seeded())
        (-mixed.penalised()).backward()
    assert mixed.dynamic_kl.dtype == torch.float32
    torch.testing.assert_close(mixed.penalised(), exact.penalised(), rtol=0.05, atol=0.5)


def test_parts_that_do_not_fit():
    encoder, decoder = VectorEncoder(CHANNELS, 2, 2), GaussianDecoder(2, CHANNELS)
    with pytest.raises(ValueError, match=r"z of size 4, but the dynamics move one of size 3: SecondOrder\(q\)"):
        ODE2VAE(encoder, FirstOrder(3), decoder)
    with pytest.raises(ValueError, match=r"reads frames \(3,\), but the decoder makes \(5,\)"):
        ODE2VAE(encoder, SecondOrder(2), GaussianDecoder(2, 5))
    with pytest.raises(ValueError, match="unknown missing 'zero'; did you mean 'zeros'"):
        ODE2VAE(encoder, SecondOrder(2), decoder, missing="zero")
    with pytest.raises(ValueError, match="order must be 2"):
        VectorEncoder(3, 2, order=3)


class Pushed(DrawnField):
    """Moves z towards 0, and forgets what that does to its divergence."""

    def __call__(self, t, z):
        return super().__call__(t, z) - z


@pytest.mark.parametrize("gradient", ["rollout", "backprop"])
@pytest.mark.parametrize("draws", [1, 3])
def test_dynamics_whose_density_would_silently_be_wrong_are_refused(draws, gradient):
    model = vector_model(gradient=gradient)
    net = model.dynamics.net
    model.dynamics.draw = lambda shape=(), generator=None: Pushed(net, net.draw(shape, generator), 2 * Q, True)
    with pytest.raises(ValueError, match="Mend with_divergence"):
        model.terms(*sequences(), draws=draws)


def test_a_fan_by_its_parts() -> None:
    torch.manual_seed(0)
    dynamics = SecondOrder(2, (8,), initial_variance=0.09)
    model = ODE2VAE(VectorEncoder(4, 2), dynamics, GaussianDecoder(2, 4))
    x, times = torch.randn(3, 3, 4), torch.linspace(0, 1, 5)
    generator = torch.Generator().manual_seed(0)
    law = model.forecast(x, times, 6, generator, start=False)
    start = model.forecast(x, times, 6, generator, law=False)
    still = model.forecast(x, times, 6, start=False, law=False)
    assert law.z[:, :, 0].std(0).max() == 0 and law.z[:, :, -1].std(0).min() > 0, "one start, several laws"
    assert start.z[:, :, 0].std(0).min() > 0
    one = model.forecast(x, times, mean=True)
    torch.testing.assert_close(still.z, one.z.expand_as(still.z))
    with torch.no_grad():
        again = flow(model.dynamics.draw(mean=True), start.z[:, :, 0], times)
    torch.testing.assert_close(start.z, again)


def test_bands_cover_what_they_promise() -> None:
    generator = torch.Generator().manual_seed(0)
    draws, truth = torch.randn(200, 40, 30, 5, generator=generator), torch.randn(40, 30, 5, generator=generator)
    forecast = Forecast(draws, draws, torch.arange(30.0))
    for level in (0.5, 0.9):
        assert forecast.covers(truth, level).float().mean() == pytest.approx(level, abs=0.02)
    low, high = forecast.quantile([0.05, 0.95])
    inside = ((low <= truth) & (truth <= high)).float().mean()
    assert forecast.covers(truth, 0.9).float().mean() == pytest.approx(float(inside), abs=0.01)
    wide = 1.5 * torch.randn(40, 30, 5, generator=generator)
    assert forecast.covers(wide, 0.9).float().mean() < 0.8
    noise = torch.full((5,), 1.25**0.5)  # draws and noise together have the standard deviation 1.5
    assert forecast.covers(wide, 0.9, noise).float().mean() == pytest.approx(0.9, abs=0.02)
    assert forecast.pit(wide, noise).mean() == pytest.approx(0.5, abs=0.02)
    assert (forecast.pit(draws[0]) > 0).all(), "equal ones count by half"
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        forecast.covers(truth, 90)
    with pytest.raises(ValueError, match="noise must be positive"):
        forecast.pit(truth, 0.0)
    with pytest.raises(ValueError, match="one path has no spread"):
        Forecast(draws[:1], draws[:1], torch.arange(30.0)).pit(truth)
