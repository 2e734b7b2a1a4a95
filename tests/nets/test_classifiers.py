"""One family of classifiers: sizes, memory, errors, and that everything computes where the images are."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from odelab.nets import BODIES, STEMS, ODEBlock, ResidualBlock, classifier, saved_for_backward

SMALL = {"channels": 8, "groups": 4}
CONV = {"rk-net": 208_266, "ode-net": 208_266, "resnet": 576_778, "one-block": 206_858, "no-block": 132_874}
RESIDUAL = {"rk-net": 232_970, "ode-net": 232_970, "resnet": 601_482, "one-block": 231_562, "no-block": 157_578}
COUNTS = {"conv": CONV, "strided": CONV, "residual": RESIDUAL}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_parameter_counts_of_every_row():
    for stem in STEMS:
        for body in BODIES:
            counted = classifier(body, stem=stem).parameter_count
            assert counted == ({"mlp": 784 * 300 + 300 + 300 * 10 + 10} | COUNTS[stem])[body], (stem, body)


@pytest.mark.parametrize("stem", STEMS)
def test_the_body_keeps_the_shape_that_its_stem_gives(stem):
    size = {"conv": 6, "strided": 3, "residual": 7}[stem]
    images = torch.randn(2, 1, 28, 28)
    for body in BODIES[1:]:
        model = classifier(body, stem=stem, **SMALL)
        features = model.stem(images)
        assert features.shape == (2, 8, size, size) == model.body(features).shape
        assert model(images).shape == (2, 10)
        assert isinstance(model.block, ODEBlock) == (body in ("rk-net", "ode-net"))


@pytest.mark.parametrize("body", BODIES)
def test_every_parameter_learns(body):
    model, images, labels = classifier(body, stem="strided", **SMALL), torch.randn(8, 1, 28, 28), torch.arange(8)
    losses = [F.cross_entropy(model(images), labels)]
    losses[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p -= 1e-3 * p.grad
        losses.append(F.cross_entropy(model(images), labels))
    assert losses[1] < losses[0]


def test_rk_net_is_one_classical_step_and_ode_net_solves():
    images = torch.randn(2, 1, 28, 28)
    rk, ode = classifier("rk-net", **SMALL), classifier("ode-net", **SMALL)
    rk(images), ode(images)
    assert rk.block.nfe == 4 and rk.block.gradient == "backprop"
    assert ode.block.nfe > 6 and ode.block.gradient == "adjoint" and ode.block.rtol == 1e-3
    other = classifier("ode-net", **SMALL, gradient="checkpoint", rtol=1e-5)
    assert (other.block.gradient, other.block.rtol, other.block.atol) == ("checkpoint", 1e-5, 1e-3)
    other.load_state_dict(rk.state_dict())  # the same weights under another solver
    rk.block.method, rk.block.steps, rk.block.rtol = "dopri5", None, 1e-5
    assert torch.equal(other(images), rk(images))


def test_a_residual_block_is_an_euler_step_that_may_halve_the_image():
    z, block = torch.randn(2, 8, 6, 6), ResidualBlock(8, 4)
    nn.init.zeros_(block.second.weight)
    assert torch.equal(block(z), z)
    assert ResidualBlock(8, 4, stride=2)(z).shape == (2, 8, 3, 3)


def kept(body: str, **settings) -> int:
    model = classifier(body, stem="strided", **SMALL, **settings)
    return saved_for_backward(model.body, torch.randn(16, 8, 3, 3, requires_grad=True))


def test_memory_kept_for_backward():
    state = 16 * 8 * 3 * 3 * 4
    resnet = [kept("resnet", depth=depth) for depth in (2, 4, 8)]
    assert resnet[2] - resnet[1] == 2 * (resnet[1] - resnet[0]) > 4 * state
    rk4 = {"method": "rk4_classic"}
    three = ("backprop", "checkpoint", "adjoint")
    few, many = ({g: kept("rk-net", **rk4, steps=n, gradient=g) for g in three} for n in (2, 8))
    assert many["backprop"] > 3.5 * few["backprop"]
    assert many["adjoint"] == few["adjoint"] <= 2 * state + 1000  # its two ends, and nothing in between
    assert many["checkpoint"] - few["checkpoint"] <= 6 * (state + 100)  # the state of each step alone
    assert kept("no-block") == 0


def test_saved_for_backward_counts_each_storage_once_and_no_parameter():
    x = torch.randn(10, 4)
    linear = nn.Linear(4, 4)
    assert saved_for_backward(linear, x) == 0
    assert saved_for_backward(nn.Sequential(linear, nn.Tanh()), x) == 10 * 4 * 4
    assert saved_for_backward(nn.Sequential(linear, nn.Sigmoid(), nn.Flatten(), nn.Linear(4, 2)), x) == 10 * 4 * 4
    with torch.no_grad():
        assert saved_for_backward(nn.Sequential(linear, nn.Tanh()), x) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"body": "odenet"}, "body 'odenet' is unknown; there are mlp, resnet"),
        ({"body": "mlp", "stem": "res"}, "stem 'res' is unknown; there are conv"),
        ({"body": "resnet", "channels": 64, "groups": 24}, "groups = 24 do not divide channels = 64"),
        ({"body": "resnet", "groups": 0}, "groups = 0"),
        ({"body": "no-block", "rtol": 1e-5}, "rtol: settings of an ODE block, and the body 'no-block' has none"),
    ],
)
def test_wrong_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        classifier(**arguments)


def test_an_unknown_setting_of_the_block_is_named():
    with pytest.raises(TypeError, match="tolerance"):
        classifier("ode-net", tolerance=1e-3)


@pytest.mark.parametrize("gradient", ["backprop", "adjoint", "checkpoint"])
@pytest.mark.parametrize("stem", STEMS)
def test_everything_lives_where_the_images_are(stem, gradient):
    """The default device holds no data: a tensor made without naming its device cannot be computed with."""
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([3, 1, 4, 1])
    for body in BODIES if gradient == "backprop" else ("rk-net", "ode-net"):
        block = {"gradient": gradient} if body in ("rk-net", "ode-net") else {}
        model = classifier(body, stem=stem, **SMALL, **block)
        with torch.device("meta"):
            logits = model(images)
            F.cross_entropy(logits, labels).backward()
            saved_for_backward(model, images)
            if model.block:
                model.block.trajectory(model.stem(images), torch.tensor([0.0, 0.5, 1.0], device="cpu"))
        assert logits.device.type == "cpu"
        assert all(p.grad.device.type == "cpu" for p in model.parameters())
