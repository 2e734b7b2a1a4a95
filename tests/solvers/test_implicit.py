"""Implicit Runge–Kutta methods: Newton's iteration, its gradients, its Jacobians, and what they are refused for."""

import pytest
import torch
from torch import nn

from odelab import solve
from tests.solvers.gradient_problems import THREE, inputs, loss_of
from tests.solvers.problems import IMPLICIT, Linear, gradients, tensor


class Bent(nn.Module):
    """Nonlinear and nonautonomous, so that Newton's iteration has something to do."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(tensor(1.5, 0.7))

    def forward(self, t, y):
        return -self.rate * y**3 + torch.sin(3 * t) * y.flip(-1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("gradient", THREE)
@pytest.mark.parametrize("method", ["radauIIA5", "kvaerno5"])
def test_gradients_against_a_closed_form(method, gradient, reverse):
    """y0, every time and every parameter, through the steps that the error estimate chose."""
    field = Linear()
    y0, t, *params = inputs(field)
    when = t.flip(0) if reverse else t
    y = solve(field, y0, when, method=method, gradient=gradient, rtol=1e-7, atol=1e-8).y
    exact = gradients(loss_of(field.exact(y0, when)), y0, t, *params)
    for mine, true in zip(gradients(loss_of(y), y0, t, *params), exact, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
@pytest.mark.parametrize("method", IMPLICIT)
def test_the_implicit_function_theorem_gives_the_gradient_of_the_steps_themselves(method, gradient):
    """On a coarse grid, where the method is far from the solution; outputs between the steps too."""
    field = Bent()

    def end(y0, t, rate):
        field.rate.data = rate.data
        func = torch.func.functional_call
        run = solve(
            lambda t, y: func(field, {"rate": rate}, (t, y)),
            y0,
            t,
            method=method,
            gradient=gradient,
            options={"step_size": 0.25, "interp": "cubic"},
            params=(rate,),
        )
        return run.y

    leaves = tensor(0.8, -0.4).requires_grad_(), tensor(0.0, 0.6, 1.0).requires_grad_(), tensor(1.5, 0.7)
    leaves[2].requires_grad_()
    found, values = end(*leaves), []
    mine = gradients(found[-1].square().sum() + found[1].sum(), leaves[0], leaves[2])
    for leaf, grad in zip((leaves[0], leaves[2]), mine, strict=True):
        for i in range(2):
            for shift in (1e-5, -1e-5):
                moved = [x.detach().clone() for x in leaves]
                moved[0 if leaf is leaves[0] else 2][i] += shift
                y = end(*moved)
                values.append(float(y[-1].square().sum() + y[1].sum()))
            assert float(grad[i]) == pytest.approx((values[-2] - values[-1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("gradient", THREE)
def test_gradcheck(gradient):
    field = Bent()

    def final(y0, t):
        return solve(field, y0, t, method="radauIIA5", gradient=gradient, rtol=1e-8, atol=1e-9).y[1:]

    assert torch.autograd.gradcheck(final, (tensor(0.8, -0.4).requires_grad_(), tensor(0.0, 0.4).requires_grad_()))
