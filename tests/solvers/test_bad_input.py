"""Bad input gets an error of the right type that says what was wrong, where, and what to do; nothing hangs."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from problems import tensor, times

from odelab import odeint, odeint_adjoint, solve
from odelab.solvers import MaxStepsExceeded, NonFiniteState, SolverError, StepSizeUnderflow
from odelab.solvers.plan import make_plan
from odelab.solvers.problem import Layout


def decay(t, y):
    return -y


Y0, T = tensor(1.0, 2.0), times(1.0, 3)


@pytest.mark.parametrize(
    ("t", "kind", "message"),
    [
        (
            tensor(0.0, 2.0, 1.0),
            ValueError,
            r"strictly increasing or decreasing, but t\[1\] = 2 is followed by t\[2\] = 1",
        ),
        (tensor(0.0, 1.0, 1.0), ValueError, r"strictly.*t\[1\] = 1 is followed by t\[2\] = 1"),
        (torch.empty(0), ValueError, "t is empty"),
        (tensor(0.0), ValueError, "single time"),
        (torch.tensor([0, 1]), TypeError, r"floating point, got torch.int64; write torch.tensor\(\[0\., 1\.\]\)"),
        ([0, 1], TypeError, "floating point"),
        (tensor(0.0, math.nan), ValueError, r"finite, but t\[1\] is nan"),
        (tensor(0.0, math.inf), ValueError, r"finite, but t\[1\] is inf"),
        (torch.zeros(2, 2), ValueError, r"one-dimensional.*\(2, 2\)"),
    ],
)
def test_times(t, kind, message):
    with pytest.raises(kind, match=message):
        solve(decay, Y0, t)


def test_a_single_time_gives_the_start_in_odeint_as_in_torchdiffeq():
    assert torch.equal(odeint(decay, Y0, tensor(0.0)), Y0[None])


@pytest.mark.parametrize(
    ("y0", "kind", "message"),
    [
        (torch.tensor([1, 2]), TypeError, r"y0 has integer dtype torch.int64; use y0.float\(\)"),
        ((Y0, torch.tensor([1])), TypeError, r"y0\[1\] has integer dtype"),
        (torch.empty(0), ValueError, "y0 is empty"),
        ((), ValueError, "empty tuple"),
        ([Y0], TypeError, "y0 is a list"),
        (1.0, TypeError, "y0 must be a torch.Tensor, got float"),
        (tensor(math.nan), NonFiniteState, "the state became NaN or infinite at t = 0"),
    ],
)
def test_states(y0, kind, message):
    with pytest.raises(kind, match=message):
        solve(decay, y0, T)


@pytest.mark.parametrize("gradient", ["backprop", "adjoint", "checkpoint"])
@pytest.mark.parametrize(
    ("func", "kind", "message"),
    [
        (lambda t, y: y[:1], ValueError, r"shape of y, \(2,\), but returned \(1,\) at t = 0"),
        (lambda t, y: y.float(), TypeError, "dtype of y, torch.float64, but returned torch.float32"),
        (lambda t, y: y.to("meta"), TypeError, "device of y, cpu, but returned meta"),
        (lambda t, y: None, TypeError, "must return a tensor like y, but returned NoneType"),
        (
            lambda t, y: y * math.nan,
            NonFiniteState,
            "func returned NaN or infinity for a finite state at t = 0 .* Hint",
        ),
        (lambda t, y: y / 0, NonFiniteState, "func returned NaN or infinity"),
    ],
)
def test_what_func_returns(func, kind, message, gradient):
    with pytest.raises(kind, match=message):
        solve(func, Y0, T, gradient=gradient, params=())


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (lambda t, y: y[0], "tuple of 2 tensors, as y0 is one"),
        (lambda t, y: (y[0], y[0][:1]), r"item 1 is a tensor of shape \(1,\)"),
    ],
)
def test_what_func_returns_for_tuples(func, message):
    with pytest.raises((TypeError, ValueError), match=message):
        solve(func, (Y0, Y0), T)


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
    assert float(blind.y[-1]) == pytest.approx(truth, abs=1e-4)
    assert float(told.y[-1]) == pytest.approx(truth, abs=1e-6)
    assert told.stats.nfe < blind.stats.nfe


def test_a_stiff_problem_is_recognised():
    def stiff(t, y):
        return -1e5 * (y - torch.cos(t))

    error = fails(MaxStepsExceeded, stiff, tensor(1.0), times(10.0), options={"max_num_steps": 1000})
    assert "stiff" in error.hint and "rodas3" in error.hint
    assert solve(stiff, tensor(1.0), times(10.0), method="rodas3", rtol=1e-5, atol=1e-7).stats.accepted < 1000


def test_max_num_steps_is_finite_by_default_and_counts_per_interval():
    error = fails(MaxStepsExceeded, lambda t, y: torch.cos(1e3 * t) + 0 * y, tensor(1.0), times(10.0),
                  options={"max_num_steps": 50})  # fmt: skip
    assert "max_num_steps = 50" in str(error)
    assert solve(decay, Y0, times(5.0, 40), options={"max_num_steps": 3}).stats.accepted > 3


@pytest.mark.parametrize(
    ("name", "near"), [("dorpi5", "dopri5"), ("rk45", "rk4"), ("Tsit5", "tsit5"), ("eulr", "euler")]
)
def test_unknown_methods_suggest_the_nearest(name, near):
    for run in (solve, odeint):
        with pytest.raises(ValueError, match=f"unknown method {name!r}; did you mean {near!r}"):
            run(decay, Y0, T, method=name)


def test_unknown_options_raise_in_solve_and_warn_in_odeint():
    with pytest.raises(ValueError, match=r"unknown option 'first_stpe'.*did you mean 'first_step'"):
        solve(decay, Y0, T, options={"first_stpe": 0.1})
    with pytest.warns(UserWarning, match=r"Unexpected arguments.*'first_stpe'.*did you mean 'first_step'"):
        odeint(decay, Y0, T, options={"first_stpe": 0.1}, method="dopri5")
    with pytest.raises(ValueError, match=r"'step_size' for method 'dopri5' \(another method's option"):
        solve(decay, Y0, T, options={"step_size": 0.1})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"gradient": "magic"}, "gradient must be one of"),
        ({"rtol": -1e-3}, "rtol must be non-negative"),
        ({"rtol": math.nan}, "rtol must be non-negative"),
        ({"rtol": 0.0, "atol": 0.0}, "both 0"),
        ({"rtol": tensor(1e-3, 0.0), "atol": tensor(1e-3, 0.0)}, "both 0"),
        ({"atol": torch.ones(3)}, r"atol of shape \(3,\) does not broadcast to y0"),
        ({"atol": torch.ones(2, requires_grad=True)}, "atol must not require gradients"),
        ({"options": {"first_step": -0.1}}, "'first_step' must be positive"),
        ({"options": {"step_t": [0.5, 0.5]}}, "repeated"),
        ({"options": {"step_t": [0.5], "jump_t": [0.5]}}, "step_t and jump_t both contain"),
        ({"method": "rk4", "options": {"step_size": 0.0}}, "'step_size' must be positive"),
        ({"method": "rk4", "options": {"interp": "quintic"}}, "'interp' must be"),
        ({"method": "rk4", "options": {"step_size": 0.1, "grid_constructor": len}}, "exclude each other"),
        ({"method": "rk4", "options": {"grid_constructor": lambda f, y, t: t[1:]}}, "grid from t\\[0\\] to t\\[-1\\]"),
        ({"method": "leapfrog", "gradient": "adjoint", "params": ()}, "adjoint_method='rk4'.*gradient='checkpoint'"),
        ({"method": "leapfrog"}, "needs y0 = \\(position, velocity\\)"),
        ({"method": "implicit_adams", "gradient": "checkpoint", "params": ()}, "not a one-step method"),
        ({"method": "scipy_solver", "options": {"solver": "RK99"}}, "unknown SciPy solver"),
        ({"method": "rk4", "options": {"per_sample": True}}, "unknown option 'per_sample'"),
        ({"method": "rodas3", "options": {"per_sample": True}}, "adaptive Runge–Kutta"),
        ({"event_fn": lambda t, y: 1.0}, "two times"),
    ],
)
def test_contradictions(how, message):
    with pytest.raises(ValueError, match=message):
        solve(decay, Y0, T, **how)


def test_rodas3_wants_real_states_of_moderate_size():
    with pytest.raises(ValueError, match="real states"):
        solve(decay, torch.ones(1, dtype=torch.complex128), T, method="rodas3")
    with pytest.raises(ValueError, match="full 2049 × 2049 Jacobian"):
        solve(decay, torch.ones(2049), T, method="rodas3")


def test_a_default_limit_ends_the_solve_however_many_outputs_there_are():
    plan = make_plan("dopri5", 1e-6, 1e-6, None, Layout(), Y0, strict=True)
    assert plan.step_limit(1) == 101_000 and plan.step_limit(1000) == 1_100_000


def test_parameters_that_cannot_be_found():
    for run in (odeint_adjoint, lambda *a: solve(*a, gradient="checkpoint")):
        with pytest.raises(ValueError, match=r"not an nn.Module.*adjoint_params=\(…\)"):
            run(decay, Y0, T)
    assert odeint_adjoint(decay, Y0, T, adjoint_params=()).shape == (3, 2)


def test_adjoint_options_cannot_be_guessed_for_another_method():
    with pytest.raises(ValueError, match="adjoint_options too"):
        odeint_adjoint(
            decay, Y0, T, method="rk4", options={"step_size": 0.1}, adjoint_method="dopri5", adjoint_params=()
        )


@pytest.mark.parametrize("how", [{}, {"jump_t": [0.5]}, {"method": "rk4", "step_size": 0.1}], ids=str)
def test_an_event_that_never_happens_ends(how):
    options = {"max_num_steps": 200, **how}
    method = options.pop("method", "dopri5")
    error = fails(MaxStepsExceeded, decay, Y0, times(1.0), event_fn=lambda t, y: y[0] + 1, method=method,
                  options=options)  # fmt: skip
    assert "no event happened in 200 steps" in str(error) and "event_fn" in error.hint and error.t > 1


def test_an_event_function_that_is_nan_is_named():
    error = fails(NonFiniteState, decay, Y0, times(1.0), event_fn=lambda t, y: 1 + torch.sqrt(y - 0.5))
    assert "event_fn returned NaN" in str(error)


def test_dense_output_refuses_to_extrapolate():
    with pytest.raises(ValueError, match=r"t = 2 lies outside the solved interval \[0, 1\]"):
        solve(decay, Y0, times(1.0), dense=True).dense(2.0)
    with pytest.raises(ValueError, match="dense=True"):
        _ = solve(decay, Y0, times(1.0)).dense
