"""Every way to solve the adjoint, and who its norm and tolerance speak to."""

import pytest
import torch
from torch import nn

from odelab import odeint_adjoint, solve
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
