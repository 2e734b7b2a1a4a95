"""What works though it is unusual: other precisions, tiny and empty problems, a func that ends where the solve does."""

import pytest
import torch

from odelab import odeint, odeint_adjoint, solve
from tests.solvers.gradient_problems import THREE, Network
from tests.solvers.problems import ADAMS, ADAPTIVE, FIXED, SYMPLECTIC, gradients, tensor, times

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


class Scaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(tensor(1.0))

    def forward(self, t, y):
        return (self.forward(t, y[0]), self.forward(t, y[1])) if isinstance(y, tuple) else -self.rate * y * (1 + t)


@pytest.mark.parametrize("gradient", THREE)
@pytest.mark.parametrize("method", [*FIXED, *ADAPTIVE, "scipy_solver"])
def test_an_empty_batch_has_an_empty_solution_and_no_gradient(method, gradient):
    if (method in ADAMS and gradient == "checkpoint") or (method in SYMPLECTIC and gradient == "adjoint"):
        return
    if method == "scipy_solver" and gradient != "adjoint":
        return
    field, y0 = Scaled(), torch.empty(0, 3, dtype=torch.float64, requires_grad=True)
    y0 = (y0, y0) if method in SYMPLECTIC else y0
    y = solve(field, y0, times(1.0, 4), method=method, gradient=gradient).y
    y = y[0] if isinstance(y, tuple) else y
    assert y.shape == (4, 0, 3)
    assert gradients(y.sum(), field.rate)[0].item() == 0


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0,)])
def test_other_ways_to_be_empty(shape):
    field, y0 = Scaled(), torch.empty(shape)
    assert solve(field, (y0, torch.ones(2)), times()).y[0].shape == (2, *shape)
    assert solve(field, y0, times(), dense=True).dense(0.5).shape == shape
    assert solve(field, y0, times(), options={"norm": lambda x: x.abs().mean()}).y.shape == (2, *shape)
    if len(shape) == 2:
        how = {"options": {"per_sample": True}}
        assert solve(field, y0, times(), **how).y.shape == (2, *shape)
        assert solve(field, (y0, y0), times(), **how).y[1].shape == (2, *shape)
        assert solve(field, y0, torch.zeros(shape[0], 5), **how).y.shape == (5, *shape)
        event = solve(field, y0, times(), event_fn=lambda t, y: t[:, 0] - 0.5, **how)
        assert event.event_t.tolist() == pytest.approx([0.5] * shape[0]) and event.y.shape == (2, *shape)
    with pytest.raises(ValueError, match="y0 is empty"):
        solve(field, y0, times(), event_fn=lambda t, y: t - 0.5)


@pytest.mark.parametrize("options", [{}, {"per_sample": True}], ids=str)
@pytest.mark.parametrize("interface", [odeint, odeint_adjoint, lambda *a, **b: solve(*a, **b).y])
def test_one_output_time_is_the_start(interface, options):
    """As in torchdiffeq, for solve alike; it does not depend on when it starts."""
    if options and interface is odeint_adjoint:
        return
    y0, t = torch.ones(2, 3, dtype=torch.float64, requires_grad=True), tensor(0.5).requires_grad_()
    y = interface(Scaled(), y0, t, options=options)
    assert y.shape == (1, 2, 3) and torch.equal(y[0], y0)
    assert bool((gradients(y.sum(), y0)[0] == 1).all())
    assert interface(Scaled(), (y0, y0), t, options=options)[1].shape == (1, 2, 3)
    if options:
        assert interface(Scaled(), y0, t.expand(2, 1), options=options).shape == (1, 2, 3)
    with pytest.raises(ValueError, match="single time"):
        solve(Scaled(), y0, t, dense=True)
    with pytest.raises(ValueError, match="two times"):
        interface(Scaled(), y0, t, event_fn=lambda t, y: y[:, 0], options=options)
