"""Other libraries and other modes on the same problems, forward: what a fifth-order adaptive solve costs elsewhere."""

import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torchdiffeq
from scipy.integrate import solve_ivp
from torch import Tensor

import odelab
from benchmarks.problems import Decay, Problem
from benchmarks.solvers import distance, forward_solve
from benchmarks.timing import Effort, compare, medians, ratio

Run = Callable[[], Tensor]
SCIPY = {"method": "scipy_solver", "options": {"solver": "RK45"}}  # behind our interface, f is called with tensors
RK4_STEPS = 500


def scipy_with_numpy(problem: Problem) -> Run:
    """solve_ivp with the field written in NumPy, in float64, which is all SciPy has."""
    t, y0 = problem.t.double().numpy(), problem.y0.double().numpy().reshape(-1)
    t = t.clip(float(problem.t[0]), float(problem.t[-1]))

    def run() -> Tensor:
        y = solve_ivp(problem.numpy_field, (t[0], t[-1]), y0, t_eval=t, method="RK45", **problem.tolerances).y
        return torch.from_numpy(y.T.reshape(len(t), *problem.y0.shape))

    return run


def torchode(problem: Problem) -> Run:
    """Every row of the batch with its own steps; eager."""
    import torchode as to

    y0 = problem.y0.reshape(-1, 2)
    times = problem.t.expand(len(y0), -1)
    term = to.ODETerm(lambda t, y: problem.func(t[:, None], y))
    solver = to.AutoDiffAdjoint(to.Dopri5(term=term), to.IntegralController(term=term, **problem.tolerances))

    @torch.no_grad()
    def run() -> Tensor:
        ys = solver.solve(to.InitialValueProblem(y0=y0, t_eval=times)).ys
        return ys.transpose(0, 1).reshape(len(problem.t), *problem.y0.shape)

    return run


def diffrax(problem: Problem) -> Run:
    """Compiled by XLA; the first call, which compiles, is not timed."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    import diffrax as dfx
    import jax
    import jax.numpy as jnp

    weights = [jnp.asarray(parameter.detach().numpy()) for parameter in problem.func.parameters()]
    times, y0 = jnp.asarray(problem.t.numpy()), jnp.asarray(problem.y0.numpy())

    def field(t: Any, y: Any, args: Any) -> Any:
        if isinstance(problem.func, Decay):
            return weights[0] * y
        w1, b1, w2, b2 = weights
        return jnp.tanh(y**3 @ w1.T + b1) @ w2.T + b2

    @jax.jit
    def solve(y0: Any) -> Any:
        term, controller = dfx.ODETerm(field), dfx.PIDController(**problem.tolerances)
        save = dfx.SaveAt(ts=times)
        how = {"saveat": save, "stepsize_controller": controller, "max_steps": 100_000}
        return dfx.diffeqsolve(term, dfx.Dopri5(), times[0], times[-1], None, y0, **how).ys

    solve(y0)  # else `interleave` would take a call for as long as the compiler needs, and time single calls
    return lambda: torch.from_numpy(np.array(solve(y0).block_until_ready()))


def contestants(problem: Problem) -> dict[str, Run | None]:
    """Each returns the states at the output times; None where a library is not installed."""
    runs: dict[str, Run | None] = {
        "odelab": lambda: forward_solve(problem, odelab.odeint),
        "odelab, scipy_solver RK45": lambda: forward_solve(problem, odelab.odeint, **SCIPY),
        "torchdiffeq, scipy_solver RK45": lambda: forward_solve(problem, torchdiffeq.odeint, **SCIPY),
        "SciPy RK45, f in NumPy": scipy_with_numpy(problem),
        "torchode": torchode(problem) if find_spec("torchode") else None,
        "diffrax, jitted": diffrax(problem) if find_spec("diffrax") else None,
    }
    steps = {"method": "rk4", "options": {"step_size": float(problem.t[-1] - problem.t[0]) / RK4_STEPS}}
    runs[f"odelab, rk4 in {RK4_STEPS} steps"] = lambda: forward_solve(problem, odelab.odeint, **steps)
    runs[f"torchdiffeq, rk4 in {RK4_STEPS} steps"] = lambda: forward_solve(problem, torchdiffeq.odeint, **steps)
    if problem.y0.ndim > 1:
        runs["odelab, per_sample"] = lambda: forward_solve(problem, odelab.odeint, options={"per_sample": True})
    return runs


def measure(problem: Problem, effort: Effort) -> dict[str, Any]:
    """CPU time of each over odelab's dopri5, and the error of each; None where a library is not installed."""
    reference, found = problem.reference(), contestants(problem)
    runs = {name: run for name, run in found.items() if run is not None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no effect for a chosen solver")  # torchdiffeq passes min_step
        seconds, states = compare(runs, effort)
    rows: dict[str, Any] = dict.fromkeys(found)
    for name, median in medians(seconds).items():
        error = distance(states[name], reference)
        rows[name] = {**ratio(seconds[name], seconds["odelab"]), "cpu_seconds": median, "error": error}
    return {"title": problem.title, "rows": rows}
