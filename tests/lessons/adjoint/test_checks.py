"""Lesson 03: its exercises take right answers only, its explorables plot what an independent computation finds."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.integrate import solve_ivp
from scipy.linalg import expm as scipy_exp
from torch.autograd import grad

from odelab.lessons.adjoint import explorables, figures
from tests.lessons.kit.answers import every_answer, judge
from tests.lessons.kit.contrast import faint

# Exercises: (answer, a word of the hint it must get), or None for right answers.

exp = torch.linalg.matrix_exp


def solved_backwards(A, span, end):
    """The closed form's equation, solved by somebody else's solver."""
    times = torch.tensor([span, 0.0], dtype=torch.float64)
    return torchdiffeq.odeint(lambda t, a: -a @ A, end, times, rtol=1e-10, atol=1e-12)[-1]


def by_eigenvectors(A, span, end):
    values, vectors = torch.linalg.eig(A)
    flow = vectors @ torch.diag(torch.exp(values * span)) @ torch.linalg.inv(vectors)
    return end @ flow.real


def by_series(A, span, end):
    total = term = end
    for n in range(1, 30):
        term = term @ A * (span / n)
        total = total + term
    return total


LINEAR = {
    "right": (lambda A, span, end: end @ exp(A * span), None),
    "right, as a column": (lambda A, span, end: exp(A.T * span) @ end, None),
    "right, solved": (solved_backwards, None),
    "right, by eigenvectors": (by_eigenvectors, None),
    "right, by its series": (by_series, None),
    "right, by SciPy": (lambda A, span, end: end.numpy() @ scipy_exp(A.numpy() * span), None),
    "right, by a linear system": (lambda A, span, end: torch.linalg.solve(exp(-A * span).T, end), None),
    "wrong direction": (lambda A, span, end: end @ exp(-A * span), "sign in the exponent. Think"),
    "from the left": (lambda A, span, end: exp(A * span) @ end, "a row, so it meets the matrix from the left"),
    "both": (lambda A, span, end: exp(-A * span) @ end, "two slips at once"),
    "no span": (lambda A, span, end: end @ exp(A), "length"),
    "entrywise": (lambda A, span, end: end @ torch.exp(A * span), "matrix_exp"),
    "one Euler step": (lambda A, span, end: end + span * end @ A, "one Euler step"),
    "nothing": (lambda A, span, end: end, "a\\(t1\\) itself"),
    "one Euler step, minus": (lambda A, span, end: end - span * end @ A, "sign of a step forwards"),
    "span outside": (lambda A, span, end: end @ exp(A) * span, "belongs into the exponent"),
    "two Euler steps": (lambda A, span, end: end @ torch.matrix_power(torch.eye(2) + A * span / 2, 2), "off by"),
    "a matrix": (lambda A, span, end: exp(A * span), r"a matrix of shape \(2, 2\)"),
    "one row of a matrix": (lambda A, span, end: end[None] @ exp(A * span), r"shape \(2,\), yours has shape \(1, 2\)"),
    "right, as a one-row matrix": (lambda A, span, end: (end[None] @ exp(A * span))[0], None),
    "transposed": (lambda A, span, end: end @ exp(A.T * span), "no matrix is transposed"),
    "divided by span": (lambda A, span, end: end @ exp(A / span), "divided by"),
    "no exponential": (lambda A, span, end: end @ A * span, "exponential is missing"),
    "math's exp": (lambda A, span, end: end @ math.exp(A * span), "torch on tensors"),
    "entry by entry": (lambda A, span, end: end * exp(A * span), "a matrix of shape"),
    "a broken power": (lambda A, span, end: end @ exp(A) ** span, "inf or nan"),
    "stub": (lambda A, span, end: ..., "not attempted"),
}


def dynamics(adjoint_sign=-1.0, parameter_sign=-1.0, slope_sign=1.0, full=True):
    def answer(f, params, t, z, adjoint):
        z = z.detach().requires_grad_()
        slope = f(t, z)
        by_state, *by_params = grad(slope, (z, *params), adjoint)
        shares = [parameter_sign * g for g in by_params]
        return slope_sign * slope.detach(), adjoint_sign * by_state, shares if full else shares[:1]

    return answer


def twice(keep):
    """Two calls of grad, the first of which may free the graph of the second."""

    def answer(f, params, t, z, adjoint):
        z = z.detach().requires_grad_()
        slope = f(t, z)
        (by_state,) = grad(slope, z, -adjoint, retain_graph=keep)
        return slope.detach(), by_state, list(grad(slope, params, -adjoint))

    return answer


def by_vjp(f, params, t, z, adjoint):
    slope, pull = torch.func.vjp(lambda z: f(t, z), z.detach())
    return slope.detach(), -pull(adjoint)[0].detach(), [-g for g in grad(f(t, z), params, adjoint)]


def by_a_sum(f, params, t, z, adjoint):
    """The product as one number, whose gradient is the vector–Jacobian product."""
    z = z.detach().requires_grad_()
    slope = f(t, z)
    products = grad(-(slope * adjoint).sum(), (z, *params))
    return slope, products[0], products[1:]


def by_backward(f, params, t, z, adjoint):
    z = z.detach().requires_grad_()
    for p in params:
        p.grad = None
    slope = f(t, z)
    slope.backward(-adjoint)
    return slope.detach(), z.grad, [p.grad for p in params]


def one_by_one(f, params, t, z, adjoint):
    z = z.detach().requires_grad_()
    shares = [grad(f(t, z), p, -adjoint)[0] for p in params]
    return f(t, z).detach(), grad(f(t, z), z, -adjoint)[0], shares


def with_jacobians(f, params, t, z, adjoint):
    """By whole Jacobians: right for one state."""
    by_state = torch.autograd.functional.jacobian(lambda z: f(t, z), z)
    z = z.detach().requires_grad_()
    rows = [grad(f(t, z)[i], params) for i in range(len(z))]
    shares = [-sum(adjoint[i] * row[p] for i, row in enumerate(rows)) for p in range(len(params))]
    return f(t, z).detach(), -adjoint @ by_state, shares


def from_the_wrong_side(f, params, t, z, adjoint):
    slope, _, shares = dynamics()(f, params, t, z, adjoint)
    return slope, -torch.autograd.functional.jacobian(lambda z: f(t, z), z) @ adjoint, shares


def without_adjoint(f, params, t, z, adjoint):
    return dynamics()(f, params, t, z, torch.ones_like(adjoint))


def parameters_without_adjoint(f, params, t, z, adjoint):
    slope, adjoint_slope, _ = dynamics()(f, params, t, z, adjoint)
    return slope, adjoint_slope, without_adjoint(f, params, t, z, adjoint)[2]


def no_third_argument(f, params, t, z, adjoint):
    z = z.detach().requires_grad_()
    slope = f(t, z)
    products = grad(slope, (z, *params))
    return slope, -adjoint @ products[0], list(products[1:])


def z_without_grad(f, params, t, z, adjoint):
    slope = f(t, z)
    products = grad(slope, (z, *params), -adjoint)
    return slope, products[0], list(products[1:])


def detached_too_early(f, params, t, z, adjoint):
    z = z.detach().requires_grad_()
    slope = f(t, z).detach()
    products = grad(slope, (z, *params), -adjoint)
    return slope, products[0], list(products[1:])


def another_z(f, params, t, z, adjoint):
    slope = f(t, z)
    z = z.detach().requires_grad_()
    products = grad(slope, (z, *params), -adjoint)
    return slope, products[0], list(products[1:])


def in_one_vector(f, params, t, z, adjoint):
    slope, adjoint_slope, shares = dynamics()(f, params, t, z, adjoint)
    return slope, adjoint_slope, torch.cat([share.flatten() for share in shares])


def adjoint_outside(*signs):
    """The rows of the Jacobians summed, then multiplied by the adjoint entry by entry."""

    def answer(f, params, t, z, adjoint):
        z = z.detach().requires_grad_()
        slope = f(t, z)
        by_state, *by_params = grad(slope, (z, *params), torch.ones_like(slope))
        right = dynamics()(f, params, t, z, adjoint)[1]
        return slope, signs[0] * adjoint * by_state if signs else right, [-adjoint * g for g in by_params]

    return answer


def without_star(f, params, t, z, adjoint):
    z = z.detach().requires_grad_()
    slope = f(t, z)
    return slope, *grad(slope, (z, params), -adjoint)


def arguments_exchanged(f, params, t, z, adjoint):
    z = z.detach().requires_grad_()
    slope = f(t, z)
    products = grad((z, *params), slope, -adjoint)
    return slope, products[0], products[1:]


DYNAMICS = {
    "right": (dynamics(), None),
    "right, a tuple": (lambda *given: (*dynamics()(*given)[:2], tuple(dynamics()(*given)[2])), None),
    "right, in two calls": (twice(keep=True), None),
    "right, by torch.func": (by_vjp, None),
    "right, by a sum": (by_a_sum, None),
    "right, by backward": (by_backward, None),
    "right, one by one": (one_by_one, None),
    "two calls, the graph freed": (twice(keep=False), "has freed the graph"),
    "whole Jacobians": (with_jacobians, "not for a batch"),
    "adjoint without minus": (dynamics(adjoint_sign=1.0), r"slope of the adjoint: .*sign"),
    "parameters without minus": (dynamics(parameter_sign=1.0), "first parameter.*sign"),
    "state runs backwards": (dynamics(slope_sign=-1.0), "z still follows f"),
    "wrong side": (from_the_wrong_side, "wrong side"),
    "adjoint forgotten": (without_adjoint, "adjoint itself is missing"),
    "adjoint forgotten in the parameters": (parameters_without_adjoint, "first parameter.*adjoint is missing"),
    "adjoint outside": (adjoint_outside(-1.0), "slope of the adjoint: the rows .*third argument$"),
    "adjoint outside, no minus": (adjoint_outside(1.0), "slope of the adjoint: the rows .*minus"),
    "adjoint outside for the parameters": (adjoint_outside(), "first parameter.*the rows .*third argument"),
    "no star": (without_star, r"\(z, \*params\), with the star"),
    "no third argument": (no_third_argument, "third argument"),
    "z without grad": (z_without_grad, "z must require grad"),
    "detached too early": (detached_too_early, "must not be detached before"),
    "another z": (another_z, "from the very tensors"),
    "one parameter only": (dynamics(full=False), "one tensor for every parameter"),
    "one long vector": (in_one_vector, "one tensor for every parameter"),
    "grad's arguments exchanged": (arguments_exchanged, "the output first"),
    "grad's tuple": (lambda *given: (*dynamics()(*given)[:1], dynamics()(*given)[1:2], dynamics()(*given)[2]), "entry"),
    "two minuses": (dynamics(adjoint_sign=1.0, parameter_sign=1.0), r"slope of the adjoint: .*sign"),
    "parameters before the state": (
        lambda *given: (dynamics()(*given)[0], dynamics()(*given)[2], dynamics()(*given)[1]),
        "one tensor, yours is a list of 2",
    ),
    "two things": (lambda *given: dynamics()(*given)[:2], "three slopes"),
    "stub": (lambda f, params, t, z, adjoint: (f(t, z), ..., ...), "not attempted"),
}

TIMES = {
    "right": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), a1 @ f(t1, z1)), None),
    "right, sums": (lambda f, t0, z0, a0, t1, z1, a1: [-(a0 * f(t0, z0)).sum(), float((a1 * f(t1, z1)).sum())], None),
    "right, stacked": (
        lambda f, t0, z0, a0, t1, z1, a1: torch.stack((-(a0.dot(f(t0, z0))), a1.dot(f(t1, z1)))),
        None,
    ),
    "right, einsum": (
        lambda f, t0, z0, a0, t1, z1, a1: (-torch.einsum("i,i", a0, f(t0, z0)), torch.einsum("i,i", a1, f(t1, z1))),
        None,
    ),
    "right, a nudge of −f": (lambda f, t0, z0, a0, t1, z1, a1: (a0 @ -f(t0, z0), f(t1, z1) @ a1), None),
    "right, NumPy": (
        lambda f, t0, z0, a0, t1, z1, a1: (
            -np.dot(a0.numpy(), f(t0, z0).numpy()),
            np.dot(a1.numpy(), f(t1, z1).numpy()),
        ),
        None,
    ),
    "right, an array": (
        lambda f, t0, z0, a0, t1, z1, a1: np.array([float(-a0 @ f(t0, z0)), float(a1 @ f(t1, z1))]),
        None,
    ),
    "state before time": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(z0, t0), a1 @ f(z1, t1)), "time first"),
    "no minus": (lambda f, t0, z0, a0, t1, z1, a1: (a0 @ f(t0, z0), a1 @ f(t1, z1)), "dL/dt0: its sign"),
    "both minus": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), -a1 @ f(t1, z1)), "dL/dt1: its sign"),
    "swapped": (lambda f, t0, z0, a0, t1, z1, a1: (a1 @ f(t1, z1), -a0 @ f(t0, z0)), "order asked for"),
    "same end": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), a0 @ f(t0, z0)), "other end"),
    "one adjoint": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), a0 @ f(t1, z1)), r"price at t1 is a\(t1\)"),
    "the other adjoint": (
        lambda f, t0, z0, a0, t1, z1, a1: (-a1 @ f(t0, z0), a1 @ f(t1, z1)),
        r"price at t0 is a\(t0\)",
    ),
    "one time": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), a1 @ f(t0, z1)), "dL/dt1: .*wrong time"),
    "one state": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), a1 @ f(t1, z0)), "dL/dt1: .*wrong state"),
    "not summed": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 * f(t0, z0), a1 * f(t1, z1)), "dL/dt1: .*sum it"),
    "one of them not summed": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 * f(t0, z0), a1 @ f(t1, z1)), "dL/dt0: .*sum it"),
    "one number": (lambda f, t0, z0, a0, t1, z1, a1: a1 @ f(t1, z1), "two numbers"),
    "stub": (lambda *given: (..., ...), "not attempted"),
}


def replay(order=reversed, shift=0, add=True, move=True):
    def answer(step, theta, states, adjoint, total=0.0):
        for k in order(range(len(states) - 1)):
            z = states[k + shift].detach().requires_grad_()
            moved, share = grad(step(k, z), (z, theta), adjoint)
            adjoint, total = moved if move else adjoint, total + share if add else share
        return adjoint, total

    return answer


def with_vjp(step, theta, states, adjoint):
    """Right, by torch.func."""
    total = torch.zeros_like(theta)
    for k in range(len(states) - 2, -1, -1):
        _, pull = torch.func.vjp(lambda z, k=k: step(k, z), states[k].detach())
        (share,) = grad(step(k, states[k]), theta, adjoint)
        (adjoint,), total = pull(adjoint), total + share
    return adjoint, total


def with_backward(step, theta, states, adjoint):
    """Right: backward adds theta's shares up by itself."""
    theta.grad = None
    for k in reversed(range(len(states) - 1)):
        states[k].grad = None
        step(k, states[k]).backward(adjoint)
        adjoint = states[k].grad
    return adjoint, theta.grad


