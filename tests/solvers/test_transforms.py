"""Fixed grids inside torch.func's transforms and torch.export; what looks at numbers is refused there in words."""

import pytest
import torch
from torch import nn

from odelab import odeint, solve
from tests.solvers.gradient_problems import Network
from tests.solvers.problems import SYMPLECTIC, tensor, times

GRIDS = {
    "rk4": {"method": "rk4"},
    "step_size": {"method": "euler", "options": {"step_size": 0.1}},
    "cubic": {"method": "rk4", "options": {"step_size": 0.3, "interp": "cubic"}},
    "explicit_adams": {"method": "explicit_adams", "options": {"step_size": 0.05}},
    "leapfrog": {"method": "leapfrog"},
}
Y0 = torch.tensor([[0.8, -0.5], [0.1, 0.3], [-1.0, 0.4]], dtype=torch.float64)


def field_for(method):
    return (lambda t, y: torch.stack([y[1], -y[0]])) if method in SYMPLECTIC else Network()


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("grid", GRIDS)
def test_vmap_over_starts_equals_a_loop(grid, recording):
    how, field = GRIDS[grid], field_for(GRIDS[grid]["method"])
    with torch.set_grad_enabled(recording):
        together = torch.func.vmap(lambda y0: odeint(field, y0, times(1.0, 4), **how))(Y0)
        torch.testing.assert_close(together, torch.stack([odeint(field, y0, times(1.0, 4), **how) for y0 in Y0]))


@pytest.mark.parametrize("recording", [True, False])
def test_vmap_over_what_the_field_holds(recording):
    """The first stages do not know the rates and have no axis for them; sums cannot be taken in place there."""
    rates = tensor(0.5, 1.0, 2.0)

    def final(rate):
        return odeint(lambda t, y: torch.where(t > 0.3, -rate, -1.0) * y, Y0, times(1.0, 4), method="rk4")[-1]

    with torch.set_grad_enabled(recording):
        torch.testing.assert_close(torch.func.vmap(final)(rates), torch.stack([final(rate) for rate in rates]))


def test_gradients_of_every_sample():
    """vmap of grad, as in differential privacy, against one backward pass per sample."""
    field = Network()
    params = {name: p.detach() for name, p in field.named_parameters()}

    def loss(params, y0):
        return odeint(lambda t, y: torch.func.functional_call(field, params, (t, y)), y0, times(1.0, 4), method="rk4")[
            -1
        ].sum()

    together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(params, Y0)
    for i, y0 in enumerate(Y0):
        alone = torch.autograd.grad(solve(field, y0, times(1.0, 4), method="rk4").y[-1].sum(), field.parameters())
        for mine, right in zip(together.values(), alone, strict=True):
            torch.testing.assert_close(mine[i], right)


class Flow(nn.Module):
    def __init__(self, t, **how):
        super().__init__()
        self.field, self.t, self.how = Network(), t, how

    def forward(self, y0):
        return odeint(self.field, y0, self.t, **self.how)


@pytest.mark.parametrize("grid", ["rk4", "step_size", "cubic"])
def test_export_of_a_fixed_grid(grid):
    flow = Flow([0.0, 0.5, 1.0], **GRIDS[grid])
    exported = torch.export.export(flow, (Y0,)).module()
    torch.testing.assert_close(exported(Y0 + 0.3), flow(Y0 + 0.3))


def test_what_looks_at_numbers_is_refused():
    field = Network()
    with pytest.raises(ValueError, match=r"'dopri5' goes by numbers.*per_sample"):
        torch.func.vmap(lambda y0: odeint(field, y0, times()))(Y0)
    for how, what in (
        ({"method": "gl4"}, "'gl4' goes"),
        ({"method": "implicit_adams"}, "'implicit_adams' goes"),
        ({"gradient": "checkpoint"}, "gradient='checkpoint' goes"),
        ({"event_fn": lambda t, y: y[0], "options": {"step_size": 0.1}}, "the search for an event goes"),
    ):
        with pytest.raises(ValueError, match=f"{what} by numbers"):
            torch.func.vmap(lambda y0, how=how: odeint(field, y0, times(), **{"method": "rk4", **how}))(Y0)
    with pytest.raises(ValueError, match=r"'dopri5' goes by numbers"):
        torch.export.export(Flow([0.0, 1.0]), (Y0,))
    with pytest.raises(ValueError, match="give t as a list of times"):
        torch.export.export(Flow(times(), method="rk4"), (Y0,))
