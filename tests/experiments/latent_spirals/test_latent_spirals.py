"""The experiment with spirals: every model trains, is measured where it can be asked, and repeats itself."""

from pathlib import Path

import pytest
import torch

from odelab.datasets import spirals
from odelab.experiments.latent_spirals.recipe import ABLATIONS, KEPT, RECIPES, SpiralsRecipe
from odelab.experiments.latent_spirals.run import (
    MODELS,
    NOISE,
    blurred,
    errors,
    frames_read,
    loss,
    rmse,
    run,
    thinned,
    train,
    uncertainty,
)
from odelab.experiments.registry import experiment
from odelab.latent import Forecast, LatentODE, RecurrentForecaster
from tests.experiments.run_context import context_in

TINY = SpiralsRecipe(iterations=6, batch=10, windows=20, test=12)


def test_is_registered_with_every_model_at_every_density() -> None:
    keys = experiment("latent-spirals").keys("full")
    table = {(model, kept) for model in MODELS for kept in KEPT}
    assert {(key["model"], key["kept"]) for key in keys} == table | {(model, 30) for model in ABLATIONS}
    assert sorted(KEPT) == [30, 50, 100]


@pytest.mark.parametrize("model", [*MODELS, "latent-ode-whole", "latent-ode-any"])
def test_a_run_leaves_numbers_and_weights(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "full", TINY)
    rows = [run({"model": model, "kept": 30}, context_in(tmp_path / name, budget="full")) for name in ("a", "b")]
    for row in rows:
        row.pop("cpu_seconds")
    assert rows[0] == rows[1], "the same seed, the same row"
    backwards = "ode" in model
    assert (rows[0]["before"] is not None) == backwards and ("elbo" in rows[0]) == backwards
    assert (tmp_path / "a" / "weights" / f"latent_spirals_{model}_30.safetensors").is_file()


@pytest.mark.parametrize("model", ["rnn-dt", "latent-ode"])
def test_training_helps(model: str) -> None:
    data = spirals(100, kept=30, margin=0, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = MODELS[model]()
    before = loss(net, (data, slice(None))).item()
    history = train(net, data, SpiralsRecipe(iterations=25, batch=50), 0, progress=False)
    assert loss(net, (data, slice(None))).item() < 0.9 * before and len(history.loss) == 25
    if isinstance(net, LatentODE):
        assert net.decoder.std.item() == pytest.approx(data.noise), "the noise is known, and training ends with it"


def test_sigma_falls_to_that_of_the_noise() -> None:
    net = MODELS["latent-ode"]()
    found = []
    for share in (0.0, 0.3, 0.6, 1.0):
        blurred(net, share, SpiralsRecipe(iterations=10, blur=3.0, sharp_at=0.6))
        found.append(net.decoder.std.item())
    assert found == pytest.approx([3.0, (3.0 * NOISE) ** 0.5, NOISE, NOISE])


def test_a_quarter_of_the_batches_reads_half_a_window() -> None:
    recipe = SpiralsRecipe(iterations=1, parts=0.25)
    slices = [frames_read(step, 0, 100, recipe) for step in range(2000)]
    parts = [part for part in slices if part != slice(None)]
    assert 0.2 < len(parts) / len(slices) < 0.3
    assert {part.stop - part.start for part in parts} == {50}
    assert min(part.start for part in parts) == 0 and max(part.stop for part in parts) == 100
    assert slices[7] == frames_read(7, 0, 100, recipe), "every process reads the same"


def test_thinned_windows_keep_a_random_number_of_their_points() -> None:
    data = spirals(20, kept=60, generator=torch.Generator().manual_seed(0))
    numbers = set()
    for step in range(40):
        thin = thinned(data, 5, step, 0)
        count = thin.mask.sum(1)
        assert bool((count == count[0]).all()) and bool((thin.mask <= data.mask).all())
        assert torch.equal(thin.x != 0, (data.x != 0) & thin.mask[..., None])
        numbers.add(int(count[0]))
    assert min(numbers) >= 5 and max(numbers) == 60 and len(numbers) > 10


def test_spread_is_judged_in_each_third() -> None:
    """Draws around a centre that is as far from the curve as they are from it; far beyond the window, 5 more."""
    data = spirals(40, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    centre = data.curve + torch.randn(data.curve.shape, generator=generator)
    centre[:, 200:] += 5.0

    class Known(LatentODE):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def forecast(self, x, times, at, mask, *, draws, generator):
            paths = centre + torch.randn(draws, *centre.shape, generator=generator)
            return Forecast(paths, paths, at)

    scores = uncertainty(Known(), data, draws=200)
    assert scores["coverage"]["inside"] == pytest.approx(0.9, abs=0.03) and scores["coverage"]["beyond"] < 0.05
    assert scores["crps"]["before"] == pytest.approx(torch.pi**-0.5, rel=0.05), "of a calibrated normal"
    assert scores["lost"]["beyond"] == 1.0


def test_errors_are_measured_in_their_own_third() -> None:
    """A model that is off by 1 before, 2 inside, 3 beyond; one that only goes forward has no error before."""
    data = spirals(4, generator=torch.Generator().manual_seed(1))

    class Off(LatentODE):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def predict(self, x, times, mask, at):
            return data.curve + torch.tensor([1.0, 2.0, 3.0]).repeat_interleave(100)[:, None]

    assert errors(Off(), data) == pytest.approx({"before": 1.0, "inside": 2.0, "beyond": 3.0}, rel=1e-5)
    assert errors(RecurrentForecaster(2), data)["before"] is None
    assert rmse(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)) == pytest.approx(12.5**0.5)