def whole_chain(step, theta, states, adjoint):
    """Ordinary backprop, which keeps every step's graph: the path made anew from its start."""
    z = states[0]
    for k in range(len(states) - 1):
        z = step(k, z)
    return grad(z, (states[0], theta), adjoint)


def by_recursion(step, theta, states, adjoint):
    k = len(states) - 2
    if k < 0:
        return adjoint, torch.zeros_like(theta)
    adjoint, share = grad(step(k, states[k]), (states[k], theta), adjoint)
    first, total = by_recursion(step, theta, states[:-1], adjoint)
    return first, total + share


def with_a_list(step, theta, states, adjoint):
    shares = []
    for k, z in reversed(list(enumerate(states[:-1]))):
        end = step(k, z)
        shares += grad(end, theta, adjoint, retain_graph=True)
        (adjoint,) = grad(end, z, adjoint)
    return adjoint, torch.stack(shares).sum(0)


def no_step(step, theta, states, adjoint):
    """As if the stored states still had their graph."""
    return grad(states[-1], (states[0], theta), adjoint)


def no_row(step, theta, states, adjoint):
    for k in reversed(range(len(states) - 1)):
        adjoint, share = grad(step(k, states[k]), (states[k], theta))
    return adjoint, share


def graph_freed(step, theta, states, adjoint):
    total = torch.zeros_like(theta)
    for k in reversed(range(len(states) - 1)):
        end = step(k, states[k])
        total = total + grad(end, theta, adjoint)[0]
        adjoint = grad(end, states[k], adjoint)[0]
    return adjoint, total


