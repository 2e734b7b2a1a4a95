"""Everything a solve creates lives where y0 does.

The default device is one that holds no data, so a tensor made without naming its device cannot be computed with.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from odelab import odeint_event, solve
from odelab.solvers.inputs import precise
from tests.solvers.gradient_problems import THREE
from tests.solvers.problems import ADAMS, ADAPTIVE, FIXED, SYMPLECTIC, Linear, gradients, tensor, times

ELSEWHERE = torch.device("meta")


def oscillator(t, state):
    return state[1], -state[0]


@pytest.mark.parametrize(
    ("method", "gradient"),
    [
        *((method, "backprop") for method in [*FIXED, *ADAPTIVE, "scipy_solver"]),
        *((method, "adjoint") for method in [*FIXED, *ADAPTIVE, "scipy_solver"] if method not in SYMPLECTIC),
        *((method, "checkpoint") for method in [*FIXED, *ADAPTIVE] if method not in ADAMS),
    ],
)
def test_every_method_and_gradient(method, gradient):
    loose = {"rtol": 1e-3, "atol": 1e-4, "params": ()}
    if method in SYMPLECTIC:
        func, leaves, t = oscillator, [tensor(1.0).requires_grad_(), tensor(0.5).requires_grad_()], times(1.0, 12)
        y0 = tuple(leaves)
    else:
        func, leaves = Linear(2), [tensor(1.0, 0.5).requires_grad_(), times(1.0, 12).requires_grad_()]
        y0, t = leaves
        loose["params"] = tuple(func.parameters())
    with ELSEWHERE, torch.set_grad_enabled((method, gradient) != ("scipy_solver", "backprop")):
        y = solve(func, y0, t, method=method, gradient=gradient, **loose).y
        y = torch.cat(y) if isinstance(y, tuple) else y
        if y.requires_grad:
            grads = gradients((y**2).sum(), *leaves)
            assert all(g.device == leaf.device for g, leaf in zip(grads, leaves, strict=True))
    assert y.device == tensor(0.0).device


OPTIONS = {
    "per sample": {"options": {"per_sample": True}},
    "steps and jumps": {"options": {"step_t": [0.2], "jump_t": [0.5]}},
    "tolerance of an entry": {"rtol": tensor(1e-3, 1e-4), "atol": 1e-5},
    "dense": {"dense": True},
    "grid": {
        "method": "rk4",
        "options": {"grid_constructor": lambda f, y0, t: t[0] + (t[-1] - t[0]) * t**2},
    },
    "perturb": {"method": "rk4", "options": {"step_size": 0.1, "perturb": True, "interp": "cubic"}},
    "numbers as times": {"t": [0.0, 0.5, 1.0]},
    "norm": {"options": {"norm": lambda x: x.abs().max()}},
}


@pytest.mark.parametrize("how", OPTIONS.values(), ids=OPTIONS)
def test_options(how):
    y0, t = torch.rand(3, 2, dtype=torch.float64), how.get("t", times(1.0, 3))
    how = {name: value for name, value in how.items() if name != "t"}
    with ELSEWHERE:
        run = solve(lambda t, y: -y * (1 + t), y0, t, **how)
        if how.get("dense"):
            assert run.dense(0.3).device == y0.device
    assert run.y.device == y0.device and torch.isfinite(run.y).all()


def test_a_tuple_with_its_own_tolerances_and_callbacks():
    heard = []

    class Field:
        def callback_step(self, t0, y0, dt):
            heard.append((t0.device, dt.device, y0[0].device))

        def __call__(self, t, s):
            return -s[0], s[1] * torch.cos(t)

    y0, t, atol = (tensor(1.0), tensor(2.0, 3.0)), times(), (1e-3, tensor(1e-4, 1e-5))
    with ELSEWHERE:
        solve(Field(), y0, t, rtol=(1e-3, 1e-4), atol=atol)
    assert heard and all(device == tensor(0.0).device for where in heard for device in where)


def test_events():
    height, t0 = tensor(10.0).requires_grad_(), torch.tensor(0.0, dtype=torch.float64)
    start, gravity = (height, tensor(0.0)), tensor(9.81)
    with ELSEWHERE:
        t, _ = odeint_event(lambda t, s: (s[1], -gravity), start, t0, event_fn=lambda t, s: s[0])
        assert gradients(t, height)[0].item() > 0


def test_a_func_that_leaves_the_device_is_named():
    with pytest.raises(TypeError, match="device of y, cpu, but returned meta"):
        solve(lambda t, y: y.to(ELSEWHERE), tensor(1.0), times())


def test_times_on_another_device_are_moved_with_a_warning():
    y0 = tensor(1.0)
    moved = []

    class Times(torch.Tensor):
        """Times that claim another device."""

        @property
        def device(self):
            return ELSEWHERE

        def to(self, *args, **kwargs):
            moved.append(args)
            return self.as_subclass(torch.Tensor)

    with pytest.warns(UserWarning, match="t is not on the same device as y0"):
        solve(lambda t, y: -y, y0, times().as_subclass(Times))
    assert moved


class WithoutFloat64(TorchDispatchMode):
    """A stand-in for Apple's GPUs: what would make a tensor of 64 bits fails as it does there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in torch.utils._pytree.tree_leaves(out):
            if isinstance(x, torch.Tensor) and x.dtype in (torch.float64, torch.complex128):
                raise TypeError(f"{func} makes a tensor of {x.dtype}, and this device has none")
        return out


