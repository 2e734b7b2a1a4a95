"""The same call gives the same answer as torchdiffeq 0.2.5 and scipy.integrate.solve_ivp."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest
import torch
import torchdiffeq
from problems import gradients, tensor, times
from scipy.integrate import solve_ivp
from torch import nn

import odelab

SAME_STEPS = ["dopri5", "dopri8", "bosh3"]
SHARED_FIXED = ["euler", "midpoint", "heun2", "heun3", "rk4", "implicit_adams"]
BOTH = [torchdiffeq, odelab]


def swing(t, y):
    """A driven pendulum, tame in both directions of time."""
    return torch.stack([y[..., 1], 0.3 * torch.cos(t) - torch.sin(2 * y[..., 0])], dim=-1)


def swing_of_two(t, state):
    x, z = state
    return swing(t, x), -0.5 * z * x.sum()


def start(dtype=torch.float64):
    return torch.tensor([[1.5, 0.0]], dtype=dtype)


class Recorder:
    """A field that remembers when it was called and what its callbacks heard."""

    def __init__(self, func=swing, adaptive=True):
        self.func, self.times, self.steps, self.accepted, self.rejected = func, [], [], [], []
        logs = {"step": self.steps, "accept_step": self.accepted, "reject_step": self.rejected}
        for name in logs if adaptive else ("step",):
            setattr(self, f"callback_{name}", lambda t0, y0, dt, log=logs[name]: log.append((t0, y0, dt)))

    def __call__(self, t, y):
        self.times.append(t.item())
        return self.func(t, y)

    @staticmethod
    def where(log):
        return [(float(t0.detach()), float(dt.detach())) for t0, _, dt in log]


def run_both(call, func=swing, adaptive=True):
    """call(library, recorder) for either library -> [(theirs, their recorder), (ours, our recorder)]."""
    recorders = [Recorder(func, adaptive) for _ in BOTH]
    return [(call(library, recorder), recorder) for library, recorder in zip(BOTH, recorders, strict=True)]


def same_steps(their, our, rel=1e-6):
    """Accepted steps agree but for the last, which ends at the last time here and runs past it in torchdiffeq."""
    n = min(len(our.accepted), len(their.accepted)) - 2
    assert n > 1
    for mine, other in zip(our.where(our.accepted)[:n], their.where(their.accepted)[:n], strict=True):
        assert mine == pytest.approx(other, rel=rel)


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
    assert len(our.times) <= len(their.times)
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
    assert (ours - exact).abs().max() < 1.1 * (theirs - exact).abs().max()
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
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours, y0 * torch.exp(2j * t[:, None]), rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ["step_t", "jump_t"])
def test_named_times_are_stepped_on(name, backwards):
    t = times(2.0).flip(0) if backwards else times(2.0)
    stops = tensor(1.3, 0.5, 7.0)  # unsorted, and one outside
    (theirs, their), (ours, our) = run_both(
        lambda lib, f: lib.odeint(f, start(), t, method="dopri5", options={name: stops}, rtol=1e-6, atol=1e-7)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    begins = [t0 for t0, _ in our.where(our.accepted)]
    assert 0.5 in begins and 1.3 in begins
    assert len(our.times) <= 1.2 * len(their.times)
    if name == "jump_t":  # never evaluated on the jump itself, but right beside it on both sides
        assert 0.5 not in our.times and 1.3 not in our.times
        near = [x for x in our.times if abs(x - 0.5) < 1e-12]
        assert min(near) < 0.5 < max(near)


@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_a_named_jump_is_exact_on_either_side(method):
    """y' = −1 before t = 1 and y after it."""

    def kink(t, y):
        return torch.where(t < 1.0, -torch.ones_like(y), y)

    y = odelab.odeint(kink, tensor(3.0), times(2.0), method=method, options={"jump_t": tensor(1.0)}, rtol=1e-9)
    assert y[-1].item() == pytest.approx(2 * math.e, rel=1e-7)


@pytest.mark.parametrize("side", ["start", "end", "output"])
@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_jump_at_the_edge_of_the_interval_is_seen_from_inside_only(side, direction):
    """The slope is 2 inside the interval and 100 at its edge and beyond; one evaluation there would show."""
    edge = {"start": 0.0, "end": 1.0, "output": 0.5}[side]

    def kick(t, y):
        s = t * direction
        inside = s > edge if side == "start" else s < edge if side == "end" else s != edge
        return torch.where(inside, 2.0, 100.0) * torch.ones_like(y)

    run = odelab.solve(
        kick, tensor(0.0), tensor(0.0, 0.5, 1.0) * direction, options={"jump_t": tensor(edge) * direction}
    )
    assert run.y[-1].item() == pytest.approx(2.0 * direction, rel=1e-12)
    assert run.stats.rejected == 0


