"""Models of video, what is minimised, how their errors are defined, and the recurrent baseline."""

from dataclasses import replace

import pytest
import torch

from odelab.datasets import Sequences
from odelab.experiments.context import Context
from odelab.experiments.recipe import VIDEO_MODELS, VideoRecipe
from odelab.experiments.video import (
    average,
    forecast_errors,
    frame_errors,
    length,
    objective,
    prefix,
    train_video,
    video_model,
)
from odelab.training.devices import make_fabric

TINY = VideoRecipe(q=3, hidden=8, filters=2, frames=2, iterations=10, batch=4, lr=1e-3, latent=0.2, gamma=0.3)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, 6, 1, 14, 14, generator=generator)
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[1, 3] = mask[2, 5] = False
    return Sequences(x * mask[:, :, None, None, None], 0.1 * torch.arange(6), mask, "noise")


@pytest.mark.parametrize("name", VIDEO_MODELS)
def test_sizes(name, data):
    model = video_model(name, 14, TINY)
    seen = model.forecast(data.x, data.times, draws=3, mask=data.mask)
    assert seen.draws.shape == (3, 4, 6, 1, 14, 14) and seen.draws.min() >= 0 and seen.draws.max() <= 1
    position = {"order-1-2q": 6}.get(name, 3)
    assert model.decoder.net[0].in_features == position and model.frames == 2


def test_unknown_model():
    with pytest.raises(ValueError, match="model is 'gan'; it can be ode2vae, ode2vae-kl, order-1"):
        video_model("gan", 14, TINY)


@pytest.mark.parametrize("name", VIDEO_MODELS)
def test_objective_is_the_weighted_sum(name, data):
    model = video_model(name, 14, TINY).train()
    torch.manual_seed(3)
    value = objective(name, TINY, 100)(model, data)
    torch.manual_seed(3)
    terms = model.terms(data.x, data.times, data.mask, sequences=100, encoder_kl=name == "ode2vae-kl")
    mean = {key: getattr(terms, key).mean() for key in ("initial_kl", "dynamic_kl", "encoder_kl")}
    expected = -terms.first_reconstruction.mean() - terms.reconstruction.mean() + terms.beta * terms.weights_kl / 100
    expected += 0.2 * (mean["initial_kl"] + mean["dynamic_kl"] / 5)
    expected += 0.3 * mean["encoder_kl"] / 5 * (name == "ode2vae-kl")
    assert torch.allclose(value, expected / (6 * 14 * 14), rtol=1e-5)


@pytest.mark.parametrize("name", ["ode2vae", "ode2vae-kl", "rnn-vae"])
def test_frames_not_observed_do_not_count(name, data):
    model = video_model(name, 14, TINY).eval()
    other = Sequences(torch.where(data.mask[:, :, None, None, None], data.x, 0.7), data.times, data.mask, "")
    values = []
    for each in (data, other):
        torch.manual_seed(0)
        values.append(objective(name, TINY, 4)(model, each))
    assert torch.equal(*values)


def test_errors_by_hand():
    guess, truth = torch.rand(2, 3, 1, 4, 4), torch.rand(2, 3, 1, 4, 4)
    errors = frame_errors(guess, truth)
    assert errors.shape == (2, 3)
    assert errors[1, 2].item() == pytest.approx(((guess[1, 2] - truth[1, 2]) ** 2).sum().item() / 16)
    where = torch.tensor([[True, False, False], [False, False, True]])
    expected = (errors[0, 0].item() + errors[1, 2].item()) / 2
    assert average({"a": errors}, where) == {"a": pytest.approx(expected, rel=1e-5)}


class TwoGuesses:
    """Draws of 0 and of 1, and one half as posterior mean."""

    def forecast(self, x, times, draws=2, generator=None, mask=None, *, mean=False):
        from odelab.latent import Forecast

        values = torch.tensor([0.5]) if mean else torch.tensor([0.0, 1.0])
        return Forecast(values.view(-1, 1, 1, 1, 1, 1).expand(-1, *x.shape), torch.zeros(1), times)


def test_three_readings_of_an_error():
    """Truth 0.25: the mean of draws and the posterior mean are off by 1/16, single draws by (1/16 + 9/16) / 2."""
    data = Sequences(torch.zeros(7, 3, 1, 2, 2), torch.arange(3.0), torch.ones(7, 3, dtype=torch.bool), "")
    found = forecast_errors(TwoGuesses(), data, torch.full_like(data.x, 0.25), draws=2, part=3)
    assert {name: each.shape for name, each in found.items()} == dict.fromkeys(found, (7, 3))
    values = {name: each.unique().tolist() for name, each in found.items()}
    assert values == {"mean of draws": [1 / 16], "per draw": [5 / 16], "posterior mean": [1 / 16]}


def test_sequences_grow():
    lengths = [length(done, TINY, 16) for done in (0, 0.15, 0.3, 1)]
    assert lengths == [6, 11, 16, 16] and length(0, TINY, 4) == 4


def test_a_prefix_knows_nothing_of_later_frames(data):
    part = prefix(data, 4)
    assert part.x.shape == (4, 4, 1, 14, 14) and part.times.tolist() == data.times[:4].tolist()
    assert torch.equal(part.mask, data.mask[:, :4])


@pytest.mark.parametrize("given", ["32-true", "bf16-mixed"])
def test_precision_and_cost_of_a_run(given, data, tmp_path):
    """A CPU is asked for float32; batches go through a run in mixed precision, too."""
    asked = []

    def fabric(precision):
        asked.append(precision)
        return make_fabric("cpu", given)

    context = Context(0, "lecture", tmp_path, tmp_path, False, False, fabric)
    model, recipe = video_model("order-1", 14, TINY), replace(TINY, iterations=2)
    history = train_video("order-1", model, data, lambda model: {"loss": 0.0}, recipe, context)
    assert asked == ["32-true"] and history.cost["megabytes"] > 0
    assert len(history.loss) == 2 and all(p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("name", VIDEO_MODELS)
def test_mixed_precision_is_near_float32(name, data):
    """What a GPU trains in: value and gradient are finite and near those of float32, the weights' stay float32."""
    model, loss = video_model(name, 14, TINY).train(), objective(name, TINY, 4)
    values, gradients = [], []
    for mixed in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            value = loss(model, data)
        gradient = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
        gradients.append(torch.cat([g.flatten() for g in gradient if g is not None]))
        values.append(value.item())
    assert gradients[1].dtype == torch.float32
    assert values[1] == pytest.approx(values[0], rel=0.01)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95


def test_recurrent_states_by_hand(data):
    model = video_model("rnn-vae", 14, TINY).eval()
    z0 = torch.randn(2, model.encoder.dim)
    h = model.start(z0).tanh()
    path = []
    for _ in range(3):
        path.append(model.read(h))
        h = model.cell(path[-1], h)
    assert torch.allclose(model.positions(z0, 3), torch.stack(path, 1), atol=1e-6)
    with pytest.raises(ValueError, match="states of an RNN have no density"):
        model.terms(data.x, data.times, encoder_kl=True)


def test_the_recurrent_forecast_reads_the_first_frames_only(data):
    model = video_model("rnn-vae", 14, TINY)
    other = data.x.clone()
    other[:, 2:] = 0.3
    one, two = (model.forecast(x, data.times, mean=True).draws for x in (data.x, other))
    assert torch.equal(one, two) and one.shape == (1, 4, 6, 1, 14, 14)
