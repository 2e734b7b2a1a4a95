"""The order of every method, of its error estimate and of its dense output, measured against closed forms."""

import math

import pytest
import torch

from odelab import solve
from odelab.solvers import METHODS
from odelab.solvers.inputs import Layout
from odelab.solvers.loops import Scheme, make_scheme
from tests.solvers.problems import (
    ADAMS,
    FIXED,
    IMPLICIT,
    RUNGE_KUTTA,
    SYMPLECTIC,
    LimitCycle,
    field_of,
    march,
    slopes,
    tensor,
    times,
)

CYCLE = LimitCycle()
START = CYCLE.exact(0.0)
ONE_STEP = [*RUNGE_KUTTA, *IMPLICIT, "rodas3"]
# Few enough steps to stay above rounding, enough to be inside the asymptotics.
STEPS = {"dopri5": (20, 40), "tsit5": (20, 40), "gl6": (10, 20)}


def oscillator(t, state):
    return state[1], -state[0]


def error_at(name, end, n, **options):
    return (march(name, CYCLE, START, end, n, **options) - CYCLE.exact(end)).norm().item()


def test_nothing_is_left_out():
    assert {*ONE_STEP, *ADAMS, *SYMPLECTIC, "scipy_solver"} == set(METHODS)


@pytest.mark.parametrize("name", [name for name in ONE_STEP if name not in STEPS])
def test_one_step_errs_by_one_power_more_than_the_order_claimed(name):
    sizes = (0.4, 0.2) if name == "dopri8" else (0.05, 0.025)
    (observed,) = slopes([error_at(name, dt, 1) for dt in sizes])
    assert observed == pytest.approx(METHODS[name]({}).order + 1, abs=0.35)


@pytest.mark.parametrize("name", [name for name in ONE_STEP if name != "dopri8"])  # at rounding before its asymptotics
def test_the_global_error_falls_with_the_order_claimed(name):
    order = METHODS[name]({}).order
    (observed,) = slopes([error_at(name, 2.0, n) for n in STEPS.get(name, (80, 160))])
    assert order - 0.4 < observed < order + 1.5


@pytest.mark.parametrize("name", ADAMS)
def test_adams_has_the_order_it_claims(name):
    assert METHODS[name]({"max_order": 4}).order == 4
    (observed,) = slopes([error_at(name, 2.0, n, max_order=4) for n in (80, 160)])
    assert observed == pytest.approx(4, abs=0.35)
    (observed,) = slopes([error_at(name, 2.0, n) for n in (40, 80)])  # and no less where the order may grow
    assert observed > METHODS[name]({}).order - 0.35


def test_high_order_adams_beats_low_order():
    low, high = (error_at("implicit_adams", 2.0, 100, max_order=order) for order in (4, 8))
    assert high < 0.1 * low


def test_explicit_adams_stays_stable_where_order_twelve_is_not():
    """The reason for its default order: a hundred steps round a circle, unharmed."""
    t = times(6.0, 101)
    run = {
        order: solve(oscillator, (tensor(1.0), tensor(0.0)), t, method="explicit_adams", options=options)
        .y[0][-1]
        .item()
        for order, options in ((4, {}), (12, {"max_order": 12}))
    }
    assert run[4] == pytest.approx(math.cos(6.0), abs=1e-3)
    assert abs(run[12]) > 1e3


@pytest.mark.parametrize("name", SYMPLECTIC)
def test_symplectic_methods_on_an_oscillator(name):
    """x = cos t + v0 sin t; `solve` drives them, as they want a (position, velocity) state."""

    def error(n):
        state = (tensor(1.0, 0.5), tensor(0.0, 0.2))
        x, _ = solve(oscillator, state, times(3.0), method=name, options={"step_size": 3.0 / n}).y
        return (x[-1] - state[0] * math.cos(3) - state[1] * math.sin(3)).norm().item()

    assert slopes([error(n) for n in (40, 80)])[0] == pytest.approx(METHODS[name]({}).order, abs=0.2)


