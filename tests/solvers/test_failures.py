"""A well-posed call that fails says where and why; nothing hangs, nothing returns garbage."""

import math
import pickle
import warnings

import pytest
import torch

from odelab import solve
from odelab.solvers import TABLEAUS, MaxStepsExceeded, NonFiniteState, SolverError, StepSizeUnderflow, odeint
from odelab.solvers.stiffness import StiffnessWatch, stability_limit
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
    assert torch.equal(again.times, error.times) and torch.equal(again.states, error.states)
    assert len(error.times) == len(error.states) and torch.equal(error.states[0], y0) and error.times[0] == t[0]
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


def test_max_num_steps_is_told_per_interval():
    how = {"options": {"max_num_steps": 20}}
    error = fails(MaxStepsExceeded, lambda t, y: torch.cos(1e3 * t) + 0 * y, tensor(1.0), times(10.0, 3), **how)
    assert "40 steps were not enough, max_num_steps = 20 for each of 2 output intervals," in str(error)
    with pytest.raises(MaxStepsExceeded, match="max_num_steps = 20 for each of 2 output intervals, for row 0"):
        how["options"]["per_sample"] = True
        solve(lambda t, y: torch.cos(1e3 * t) + 0 * y, torch.ones(2, 1).double(), times(10.0, 3), **how)


@pytest.mark.parametrize("gradient", ["backprop", "adjoint", "checkpoint"])
@pytest.mark.parametrize("kind", ["tensor", "tuple"])
def test_the_error_has_the_states_that_were_reached(kind, gradient):
    """y = 1 / (1 − t) blows up at t = 1, behind two of the output times."""
    t, y0 = times(1.5, 4), tensor(1.0).requires_grad_()
    func = {"tensor": lambda t, y: y**2, "tuple": lambda t, y: (y[0] ** 2, 0 * y[1])}[kind]
    with pytest.raises(SolverError) as caught:
        solve(func, y0 if kind == "tensor" else (y0, torch.zeros(2, 2)), t, gradient=gradient, params=())
    times_reached, states = caught.value.times, caught.value.states
    if kind == "tuple":
        assert states[1].shape == (len(times_reached), 2, 2)
        states = states[0]
    assert times_reached[:2].tolist() == [0.0, 0.5] and times_reached[-1] == pytest.approx(1.0, abs=1e-3)
    torch.testing.assert_close(states[1], tensor(2.0), rtol=1e-6, atol=0)
    assert bool((states[1:] > states[:-1]).all()) and not states.requires_grad


