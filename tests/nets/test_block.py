"""The layer that is an ODE: what it computes, what it counts, and that half precision stays outside."""

import copy

import pytest
import torch
from torch import nn

from odelab import solve
from odelab.nets import ConvField, CountedField, MLPField, ODEBlock

GRADIENTS = ["backprop", "adjoint", "checkpoint"]


class Decay(nn.Module):
    """dz/dt = rate · z."""

    def __init__(self, rate=-0.5):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def forward(self, t, z):
        return self.rate * z


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_block_solves_its_ode_and_differentiates_it(gradient):
    block = ODEBlock(Decay(), t1=2.0, rtol=1e-9, atol=1e-9, gradient=gradient)
    z = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    end = block(z)
    torch.testing.assert_close(end, z * torch.exp(torch.tensor(-1.0)), rtol=1e-7, atol=1e-7)
    by_z, by_rate = torch.autograd.grad(end.sum(), [z, block.field.rate])
    torch.testing.assert_close(by_z, torch.full_like(z, -1.0).exp(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(by_rate, 2 * end.sum(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_evaluations_are_counted_forward_and_backward(gradient):
    field = CountedField(MLPField(3, (8,)))
    block = ODEBlock(field, rtol=1e-4, atol=1e-4, gradient=gradient)
    assert (block.nfe, block.nfe_backward) == (0, 0)
    end = block(torch.randn(5, 3))
    assert block.nfe == field.reset() > 6 and block.nfe_backward == 0
    end.sum().backward()
    assert block.nfe_backward == field.reset()
    assert (block.nfe_backward == 0) == (gradient == "backprop")
    assert field.reset() == 0


def test_the_trajectory_begins_at_z_and_passes_through_the_output():
    block = ODEBlock(Decay(), t1=1.5, rtol=1e-9, atol=1e-9)
    z, t = torch.randn(4, 2, dtype=torch.float64), torch.linspace(0, 1.5, 7, dtype=torch.float64)
    path = block.trajectory(z, t)
    assert path.shape == (7, 4, 2)
    torch.testing.assert_close(path, z * torch.exp(-0.5 * t)[:, None, None], rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(path[-1], block(z), rtol=1e-7, atol=1e-7)
    back = block.trajectory(path[-1], t.flip(0))
    torch.testing.assert_close(back[-1], z, rtol=1e-6, atol=1e-6)


def test_settings_may_change_between_calls():
    block, z = ODEBlock(Decay(), method="rk4_classic", steps=1), torch.ones(1, dtype=torch.float64)
    block(z)
    assert block.nfe == 4
    block.steps = 3
    block(z)
    assert block.nfe == 12
    block.method, block.steps, block.rtol, block.atol = "dopri5", None, 1e-2, 1e-2
    block(z)
    coarse = block.nfe
    block.rtol = block.atol = 1e-10
    block(z)
    assert block.nfe > coarse
    block.t1 = 0.25
    torch.testing.assert_close(block(z), torch.exp(-0.125 * torch.ones_like(z)), rtol=1e-8, atol=1e-8)
    block.gradient = "adjoint"
    block(z.requires_grad_()).backward()
    assert block.nfe_backward > 0
    assert "rtol=1e-10" in repr(block) and "'adjoint'" in repr(block)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": -2}, "steps"),
        ({"method": "dopri6"}, "dopri"),
        ({"method": "dopri5", "steps": 4}, "step_size"),
        ({"gradient": "magic"}, "magic"),
        ({"method": "euler", "options": {"stepsize": 0.1}}, "step_size"),
        ({"t1": 0.0}, "t"),
    ],
)
def test_wrong_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        ODEBlock(Decay(), **settings)(torch.ones(2))


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize(
    ("backward_inside", "dtype"), [(False, torch.bfloat16), (True, torch.bfloat16), (True, torch.float16)]
)
def test_under_autocast_the_solve_is_in_float32(gradient, backward_inside, dtype):
    block = ODEBlock(ConvField(4, 2), t1=0.5, rtol=1e-2, atol=1e-2, gradient=gradient)
    z = torch.randn(2, 4, 3, 3)
    parameters = list(block.parameters())
    exact = block(z)
    wanted = torch.autograd.grad(exact.square().sum(), parameters)
    seen = set()
    block.field.convs[0].register_forward_hook(lambda *call: seen.add(call[-1].dtype))
    with torch.autocast("cpu", dtype):
        end = block(z)
        assert block(z.to(dtype)).dtype == torch.float32  # features of a half-precision stem
        if backward_inside:
            got = torch.autograd.grad(end.square().sum(), parameters)
    if not backward_inside:
        got = torch.autograd.grad(end.square().sum(), parameters)
    assert seen == {torch.float32}
    assert torch.equal(end, exact)
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)


def test_gradient_reaches_a_half_precision_stem():
    stem, block = nn.Conv2d(1, 8, 3), ODEBlock(ConvField(8, 4), gradient="adjoint")
    with torch.autocast("cpu", torch.bfloat16):
        loss = block(stem(torch.randn(2, 1, 7, 7))).square().mean()
    loss.backward()
    assert torch.isfinite(stem.weight.grad).all() and stem.weight.grad.abs().sum() > 0


def test_a_copy_has_a_life_of_its_own():
    block = ODEBlock(Decay())
    block(torch.ones(1, requires_grad=True)).sum().backward()
    twin = copy.deepcopy(block)
    twin.rtol = twin.atol = 1e-9
    twin(torch.ones(1, dtype=torch.float64))
    assert block.rtol == 1e-3 and twin.nfe > block.nfe
    assert not {"stats", "nfe"} & block.state_dict().keys()


def test_float64_stays_float64_and_agrees_with_solve():
    block, z = ODEBlock(MLPField(2).double(), rtol=1e-6, atol=1e-6), torch.randn(3, 2, dtype=torch.float64)
    y = solve(block.field, z, torch.tensor([0.0, 1.0]), method="dopri5", rtol=1e-6, atol=1e-6).y[-1]
    assert block(z).dtype == torch.float64
    assert torch.equal(block(z), y)
