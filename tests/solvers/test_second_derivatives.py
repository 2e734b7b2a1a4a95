"""Second derivatives with respect to times are right, or refused with the way out."""

import pytest
import torch

from odelab import odeint_event, solve
from tests.solvers.problems import tensor, times


def decay(a):
    """y' = −a t y, so y(t) = y0 exp(−a (t² − t0²) / 2): time enters the field, the start and the end."""
    return lambda t, y: -a * t * y


def exact(a, y0, t):
    return y0 * torch.exp(-a * (t**2 - t[0] ** 2) / 2)[:, None, None]


def derivatives(y, leaves):
    """All first and second derivatives of a loss to which every state contributes in its own way."""
    loss = (y**2 * torch.arange(1.0, 1 + y.numel(), dtype=y.dtype).view_as(y)).sum()
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    second = []
    for g in first:
        for entry in g.reshape(-1):
            second += torch.autograd.grad(entry, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
    return *first, *second


def agree(y, wanted, leaves):
    for mine, right in zip(derivatives(y, leaves), derivatives(wanted, leaves), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "gradient", "options", "backwards"),
    [
        ("dopri5", "backprop", {}, False),
        ("dopri5", "backprop", {}, True),
        ("dopri5", "checkpoint", {}, False),
        ("dopri8", "checkpoint", {}, True),
        ("rk4", "backprop", {"step_size": 0.02, "interp": "cubic"}, False),
        ("rk4", "checkpoint", {"step_size": 0.02, "interp": "cubic"}, True),
        ("dopri5", "backprop", {"per_sample": True}, False),
    ],
    ids=str,
)
def test_with_respect_to_times_starts_and_parameters(method, gradient, options, backwards):
    t = tensor(1.5, 1.1, 0.2) if backwards else tensor(0.2, 0.5, 1.5)
    a, y0, t = tensor(0.7).requires_grad_(), tensor(0.8, -0.5)[:, None].requires_grad_(), t.requires_grad_()
    how = {"method": method, "gradient": gradient, "options": options, "rtol": 1e-8, "atol": 1e-10}
    agree(solve(decay(a), y0, t, params=(a,), **how).y, exact(a, y0, t), (a, y0, t))


@pytest.mark.parametrize("how", [{}, {"gradient": "checkpoint"}, {"options": {"per_sample": True}}], ids=str)
def test_third_and_fourth_derivatives_with_respect_to_times_and_the_field(how):
    """A step of second order at each output would give them without what is of third order in time."""
    a, y0, t = tensor(0.7).requires_grad_(), tensor(0.8)[:, None].requires_grad_(), tensor(0.2, 1.5).requires_grad_()
    mine = solve(decay(a), y0, t, params=(a,), rtol=1e-10, atol=1e-12, **how).y[-1]
    right = exact(a, y0, t)[-1]
    for _ in range(4):
        results = []
        for value in (mine, right):
            first = torch.autograd.grad(value.sum(), (t, a), create_graph=True)
            results.append((first[0] * tensor(1.0, 2.0)).sum() + 3 * first[1].sum())
        mine, right = results
        torch.testing.assert_close(mine, right, rtol=1e-5, atol=1e-6)


def test_where_the_output_times_are_the_grid():
    a, y0, ends = tensor(0.7).requires_grad_(), tensor(0.8)[:, None].requires_grad_(), tensor(0.2, 1.5).requires_grad_()
    t = ends[0] + (ends[1] - ends[0]) * times(1.0, 50)
    chosen = [0, 20, -1]
    agree(solve(decay(a), y0, t, method="rk4").y[chosen], exact(a, y0, t)[chosen], (a, y0, ends))


@pytest.mark.parametrize("kind", ["t", "y0"])
def test_the_adjoint_keeps_no_graph_and_says_so(kind):
    """Also where the loss is linear, so that no incoming gradient is in a graph."""
    leaves = {"t": tensor(0.2, 0.5, 1.5).requires_grad_(), "y0": tensor(0.8)[:, None].requires_grad_()}
    y = solve(decay(tensor(0.7)), leaves["y0"], leaves["t"], gradient="adjoint", params=()).y
    (first,) = torch.autograd.grad(y.sum(), leaves[kind], create_graph=True)
    torch.testing.assert_close(first, torch.autograd.grad(exact(0.7, *leaves_of(leaves)).sum(), leaves[kind])[0])
    with pytest.raises(RuntimeError, match="take gradient='backprop'"):
        first.sum().backward()


def leaves_of(leaves):
    return leaves["y0"], leaves["t"]


@pytest.mark.parametrize("of", ["event_t", "y"])
@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_an_event_can_be_differentiated_once_and_says_so(gradient, of):
    """y = y0 e^−t falls to one half at t = ln(2 y0)."""
    y0 = tensor(2.0).requires_grad_()
    how = {"event_fn": lambda t, y: y - 0.5, "gradient": gradient, "params": ()}
    run = solve(lambda t, y: -y, y0, times(), **how)
    value = run.event_t if of == "event_t" else run.y[-1].sum()
    (first,) = torch.autograd.grad(value, y0, create_graph=True)
    assert first.item() == pytest.approx(0.5 if of == "event_t" else 0.0, abs=1e-7)
    with pytest.raises(RuntimeError, match="time of an event"):
        first.sum().backward()


def test_odeint_event_can_be_differentiated_once_and_says_so():
    y0 = tensor(2.0).requires_grad_()
    t, _ = odeint_event(lambda t, y: -y, y0, torch.tensor(0.0).double(), event_fn=lambda t, y: y - 0.5)
    (first,) = torch.autograd.grad(t, y0, create_graph=True)
    with pytest.raises(RuntimeError, match="time of an event"):
        first.sum().backward()


@pytest.mark.parametrize(
    "how",
    [{}, {"options": {"per_sample": True}}, {"event_fn": lambda t, y: y[0] - 0.7}],
    ids=["plain", "rows", "event"],
)
@torch.no_grad()
def test_without_gradients_nothing_is_paid_for_those_of_times(how):
    y0, nfe = tensor(0.8)[:, None], []
    for t in (tensor(0.2, 1.5), tensor(0.2, 1.5).requires_grad_()):
        nfe.append(solve(decay(tensor(0.7)), y0, t, **how).stats.nfe)
    assert nfe[0] == nfe[1]
