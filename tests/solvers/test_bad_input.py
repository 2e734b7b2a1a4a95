"""Bad input gets an error of the right type that says what was wrong, where, and what to do; nothing hangs."""

import math
import re

import pytest
import torch

from odelab import odeint, odeint_adjoint, solve
from odelab.solvers import METHODS, NonFiniteState
from odelab.solvers.inputs import Layout
from odelab.solvers.loops import Problem, make_scheme
from odelab.solvers.methods.other_names import ANSWERS
from tests.solvers.problems import field_of, tensor, times


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
        (lambda t, y: y + 1j, TypeError, "dtype of y, torch.float64, but returned torch.complex128"),
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


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("BDF", r"'scipy_solver' with options=dict\(solver='BDF'\)"),
        ("LSODA", r"'scipy_solver' with options=dict\(solver='LSODA'\)"),
        ("rk45", "SciPy's RK45 is called 'dopri5' here"),
        ("ode45", "MATLAB's ode45 is called 'dopri5' here"),
        ("ode15s", "'kvaerno5' or 'radauIIA5'"),
        ("ode23s", "'rodas3'"),
        ("Tsit5", "; it is called 'tsit5' here"),
        ("RadauIIA5", "; it is called 'radauIIA5' here"),
        ("backward_euler", "it is called 'implicit_euler' here"),
        ("Crank-Nicolson", "it is called 'trapezoid' here"),
        ("sdirk", "'sdirk2'"),
    ],
)
def test_other_libraries_names_are_answered(name, says):
    for run in (solve, odeint):
        with pytest.raises(ValueError, match=f"unknown method {name!r}.*{says}"):
            run(decay, Y0, T, method=name)


def test_the_answers_name_methods_that_exist_and_shadow_none():
    own = {name.replace("_", "").lower() for name in METHODS}
    for name, answer in ANSWERS.items():
        named = set(re.findall(r"(?<!solver=)'(\w+)'", answer))
        assert name not in own and named <= {*METHODS, "checkpoint"}, (name, named)
        assert named or "nothing here does" in answer, name


@pytest.mark.parametrize(("name", "near"), [("dorpi5", "dopri5"), ("eulr", "euler"), ("kvaerno6", "kvaerno5")])
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
        ({"rtol": math.inf}, "rtol is infinite, which allows any error"),
        ({"atol": tensor(math.inf, math.inf)}, "atol is infinite"),
        ({"atol": torch.ones(3)}, r"atol of shape \(3,\) does not broadcast to y0"),
        ({"atol": torch.ones(2, requires_grad=True)}, "atol must not require gradients"),
        ({"options": {"first_step": -0.1}}, "'first_step' must be positive"),
        ({"options": {"first_step": "a"}}, "'first_step' must be positive, got 'a'"),
        ({"options": {"max_num_steps": 2.5}}, "'max_num_steps' must be a whole number, at least 1, got 2.5"),
        ({"options": {"max_num_steps": math.inf}}, "'max_num_steps' must be a whole number, at least 1, got inf"),
        ({"options": {"safety": 5.0}}, "'safety' must be above 0 and at most 1"),
        ({"options": {"ifactor": 0.5}}, "'ifactor' must be at least 1"),
        ({"options": {"dfactor": 2.0}}, "'dfactor' must be between 0 and 1"),
        ({"options": {"min_step": 0.5, "max_step": 0.1}}, "min_step = 0.5 is larger than max_step = 0.1"),
        ({"options": {"norm": lambda x: x.abs()}}, "must return one number"),
        ({"options": {"norm": lambda x: -x.abs().max()}}, "must return one number, at least 0"),
        ({"options": {"step_t": [math.nan]}}, "times that are NaN"),
        ({"options": {"step_t": [0.5, 0.5]}}, "repeated"),
        ({"options": {"step_t": [0.5], "jump_t": [0.5]}}, "step_t and jump_t both contain .* jump_t alone"),
        ({"method": "rk4", "options": {"step_size": 0.0}}, "'step_size' must be positive"),
        ({"method": "rk4", "options": {"step_size": math.inf}}, "'step_size' must be positive and finite"),
        ({"method": "rk4", "options": {"step_size": 1e-9}}, r"1e-09 makes 1.0e\+09 steps from t = 0 to 1.*larger"),
        ({"method": "rk4", "options": {"interp": "quintic"}}, "'interp' must be"),
        ({"method": "rk4", "options": {"step_size": 0.1, "grid_constructor": len}}, "exclude each other"),
        ({"method": "rk4", "options": {"grid_constructor": lambda f, y, t: t[1:]}}, "grid from t\\[0\\] to t\\[-1\\]"),
        (
            {"method": "rk4", "options": {"grid_constructor": lambda f, y, t: torch.stack([t[0], *t.flip(0)])}},
            "in the order of integration",
        ),
        ({"method": "leapfrog", "gradient": "adjoint", "params": ()}, "adjoint_method='rk4'.*gradient='checkpoint'"),
        ({"method": "leapfrog"}, "needs y0 = \\(position, velocity\\)"),
        ({"method": "implicit_adams", "gradient": "checkpoint", "params": ()}, "not a one-step method"),
        ({"method": "scipy_solver", "options": {"solver": "RK99"}}, "unknown SciPy solver"),
        ({"method": "rk4", "options": {"per_sample": True}}, "unknown option 'per_sample'"),
        ({"method": "rodas3", "options": {"per_sample": True}}, "adaptive Runge–Kutta"),
        ({"options": {"per_sample": True}, "dense": True}, "no dense output: leave dense=True away"),
        ({"options": {"per_sample": True}, "gradient": "adjoint"}, "gradient='backprop' only, not 'adjoint'"),
        ({"event_fn": lambda t, y: 1.0}, "two times"),
        ({"direction": 1}, "give an event_fn, or leave direction away"),
    ],
)
def test_contradictions(how, message):
    with pytest.raises(ValueError, match=message):
        solve(decay, Y0, T, **how)


