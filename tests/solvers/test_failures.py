"""A well-posed call that fails says where and why; nothing hangs, nothing returns garbage."""

import math
import pickle

import pytest
import torch

from odelab import solve
from odelab.solvers import MaxStepsExceeded, NonFiniteState, SolverError, StepSizeUnderflow
from tests.solvers.problems import tensor, times


def decay(t, y):
    return -y


Y0, T = tensor(1.0, 2.0), times(1.0, 3)


def fails(kind, func, y0, t, **how):
    """The error, which must carry t, dt, nfe and a hint and survive pickling."""
    with pytest.raises(kind) as caught:
        solve(func, y0, t, **how)
    error = caught.value
    assert isinstance(error, SolverError)
    assert math.isfinite(error.t) and math.isfinite(error.dt) and error.nfe > 0 and error.hint
    for part in (f"t = {error.t:.6g}", f"dt = {error.dt:.3g}", f"{error.nfe} evaluations", error.hint):
        assert part in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.t, again.nfe) == (str(error), error.t, error.nfe)
    return error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["dopri5", "bosh3", "tsit5", "dopri8"])
def test_blow_up_in_finite_time_is_located(method, dtype):
    y0, t = tensor(1.0, dtype=dtype), times(2.0, dtype=dtype)
    how = {"rtol": 1e-5, "atol": 1e-7}
    error = fails((StepSizeUnderflow, NonFiniteState), lambda t, y: y**2, y0, t, method=method, **how)
    assert error.t == pytest.approx(1.0, abs=1e-3)
    assert "blow up" in error.hint or "NaN or infinite" in error.hint


@pytest.mark.parametrize("how", [{"atol": 0.0}, {"options": {"norm": lambda x: x.sum() * math.nan}}])
def test_an_error_that_cannot_be_measured_is_not_blamed_on_func(how):
    error = fails(NonFiniteState, lambda t, y: torch.ones_like(y), tensor(0.0), times(), **how)
    assert "error norm" in str(error) and "atol" in error.hint and "norm" in error.hint


def test_blow_up_on_a_fixed_grid_is_no_garbage():
    error = fails(NonFiniteState, lambda t, y: y**2, tensor(1.0), times(2.0), method="rk4", options={"step_size": 0.01})
    assert "fixed step" in error.hint


def test_a_field_that_ends_is_named():
    """−√y − 0.1 reaches zero at t = 2 − 0.2 ln 11 and has no real value beyond."""
    error = fails(NonFiniteState, lambda t, y: -torch.sqrt(y) - 0.1, tensor(1.0), times(4.0))
    assert error.t == pytest.approx(2 - 0.2 * math.log(11), abs=0.01)


def test_a_singular_jump_is_named():
    error = fails(
        (StepSizeUnderflow, MaxStepsExceeded), lambda t, y: 1 / (t - 0.5) ** 2 + 0 * y, tensor(1.0), times(1.0)
    )
    assert error.t == pytest.approx(0.5, abs=1e-3)


def test_a_plain_discontinuity_is_crossed_and_cheaper_when_named():
    def kick(t, y):
        return torch.where(t < 0.5, -y, 3.0 + 0 * y)

    truth = math.exp(-0.5) + 1.5
    blind = solve(kick, tensor(1.0), times(1.0), rtol=1e-6, atol=1e-8)
    told = solve(kick, tensor(1.0), times(1.0), rtol=1e-6, atol=1e-8, options={"jump_t": [0.5]})
    assert float(blind.y[-1]) == pytest.approx(truth, abs=1e-3)
    assert float(told.y[-1]) == pytest.approx(truth, abs=1e-6)
    assert told.stats.nfe < blind.stats.nfe


def test_a_stiff_problem_is_recognised():
    def stiff(t, y):
        return -1e5 * (y - torch.cos(t))

    error = fails(MaxStepsExceeded, stiff, tensor(1.0), times(10.0), options={"max_num_steps": 1000})
    assert "stiff" in error.hint and "rodas3" in error.hint
    assert solve(stiff, tensor(1.0), times(10.0), method="rodas3", rtol=1e-5, atol=1e-7).stats.accepted < 1000


def test_max_num_steps_is_finite_by_default_and_counts_per_interval():
    error = fails(
        MaxStepsExceeded,
        lambda t, y: torch.cos(1e3 * t) + 0 * y,
        tensor(1.0),
        times(10.0),
        options={"max_num_steps": 50},
    )
    assert "max_num_steps = 50" in str(error)
    assert solve(decay, Y0, times(5.0, 40), options={"max_num_steps": 3}).stats.accepted > 3


@pytest.mark.parametrize("how", [{}, {"jump_t": [0.5]}, {"method": "rk4", "step_size": 0.1}], ids=str)
def test_an_event_that_never_happens_ends(how):
    options = {"max_num_steps": 200, **how}
    method = options.pop("method", "dopri5")
    error = fails(
        MaxStepsExceeded, decay, Y0, times(1.0), event_fn=lambda t, y: y[0] + 1, method=method, options=options
    )
    assert "no event happened in 200 steps" in str(error) and "event_fn" in error.hint and error.t > 1


def test_an_event_function_that_is_nan_is_named():
    error = fails(NonFiniteState, decay, Y0, times(1.0), event_fn=lambda t, y: 1 + torch.sqrt(y - 0.5))
    assert "event_fn returned NaN" in str(error)
