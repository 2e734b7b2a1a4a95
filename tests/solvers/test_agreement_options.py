"""The same options, callbacks, gradients and events mean the same as in torchdiffeq 0.2.5."""

import math
import warnings

import pytest
import torch

import odelab
from tests.solvers.both_libraries import (
    BOTH,
    Decay,
    Recorder,
    run_both,
    same_steps,
    start,
    swing,
    swing_of_two,
)
from tests.solvers.problems import gradients, tensor, times


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
    with pytest.warns(UserWarning, match="min_step = 0.5"):
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
    assert our.where(our.steps)[:n] == [pytest.approx(x, rel=1e-5) for x in their.where(their.steps)[:n]]
    t0, y0, dt = our.steps[1]
    assert t0.ndim == dt.ndim == 0 and dt > 0 and [x.shape for x in y0] == [(1, 2), ()]
    if method == "dopri5":
        assert len(our.accepted) + len(our.rejected) == len(our.steps)


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
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_events_and_their_gradients():
    found = []
    for library in BOTH:
        height, g = tensor(10.0).requires_grad_(), tensor(9.81).requires_grad_()
        t, (_, v) = library.odeint_event(
            lambda t, s, g=g: (s[1], -g),
            (height, tensor(1.0)),
            torch.tensor(0.0).double(),
            event_fn=lambda t, s: s[0],
            method="dopri5",
        )
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