def test_step_size_options_of_the_controller():
    clipped, careful = {"first_step": 1.0, "max_step": 0.1}, {"safety": 0.7, "ifactor": 3.0, "dfactor": 0.5}
    for options in ({"first_step": 0.01}, {"max_step": 0.1}, clipped, careful):
        (theirs, their), (ours, our) = run_both(
            lambda lib, f, options=options: lib.odeint(
                f, start(), times(2.0), method="dopri5", options=options, rtol=1e-5, atol=1e-5
            )
        )
        same_steps(their, our)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_min_step_accepts_what_it_must():
    how = {"method": "dopri5", "options": {"min_step": 0.5}, "rtol": 1e-9, "atol": 1e-9}
    (_, their), (_, our) = run_both(lambda lib, f: lib.odeint(f, start(), times(2.0), **how))
    assert len(our.accepted) == len(their.accepted) == 4 and not our.rejected


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_callbacks_hear_the_same(method, direction):
    state = (start(), torch.tensor(0.7, dtype=torch.float64))
    how = {"options": {"step_size": 0.25}} if method == "rk4" else {"rtol": 1e-8, "atol": 1e-8}
    t = times(1.0, 3) * direction

    (_, their), (_, our) = run_both(
        lambda lib, f: lib.odeint(f, state, t, method=method, **how), swing_of_two, adaptive=method != "rk4"
    )
    n = len(our.steps) if method == "rk4" else len(our.steps) - 2
    assert our.where(our.steps)[:n] == [pytest.approx(x, rel=1e-6) for x in their.where(their.steps)[:n]]
    t0, y0, dt = our.steps[1]
    assert t0.ndim == dt.ndim == 0 and dt > 0 and [x.shape for x in y0] == [(1, 2), ()]
    if method == "dopri5":
        assert len(our.accepted) + len(our.rejected) == len(our.steps)


class Decay(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(tensor(1.3, 0.4))

    def forward(self, t, y):
        return -self.rate * y + torch.sin(3 * t)


def test_callbacks_of_the_adjoint():
    """They receive (t0, the adjoint's state, dt > 0), running backwards."""
    found = []
    for library in BOTH:
        field, heard = Decay(), []
        field.callback_step_adjoint = lambda t0, y0, dt, log=heard: log.append((t0, y0, dt))
        library.odeint_adjoint(field, tensor(1.0, 2.0), times(1.0, 3), method="rk4", options={"step_size": 0.25})[
            -1
        ].sum().backward()
        found.append(heard)
    theirs, ours = found
    assert [t0.item() for t0, _, _ in ours] == pytest.approx([t0.item() for t0, _, _ in theirs])
    assert [dt.item() for *_, dt in ours] == pytest.approx([dt.item() for *_, dt in theirs])
    for (_, mine, _), (_, other, _) in zip(ours, theirs, strict=True):
        for a, b in zip(mine[1:3], other[1:3], strict=True):  # y and its adjoint
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_gradients_of_odeint_adjoint(method):
    options = {"options": {"step_size": 0.02}} if method == "rk4" else {}
    found = []
    for library in BOTH:
        field, y0, t = Decay(), tensor(1.0, 2.0).requires_grad_(), times(1.0, 4).requires_grad_()
        y = library.odeint_adjoint(field, y0, t, method=method, **options)
        found.append(gradients((y * y).sum(), y0, field.rate, t))
    for ours, theirs in zip(found[1], found[0], strict=True):
        # rk4 measures ∂L/∂t0 on the grid in torchdiffeq and exactly here
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_events_and_their_gradients():
    found = []
    for library in BOTH:
        height, g = tensor(10.0).requires_grad_(), tensor(9.81).requires_grad_()
        t, (_, v) = library.odeint_event(
            lambda t, s, g=g: (s[1], -g), (height, tensor(1.0)), torch.tensor(0.0).double(), event_fn=lambda t, s: s[0],
            method="dopri5",
        )  # fmt: skip
        found.append(torch.cat([t.reshape(1), v[-1], *gradients(t + v[-1].sum(), height, g)]).detach())
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6)


def test_dense_output():
    theirs, ours = (lib.odeint_dense(swing, start(), tensor(0.0)[0], tensor(2.0)[0], method="dopri5") for lib in BOTH)
    for x in times(1.9, 7, 0.05):
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-6, atol=1e-6)
    assert ours(times(1.0, 3)).shape == (3, 1, 2)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_dense_output_of_solve_passes_through_the_outputs(direction):
    t = times(2.0, 9) * direction
    solution = odelab.solve(swing, start(), t, dense=True, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(solution.dense(t), solution.y, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(solution.dense(0.3 * direction), solution.dense(tensor(0.3 * direction))[0])
    pair = odelab.solve(swing_of_two, (start(), torch.tensor(0.7, dtype=torch.float64)), t, dense=True)
    assert [x.shape for x in pair.dense(0.1 * direction)] == [(1, 2), ()]


def test_unknown_options_and_callbacks_warn_in_both():
    for library in BOTH:
        with pytest.warns(UserWarning, match="Unexpected arguments"):
            library.odeint(swing, start(), times(), method="dopri5", options={"frist_step": 0.1})
        recorder = Recorder()
        with pytest.warns(UserWarning, match="callback_accept_step"):
            library.odeint(recorder, start(), times(), method="euler")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odelab.odeint(swing, start(), times(), method="dopri5", options={"dtype": torch.float64})


def test_a_single_time_and_times_elsewhere():
    assert odelab.odeint(swing, start(), tensor(0.0)).shape == (1, 1, 2)
    single = odelab.odeint(swing_of_two, (start(), torch.tensor(0.7, dtype=torch.float64)), tensor(0.0))
    assert [x.shape for x in single] == [(1, 1, 2), (1,)]


def test_times_as_a_list_keep_their_digits():
    t = odelab.solve(lambda t, y: y, tensor(1.0), [0.0, 0.1]).t
    assert t.dtype == torch.float64 and t[1].item() == 0.1


def test_a_float64_grid_under_a_float32_state():
    t = times(1.0, 4)
    theirs, ours = (lib.odeint(swing, start(torch.float32), t, rtol=1e-5, atol=1e-6) for lib in BOTH)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


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
