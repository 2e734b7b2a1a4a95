"""Every way to solve the adjoint, and who its norm and tolerance speak to."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from odelab import odeint_adjoint, solve
from odelab.solvers import SolverError
from tests.solvers.gradient_problems import TIGHT, Network, inputs, loss_of
from tests.solvers.problems import Linear, gradients, tensor, times


@pytest.mark.parametrize(
    "how",
    [
        {"adjoint_options": {"norm": "seminorm"}},
        {"adjoint_method": "dopri8"},
        {"adjoint_method": "rk4", "adjoint_options": {"step_size": 0.02}},
        {"adjoint_method": "implicit_adams", "adjoint_options": {"step_size": 0.02}},
        {"adjoint_method": "rodas3", "adjoint_rtol": 1e-4, "adjoint_atol": 1e-5},
        {"adjoint_rtol": 1e-9, "adjoint_atol": 1e-9},
        {"method": "scipy_solver"},
        {"atol": tensor(1e-8, 1e-9, 1e-8)},
    ],
    ids=lambda how: " ".join(map(str, how.values())),
)
def test_every_way_to_solve_the_adjoint(how):
    field = Linear()
    y0, t, *params = inputs(field)
    y = odeint_adjoint(field, y0, t, **{"rtol": 1e-8, "atol": 1e-8} | how)
    exact = gradients(loss_of(field.exact(y0, t)), y0, t, *params)
    for mine, true in zip(gradients(loss_of(y), y0, t, *params), exact, strict=True):
        torch.testing.assert_close(mine, true, rtol=2e-3, atol=2e-3)


def test_a_custom_adjoint_norm_sees_time_state_adjoint_and_parameters():
    field, seen = Linear(2), []

    def norm(pieces):
        seen.append([tuple(x.shape) for x in pieces])
        return torch.stack([x.abs().max() for x in pieces]).max()

    y0 = (tensor(0.8).requires_grad_(), tensor(-0.5).requires_grad_())
    wrapped = Wrapped(field)
    y = odeint_adjoint(wrapped, y0, times(1.0), adjoint_options={"norm": norm}, **TIGHT)
    found = gradients(y[0][-1].sum(), *y0, *field.parameters())
    assert seen[0] == [(), (1,), (1,), (1,), (1,), (2, 2), (2,)]
    exact = gradients(field.exact(torch.cat(y0), times(1.0))[-1][0], *y0, *field.parameters())
    for mine, true in zip(found, exact, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-6, atol=1e-7)


class Wrapped(nn.Module):
    """A field over a tuple of two numbers."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, t, state):
        return tuple(self.inner(t, torch.cat(state)).split(1))


def test_adjoint_error_follows_its_tolerance_and_checkpoint_is_exact():
    field = Network(dtype=torch.float32)
    y0 = torch.tensor([[2.0, 0.0]], requires_grad=True)
    leaves, t = (y0, *field.parameters()), torch.linspace(0, 4, 4)

    def found(gradient):
        y = solve(field, y0, t, rtol=1e-4, atol=1e-5, gradient=gradient).y
        return torch.cat([g.flatten() for g in gradients((y**2).mean(), *leaves)])

    backprop = found("backprop")
    assert (found("checkpoint") - backprop).norm() < 1e-5 * backprop.norm()
    assert (found("adjoint") - backprop).norm() < 0.1 * backprop.norm()


class SlowAndFast(nn.Module):
    """The second number follows the first at a rate of `fast`."""

    def __init__(self, fast: float) -> None:
        super().__init__()
        self.rate, self.fast = nn.Parameter(tensor(0.7, 1.3)), fast

    def forward(self, t, y):
        return torch.stack([-self.rate[0] * y[0], -self.fast * (y[1] - self.rate[1] * y[0])])


class Reaction(nn.Module):
    """Stiff as Robertson's problem."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(tensor(0.7, 130.0))

    def forward(self, t, y):
        there, back = self.rate[0] * y[0], self.rate[1] * y[1] * (1 - y[0] - y[1])
        return torch.stack([back - there, there - back - 1e4 * y[1] ** 2])


@pytest.mark.parametrize(
    ("field", "how", "match"),
    [
        (SlowAndFast(10.0), {"method": "implicit_euler", "options": {"step_size": 0.1}}, "y backwards"),
        (SlowAndFast(1e4), {"method": "kvaerno5", "options": {"step_size": 0.1}}, "y backwards"),
        (SlowAndFast(1e4), {"method": "trapezoid", "options": {"step_size": 0.1}}, "y backwards"),
        (Reaction(), {"method": "kvaerno5", "rtol": 1e-5, "atol": 1e-7}, "y backwards"),
    ],
    ids=["implicit_euler", "kvaerno5", "trapezoid", "adaptive"],
)
def test_a_stiff_problem_solved_backwards_warns(field, how, match):
    """Its gradient is useless there, and finite."""
    losses = {}
    for gradient in ("checkpoint", "adjoint"):
        y0 = tensor(1.0, 0.0).requires_grad_()
        y = solve(field, y0, times(2.0, 5), gradient=gradient, **how).y
        expectation = pytest.warns(UserWarning, match=match) if gradient == "adjoint" else nullcontext()
        with expectation as caught:
            losses[gradient] = torch.cat(gradients((y[1:] ** 2).sum(), y0, field.rate))
        assert caught is None or 1 <= len(caught) <= 2
    off = (losses["adjoint"] - losses["checkpoint"]).abs().max() / losses["checkpoint"].abs().max()
    assert off > 1, "so the warning has a reason"


def test_an_error_on_the_way_back_says_that_it_is_one():
    y0 = tensor(1.0, 0.0).requires_grad_()
    y = solve(Reaction(), y0, times(40.0, 2), gradient="adjoint", method="kvaerno5", rtol=1e-4, atol=1e-6).y
    with pytest.raises(SolverError, match=r"y backwards.*gradient='checkpoint'"):
        y[-1].sum().backward()


def test_a_state_that_is_one_number_and_one_that_is_empty():
    for y0 in (torch.tensor(1.0).double(), torch.zeros(0, 3).double()):
        y0.requires_grad_()
        y = solve(lambda t, y: -y, y0, times(1.0, 3), gradient="adjoint", params=()).y
        torch.testing.assert_close(gradients(y[-1].sum(), y0)[0], torch.full_like(y0, math.exp(-1)))
