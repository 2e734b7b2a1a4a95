"""The same call gives the same answer as torchdiffeq 0.2.5: steps, states, tolerances."""

import inspect
import warnings

import pytest
import torch
import torchdiffeq

import odelab
from tests.solvers.both_libraries import (
    BOTH,
    SAME_STEPS,
    SHARED_FIXED,
    run_both,
    same_steps,
    start,
    swing,
    swing_of_two,
)
from tests.solvers.problems import tensor, times


@pytest.mark.parametrize("name", ["odeint", "odeint_adjoint", "odeint_dense", "odeint_event"])
def test_signatures_take_every_argument_with_its_default(name):
    theirs = inspect.signature(getattr(torchdiffeq, name)).parameters
    ours = inspect.signature(getattr(odelab, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for argument, parameter in theirs.items():
        assert ours[argument].kind == parameter.kind
        if argument != "odeint_interface":
            assert ours[argument].default == parameter.default


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize("method", SAME_STEPS)
def test_adaptive_methods_accept_the_same_steps(method, direction):
    t = times(6.0, 8) * direction
    how = {"method": method, "rtol": 1e-4, "atol": 1e-5}
    (theirs, their), (ours, our) = run_both(lambda lib, f: lib.odeint(f, start(), t, **how))
    same_steps(their, our, rel=1e-5)
    assert len(our.times) <= 1.1 * len(their.times)  # rounding may decide one step otherwise
    exact = odelab.odeint(swing, start(), t, method="dopri8", rtol=1e-12, atol=1e-12, options={"step_t": t})
    assert (ours - exact).abs().max() < 1.1 * (theirs - exact).abs().max()


@pytest.mark.parametrize("method", SAME_STEPS)
def test_adaptive_methods_in_float32(method):
    """Rounding noise in the error estimate moves early steps; accuracy and cost stay."""
    t = times(6.0, 8, dtype=torch.float32)
    how = {"method": method, "rtol": 1e-4, "atol": 1e-5}
    (theirs, their), (ours, our) = run_both(lambda lib, f: lib.odeint(f, start(torch.float32), t, **how))
    assert ours.dtype == torch.float32
    assert len(our.times) <= 1.3 * len(their.times)
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("method", ["fehlberg2", "adaptive_heun"])
def test_two_methods_start_every_step_from_its_true_slope(method):
    """torchdiffeq reuses their last stage as f(t1, y1), which it is not; the values agree within the tolerance."""
    how = {"method": method, "rtol": 1e-5, "atol": 1e-6}
    (theirs, _), (ours, our) = run_both(lambda lib, f: lib.odeint(f, start(), times(3.0, 5), **how))
    exact = odelab.odeint(swing, start(), times(3.0, 5), method="dopri8", rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)
    assert (ours - exact).abs().max() < 1.5 * (theirs - exact).abs().max()
    assert {t0 for t0, _ in our.where(our.accepted)} <= set(our.times)


def test_outputs_within_a_step_come_from_the_same_quartic():
    t = times(2.0, 33)
    theirs, ours = (lib.odeint(swing, start(), t, method="dopri5", rtol=1e-4, atol=1e-5) for lib in BOTH)
    torch.testing.assert_close(ours[:20], theirs[:20], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize(
    "options",
    [{}, {"step_size": 0.1}, {"step_size": 0.1, "interp": "cubic"}, {"step_size": 0.25, "perturb": True}],
    ids=str,
)
@pytest.mark.parametrize("method", SHARED_FIXED)
def test_fixed_grids(method, options, direction):
    """Equal to rounding and evaluated at the same times; Adams stops iterating a little earlier."""
    t = times(1.0, 8) * direction
    how = {"method": method, "options": options}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Functional iteration")
        (theirs, their), (ours, our) = run_both(lambda lib, f: lib.odeint(f, start(), t, **how), adaptive=False)
    assert our.where(our.steps) == [pytest.approx(x, rel=1e-12) for x in their.where(their.steps)]
    assert len(our.times) <= len(their.times)
    if method == "implicit_adams":
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)
        return
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    if not {"perturb", "interp"} & set(options):
        assert sorted(set(our.times)) == pytest.approx(sorted(set(their.times)), rel=1e-12)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_grid_constructor(direction):
    t = times(1.0, 3) * direction

    def squares(f, y0, t):
        assert t.shape == (3,) and y0.shape == (1, 2) and f(t[0], y0).shape == (1, 2)
        return t[0] + (t[-1] - t[0]) * torch.linspace(0, 1, 7, dtype=t.dtype) ** 2

    how = {"method": "midpoint", "options": {"grid_constructor": squares}}
    theirs, ours = (lib.odeint(swing, start(), t, **how) for lib in BOTH)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["dopri5", "rk4", "midpoint"])
def test_tuple_states_with_scalars_and_matrices(method):
    state = (start(), torch.tensor(0.7, dtype=torch.float64))
    options = {"options": {"step_size": 0.05}} if method != "dopri5" else {}
    theirs, ours = (lib.odeint(swing_of_two, state, times(2.0, 5), method=method, **options) for lib in BOTH)
    assert isinstance(ours, tuple) and [x.shape for x in ours] == [x.shape for x in theirs] == [(5, 1, 2), (5,)]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("method", ["dopri5", "rk4", "dopri8"])
def test_complex_states(method, dtype):
    """y' = iωy turns: y = exp(iωt)."""
    y0, real = torch.tensor([1.0 + 0.5j], dtype=dtype), torch.float32 if dtype == torch.complex64 else torch.float64
    options = {"options": {"step_size": 0.02}} if method == "rk4" else {"rtol": 1e-6, "atol": 1e-6}
    t = times(3.0, 4, dtype=real)
    theirs, ours = (lib.odeint(lambda t, y: 2j * y, y0, t, method=method, **options) for lib in BOTH)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs, rtol=5e-4, atol=5e-4)
    torch.testing.assert_close(ours, y0 * torch.exp(2j * t[:, None]), rtol=5e-4, atol=5e-4)