def moved_before_theta(step, theta, states, adjoint):
    """The share of theta with the adjoint from before the step instead of after it."""
    total = torch.zeros_like(theta)
    for k in reversed(range(len(states) - 1)):
        (adjoint,) = grad(step(k, states[k]), states[k], adjoint)
        total = total + grad(step(k, states[k]), theta, adjoint)[0]
    return adjoint, total


def old_adjoint_added(step, theta, states, adjoint):
    total = torch.zeros_like(theta)
    for k in reversed(range(len(states) - 1)):
        moved, share = grad(step(k, states[k]), (states[k], theta), adjoint)
        adjoint = adjoint + moved
        total = total + share
    return adjoint, total


CHECKPOINTS = {
    "right": (replay(), None),
    "right, by torch.func": (with_vjp, None),
    "right, by backward": (with_backward, None),
    "right, by recursion": (by_recursion, None),
    "right, with a list": (with_a_list, None),
    "first to last": (replay(order=iter), "first to last"),
    "minus in each step": (
        lambda step, theta, states, row: replay()(lambda k, z: -step(k, z), theta, states, row),
        "in every second step",
    ),
    "the step after": (lambda step, *rest: replay()(lambda k, z: step(k + 1, z), *rest), r"step k \+ 1"),
    "all from the start": (
        lambda step, theta, states, row: replay()(step, theta, states[:1] * len(states), row),
        r"from states\[0\]",
    ),
    "the last step left out": (
        lambda s, theta, states, row: replay()(s, theta, states[:-1], row),
        "last step was left",
    ),
    "exchanged": (lambda *given: replay()(*given)[::-1], "in this order"),
    "from the state after": (replay(shift=1), r"states\[k\]"),
    "not added up": (replay(add=False), "first step alone"),
    "adjoint never moves": (replay(move=False), "not moved"),
    "the whole chain": (whole_chain, r"ordinary backprop.*states\[k\]"),
    "the old adjoint added": (old_adjoint_added, "the old adjoint was added"),
    "theta subtracted": (lambda *given: (replay()(*given)[0], -replay()(*given)[1]), "no minus here"),
    "zero": (lambda *given: (replay()(*given)[0], torch.zeros(2, 2)), "zero"),
    "no step": (no_step, "does not depend on one of these inputs|has no graph"),
    "no row": (no_row, "third argument"),
    "two calls, the graph freed": (graph_freed, "has freed the graph"),
    "the new adjoint for theta": (moved_before_theta, "dL/dtheta: .*from before the step"),
    "one thing": (lambda *given: replay()(*given)[0][:1], "two things"),
    "stub": (lambda step, theta, states, adjoint: ..., "not attempted"),
}
EXERCISES = {
    "linear_adjoint": LINEAR,
    "augmented_dynamics": DYNAMICS,
    "time_gradients": TIMES,
    "checkpointed_gradient": CHECKPOINTS,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)


