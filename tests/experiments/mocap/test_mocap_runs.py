"""The experiments with walks, run in small: what may be seen when, rows, weights, and going on after a stop."""

import json
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch

from odelab.datasets import Mocap, Sequences
from odelab.experiments.mocap import run as mocap
from odelab.experiments.mocap import training as mocap_training
from odelab.experiments.mocap.checkpoints import load_walker, save_walker
from odelab.experiments.mocap.recipe import EXPERIMENTS, WalkerRecipe, mocap2_keys
from odelab.experiments.mocap.training import clock, fit_walker, played, train_as_asked, train_walker, walker
from odelab.experiments.results import unstorable
from odelab.latent import ODE2VAE
from tests.experiments.run_context import context_in

TINY = WalkerRecipe(iterations=4, every=2, draws=2, first=10, longest=12, hidden=(5, 5))


def waves(n, frames=40, channels=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    phase = 6.3 * torch.rand(n, 1, channels, generator=generator)
    return 5 * torch.sin(0.3 * torch.arange(frames)[None, :, None] + phase)


def sequences(x):
    return Sequences(x, clock(x.shape[1]), torch.ones(x.shape[:2], dtype=torch.bool), "waves")


@pytest.fixture
def walks():
    parts = [sequences(waves(n, seed=n)) for n in (16, 3, 4)]
    return Mocap(*parts, torch.arange(23.0)[:, None].expand(23, 50), torch.zeros(23, 3), "waves", True)


context = partial(context_in, budget="full")


@pytest.fixture
def tiny(monkeypatch, walks):
    monkeypatch.setattr(mocap, "MOCAP2", {k: replace(TINY, gamma=v.gamma) for k, v in mocap.MOCAP2.items()})
    monkeypatch.setattr(mocap, "mocap35", lambda **settings: walks)


def test_the_test_walks_play_no_part_in_training_and_choice(tmp_path, walks, tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(mocap, "save_walker", lambda model, *rest: seen.append(model.state_dict()))
    key = {"model": "ode2vae-kl", "centring": "own"}
    first = mocap.mocap2(key, context(tmp_path / "a"))
    changed = replace(walks, test=sequences(100 + waves(4, seed=99)))
    monkeypatch.setattr(mocap, "mocap35", lambda **settings: changed)
    second = mocap.mocap2(key, context(tmp_path / "b"))
    assert all(torch.equal(a, b) for a, b in zip(seen[0].values(), seen[1].values(), strict=True))
    for name in ("validation", "validation_last", "best_iteration", "validations"):
        assert first[name] == second[name]
    assert second["test"]["mean_of_draws"] > 100 * first["test"]["mean_of_draws"]


@pytest.mark.parametrize("key", mocap2_keys("full"), ids=lambda key: f"{key['model']}-{key['centring']}")
def test_every_row_can_be_made_and_stored(key, tmp_path, tiny):
    found = mocap.mocap2(key, context(tmp_path))
    assert not list(unstorable(found))
    test = found["test_last" if key["model"] in mocap.REFITTED else "test"]
    assert {"mean_of_draws", "per_draw", "posterior_mean", "sequences"} <= test.keys()
    assert len(test["sequences"]["per_draw"]) == 4 and len(test["horizon"]) == 37
    if key["model"] in mocap.MOCAP2 and key["centring"] == "own":
        assert {"test_first_frames", "test_training_mean", "test_last"} <= found.keys()
    assert len(json.dumps(found)) < 10_000


def test_a_refitted_model_sees_the_validation_walks_and_is_not_chosen_by_them(tmp_path, walks, tiny, monkeypatch):
    seen = []

    def look(model, train, *rest):
        seen.append(train)
        return train_as_asked(model, train, *rest)

    monkeypatch.setattr(mocap, "train_as_asked", look)
    found = mocap.mocap2({"model": "ode2vae-kl-refitted", "centring": "own"}, context(tmp_path))
    assert torch.equal(seen[0], torch.cat([walks.train.x, walks.validation.x]))
    assert found["training_walks"] == 19 and not {"test", "validation", "best_iteration"} & found.keys()


def test_the_stand_in_makes_no_row(tmp_path, walks, tiny, monkeypatch):
    monkeypatch.setattr(mocap, "mocap35", lambda **settings: replace(walks, complete=False))
    with pytest.raises(ValueError, match="made-up gait"):
        mocap.mocap2(mocap2_keys("full")[0], context(tmp_path))


def test_a_run_goes_on_where_it_was_cut_off(tmp_path, walks, monkeypatch):
    def sitting(name):
        torch.manual_seed(0)
        model = walker(TINY)
        settings = context(tmp_path / name, resume=name == "cut").fitting()
        history = train_walker(model, walks.train.x, walks.validation.x, TINY, **settings | {"estimate": False})
        return model.state_dict(), history.loss

    (tmp_path / "cut").mkdir()
    (tmp_path / "whole").mkdir()
    whole, losses = sitting("whole")
    calls = []

    def stopped(*given):
        calls.append(given)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return played(*given)

    monkeypatch.setattr(mocap_training, "played", stopped)
    with pytest.raises(KeyboardInterrupt):
        sitting("cut")
    cut, again = sitting("cut")
    assert len(calls) == TINY.iterations and again == losses
    assert all(torch.equal(a, b) for a, b in zip(whole.values(), cut.values(), strict=True))


def test_a_shipped_walker_comes_with_the_pose_it_is_centred_on(tmp_path, walks, monkeypatch):
    torch.manual_seed(0)
    save_walker(walker(TINY), walks, tmp_path / "checkpoints", "mocap2_ode2vae-kl")
    monkeypatch.setattr("odelab.folders.FOLDERS", [tmp_path])
    model, mean = load_walker()
    assert isinstance(model, ODE2VAE) and torch.equal(mean, torch.full((50,), 7.5))
    with pytest.raises(FileNotFoundError, match="other"):
        load_walker("other")


def test_a_lesson_s_walker(walks):
    for settings, dim in (({}, 6), ({"order": 1}, 6), ({"order": 1, "dim": 3}, 3), ({"gamma": 1.0}, 6)):
        model, history = fit_walker(walks, steps=2, **settings)
        assert model.dynamics.dim == dim and history.step == 2 and history.best


def test_sliders_have_a_walker_for_every_weight(tmp_path, walks, monkeypatch):
    monkeypatch.setattr(mocap, "mocap35", lambda **settings: walks)
    monkeypatch.setattr(mocap, "SLIDERS", TINY)
    keys = EXPERIMENTS["mocap-sliders"].keys("full")
    names = {mocap.slider_name(**key) for key in keys}
    assert len(names) == 4 and "mocap_beta1_gamma0.1" in names
    found = mocap.sliders({"beta": 1.0, "gamma": 10.0}, context(tmp_path))
    assert not list(unstorable(found)) and "test" not in found
    file = tmp_path / "weights" / "mocap_beta1_gamma10.safetensors"
    assert file.stat().st_size < 60_000
    assert next(ODE2VAE.load(file).parameters()).dtype == torch.float32


def test_one_walk_is_cut_in_time(tmp_path, monkeypatch):
    walk = torch.randn(61, 62, dtype=torch.float64).cumsum(0)
    monkeypatch.setattr(mocap, "walks62", lambda: {"02_01": walk})
    monkeypatch.setattr(mocap, "MOCAP1_LIKE", {"ode2vae": TINY})
    split = mocap.walk_split(walk)
    assert torch.equal(mocap.known_and_asked(split, 3, "validation")[:, 3:], split.validation.x)
    asked = mocap.known_and_asked(split, 3, "test")
    assert torch.equal(asked[:, 3:], split.test.x) and torch.equal(asked[:, :3], split.validation.x[:, -3:])
    found = mocap.mocap1_like({"walk": "02_01", "model": "ode2vae"}, context(tmp_path))
    assert found["frames"] == {"train": 30, "validation": 10, "test": 20}
    assert not list(unstorable(found)) and len(found["test"]["horizon"]) == 20
    with pytest.raises(ValueError, match="05_01"):
        mocap.mocap1_like({"walk": "05_01", "model": "ode2vae"}, context(tmp_path))
