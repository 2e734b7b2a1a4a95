"""The experiment with spirals: every model trains, is measured where it can be asked, and repeats itself."""

from pathlib import Path

import pytest
import torch

from odelab.datasets import spirals
from odelab.experiments.latent_spirals.recipe import KEPT, RECIPES, SpiralsRecipe
from odelab.experiments.latent_spirals.run import (
    MODELS,
    NOISE,
    blurred,
    errors,
    loss,
    rmse,
    run,
    train,
    train_best,
)
from odelab.experiments.registry import experiment
from odelab.latent import LatentODE, RecurrentForecaster
from tests.experiments.run_context import context_in

TINY = SpiralsRecipe(iterations=6, batch=10, windows=20, test=12)


def test_is_registered_with_every_model_at_every_density() -> None:
    keys = experiment("latent-spirals").keys("full")
    assert {(key["model"], key["kept"]) for key in keys} == {(model, kept) for model in MODELS for kept in KEPT}
    assert sorted(KEPT) == [30, 50, 100] and RECIPES["full"].starts > 1


@pytest.mark.parametrize("model", MODELS)
def test_a_run_leaves_numbers_and_weights(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "full", TINY)
    rows = [run({"model": model, "kept": 30}, context_in(tmp_path / name, budget="full")) for name in ("a", "b")]
    for row in rows:
        row.pop("cpu_seconds")
    assert rows[0] == rows[1], "the same seed, the same row"
    backwards = model in ("latent-ode", "ode-rnn")
    assert (rows[0]["before"] is not None) == backwards and ("elbo" in rows[0]) == backwards
    assert (tmp_path / "a" / "weights" / f"latent_spirals_{model}_30.safetensors").is_file()


@pytest.mark.parametrize("model", ["rnn-dt", "latent-ode"])
def test_training_helps(model: str) -> None:
    data = spirals(100, kept=30, margin=0, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = MODELS[model]()
    before = loss(net, data).item()
    history = train(net, data, SpiralsRecipe(iterations=25, batch=50), 0, progress=False)
    assert loss(net, data).item() < 0.9 * before and len(history.loss) == 25
    if isinstance(net, LatentODE):
        assert net.decoder.std.item() == pytest.approx(data.noise), "the noise is known, and training ends with it"


def test_sigma_falls_to_that_of_the_noise() -> None:
    net = MODELS["latent-ode"]()
    found = []
    for share in (0.0, 0.3, 0.6, 1.0):
        blurred(net, share, SpiralsRecipe(iterations=10, blur=3.0, sharp_at=0.6))
        found.append(net.decoder.std.item())
    assert found == pytest.approx([3.0, (3.0 * NOISE) ** 0.5, NOISE, NOISE])


def test_the_start_that_learns_is_taken(tmp_path: Path) -> None:
    data = spirals(40, generator=torch.Generator().manual_seed(0))
    made: list[torch.nn.Module] = []

    def make() -> torch.nn.Module:
        made.append(MODELS["latent-ode"]())
        if len(made) != 2:  # all but the second are far off, and a small rate keeps them there
            torch.nn.init.constant_(made[-1].decoder.net[-1].bias, 30.0)
        return made[-1]

    recipe = SpiralsRecipe(iterations=10, batch=20, lr=1e-5, starts=3)
    model, histories = train_best(make, data, recipe, context_in(tmp_path))
    assert model is made[1] and len(histories) == 3
    assert len(train_best(MODELS["rnn"], data, recipe, context_in(tmp_path / "rnn"))[1]) == 1


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
