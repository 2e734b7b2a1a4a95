"""What func does with memory: it may return one buffer again and again, and must leave y as it is."""

import numpy as np
import pytest
import torch

from odelab import odeint, solve
from tests.solvers.problems import tensor, times

Y0 = torch.tensor([[1.0], [2.0]], dtype=torch.float64)


def one_buffer(rate=-1.0):
    buffer = torch.empty_like(Y0)
    return lambda t, y: torch.mul(y, rate, out=buffer)


def one_array():
    array = np.empty(Y0.shape)

    def func(t, y):
        np.multiply(y.numpy(), -1.0, out=array)
        return torch.from_numpy(array)

    return func


def two_buffers():
    """In turn, as double buffering has them."""
    pair, turn = [torch.empty_like(Y0), torch.empty_like(Y0)], [0]

    def func(t, y):
        turn[0] += 1
        return torch.mul(y, -1.0, out=pair[turn[0] % 2])

    return func


METHODS = [("dopri5", {}), ("dopri8", {}), ("bosh3", {}), ("rk4", {"step_size": 0.1}), ("leapfrog", {})]
METHODS += [
    ("implicit_adams", {"step_size": 0.05}),
    ("scipy_solver", {"solver": "BDF"}),
    ("dopri5", {"per_sample": True}),
]


@pytest.mark.parametrize("buffers", [one_buffer, one_array, two_buffers])
@pytest.mark.parametrize(("method", "options"), [row for row in METHODS if row[0] != "leapfrog"], ids=str)
def test_func_may_return_its_own_buffer(method, options, buffers):
    how = {"method": method, "options": options, "rtol": 1e-6, "atol": 1e-8}
    with torch.no_grad():
        y = solve(buffers(), Y0, times(1.0, 3), **how).y
        exact = solve(lambda t, y: -y, Y0, times(1.0, 3), **how).y
    torch.testing.assert_close(y, exact, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
def test_buffers_written_at_forward_leave_the_gradient_right(gradient):
    """A buffer serves as long as no graph is wanted; with one, func computes as it likes."""
    buffer = torch.empty_like(Y0)

    def func(t, y):
        return -y if torch.is_grad_enabled() else torch.mul(y, -1.0, out=buffer)

    y0 = Y0.clone().requires_grad_()
    solve(func, y0, times(1.0), gradient=gradient, params=(), rtol=1e-8, atol=1e-9).y[-1].sum().backward()
    torch.testing.assert_close(y0.grad, torch.exp(-torch.ones_like(Y0)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize(("method", "options"), METHODS, ids=str)
@pytest.mark.parametrize("state", ["tensor", "tuple"])
def test_y_changed_in_place_is_refused(method, options, mode, state):
    """Where no version counter tells (inference mode) func gets a copy, and the answer is right."""

    def func(t, y):
        (y[0] if isinstance(y, tuple) else y).mul_(2.0)
        return tuple(-piece for piece in y) if isinstance(y, tuple) else -y

    start = Y0.clone()
    y0 = (start, start.clone()) if state == "tuple" else start
    with mode():
        if mode is torch.inference_mode:
            if method != "leapfrog":
                solve(func, y0, times(1.0, 3), method=method, options=options)
        else:
            with pytest.raises(ValueError, match="changed y in place"):
                solve(func, y0, times(1.0, 3), method=method, options=options)
    torch.testing.assert_close(start, Y0, rtol=0, atol=0)


@pytest.mark.parametrize("who", ["event_fn", "callback_step", "grid_constructor"])
def test_nobody_else_changes_it_either(who):
    def change(*arguments):
        next(x for x in arguments if isinstance(x, torch.Tensor) and x.ndim == 2).mul_(2.0)
        return tensor(1.0)

    class Decay(torch.nn.Module):
        def forward(self, t, y):
            return -y

    how, func = {}, Decay()
    if who == "event_fn":
        how = {"event_fn": change}
    elif who == "grid_constructor":
        how = {"method": "rk4", "options": {"grid_constructor": change}}
    else:
        func.callback_step = change
    with pytest.raises(ValueError, match=f"{who} changed y in place"):
        solve(func, Y0.clone(), times(1.0), **how)


@pytest.mark.parametrize("how", [{"dense": True}, {}])
def test_the_answer_does_not_live_in_y0(how):
    y0 = Y0.clone()
    with torch.no_grad():
        solution = solve(lambda t, y: -y, y0, times(1.0, 3), **how)
    single = odeint(lambda t, y: -y, y0, tensor(0.0))
    y0.zero_()
    torch.testing.assert_close(solution.y[0], Y0, rtol=0, atol=0)
    torch.testing.assert_close(single[0], Y0, rtol=0, atol=0)
    if how:
        torch.testing.assert_close(solution.dense(1e-6), Y0, rtol=1e-5, atol=0)


@pytest.mark.parametrize("options", [{}, {"per_sample": True}], ids=str)
@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
def test_func_may_keep_the_states_that_it_was_given(method, options):
    """Sums are taken in place where no graph is kept, but never in memory that somebody has seen."""
    given, copies = [], []

    def field(t, y):
        given.append(y)
        copies.append(y.clone())
        return y if t.max() < 0.5 else -y

    with torch.no_grad():
        run = solve(field, torch.ones(2, 2, dtype=torch.float64), times(1.0, 4), method=method, options=options)
    given.append(run.y)
    copies.append(run.y.clone())
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True))
