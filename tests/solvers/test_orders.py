"""The order of every method, measured on a problem that depends on time and has a closed form."""

from __future__ import annotations

import math

import pytest
import torch
from problems import SYMPLECTIC, Forced, observed_order, tensor, times

from odelab import solve
from odelab.solvers import METHODS
from odelab.solvers.integrate import Stats
from odelab.solvers.problem import VectorField

START, END = tensor(1.0, 0.5, -0.3), 2.0
# Steps small enough for the asymptotic slope, large enough to stay above rounding.
STEPS = {name: [1 / 32, 1 / 64] for name in METHODS} | {"euler": [1 / 512, 1 / 1024], "dopri8": [1 / 4, 1 / 8]}
ADAMS = ("explicit_adams", "implicit_adams", "fixed_adams")


@torch.no_grad()
def error_of_equal_steps(name: str, size: float) -> float:
    """|y(END) − exact| after equal steps, also for methods that usually choose their own."""
    options = {"max_order": 4} if name in ADAMS else {}
    method = METHODS[name](options).fresh()
    field = VectorField(Forced(), START, Stats())
    y = START
    for i in range(round(END / size)):
        y = method.step(field, i * size, (i + 1) * size, size, y).y1
    return float((y - Forced().exact(tensor(END), START)[0]).abs().max())


@pytest.mark.parametrize("name", [name for name in METHODS if name not in (*SYMPLECTIC, "scipy_solver")])
def test_error_falls_with_the_order_stated(name):
    order = METHODS[name]({"max_order": 4} if name in ADAMS else {}).order
    assert observed_order(lambda size: error_of_equal_steps(name, size), STEPS[name]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize(("name", "order"), [("leapfrog", 2), ("yoshida4", 4)])
def test_symplectic_methods_on_an_oscillator(name, order):
    def error(size: float) -> float:
        start = tensor(1.0), tensor(0.5)
        x, _ = solve(lambda t, s: (s[1], -4 * s[0]), start, times(3.0), method=name, options={"step_size": size}).y
        return abs(float(x[-1]) - (math.cos(6.0) + 0.25 * math.sin(6.0)))

    assert observed_order(error, [0.1, 0.05]) == pytest.approx(order, abs=0.2)


def test_symplectic_energy_does_not_drift():
    start, t = (tensor(1.0), tensor(0.0)), times(400.0, 401)
    x, v = solve(lambda t, s: (s[1], -torch.sin(s[0])), start, t, method="leapfrog", options={"step_size": 0.1}).y
    energy = 0.5 * v**2 - torch.cos(x)
    assert (energy[200:] - energy[0]).abs().max() < 1.2 * (energy[:200] - energy[0]).abs().max() < 0.01


@pytest.mark.parametrize("name", ["adaptive_heun", "fehlberg2", "bosh3", "dopri5", "tsit5", "dopri8", "rodas3"])
def test_error_estimate_is_one_order_below(name):
    """One step's estimate falls like dt^(order of the lower method + 1)."""
    method = METHODS[name]({})
    field = VectorField(Forced(), START, Stats())

    @torch.no_grad()
    def estimate(size: float) -> float:
        return float(method.error(method.step(field, 0.0, size, size, START)).abs().max())

    lower = {"dopri8": 7, "rodas3": 2, "fehlberg2": 1, "adaptive_heun": 1}.get(name, method.order - 1)
    assert observed_order(estimate, [1 / 8, 1 / 16]) == pytest.approx(lower + 1, abs=0.5)


@pytest.mark.parametrize(("name", "order"), [("dopri5", 4), ("tsit5", 4), ("dopri8", 4), ("bosh3", 3), ("rodas3", 3)])
def test_dense_output_keeps_its_order_inside_the_step(name, order):
    """One step from the exact state: the interpolant's error falls like dt^(order + 1)."""
    options = {"rtol": 1e3, "atol": 1e3}  # accept whatever first_step says

    def error(size: float) -> float:
        run = solve(Forced(), START, times(size), method=name, dense=True, options={"first_step": size}, **options)
        assert run.stats.accepted == 1
        where = tensor(0.3 * size)
        return float((run.dense(where)[0] - Forced().exact(where, START)).abs().max())

    assert observed_order(error, [1 / 8, 1 / 16]) == pytest.approx(order + 1, abs=0.6)


def test_high_order_adams_beats_low_order():
    def miss(max_order: int) -> float:
        options = {"step_size": 0.02, "max_order": max_order}
        y = solve(Forced(), START, times(END), method="implicit_adams", options=options, rtol=1e-13, atol=1e-13).y[-1]
        return float((y - Forced().exact(tensor(END), START)[0]).abs().max())

    assert miss(8) < 0.1 * miss(4)