@pytest.mark.parametrize(
    ("rtol", "atol"),
    [
        (1e-4, tensor(1e-3, 1e-6)),
        (tensor(1e-3, 1e-6), tensor(1e-6, 1e-3)),
        (torch.tensor(1e-5, dtype=torch.float64), 1e-7),
    ],
)
def test_tolerances_per_entry(rtol, atol):
    (theirs, their), (ours, our) = run_both(lambda lib, f: lib.odeint(f, start(), times(3.0), rtol=rtol, atol=atol))
    same_steps(their, our)
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)


def test_tolerances_per_item_of_a_tuple():
    state, how = (start(), tensor(0.7, 0.2)), {"rtol": (1e-3, 1e-6), "atol": (tensor(1e-3, 1e-6), 1e-8)}
    (theirs, their), (ours, our) = run_both(lambda lib, f: lib.odeint(f, state, times(3.0), **how), swing_of_two)
    same_steps(their, our)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["tensor", "tuple"])
def test_a_custom_norm_sees_the_state_as_the_caller_does(kind):
    seen = []

    def norm(state):
        seen.append(tuple(x.shape for x in state) if isinstance(state, tuple) else state.shape)
        pieces = state if isinstance(state, tuple) else (state,)
        return torch.stack([x.abs().max() for x in pieces]).max()

    state = start() if kind == "tensor" else (start(), torch.tensor(0.7, dtype=torch.float64))
    func = swing if kind == "tensor" else swing_of_two
    how = {"options": {"norm": norm}, "rtol": 1e-5, "atol": 1e-6, "method": "dopri5"}
    (_, their), (_, our) = run_both(lambda lib, f: lib.odeint(f, state, times(3.0), **how), func)
    assert set(seen) == ({(1, 2)} if kind == "tensor" else {((1, 2), ())})
    same_steps(their, our)
