"""What an iteration costs, measured beforehand: a known case, nothing disturbed, a line at the start of a run."""

import copy

import pytest
import torch
from torch import nn

from odelab.training import fit
from odelab.training.cost import forecast, iteration_cost
from tests.training.small_run import STEPS, small_fit, small_model


def dropped(model, x):
    return torch.nn.functional.dropout(model(x)).exp().sum()


def test_model_gradients_and_chance_are_left_alone():
    model, x = small_model().eval(), torch.randn(6, 3)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    cost = iteration_cost(model, dropped, x)
    assert cost["milliseconds"] > 0 and torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_memory_by_hand():
    """exp keeps its own result, a million floats; the weight and the batch are there anyway."""
    model, x = nn.Linear(1000, 1000, bias=False), torch.randn(1000, 1000)
    assert iteration_cost(model, lambda model, x: model(x).exp().sum(), x)["megabytes"] == 4.0


@pytest.mark.parametrize(
    ("milliseconds", "world", "text"),
    [
        (30.0, 1, "  6 a batch; an iteration holds 2.5 MB and takes 30 ms: 1000 in about 30 seconds"),
        (300.0, 2, "  12 a batch of 2 processes; an iteration holds 2.5 MB and takes 300 ms: 1000 in about 5 minutes"),
    ],
)
def test_the_line(milliseconds, world, text):
    assert forecast({"megabytes": 2.5, "milliseconds": milliseconds}, torch.zeros(6, 3), 1000, world) == text


def test_a_run_with_an_estimate_is_the_run_without(tmp_path, capsys):
    models = [small_model(), small_model()]
    steps = []
    plain = small_fit(models[0])
    measured = small_fit(models[1], steps.append, estimate=True, checkpoint=tmp_path / "run.safetensors")
    assert plain.loss == measured.loss and plain.validation == measured.validation
    assert all(torch.equal(*pair) for pair in zip(*(m.state_dict().values() for m in models), strict=True))
    assert plain.cost == {} and measured.cost["milliseconds"] > 0
    assert steps == [STEPS - 1] * 3 + list(range(STEPS)), "the last iteration is the one that is measured"
    again = small_fit(small_model(), estimate=True, checkpoint=tmp_path / "run.safetensors", resume=True)
    assert again.cost == measured.cost, "a run that is over is not measured again"
    assert capsys.readouterr().out == ""


def test_the_line_is_told_with_the_bar(capsys):
    x = torch.randn(8, 3)
    for progress in (False, "label"):
        fit(small_model(), dropped, lambda step: x, steps=2, estimate=True, progress=progress)
        assert ("  8 a batch; an iteration holds " in capsys.readouterr().out) == bool(progress)