@pytest.mark.parametrize("rtol", [1e3, 1.0, True, torch.tensor([1.0, 7.0])])
@pytest.mark.parametrize("method", ["dopri5", "kvaerno3", "scipy_solver"])
def test_an_error_as_large_as_the_solution_is_told_of(rtol, method):
    """y(5) = (0.007, 0.013) came out as (2.4, 4.9), in silence."""
    for run in (solve, odeint):
        with pytest.warns(UserWarning, match=r"rtol = (1|1000) allows every step an error as large as the solution"):
            run(decay, Y0, T, rtol=rtol, method=method)


def test_one_entry_may_be_left_out_of_error_control():
    y = solve(decay, Y0, T, rtol=1e-6, atol=tensor(1e-6, math.inf)).y
    torch.testing.assert_close(y[-1, 0].double(), tensor(math.exp(-1)).double()[0], rtol=1e-5, atol=0.0)


def test_rodas3_wants_real_states_of_moderate_size():
    with pytest.raises(ValueError, match="real states"):
        solve(decay, torch.ones(1, dtype=torch.complex128), T, method="rodas3")
    with pytest.raises(ValueError, match="full 2049 × 2049 Jacobian"):
        solve(decay, torch.ones(2049), T, method="rodas3")


def test_a_default_limit_ends_the_solve_however_many_outputs_there_are():
    scheme = make_scheme("dopri5", 1e-6, 1e-6, None, Layout(), Y0, strict=True)
    problems = [Problem(field_of(decay, Y0), times(1.0, n + 1).tolist(), scheme) for n in (1, 1000)]
    assert [problem.step_limit for problem in problems] == [101_000, 1_100_000]


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


def test_dense_output_refuses_to_extrapolate():
    with pytest.raises(ValueError, match=r"t = 2 lies outside the solved interval \[0, 1\]"):
        solve(decay, Y0, times(1.0), dense=True).dense(2.0)
    with pytest.raises(ValueError, match="dense=True"):
        _ = solve(decay, Y0, times(1.0)).dense


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"options": ["step_size"]}, "options must be a dict"),
        ({"method": ["dopri5"]}, "method must be a name, as 'dopri5', got list"),
        ({"rtol": "1e-3"}, "rtol must be a number"),
        ({"atol": None}, "atol must be a number"),
    ],
)
def test_what_has_the_wrong_type(how, message):
    with pytest.raises(TypeError, match=message):
        solve(decay, Y0, T, **how)
    with pytest.raises(TypeError, match=r"y0 is sparse; use y0\.to_dense"):
        solve(decay, torch.eye(2).to_sparse(), T)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.bfloat16, 0.02), (torch.float16, 0.01)])
def test_a_tolerance_that_half_precision_does_not_have(dtype, rtol):
    """At the defaults steps of 1e-3 were lost in rounding, and y(1) was 0.79 in place of 0.37."""
    y0, t = torch.ones(2, dtype=dtype), [0.0, 1.0]
    with pytest.raises(ValueError, match=rf"{dtype}, whose numbers lie .* apart at 1.*y0\.float"):
        solve(decay, y0, t)
    y = solve(decay, y0, t, rtol=rtol, atol=rtol).y[-1]
    torch.testing.assert_close(y.float(), torch.full((2,), math.exp(-1)), rtol=3 * rtol, atol=0.0)
    with pytest.warns(UserWarning, match="lost in rounding"):
        solve(decay, y0, t, method="euler", options={"step_size": 1e-4})


def test_a_step_of_min_step_that_misses_the_tolerance_is_told_of():
    """Its result was 2e8 in place of 1e-13, in silence."""
    with pytest.warns(
        UserWarning, match=r"min_step = 0.5 at t = 0: .* times the error that rtol and atol allow"
    ) as caught:
        solve(lambda t, y: -30 * y, Y0, T, options={"min_step": 0.5})
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_step_of_min_step_that_ends_on_the_last_time_may_be_longer_by_rounding(per_sample):
    """The tenth step of 0.1 is 0.10000000000000009, and was refused without end."""
    how = {"min_step": 0.1, "max_num_steps": 50, "per_sample": per_sample}
    with pytest.warns(UserWarning, match="min_step = 0.1"):
        solve(lambda t, y: -50 * y, torch.ones(1, 1).double(), torch.tensor([0.0, 1.0]).double(), options=how)


def test_times_that_float32_cannot_tell_apart():
    with pytest.raises(ValueError, match=r"1600000000 .*torch.float32 may not tell them apart: use float64"):
        solve(decay, Y0, torch.tensor([1.6e9, 1.6e9 + 1]))