@pytest.fixture
def without_float64():
    precise.cache_clear()
    with WithoutFloat64():
        yield
    precise.cache_clear()


EVERYTHING = [
    *((method, gradient, "") for method in [*FIXED, *ADAPTIVE] for gradient in THREE),
    *(("dopri5", "backprop", how) for how in OPTIONS if how not in ("tolerance of an entry", "numbers as times")),
    *(("dopri5", gradient, "event") for gradient in THREE),
    ("dopri5", "backprop", "events of rows"),
    ("dopri5", "backprop", "times of rows"),
]


@pytest.mark.parametrize(("method", "gradient", "how"), EVERYTHING)
def test_a_device_without_float64(method, gradient, how, without_float64):
    if (method in ADAMS and gradient == "checkpoint") or (method in SYMPLECTIC and gradient == "adjoint"):
        return
    rate, t = torch.tensor(1.0, requires_grad=True), torch.linspace(0.0, 1.0, 3).requires_grad_()
    y0 = torch.tensor([[1.0, 0.5], [0.2, 0.3]], requires_grad=True)
    heard, options = [], dict(OPTIONS.get(how, {}))
    if how in ("event", "events of rows"):
        t, options["event_fn"] = t[:2], lambda t, y: y[..., 0] - (0.1 if how == "events of rows" else 0.9)
    if how in ("events of rows", "times of rows"):
        options["options"] = {"per_sample": True}
        t = t.expand(2, -1)

    class Field(torch.nn.Module):
        callback_step = None if how == "per sample" or "rows" in how else lambda self, *place: heard.append(place)

        def forward(self, t, y):
            if isinstance(y, tuple):
                return y[1], -rate * y[0]
            return -rate * y * (1 + t) / 2

    start = (y0, y0 + 0.1) if method in SYMPLECTIC else y0
    options = {"method": method, **options}
    options.pop("t", None)
    if how in ("steps and jumps",):
        options["options"] = {"max_step": 0.5}  # times that stand in lists are sorted on the CPU, in 64 bits
    run = solve(Field(), start, t, gradient=gradient, params=(rate,), rtol=1e-3, atol=1e-4, **options)
    y = run.y[0] if isinstance(run.y, tuple) else run.y
    grads = torch.autograd.grad(y.square().sum(), (y0, rate))
    assert all(g.dtype == torch.float32 and bool(g.isfinite().all()) for g in grads)
    assert heard or Field.callback_step is None