def test_the_states_that_were_reached_on_a_fixed_grid_with_an_event_and_by_rows():
    error = fails(NonFiniteState, lambda t, y: y**2, tensor(1.0), times(9.0, 19), method="euler")
    assert error.times.tolist() == times(9.0, 19)[: len(error.times)].tolist() and bool(error.states.isfinite().all())
    how = {"event_fn": lambda t, y: y[0] + 1, "options": {"max_num_steps": 10}}
    error = fails(MaxStepsExceeded, decay, Y0, times(1.0), **how)
    torch.testing.assert_close(error.states, Y0 * torch.exp(-error.times)[:, None], rtol=1e-6, atol=0)
    t = torch.tensor([[0.0, 0.5, 0.9, 1.0], [0.0, 0.1, 0.2, 0.3]], dtype=torch.float64)
    with pytest.raises(SolverError) as caught:
        rows = tensor(1.0, 1.05)[:, None]
        solve(lambda t, y: y**2, rows, t, options={"per_sample": True, "max_num_steps": 30})
    error = caught.value
    assert torch.equal(error.times, t) and error.states.isnan().flatten(1).int().tolist() == [[0, 0]] * 3 + [[1, 0]]
    torch.testing.assert_close(error.states[:3, 0, 0], 1 / (1 - t[0, :3]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("solver", ["RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA"])
@pytest.mark.filterwarnings("ignore:lsoda", "ignore:overflow", "ignore:invalid value")
def test_what_goes_wrong_in_scipy_is_told_as_elsewhere(solver):
    how = {"method": "scipy_solver", "options": {"solver": solver}, "rtol": 1e-4, "atol": 1e-6}
    with torch.no_grad():
        error = fails(NonFiniteState, lambda t, y: -torch.sqrt(y) - 0.1, tensor(1.0), times(4.0, 9), **how)
        assert error.t == pytest.approx(2 - 0.2 * math.log(11), abs=0.02) and solver in str(error)
        torch.testing.assert_close(error.times[-1].item(), error.t)
        error = fails(StepSizeUnderflow, lambda t, y: y**2, tensor(1.0), times(4.0), **how)
        assert error.t == pytest.approx(1.0, abs=0.01)
        error = fails(NonFiniteState, lambda t, y: y / 0 * 0, tensor(1.0), times(4.0), **how)
        assert error.t == 0
        with pytest.raises(ZeroDivisionError):
            solve(lambda t, y: y / (1 // 0), tensor(1.0), times(4.0), **how)
        run = solve(lambda t, y: -y, tensor(1.0), times(4.0), **how)
        assert run.stats.accepted == len(run.stats.steps) > 3


@pytest.mark.parametrize("how", [{}, {"method": "dopri8"}, {"method": "rk4", "options": {"step_size": 0.1}}], ids=str)
def test_a_dense_solution_can_be_pickled(how):
    run = solve(decay, Y0.clone().requires_grad_(), times(), dense=True, **how)
    again = pickle.loads(pickle.dumps(run))
    torch.testing.assert_close(again.dense(0.37), run.dense(0.37))
    assert torch.equal(again.y, run.y)


def spread(rate):
    return lambda t, y: -rate * (y - torch.cos(t))


@torch.no_grad()
def test_a_hopelessly_stiff_problem_warns_once_and_stops_early():
    """λ = −10⁹ on [0, 10⁴]: 10¹² steps, of which the limit alone would allow 101 000."""
    with pytest.warns(UserWarning, match=r"looks stiff.*limit of stability.*rodas3") as caught:
        error = fails(MaxStepsExceeded, spread(1e9), tensor(1.0), times(1e4))
    assert len(caught) == 1 and error.nfe < 100_000
    assert "the problem is stiff" in str(error) and "rodas3" in error.hint and "max_num_steps" in error.hint


@pytest.mark.parametrize("options", [{}, {"per_sample": True}], ids=str)
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8", "bosh3", "adaptive_heun", "fehlberg2"])
@torch.no_grad()
def test_steps_at_the_limit_of_stability_are_noticed(method, options):
    if method == "fehlberg2" and options:  # its steps swing around the limit, and one is looked at
        return
    rates, how = tensor(1.0, 1e9)[:, None], {"method": method, "options": {"max_num_steps": 2000, **options}}
    with pytest.warns(UserWarning, match="looks stiff"), pytest.raises(MaxStepsExceeded, match="max_num_steps = 2000"):
        solve(spread(rates), torch.ones(2, 1).double(), times(1e4), **how)


@pytest.mark.parametrize("how", [{}, {"options": {"per_sample": True}}], ids=str)
@torch.no_grad()
def test_a_stiff_problem_that_ends_is_warned_about_and_solved(how):
    with pytest.warns(UserWarning, match="looks stiff"):
        run = solve(spread(6e3), torch.ones(2, 1).double(), times(1.0), rtol=1e-4, atol=1e-6, **how)
    torch.testing.assert_close(run.y[-1], torch.full((2, 1), math.cos(1.0)).double(), rtol=1e-3, atol=0)


@torch.no_grad()
def test_no_other_long_solve_is_called_stiff(monkeypatch):
    """Oscillations at a loose tolerance, growth, chaos: more than a thousand steps each, and no warning."""

    def turn(t, y):
        return 100 * torch.stack([y[1], -y[0]])

    def lorenz(t, y):
        a, b, c = y.unbind()
        return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])

    rms = {"rtol": 0.1, "atol": 0.1}
    cases = [(turn, tensor(1.0, 0.0), 25.0, rms), (lambda t, y: 100 * y, tensor(1.0), 0.3, {"method": "bosh3"})]
    for func, y0, end, how in [*cases, (lorenz, tensor(1.0, 1.0, 1.0), 22.0, {})]:
        assert solve(func, y0, times(end), **how).stats.accepted > 1000
    looks = []
    monkeypatch.setattr(StiffnessWatch, "look", lambda *args: looks.append(args))
    assert solve(turn, tensor(1.0, 0.0), times(10.0), rtol=1e-2).stats.accepted > 500 and not looks  # shorter ones


def test_stability_limits_are_those_of_the_books():
    """Hairer & Wanner II, Sec. IV.2; dopri5's is the one that its authors' program uses."""
    exact = {"euler": 2.0, "heun2": 2.0, "bosh3": 2.5127, "rk4": 2.7853, "dopri5": 3.3066}
    for name, limit in exact.items():
        assert stability_limit(TABLEAUS[name]) == pytest.approx(limit, rel=2e-3)


POLES = {  # slope and start of solutions that end, and when
    "1 / (1 − t)": (lambda t, y: y**2, (1.0,), 1.0),
    "two rows": (lambda t, y: y**2, (1.0, 1.0), 1.0),
    "tan t": (lambda t, y: 1 + y**2, (0.0,), math.pi / 2),
    "twenty numbers": (lambda t, y: torch.cat([y[:1] ** 2, -y[1:]]), (1.0, *[0.5] * 19), 1.0),
}


@pytest.mark.parametrize("first_step", [None, 1.3])
@pytest.mark.parametrize("pole", POLES)
def test_rodas3_does_not_step_over_a_pole(pole, first_step):
    """It follows 1 / (t* − t) without an error, and its formula goes on behind t*, as the solution does not."""
    slope, y0, end = POLES[pole]
    how = {"rtol": 1e-4, "atol": 1e-6, "options": {"first_step": first_step}}
    error = fails(SolverError, slope, tensor(*y0), times(3.0), method="rodas3", **how)
    assert error.t == pytest.approx(end, abs=1e-3) and "blow up" in error.hint


def test_an_implicit_step_too_long_for_the_growth_is_warned_about_once():
    """y' = 10 y in steps of 0.15 by implicit Euler: the factor is 1 / (1 − 1.5) = −2, and e^1.5 would be right."""
    growth, t = {"method": "implicit_euler", "options": {"step_size": 0.15}}, times(0.6)
    for rows in (1, 2, 20):
        with pytest.warns(UserWarning, match="too fast for a step of dt = 0.15") as caught:
            y = solve(lambda t, y: 10 * y, torch.ones(rows).double()[: rows - (rows == 20)], t, **growth).y
        assert len(caught) == 1 and float(y[-1, 0]) == pytest.approx(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(lambda t, y: 10 * y, tensor(1.0), t, method="implicit_euler", options={"step_size": 0.05})
        solve(lambda t, y: -1e4 * y, tensor(1.0), t, **growth)


def test_a_state_far_below_atol_is_told_of():
    start = tensor(1e-12)
    with pytest.warns(
        UserWarning, match=r"y0 \(at most 1e-12\).*far smaller than atol, so that every step is accepted"
    ) as told:
        end = solve(lambda t, y: y, start, times(40.0, 2)).y[-1]
    assert (end / (start * math.exp(40)) - 1).abs() > 0.1  # which is why
    assert [warning.filename for warning in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        end = solve(lambda t, y: y, start, times(40.0, 2), rtol=1e-9, atol=1e-24).y[-1]
        assert (end / (start * math.exp(40)) - 1).abs() < 1e-5
        solve(lambda t, y: 1 - y, start, times(1.0, 2))  # func leads away from zero
        solve(decay, torch.zeros_like(Y0), T)


def test_a_row_far_below_atol_is_told_of():
    rows, by_rows = tensor([1.0], [1e-12], [1e-12]), {"per_sample": True}
    with pytest.warns(UserWarning, match=r"y0 in row 1 of the batch \(at most 1e-12\)") as told:
        solve(lambda t, y: y, rows, times(10.0, 2), options=by_rows)
    assert [warning.filename for warning in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(lambda t, y: y, rows, times(10.0, 2), atol=1e-18, options=by_rows)
        solve(lambda t, y: y, torch.where(rows < 1, 0.0, rows), times(10.0, 2), options=by_rows)
        long = torch.tensor([[0.0, 10.0], [0.0, 0.0], [0.0, 0.0]]).double()
        solve(lambda t, y: y, rows, long, options=by_rows)  # rows that go nowhere


def test_warnings_name_the_line_of_the_caller():
    """Wherever in odelab they arise: on the way in, in a step, in the backward pass."""
    y0, rate = Y0.clone().requires_grad_(), torch.tensor(-100.0, dtype=torch.float64, requires_grad=True)

    def growth(t, y):
        return 10 * y

    def backward():
        solve(lambda t, y: rate * y, y0, times(1.0, 2), gradient="adjoint", params=(rate,)).y.sum().backward()

    cases = [
        lambda: solve(lambda t, y: -5e3 * y, Y0, times(1.0, 2), rtol=1e-3, atol=1e-3),
        lambda: odeint(decay, Y0, T, method="rk4", options={"first_step": 0.1}),
        lambda: odeint(decay, Y0, T, method="explicit_adams", options={"max_order": 2, "step_size": 0.1}),
        lambda: solve(growth, tensor(1.0), times(0.6), method="implicit_euler", options={"step_size": 0.15}),
        lambda: solve(decay, Y0, T, rtol=2.0, atol=1.0),
        backward,
    ]
    for case in cases:
        with pytest.warns(UserWarning) as told:
            case()
        assert {warning.filename for warning in told} == {__file__}


def test_values_within_the_long_steps_of_dopri8_are_told_of():
    def swing(t, y):
        return torch.stack([y[1], -y[0]])

    t, how = times(10.0, 41), {"method": "dopri8", "rtol": 1e-9, "atol": 1e-9}
    with pytest.warns(UserWarning, match=r"long steps.*options=dict\(step_t=t\), which ends a step") as told:
        loose = solve(swing, tensor(0.0, 1.0), t, **how).y[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tight = solve(swing, tensor(0.0, 1.0), t, **how, options={"step_t": t}).y[:, 0]
        solve(swing, tensor(0.0, 1.0), t[[0, -1]], **how)
        solve(swing, tensor(0.0, 1.0), t, method="dopri8", rtol=1e-3, atol=1e-3)  # where dopri5 errs as much
    assert [warning.filename for warning in told] == [__file__]
    assert (loose - torch.sin(t)).abs().max() > 1e-7 and (tight - torch.sin(t)).abs().max() < 1e-8
