"""Lesson 03: its exercises take right answers only, its explorables plot what an independent computation finds."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.integrate import solve_ivp
from torch.autograd import grad

from odelab.lessons.adjoint import explorables, figures
from tests.lessons.kit.answers import every_answer, judge

# Exercises: (answer, a word of the hint it must get), or None for right answers.

exp = torch.linalg.matrix_exp


def solved_backwards(A, span, end):
    """The closed form's equation, solved by somebody else's solver."""
    times = torch.tensor([span, 0.0], dtype=torch.float64)
    return torchdiffeq.odeint(lambda t, a: -a @ A, end, times, rtol=1e-10, atol=1e-12)[-1]


LINEAR = {
    "right": (lambda A, span, end: end @ exp(A * span), None),
    "right, as a column": (lambda A, span, end: exp(A.T * span) @ end, None),
    "right, solved": (solved_backwards, None),
    "wrong direction": (lambda A, span, end: end @ exp(-A * span), "sign"),
    "from the left": (lambda A, span, end: exp(A * span) @ end, "side"),
    "no span": (lambda A, span, end: end @ exp(A), "length"),
    "entrywise": (lambda A, span, end: end @ torch.exp(A * span), "matrix_exp"),
    "one Euler step": (lambda A, span, end: end + span * end @ A, "off by"),
    "a matrix": (lambda A, span, end: exp(A * span), "shape"),
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


def with_jacobians(f, params, t, z, adjoint):
    """Right, by another route: whole Jacobians, never a vector–Jacobian product."""
    by_state = torch.autograd.functional.jacobian(lambda z: f(t, z), z)
    z = z.detach().requires_grad_()
    rows = [grad(f(t, z)[i], params) for i in range(len(z))]
    shares = [-sum(adjoint[i] * row[p] for i, row in enumerate(rows)) for p in range(len(params))]
    return f(t, z).detach(), -adjoint @ by_state, shares


def from_the_wrong_side(f, params, t, z, adjoint):
    slope, _, shares = with_jacobians(f, params, t, z, adjoint)
    return slope, -torch.autograd.functional.jacobian(lambda z: f(t, z), z) @ adjoint, shares


def without_adjoint(f, params, t, z, adjoint):
    return dynamics()(f, params, t, z, torch.ones_like(adjoint))


DYNAMICS = {
    "right": (dynamics(), None),
    "right, by Jacobians": (with_jacobians, None),
    "right, a tuple": (lambda *given: (*dynamics()(*given)[:2], tuple(dynamics()(*given)[2])), None),
    "adjoint without minus": (dynamics(adjoint_sign=1.0), r"slope of the adjoint: .*sign"),
    "parameters without minus": (dynamics(parameter_sign=1.0), "first parameter.*sign"),
    "state runs backwards": (dynamics(slope_sign=-1.0), "z still follows f"),
    "wrong side": (from_the_wrong_side, "wrong side"),
    "adjoint forgotten": (without_adjoint, "adjoint itself is missing"),
    "one parameter only": (dynamics(full=False), "one tensor for every parameter"),
    "two things": (lambda *given: dynamics()(*given)[:2], "three slopes"),
    "stub": (lambda f, params, t, z, adjoint: (f(t, z), ..., ...), "not attempted"),
}

TIMES = {
    "right": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), a1 @ f(t1, z1)), None),
    "right, sums": (lambda f, t0, z0, a0, t1, z1, a1: [-(a0 * f(t0, z0)).sum(), float((a1 * f(t1, z1)).sum())], None),
    "no minus": (lambda f, t0, z0, a0, t1, z1, a1: (a0 @ f(t0, z0), a1 @ f(t1, z1)), "dL/dt0: its sign"),
    "both minus": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), -a1 @ f(t1, z1)), "dL/dt1: its sign"),
    "swapped": (lambda f, t0, z0, a0, t1, z1, a1: (a1 @ f(t1, z1), -a0 @ f(t0, z0)), "dL/dt1"),
    "same end": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 @ f(t0, z0), a0 @ f(t0, z0)), "other end"),
    "not summed": (lambda f, t0, z0, a0, t1, z1, a1: (-a0 * f(t0, z0), a1 * f(t1, z1)), "sum it"),
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


CHECKPOINTS = {
    "right": (replay(), None),
    "right, by torch.func": (with_vjp, None),
    "first to last": (replay(order=iter), "first to last"),
    "from the state after": (replay(shift=1), r"states\[k\]"),
    "not added up": (replay(add=False), "first step alone"),
    "adjoint never moves": (replay(move=False), "not moved"),
    "zero": (lambda *given: (replay()(*given)[0], torch.zeros(2, 2)), "zero"),
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


@pytest.mark.parametrize(("rate", "tolerance"), [(4, 1e-6), (16, 1e-5)])
def test_reconstruction_plots_the_way_back(rate: int, tolerance: float) -> None:
    explorer = explorables.reconstruction()
    text = explorer.drive(rate=rate, tolerance=tolerance)
    path, gap = explorer.figure.axes
    t, forward = path.lines[0].get_xydata().T
    backward = path.lines[1].get_ydata()
    assert np.allclose(forward, np.exp(-rate * t), atol=5 * tolerance)
    other = torch.from_numpy(forward[-1:].copy())
    times = torch.from_numpy(t[::-1].copy())
    back = (
        torchdiffeq.odeint(lambda t, y: -rate * y, other, times, rtol=tolerance, atol=tolerance).flip(0)[:, 0].numpy()
    )
    assert backward[0] == pytest.approx(back[0], rel=1e-3), "torchdiffeq comes back to the same wrong place"
    assert np.allclose(gap.lines[0].get_ydata()[:-1], np.abs(backward - forward)[:-1])
    assert np.allclose(gap.lines[1].get_ydata(), tolerance * np.exp(rate * (1 - t)))
    assert f"{backward[0]:.4g}" in text


@pytest.mark.parametrize("rate", [2, 20])
def test_three_gradients_plots_errors_against_the_closed_form(rate: int) -> None:
    explorer = explorables.three_gradients()
    explorer.drive(rate=rate)
    lines = dict(zip(figures.GRADIENTS, explorer.figure.axes[0].lines, strict=False))
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
