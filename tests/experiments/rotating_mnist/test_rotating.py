"""The experiment with turning digits: which frames an error is over, baselines by hand, a whole run in small."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from odelab.datasets import RotatingDigits
from odelab.experiments.recipe import VideoRecipe
from odelab.experiments.registry import experiment
from odelab.experiments.rotating_mnist import run as rotating
from odelab.experiments.rotating_mnist.recipe import FRAMES, MODELS, PAPER, RECIPES, keys, recipe_of
from odelab.experiments.rotating_mnist.run import (
    HELD_OUT_ANGLE,
    baselines,
    count_of,
    digits_of,
    judged_frames,
    run,
    same_frame,
)
from odelab.latent import ODE2VAE
from tests.experiments.run_context import context_in

TINY = VideoRecipe(q=3, hidden=8, filters=2, frames=3, iterations=4, batch=4, lr=1e-3, every=2)


def made_up(n: int, frames: int = 16, gaps: bool = True) -> RotatingDigits:
    """Frames of noise, two of each sequence missing, and of those one at the held-out angle."""
    generator = torch.Generator().manual_seed(n)
    truth = torch.rand(n, frames, 1, 14, 14, generator=generator)
    start = HELD_OUT_ANGLE + 1 + torch.arange(n)[:, None] % (frames - 1)
    angle = (start + torch.arange(frames)) % frames
    mask = (angle != HELD_OUT_ANGLE) & (torch.arange(frames) != 2) if gaps else torch.ones(n, frames, dtype=torch.bool)
    x = truth * mask[:, :, None, None, None]
    return RotatingDigits(x, 0.1 * torch.arange(frames), mask, "noise", False, truth=truth, angle=angle)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Digits of noise and a recipe of moments; a context for a run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(rotating, "digits_of", lambda key, *_: made_up(8, 6, key["frames"] != "uniform"))
    for budget in ("lecture", "full"):
        monkeypatch.setitem(RECIPES, budget, TINY)
    monkeypatch.setattr(rotating, "DRAWS", 2)

    yield partial(context_in, tmp_path)
    torch.set_num_threads(threads)


def test_frames_that_count():
    digits = made_up(3)
    where = judged_frames(digits, 1)
    assert list(where) == ["missing", "removed", "held-out angle", "seen"]
    assert torch.equal(where["missing"], where["removed"] | where["held-out angle"])
    assert where["held-out angle"].sum(1).tolist() == [1, 1, 1] and where["removed"].sum(1).tolist() == [1, 1, 1]
    assert torch.equal(where["seen"], ~where["missing"])
    full = judged_frames(made_up(3, gaps=False), 3)
    assert (
        full["given"][:, :3].all() and not full["given"][:, 3:].any() and torch.equal(full["forecast"], ~full["given"])
    )


def test_baselines_by_hand():
    train, test = made_up(5), made_up(2)
    found = baselines(train, test, {"missing": ~test.mask})
    seen = [train.truth[i, k] for i in range(5) for k in range(16) if train.mask[i, k]]
    mean = sum(seen) / len(seen)
    gone = [(i, k) for i in range(2) for k in range(16) if not test.mask[i, k]]
    expected = sum(((test.truth[i, k] - mean) ** 2).mean() for i, k in gone) / len(gone)
    assert found["missing"]["mean frame"] == pytest.approx(expected.item(), abs=2e-6)
    first = [((test.truth[i, k] - test.truth[i, 0]) ** 2).mean() for i, k in gone]
    assert found["missing"]["first frame"] == pytest.approx((sum(first) / len(first)).item(), abs=2e-6)


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("model", MODELS)
def test_a_run(small, frames, model):
    result = run({"size": 14, "frames": frames, "model": model}, small())
    main = "forecast" if frames == "uniform" else "missing"
    for split in ("held-out digits", "training digits"):
        errors = result[split]["errors"][main]
        assert set(errors) == {"mean of draws", "per draw", "posterior mean"}
        assert errors["mean of draws"] <= errors["per draw"] < 1 and result[split]["baselines"][main]["mean frame"] > 0
        assert len(result[split]["by_frame"]) == 6
    assert result["best"]["loss"] == result["best"][main] and result["cost"]["megabytes"] > 0
    assert result["recipe"]["frames"] == (3 if frames == "uniform" else 1)


def test_interrupted_and_resumed_is_the_same(small, monkeypatch, tmp_path):
    key = {"size": 14, "frames": "uniform", "model": "ode2vae"}
    whole = run(key, small())
    (tmp_path / "run.safetensors").unlink()
    original, calls = rotating.video_model, []

    def stops(*args):
        model = original(*args)
        model.decoder.register_forward_hook(lambda *_: calls.append(1))
        terms = model.terms

        def interrupted(*given, **settings):
            if model.training and calls.append(0) is None and calls.count(0) == 6:  # three to measure, then steps
                raise KeyboardInterrupt
            return terms(*given, **settings)

        model.terms = interrupted
        return model

    monkeypatch.setattr(rotating, "video_model", stops)
    with pytest.raises(KeyboardInterrupt):
        run(key, small())
    monkeypatch.setattr(rotating, "video_model", original)
    again = run(key, small(resume=True))
    assert again["held-out digits"] == whole["held-out digits"] and again["validations"] == whole["validations"]


def test_weights_are_kept_for_the_lessons(small, tmp_path):
    run({"size": 14, "frames": "non-uniform", "model": "ode2vae"}, small(budget="full"))
    model = ODE2VAE.load(tmp_path / "weights" / "rotating_14_non-uniform_ode2vae.safetensors")
    digits = made_up(2, 6)
    assert model.forecast(digits.x, digits.times, draws=3, mask=digits.mask).mean.shape == (2, 6, 1, 14, 14)


def test_the_mean_of_the_same_frame_reads_only_what_was_seen():
    train = made_up(5)
    mean = same_frame(train)
    rows = [i for i in range(5) if train.mask[i, 12]]
    assert 0 < len(rows) < 5  # the others have the held-out angle there
    assert torch.allclose(mean[12], torch.stack([train.truth[i, 12] for i in rows]).mean(0))
    assert not train.mask[:, 2].any() and torch.allclose(mean[2], (mean[1] + mean[3]) / 2)


def test_the_references_split_starts_upright():
    key = {"size": 28, "frames": "non-uniform", "digits": "reference"}
    assert count_of(key) == 360 and count_of(key | {"digits": "new"}) is None and count_of({"size": 14}) == 2000
    digits = digits_of(key, "train", 0, 5)
    assert digits.angle[:, 0].eq(0).all() and not digits.mask[:, HELD_OUT_ANGLE].any()
    assert digits_of(key | {"digits": "new"}, "train", 0, 30).angle[:, 0].unique().numel() > 3


def test_the_papers_rows_have_more_seeds():
    runs = experiment("rotating-mnist-28").runs("full")
    count = {str(key): sum(other == key for other, _ in runs) for key, _ in runs}
    assert sorted(count.values()) == [3] * 12 + [5] * 4 and len(runs) == 56
    assert count[str({"size": 28, "frames": "non-uniform", "model": "ode2vae-kl", "digits": "reference"})] == 5
    assert len(experiment("rotating-mnist-28").runs("full", [7])) == 16  # who asks for a seed gets it


def test_keys_and_recipes():
    assert len(keys(14)) == 8 and keys(28)[0]["size"] == 28 and PAPER.iterations >= 6000
    assert recipe_of({"size": 28, "frames": "uniform"}, "full").q == 20
    assert recipe_of({"size": 28, "frames": "non-uniform"}, "full") == replace(PAPER, q=8, frames=1)


def test_held_out_digits_are_the_same_for_every_seed():
    key = {"size": 14, "frames": "non-uniform"}
    one, other = (digits_of(key, "held-out", seed, 5) for seed in (0, 1))
    assert torch.equal(one.x, other.x) and torch.equal(one.mask, other.mask) and one.mask.sum(1).tolist() == [11] * 5
    first, second = (digits_of(key, "train", seed, 5) for seed in (0, 1))
    assert not torch.equal(first.angle, second.angle)