# Explorables: what is plotted, against another computation, at two settings each.


@pytest.mark.parametrize(("back", "direction", "size"), [(0, 90, 0.3), (18, 30, 0.1), (30, 195, 0.03)])
def test_nudge_plots_the_price_of_a_nudge(back: int, direction: int, size: float) -> None:
    """Against SciPy's solutions, one for each nudge, and against a gradient made of their differences."""
    explorer = explorables.nudge()
    text = explorer.drive(back=back, direction=direction, size=size)
    plane, price = explorer.figure.axes

    def loss(t: float, z: np.ndarray) -> float:
        span = (t, 3.0)
        if t < 3.0:
            swing = solve_ivp(
                lambda t, z: [z[1], -4 * np.sin(z[0]) - 0.3 * z[1]], span, z, "DOP853", rtol=1e-11, atol=1e-12
            )
            z = swing.y[:, -1]
        return 0.5 * float(((z - [0.5, -0.5]) ** 2).sum())

    nudge = size * np.array([np.cos(np.radians(direction)), np.sin(np.radians(direction))])
    path = plane.lines[0].get_xydata()
    times = price.lines[2].get_xdata()
    assert times[0] == pytest.approx(3 - back / 10) and times[-1] == 3 and len(times) == back + 1
    for k in {0, back // 2, back}:
        z = path[30 - back + k]
        measured = (loss(times[k], z + nudge) - loss(times[k], z)) / size
        assert price.lines[2].get_ydata()[k] == pytest.approx(measured, abs=1e-4)
        tiny = 1e-5 * nudge / size
        slope = (loss(times[k], z + tiny) - loss(times[k], z - tiny)) / 2e-5
        assert price.lines[1].get_ydata()[k] == pytest.approx(slope, abs=1e-5)
    assert np.allclose(plane.lines[6].get_xydata(), [path[30 - back], path[30 - back] + nudge])
    ray = np.diff(plane.lines[9].get_xydata(), axis=0)[0]
    assert np.allclose(ray / 0.9, nudge / size), "of one length, whatever the size of the nudge"
    assert f"Δ𝓛 = {size * price.lines[2].get_ydata()[0]:+.4f}" in text


@pytest.mark.parametrize(("rate", "tolerance", "stored"), [(4, 1e-6, 2), (16, 1e-5, 2), (14, 1e-5, 4)])
def test_reconstruction_plots_the_way_back(rate: int, tolerance: float, stored: int) -> None:
    explorer = explorables.reconstruction()
    text = explorer.drive(rate=rate, tolerance=tolerance, stored=stored)
    path, gap = explorer.figure.axes
    t, forward = path.lines[0].get_xydata().T
    assert np.allclose(forward, np.exp(-rate * t), atol=5 * tolerance)
    assert np.allclose(np.sort(path.lines[2].get_xdata()), np.linspace(0, 1, stored))
    assert np.allclose(np.sort(gap.lines[2].get_xdata()), np.linspace(0, 1, stored))
    pieces = np.split(path.lines[1].get_xydata(), np.flatnonzero(np.isnan(path.lines[1].get_xdata())))
    pieces = [piece[~np.isnan(piece[:, 0])] for piece in pieces][:-1]
    assert len(pieces) == stored - 1
    for times, backward in (piece.T for piece in pieces):
        last = torch.from_numpy(forward[np.isclose(t, times[-1])])
        reverse = torch.from_numpy(times[::-1].copy())
        back = torchdiffeq.odeint(lambda t, y: -rate * y, last, reverse, rtol=tolerance, atol=tolerance)
        slack = 0 if stored == 2 else tolerance * np.exp(rate / (stored - 1))
        assert backward[0] == pytest.approx(back[-1].item(), rel=1e-3, abs=slack), "torchdiffeq's wrong place, too"
        there = np.interp(times, t, forward)
        drawn = np.isin(gap.lines[0].get_xdata(), times[:-1]) & (gap.lines[0].get_ydata() > 1e-16)
        off = np.abs(backward - there)[:-1]
        assert np.isin(np.round(off[off > 1e-12], 12), np.round(gap.lines[0].get_ydata()[drawn], 12)).all()
    length = 1 / (stored - 1)
    assert np.nanmax(gap.lines[1].get_ydata()) == pytest.approx(tolerance * np.exp(rate * length))
    assert np.nanmax(gap.lines[0].get_ydata()) < gap.get_ylim()[1]
    assert f"{pieces[0][0, 1]:.4g}" in text


@pytest.mark.parametrize("rate", [2, 20])
def test_three_gradients_plots_errors_against_the_closed_form(rate: int) -> None:
    explorer = explorables.three_gradients()
    explorer.drive(rate=rate)
    lines = dict(zip(figures.ERRORS, explorer.figure.axes[0].lines, strict=False))
    tolerances = lines["backprop"].get_xdata()

    def area(rate: float) -> float:
        return solve_ivp(lambda t, z: [-rate * z[0], z[0]], (0, 1), [1.0, 0.0], rtol=1e-12, atol=1e-14).y[1, -1]

    by_difference = (area(rate + 1e-4) - area(rate - 1e-4)) / 2e-4
    exact = ((1 + rate) * math.exp(-rate) - 1) / rate**2
    assert by_difference == pytest.approx(exact, rel=1e-5), "the closed form itself"
    for k, tol in enumerate(tolerances[[1, 3]]):
        module = Dose(rate)
        start, times = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
        path = torchdiffeq.odeint(module, start, times, rtol=tol, atol=tol)
        (theirs,) = grad(path[-1, 1], module.rate)
        error = abs(theirs.item() / exact - 1)
        assert 0.1 < lines["backprop"].get_ydata()[2 * k + 1] / error < 10, "as large as torchdiffeq's"
    assert np.allclose(lines["checkpoint"].get_ydata(), lines["backprop"].get_ydata(), rtol=1e-3, atol=1e-12)
    ratio = lines["adjoint"].get_ydata() / lines["backprop"].get_ydata()
    assert ratio.min() > 1e3 if rate == 20 else ratio.max() < 10
    if rate == 20:
        times = torch.linspace(0, 1, 5, dtype=torch.float64)
        module = Dose(rate)
        path = torchdiffeq.odeint_adjoint(module, start, times, rtol=1e-6, atol=1e-6)
        error = abs(grad(path[-1, 1], module.rate)[0].item() / exact - 1)
        drawn = lines["adjoint, 5 stored states"].get_ydata()[list(tolerances).index(1e-6)]
        assert max(drawn, error) < 1e-3 < 1e-2 * lines["adjoint"].get_ydata()[list(tolerances).index(1e-6)]


class Dose(torch.nn.Module):
    """A drug is eliminated at a rate; its effect is the area under the curve."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(float(rate), dtype=torch.float64))

    def forward(self, t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return torch.stack((-self.rate * z[0], z[0]))


@pytest.mark.parametrize("steps", [8, 32])
def test_memory_plots_what_was_measured(steps: int) -> None:
    cost = {
        n: {"backprop": (900.0 * n, 0.01 * n), "adjoint": (64.0, 0.03 * n), "checkpoint": (8.0 * n, 0.02 * n)}
        for n in (8, 16, 32)
    }
    explorer = explorables.memory(cost)
    text = explorer.drive(steps=steps)
    for k, ax in enumerate(explorer.figure.axes):
        for line, name in zip(ax.lines, figures.GRADIENTS, strict=False):
            assert line.get_xydata().tolist() == [[n, cost[n][name][k]] for n in cost]
        assert set(ax.lines[3].get_xdata()) == {steps}
    assert f"adjoint 64 B in {30 * steps} ms" in text and f"{900 * steps / 1000:.3g} kB" in text


def test_populations_marks_what_was_not_seen() -> None:
    years, pelts = np.arange(1900, 1905), np.full((5, 2), 10.0)
    times = np.linspace(1900, 1910, 11)
    models = {"one": np.zeros((11, 2)), "three": np.ones((11, 3, 2))}
    hare, lynx = figures.populations(years, pelts, times, models, held_out=1903).axes
    for ax in (hare, lynx):
        assert len(ax.lines) == 1 + 3 + 2
        assert np.allclose(ax.lines[0].get_ydata(), 1.0) and np.allclose(ax.lines[1].get_ydata(), np.e)
        assert ax.lines[-2].get_xdata().tolist() == [1900, 1901, 1902] and ax.lines[-1].get_xdata().tolist() == [
            1903,
            1904,
        ]


def test_training_draws_the_loss_and_the_learned_field() -> None:
    points = np.array([[0.0, 0.0], [1.0, 2.0]])
    fig = figures.training(points, np.ones((2, 2)), 10)
    figures.update_training(fig, [3.0, 1.0], [[0.5, 0.0], [0.0, -0.5]])
    curve, plane = fig.axes
    assert curve.lines[0].get_xydata().tolist() == [[0, 3], [1, 1]]
    learned = plane.collections[1]
    assert learned.U.tolist() == [0.5, 0.0] and learned.V.tolist() == [0.0, -0.5]
    assert plane.collections[0].U.tolist() == [1.0, 1.0]


def test_lines_and_arrows_are_seen_on_a_projector() -> None:
    t = np.linspace(0, 1, 3)
    path = np.ones((3, 2))
    years = np.arange(1900.0, 1905.0)
    drawn = [
        figures.nudge(path, path[0], t),
        figures.pairing(t, path),
        figures.training(path, path, 10),
        figures.there_and_back(t, path, {1e-3: path, 1e-5: path, 1e-7: path}),
        figures.euler_limit({8: (t, t), 64: (t, t), 512: (t, t)}, (t, t), {128: 1.0, 256: 0.5}),
        figures.jumps(t, path, path, t, t),
        figures.three_gradients(),
        figures.reconstruction(),
        figures.populations(years, np.full((5, 2), 10.0), years, {"one": np.ones((5, 2)), "two": np.ones((5, 8, 2))}),
    ]
    assert not [complaint for fig in drawn for complaint in faint(fig)]
