"""What the loop does besides stepping: stops, keeps, diverges, shows a bar."""

import math

import pytest
import torch
from torch import nn

from odelab.saving import load_checkpoint
from odelab.training import Epochs, TrainingDiverged, adam, fit
from tests.training.small_run import small_fit, small_model


def weight(value=0.0):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def sgd(lr=1.0):
    return lambda parameters: torch.optim.SGD(parameters, lr)


def descend(model, batch):
    """Its gradient is −1: each step of SGD adds the learning rate to the weight."""
    return -model.weight.sum()


def counting(model, **settings):
    usual = {"steps": 10, "optimizer": sgd(), "progress": False}
    return fit(model, descend, lambda step: step, **(usual | settings))


def test_keep_best_and_keep_last():
    away_from_three = {"validate": lambda m: {"loss": abs(m.weight.item() - 3)}, "every": 1}
    best, last = weight(), weight()
    history = counting(best, **away_from_three)
    counting(last, **away_from_three, keep="last")
    assert (best.weight.item(), last.weight.item()) == (3.0, 10.0)
    assert history.best == {"step": 3, "loss": 0.0}


def test_early_stop_waits_as_long_as_it_is_told(tmp_path):
    model, path = weight(), tmp_path / "run.safetensors"
    settings = {"validate": lambda m: {"loss": abs(m.weight.item() - 3)}, "every": 2, "patience": 2, "checkpoint": path}
    history = counting(model, **settings)
    assert (history.stopped, history.step, model.weight.item()) == ("early stop", 6, 2.0)  # 1 at 2, 1 at 4, 3 at 6
    again = weight()
    resumed = counting(again, **settings, resume=True)
    assert (resumed.stopped, resumed.step, again.weight.item()) == ("early stop", 6, 2.0)


def test_a_validation_that_is_nan_is_never_the_best():
    losses = iter([math.nan, 2.0, 1.0, math.nan, 3.0])
    model = weight()
    history = counting(model, validate=lambda m: {"loss": next(losses)}, every=2)
    assert history.best == {"step": 6, "loss": 1.0} and model.weight.item() == 6.0


def test_the_average_is_what_is_validated_and_kept():
    seen, model = [], weight()

    def validate(model):
        seen.append(model.weight.item())
        return {"loss": 0.0}

    counting(model, steps=3, ema=0.5, validate=validate, every=1, keep="last")
    assert seen == [1.0, 1.5, 2.25] and model.weight.item() == 2.25


def test_the_schedule_scales_every_group():
    rates = []
    model = nn.ModuleList([weight(), weight()])

    def optimizer(parameters):
        return torch.optim.SGD([{"params": parameters[:1], "lr": 1.0}, {"params": parameters[1:], "lr": 10.0}], lr=0.1)

    def loss(model, batch):
        return -(model[0].weight + model[1].weight).sum()

    fit(model, loss, rates.append, steps=4, optimizer=optimizer, schedule=lambda done: done, progress=False)
    assert rates == [0, 1, 2, 3]
    assert [m.weight.item() for m in model] == [1.5, 15.0]  # 0 + ¼ + ½ + ¾


def test_clipping_bounds_the_step():
    model = weight()
    fit(
        model, lambda m, b: 1000 * m.weight.sum(), lambda step: None, steps=1, optimizer=sgd(), clip=0.5, progress=False
    )
    assert model.weight.item() == pytest.approx(-0.5, rel=1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_its_step_and_leaves_the_checkpoint(value, tmp_path):
    path = tmp_path / "run.safetensors"

    def loss(model, step):
        return descend(model, step) * (value if step == 6 else 1.0)

    with pytest.raises(
        TrainingDiverged, match=r"the loss is .* at step 6 of 10; lower .* holds the run before"
    ) as caught:
        fit(
            weight(1.0), loss, lambda s: s, steps=10, optimizer=sgd(), checkpoint=path, save_seconds=0.0, progress=False
        )
    assert caught.value.step == 6
    kept = load_checkpoint(path)
    assert kept["history"]["step"] == 6 and kept["model"]["weight"].item() == 7.0


def test_weights_that_are_not_finite_never_reach_a_checkpoint(tmp_path):
    """A finite loss may have an infinite gradient: at 0, that of a square root."""
    path = tmp_path / "run.safetensors"
    model = weight(1.0)

    def loss(model, step):
        return model.weight.sum() if step < 1 else model.weight.abs().sqrt().sum()

    with pytest.raises(TrainingDiverged, match=r"a weight is NaN or infinite after step 1 of 2") as caught:
        fit(model, loss, lambda s: s, steps=2, optimizer=sgd(), checkpoint=path, save_seconds=0.0, progress=False)
    assert caught.value.step == 1
    assert load_checkpoint(path)["model"]["weight"].item() == 0.0


def test_the_bar_is_off_when_it_is_not_wanted(capfd):
    small_fit(small_model(), progress=False)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")
    small_fit(small_model(), progress="a small run")
    assert "a small run" in capfd.readouterr().err


def test_steps_draw_the_same_whatever_was_drawn_before():
    first, second = small_model(), small_model()
    one = small_fit(first)
    torch.rand(17)
    assert small_fit(second).loss == one.loss
    assert small_fit(small_model(), seed=1).loss != one.loss


def test_frozen_parameters_stay():
    model = small_model()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    small_fit(model)
    assert torch.equal(model[0].weight, before) and not model[0].weight.requires_grad


def test_nothing_is_made_on_the_default_device(tmp_path):
    """It holds no data here, so whatever were made there could not be computed with."""
    path, model, x, epochs = tmp_path / "run.safetensors", small_model(dropout=0.0), torch.randn(8, 3), Epochs(8, 4)
    validation = {"validate": lambda m: {"loss": m[0].weight.square().sum().item()}, "every": 5}

    def loss(model, batch):
        return model(x[batch]).square().mean()

    with torch.device("meta"):
        settings = {"steps": 12, "optimizer": sgd(0.1), "checkpoint": path, "progress": False, **validation}
        fit(model, loss, epochs, **settings)
        fit(model, loss, epochs, **settings, resume=True)
    assert all(p.device.type == "cpu" for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"keep": "first"}, "keep is 'first'"),
        ({"every": 5}, "validate and every belong together"),
        ({"validate": lambda model: {"loss": 0.0}}, "validate and every belong together"),
        ({"validate": lambda model: {"error": 0.0}, "every": 5}, "validate returned error; 'loss'"),
    ],
)
def test_settings_that_contradict_each_other(settings, text):
    with pytest.raises(ValueError, match=text):
        counting(weight(), **settings)


def test_adam_takes_its_settings():
    optimizer = adam(0.5, weight_decay=0.1)([nn.Parameter(torch.ones(1))])
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.5, 0.1)