def test_symplectic_energy_does_not_drift():
    start, t = (tensor(1.0), tensor(0.0)), times(400.0, 401)
    x, v = solve(lambda t, s: (s[1], -torch.sin(s[0])), start, t, method="leapfrog", options={"step_size": 0.1}).y
    energy = 0.5 * v**2 - torch.cos(x)
    assert (energy[200:] - energy[0]).abs().max() < 1.2 * (energy[:200] - energy[0]).abs().max() < 0.01


@pytest.mark.parametrize("name", [name for name in ONE_STEP if METHODS[name]({}).adaptive])
def test_the_error_estimate_has_the_order_that_the_controller_supposes(name):
    """A local error of order p − 1 is O(dt^p), so the exponent is 1/p; some implicit methods estimate another power."""
    method, f = METHODS[name]({}), field_of(CYCLE, START)
    sizes = (0.2, 0.1) if name == "dopri8" else (0.025, 0.0125)
    (observed,) = slopes([method.error(method.step(f, 0.0, dt, dt, START)).norm().item() for dt in sizes])
    assert observed == pytest.approx(getattr(method, "error_order", method.order), abs=0.2)


def scheme_of(name: str) -> Scheme:
    """The method with the best dense output it offers."""
    options = {} if METHODS[name]({}).adaptive else {"interp": "cubic"}
    return make_scheme(name, 1e-12, 1e-12, options, Layout(), START, strict=True)


@pytest.mark.parametrize("x", [0.3, 0.8])
@pytest.mark.parametrize("name", ONE_STEP)
def test_dense_output_has_the_order_of_its_polynomial(name, x):
    """Inside a step a polynomial of degree n errs by O(dt^(n+1)), beside the method's own O(dt^(p+1))."""
    scheme, f, errors = scheme_of(name), field_of(CYCLE, START), []
    for dt in (0.05, 0.025):
        solution = scheme.interpolate(scheme.method.step(f, 0.0, dt, dt, START), f)
        errors.append((solution(x) - CYCLE.exact(x * dt)).norm().item())
    quartic = name in ("dopri5", "tsit5", "dopri8", "kvaerno5", "gl4", "gl6")
    degree = {"radauIIA3": 2, "sdirk2": 2, "trbdf2": 2, "implicit_midpoint": 2, "trapezoid": 2, "implicit_euler": 2}
    assert slopes(errors)[0] > min(degree.get(name, 4 if quartic else 3), scheme.method.order) + 0.5


@pytest.mark.parametrize("name", ONE_STEP)
def test_dense_output_meets_both_ends_and_of_explicit_methods_their_slopes(name):
    scheme, f, dt = scheme_of(name), field_of(CYCLE, START), 0.1
    step = scheme.method.step(f, 0.0, dt, dt, START)
    solution = scheme.interpolate(step, f)
    for x, value in ((0.0, step.y0), (1.0, step.y1)):
        torch.testing.assert_close(solution(x), value)
        if name in RUNGE_KUTTA:
            slope = torch.autograd.functional.jacobian(solution, torch.tensor(x, dtype=torch.float64)) / dt
            torch.testing.assert_close(slope, f(x * dt, value))


@pytest.mark.parametrize("name", [name for name in FIXED if name not in SYMPLECTIC])
def test_a_fixed_grid_is_read_between_its_steps(name):
    """interp='cubic' errs as the method does, the default 'linear' by O(dt²) at least."""
    t, miss = times(2.0, 14), {}
    for interp in ("linear", "cubic"):
        y = solve(CYCLE, START, t, method=name, options={"step_size": 0.02, "interp": interp}).y
        miss[interp] = (y - CYCLE.exact(t)).norm(dim=-1).max().item()
    order = METHODS[name]({}).order
    assert miss["linear"] < {1: 0.1, 2: 2e-3}.get(order, 5e-4)
    assert miss["cubic"] < {1: 0.1, 2: 2e-3}.get(order, 2e-5)
