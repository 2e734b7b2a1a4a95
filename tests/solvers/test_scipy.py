"""SciPy as a method behind the same call, and as an independent reference."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import odelab
from tests.solvers.both_libraries import (
    start,
    swing,
)
from tests.solvers.problems import times


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("solver", ["RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA"])
def test_scipy_behind_the_same_call(solver, backwards):
    t = times(2.0, 6).flip(0) if backwards else times(2.0, 6)
    how = {"rtol": 1e-6, "atol": 1e-8}
    y = odelab.odeint(swing, start(), t, method="scipy_solver", options={"solver": solver}, **how)
    grid = t.numpy()

    def func(now, y):
        return swing(torch.tensor(now, dtype=torch.float64), torch.as_tensor(y)[None])[0].numpy()

    reference = solve_ivp(func, (grid[0], grid[-1]), start()[0].numpy(), method=solver, t_eval=grid, **how)
    np.testing.assert_allclose(y[:, 0].numpy(), reference.y.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8", "bosh3", "rk4_classic", "rodas3", "implicit_adams"])
def test_against_scipy_at_a_tight_tolerance(method):
    t = times(3.0, 7)
    fixed = {"rk4_classic": {"step_size": 0.005}, "implicit_adams": {"step_size": 0.01}}
    how = {"rtol": 1e-8, "atol": 1e-10} if method not in ("rodas3", "bosh3") else {"rtol": 1e-6, "atol": 1e-8}
    ours = odelab.solve(swing, start(), t, method=method, options=fixed.get(method), **how).y[:, 0]

    def func(now, y):
        return swing(torch.tensor(now, dtype=torch.float64), torch.as_tensor(y)[None])[0].numpy()

    reference = solve_ivp(func, (0.0, 3.0), start()[0].numpy(), "DOP853", t.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.numpy(), reference.y.T, rtol=2e-4, atol=2e-4)
