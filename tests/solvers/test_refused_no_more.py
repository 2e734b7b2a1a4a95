"""What works though it is unusual: other precisions, tiny and empty problems, a func that ends where the solve does."""

import pytest
import torch

from odelab import solve
from tests.solvers.gradient_problems import THREE, Network
from tests.solvers.problems import gradients, tensor, times

START = tensor(0.8, -0.5)


@pytest.mark.parametrize("gradient", THREE)
@pytest.mark.parametrize("options", [{}, {"per_sample": True}], ids=str)
def test_autocast_to_bfloat16(gradient, options):
    if options and gradient != "backprop":
        return
    y0, found = torch.full((4, 2), 0.5), []
    for enabled in (False, True):
        field = Network(dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = solve(
                lambda t, y, field=field: field.net(y),
                y0,
                times(dtype=torch.float32),
                gradient=gradient,
                options=options,
                rtol=1e-2,
                atol=1e-2,
                params=tuple(field.parameters()),
            ).y
        assert y.dtype == torch.float32
        found.append(torch.cat([g.reshape(-1) for g in gradients(y[-1].square().sum(), *field.parameters())]))
    assert float((found[1] - found[0]).norm() / found[0].norm()) < 0.033  # measured: 0.011


@pytest.mark.parametrize("method", ["dopri5", "rk4", "rodas3", "explicit_adams", "scipy_solver"])
def test_a_table_in_another_precision(method):
    table = torch.linspace(1, 2, 11, dtype=torch.float64)
    how = {"options": {"step_size": 0.05}} if method in ("rk4", "explicit_adams") else {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad() if method == "scipy_solver" else torch.enable_grad():
        y = solve(
            lambda t, y: -y * table[None, int(10 * t.detach().clamp(0, 1))],
            START.float(),
            times(dtype=torch.float32),
            method=method,
            **how,
        ).y
    assert y.dtype == torch.float32 and bool(torch.isfinite(y).all())


def test_a_complex_slope_of_a_real_state_is_refused():
    with pytest.raises(TypeError, match=r"dtype of y, torch.float64, but returned torch.complex128"):
        solve(lambda t, y: 1j * y, START, times())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backwards", [False, True])
def test_step_size_takes_no_step_of_a_rounding(dtype, backwards):
    """The end is n · size as near as the precision of t can say it, also where t is less precise than y."""
    longer = []
    for count in range(1, 60):
        for size in (0.1, 0.05, 0.01, 0.3, 1 / 3, 0.7, 1e-3, 2.5):
            for start in (0.0, 7.0):
                t = torch.tensor([start, start + count * size], dtype=dtype)
                run = solve(
                    lambda t, y: -y, START, t.flip(0) if backwards else t, method="euler", options={"step_size": size}
                )
                if run.stats.accepted != count:
                    longer.append((count, size, start, run.stats.accepted))
    assert not longer


@pytest.mark.parametrize("gradient", THREE)
def test_step_size_takes_none_in_the_backward_pass_either(gradient):
    y0, t = START.clone().requires_grad_(), torch.tensor([0.0, 0.3, 0.9])
    run = solve(lambda t, y: -y, y0, t, method="euler", gradient=gradient, params=(), options={"step_size": 0.1})
    assert run.stats.accepted == 9
    run.y.sum().backward()
    if gradient == "adjoint":
        assert run.stats.nfe_backward == 9


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"per_sample": True}, {"max_step": 0.01}, {"max_step": 0.01, "per_sample": True}]
)
@pytest.mark.parametrize("method", ["dopri5", "rodas3"])
def test_func_is_asked_nowhere_outside_the_interval(method, options, backwards):
    """A slow start, for which the first guess of a step is far too long: f is only defined on [0, 1]."""
    if method == "rodas3" and "per_sample" in options:
        return
    asked = []

    def slow(t, y):
        asked.append(float(t.detach().min())), asked.append(float(t.detach().max()))
        return 1e-6 * y

    t = times().flip(0) if backwards else times()
    run = solve(slow, torch.ones(2, 2, dtype=torch.float64), t, method=method, options=options)
    assert min(asked) >= 0.0 and max(asked) <= 1.0
    if "max_step" in options:
        assert abs(asked[2] - asked[0]) <= 0.01 * (1 + 1e-9)  # the guess itself
        assert max(abs(step.dt) for step in run.stats.steps) <= 0.01 * (1 + 1e-9)
