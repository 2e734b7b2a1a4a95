"""Events: found where a closed form says, in both directions, and differentiable through every interface."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from odelab import odeint, odeint_adjoint, odeint_event, solve
from tests.solvers.problems import ADAPTIVE, FIXED, SYMPLECTIC, gradients, tensor, times

G = 9.81
INTERFACES = {
    "odeint": odeint,
    "odeint_adjoint": odeint_adjoint,
    "checkpoint": partial(odeint, gradient="checkpoint"),
}


class Fall(nn.Module):
    """A ball in free fall: height h0 + v0 s − g s²/2 after s = t − t0."""

    def __init__(self):
        super().__init__()
        self.g = nn.Parameter(tensor(G))

    def forward(self, t, state):
        height, speed = state
        return speed, -self.g.expand_as(height)

    def landing(self, t0, height, speed):
        """Closed form of the landing time and the speed there, differentiable."""
        root = torch.sqrt(speed**2 + 2 * self.g * height)
        return t0 + (speed + root) / self.g, -root


def ground(t, state):
    return state[0]


@pytest.mark.parametrize("interface", INTERFACES)
def test_landing_time_and_state_have_the_gradients_of_the_closed_form(interface):
    fall = Fall()
    t0 = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    height, speed = tensor(10.0).requires_grad_(), tensor(2.0).requires_grad_()
    extra = {} if interface != "checkpoint" else {"params": tuple(fall.parameters())}
    t, (heights, speeds) = odeint_event(
        fall, (height, speed), t0, event_fn=ground, odeint_interface=INTERFACES[interface], **extra
    )
    exact_t, exact_speed = fall.landing(t0, height, speed)
    assert heights.shape == (2, 1) and heights[0] == height
    assert abs(heights[-1].item()) < 1e-8
    inputs = (t0, height, speed, fall.g)
    for got, wanted in ((t, exact_t), (speeds[-1], exact_speed)):
        torch.testing.assert_close(got.reshape(()), wanted.reshape(()), rtol=1e-9, atol=1e-9)
        for a, b in zip(gradients(got.sum(), *inputs), gradients(wanted.sum(), *inputs), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("gradient", ["backprop", "adjoint", "checkpoint"])
def test_solve_links_the_event_by_itself(gradient):
    fall, height, speed = Fall(), tensor(10.0).requires_grad_(), tensor(2.0)
    solution = solve(fall, (height, speed), times(), event_fn=ground, gradient=gradient)
    exact_t, exact_speed = fall.landing(0.0, height, speed)
    for got, wanted in ((solution.event_t, exact_t), (solution.y[1][-1], exact_speed)):
        assert got.item() == pytest.approx(wanted.item(), rel=1e-9)
        torch.testing.assert_close(gradients(got.sum(), height, fall.g), gradients(wanted.sum(), height, fall.g))
    assert torch.equal(solution.t[1], solution.event_t)


def test_odeint_holds_the_event_time_fixed_as_torchdiffeq_does():
    fall, height = Fall(), tensor(10.0).requires_grad_()
    t, (_, speeds) = odeint(fall, (height, tensor(2.0)), times(), event_fn=ground)
    assert not t.requires_grad
    assert gradients(speeds[-1].sum(), height)[0].item() == 0.0  # v(t) = v0 − g t does not know h0
    (to_g,) = gradients(speeds[-1].sum(), fall.g)
    assert to_g.item() == pytest.approx(-t.item(), rel=1e-9)


def test_the_event_function_may_have_parameters():
    table = tensor(1.5).requires_grad_()
    t, _ = odeint_event(
        Fall(), (tensor(10.0), tensor(0.0)), torch.tensor(0.0).double(), event_fn=lambda t, s: s[0] - table
    )
    (got,) = gradients(t, table)
    assert got.item() == pytest.approx(-1 / math.sqrt(2 * G * 8.5), rel=1e-8)


def test_bounces_with_gradients_through_all_of_them():
    """Each bounce keeps 80 % of the speed, so the n-th landing is a geometric sum."""
    fall, height, n = Fall(), tensor(5.0).requires_grad_(), 4
    t, state = torch.tensor(0.0, dtype=torch.float64), (height, tensor(0.0))
    for _ in range(n):
        t, (heights, speeds) = odeint_event(fall, state, t, event_fn=ground, rtol=1e-10, atol=1e-12)
        state = heights[-1], -0.8 * speeds[-1]
    flights = 1 + 2 * sum(0.8**i for i in range(1, n))
    exact = flights * torch.sqrt(2 * height / fall.g)
    assert t.item() == pytest.approx(exact.item(), rel=1e-6)
    torch.testing.assert_close(gradients(t, height, fall.g), gradients(exact.sum(), height, fall.g), rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", [*FIXED, *ADAPTIVE])
def test_every_method_finds_the_event(method):
    """x = cos t falls through one half at t = π/3."""
    state = (tensor(1.0), tensor(0.0)) if method in SYMPLECTIC else tensor(1.0, 0.0)

    def swing(t, s):
        return (s[1], -s[0]) if isinstance(s, tuple) else torch.stack([s[1], -s[0]])

    fixed = {"step_size": 0.02, "interp": "cubic"} if method in FIXED else {}
    loose = {"rtol": 1e-6, "atol": 1e-8} if method in ("adaptive_heun", "fehlberg2") else {}
    solution = solve(swing, state, times(), method=method, options=fixed, event_fn=lambda t, s: s[0] - 0.5, **loose)
    accuracy = {
        "euler": 2e-2,
        "midpoint": 1e-3,
        "heun2": 1e-3,
        "leapfrog": 1e-3,
        "fehlberg2": 1e-3,
        "implicit_euler": 2e-2,
    }.get(method, 3e-4)
    assert float(solution.event_t) == pytest.approx(math.pi / 3, abs=accuracy)


@pytest.mark.parametrize("interface", INTERFACES)
def test_backwards_in_time(interface):
    """y = e^t from y(0) = 1 was one half at t = −ln 2."""
    y0 = tensor(1.0).requires_grad_()
    extra = {"adjoint_params": ()} if interface == "odeint_adjoint" else {"params": ()}
    t, y = odeint_event(
        lambda t, y: y,
        y0,
        torch.tensor(0.0).double(),
        event_fn=lambda t, y: y - 0.5,
        reverse_time=True,
        odeint_interface=INTERFACES[interface],
        **extra,
    )
    assert t.item() == pytest.approx(-math.log(2), rel=1e-7)
    assert gradients(t, y0)[0].item() == pytest.approx(-1.0, rel=1e-7)  # t = ln(1/2 / y0)
    assert gradients(y[-1].sum(), y0)[0].item() == pytest.approx(0.0, abs=1e-9)  # y at the event is always one half


def test_the_first_of_several_components_fires():
    solution = solve(lambda t, y: torch.ones_like(y), tensor(0.0), times(), event_fn=lambda t, y: y - tensor(3.0, 2.0))
    assert float(solution.event_t) == pytest.approx(2.0)
    assert solution.y[-1].item() == pytest.approx(2.0)


def test_an_event_may_depend_on_time_alone():
    start = torch.tensor(0.0, dtype=torch.float64)
    t, y = odeint_event(lambda t, y: -y, tensor(1.0), start, event_fn=lambda t, y: t - 0.75)
    assert t.item() == pytest.approx(0.75) and y[-1].item() == pytest.approx(math.exp(-0.75))


def test_an_event_function_that_turns_constant_has_no_gradient_to_give():
    """Scripts end a simulation by returning zero after a last time."""

    def event_fn(t, y):
        return torch.zeros_like(y) if t > 2 else 1 + 0 * y

    y0 = tensor(1.0).requires_grad_()
    t, y = odeint_event(lambda t, y: -y, y0, torch.tensor(0.0).double(), event_fn=event_fn)
    assert t.item() == pytest.approx(2.0)
    assert gradients(y[-1].sum(), y0)[0].item() == pytest.approx(math.exp(-2.0), rel=1e-7)


@pytest.mark.parametrize("method", ["dopri8", "adaptive_heun", "rodas3", "rk4", "midpoint"])
def test_what_looks_for_the_event_cuts_no_gradient(method):
    """Methods that evaluate the slope at the end of a step only for the interpolant, here also before the event."""
    fixed = {"step_size": 0.05, "interp": "cubic"} if method in FIXED else {"max_step": 0.25}
    found = []
    for gradient in ("backprop", "checkpoint"):
        rate, y0 = tensor(1.0).requires_grad_(), tensor(2.0, 0.0).requires_grad_()

        def field(t, y, rate=rate):
            return torch.stack([-rate[0] * y[0] ** 2, y[0]])

        how = {"method": method, "options": fixed, "rtol": 1e-5, "atol": 1e-6, "params": (rate,)}
        run = solve(field, y0, times(), event_fn=lambda t, y: y[0] - 0.5, gradient=gradient, **how)
        found.append(gradients(run.event_t + 2 * run.y[-1][1], rate, y0))
    for mine, exact in zip(*found, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "rodas3", "rk4"])
@pytest.mark.parametrize("start", [0.0, -3e-16])
def test_a_restart_on_the_event_leaves_it(start, method):
    """Bounces that go on from exactly the state at which the event happened, or from a rounding behind it."""
    options = {"step_size": 0.05, "interp": "cubic"} if method == "rk4" else {}
    t, height, speed, n = torch.tensor(1.0).double(), tensor(5.0), tensor(0.0), 5
    how = {"method": method, "options": options, "rtol": 1e-7, "atol": 1e-9}
    landings = []
    with torch.no_grad():
        for _ in range(n):
            t, (_, speeds) = odeint_event(Fall(), (height, speed), t, event_fn=ground, **how)
            landings.append(t.item())
            height, speed = tensor(start), -0.8 * speeds[-1]
    first = math.sqrt(10 / G)
    exact = [1 + first * (1 + 2 * sum(0.8**i for i in range(1, k + 1))) for k in range(n)]
    assert landings == pytest.approx(exact, abs=1e-5)


def test_a_restart_from_the_very_state_of_the_event():
    t, state = torch.tensor(0.0, dtype=torch.float64), (tensor(5.0), tensor(0.0))
    landings = []
    for _ in range(5):
        t, (heights, speeds) = odeint_event(Fall(), state, t, event_fn=ground)
        landings.append(t.item())
        state = heights[-1], -0.8 * speeds[-1]
    gaps = [b - a for a, b in pairwise(landings)]
    assert [b / a for a, b in pairwise(gaps)] == pytest.approx([0.8] * 3, rel=1e-5)


def test_a_start_on_the_event_with_a_long_first_step_sees_the_return():
    """The sign is taken from just behind the start, not from the end of a step that crosses back."""
    start = (tensor(0.0), tensor(2.0))
    solution = solve(Fall(), start, times(), event_fn=ground, options={"first_step": 1.0, "max_step": 1.0})
    assert solution.event_t.item() == pytest.approx(4 / G)


@pytest.mark.parametrize(("direction", "expected"), [(0, 0.5), (-1, 0.5), (1, 1.5), ([-1, 1], 0.5), ([1, 1], 1.5)])
@pytest.mark.parametrize("way", ["argument", "attribute"])
def test_direction_as_in_scipy(direction, expected, way):
    """cos πt falls through zero at ½ and rises at 1½; its negative does the reverse."""

    def event_fn(t, y):
        return y[:1] if not isinstance(direction, list) else torch.stack([y[0], y[0] + 1e-9])

    def turn(t, y):
        return math.pi * torch.stack([-y[1], y[0]])

    how = {"direction": direction}
    if way == "attribute":
        event_fn.direction, how = direction, {}
    for backwards in (False, True):
        sign = -1 if backwards else 1
        t, _ = odeint_event(
            turn, tensor(1.0, 0.0), torch.tensor(0.0).double(), event_fn=event_fn, reverse_time=backwards, **how
        )
        assert float(t) == pytest.approx(sign * expected, abs=1e-6)
        run = solve(turn, tensor(1.0, 0.0), sign * times(), event_fn=event_fn, **how)
        assert float(run.event_t) == pytest.approx(sign * expected, abs=1e-6)


def test_a_direction_that_cannot_be_is_named():
    for direction in ("down", [1, 1, 1], math.nan):
        with pytest.raises(ValueError, match="direction"):
            solve(lambda t, y: -y, tensor(1.0), times(), event_fn=lambda t, y: y - 0.5, direction=direction)
    with pytest.raises(ValueError, match="direction"):
        solve(lambda t, y: -y, tensor(1.0), times(), direction=-1)


def test_a_tangent_event_has_no_derivative_and_says_so():
    """(t − 1)³ crosses zero with slope zero."""
    shift = tensor(1.0).requires_grad_()

    def event_fn(t, y):
        return (y - shift) ** 3

    ramp = partial(odeint, lambda t, y: torch.ones_like(y), tensor(0.0), times())
    with torch.no_grad():
        assert float(ramp(event_fn=event_fn)[0]) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(ValueError, match="touches the event surface"):
        solve(lambda t, y: torch.ones_like(y), tensor(0.0), times(), event_fn=lambda t, y: (shift - y).relu())


@pytest.mark.parametrize(
    ("event_fn", "error", "message"),
    [
        (lambda t, y: 1.0, ValueError, "event_fn must return a real tensor"),
        (lambda t, y: y.to(torch.complex64), ValueError, "event_fn must return a real tensor"),
        (lambda t, y: y[:0], ValueError, "event_fn must return a real tensor"),
    ],
)
def test_a_bad_event_function_is_named(event_fn, error, message):
    with pytest.raises(error, match=message):
        solve(lambda t, y: -y, tensor(1.0), times(), event_fn=event_fn)


def test_events_need_two_times_and_a_step_size_on_a_fixed_grid():
    with pytest.raises(ValueError, match="two times"):
        solve(lambda t, y: -y, tensor(1.0), times(1.0, 3), event_fn=lambda t, y: y)
    with pytest.raises(ValueError, match="step_size"):
        solve(lambda t, y: -y, tensor(1.0), times(), method="rk4", event_fn=lambda t, y: y)
