"""options=dict(compile=True): the same solve, or the ordinary step and the reason why."""

import gc
import os
import subprocess
import sys
import warnings
import weakref

import pytest
import torch
from torch import nn

from odelab import solve
from odelab.solvers import compiled

COMPILED = {"compile": True}
T = torch.linspace(0.0, 3.0, 5, dtype=torch.float64)


class Net(nn.Module):
    """A small perceptron with a drive, so that time, parameters and state all matter."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 8, dtype=torch.float64)
        self.last = nn.Linear(8, 3, dtype=torch.float64)

    def forward(self, t, y):
        return self.last(torch.tanh(self.first(y))) + torch.sin(3 * t) * y


@pytest.fixture(autouse=True)
def torch_may_deprecate_itself(quiet_and_repeatable):
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def start(batch=4):
    return torch.randn(batch, 3, dtype=torch.float64)


def assert_same_solve(func, y0, t=T, options=None, **how):
    """Compiled and ordinary solve agree in what they did and what came out; returns the compiled one."""
    options = options or {}
    with torch.no_grad():
        fast = solve(func, y0, t, options=options | COMPILED, **how)
        plain = solve(func, y0, t, options=options, **how)
    torch.testing.assert_close(fast.y, plain.y, rtol=1e-9, atol=1e-10)
    assert fast.stats.nfe == plain.stats.nfe
    assert [step.accepted for step in fast.stats.steps] == [step.accepted for step in plain.stats.steps]
    for name in ("t", "dt", "error_ratio"):
        ours, theirs = ([getattr(step, name) for step in one.stats.steps] for one in (fast, plain))
        assert ours == pytest.approx(theirs, rel=1e-3)
    return fast


@pytest.mark.parametrize(
    ("method", "recording", "reason"), [("rodas3", False, "Runge–Kutta methods only"), ("dopri5", True, "no gradient")]
)
def test_what_is_not_compiled_is_solved_all_the_same(method, recording, reason):
    how = {"method": method, "rtol": 1e-3, "atol": 1e-4}
    y0 = start()
    with torch.set_grad_enabled(recording), pytest.warns(UserWarning, match=reason):
        fast = solve(lambda t, y: -y, y0, T, options=COMPILED, **how)
    torch.testing.assert_close(fast.y, solve(lambda t, y: -y, y0, T, **how).y)


def test_a_func_that_cannot_be_traced_is_named_and_remembered():
    def branching(t, y):
        return -y if y.sum() > 0 else y

    y0 = start()
    reasons = []
    with torch.no_grad():
        for _ in range(2):
            with pytest.warns(UserWarning, match="could not compile the step") as caught:
                fast = solve(branching, y0, T, options=COMPILED)
            reasons.append(str(caught[-1].message))
        torch.testing.assert_close(fast.y, solve(branching, y0, T).y, rtol=0, atol=0)
    assert "branching" in reasons[0]
    assert reasons[1] == reasons[0]
    assert branching in compiled._refused


def test_without_a_compiler_the_warning_says_so(tmp_path):
    program = """
import torch, odelab
with torch.no_grad():
    solution = odelab.solve(lambda t, y: -y, torch.ones(2), torch.tensor([0.0, 1.0]), options=dict(compile=True))
print("y", solution.y[-1].tolist(), "steps", solution.stats.accepted > 3)
"""
    env = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "No working C++ compiler found" in done.stderr
    assert "y [0.3678" in done.stdout
    assert "steps True" in done.stdout


@pytest.mark.slow
def test_one_compilation_serves_whatever_changes_between_solves():
    net, y0 = Net(), start()
    compiled.compile_seconds.clear()
    assert_same_solve(net, y0)
    assert compiled.compile_seconds.pop("dopri5") > 0

    before = assert_same_solve(net, y0).y
    with torch.no_grad():
        net.last.weight.mul_(0.5)  # as an optimiser does
    after = assert_same_solve(net, y0).y
    assert (after - before).abs().max() > 0.01
    net.first = nn.Linear(3, 8, dtype=torch.float64)
    assert (assert_same_solve(net, y0).y - after).abs().max() > 0.01
    assert_same_solve(Net(), y0)
    assert_same_solve(net, start().T.contiguous().T)
    assert_same_solve(net, y0, T.flip(0))
    assert_same_solve(net, y0, rtol=1e-5, atol=1e-6)
    assert_same_solve(net, y0, options={"jump_t": [1.1], "step_t": [0.4]})
    event = assert_same_solve(net, y0, T[[0, -1]], event_fn=lambda t, y: t - 1.3)
    assert float(event.event_t) == pytest.approx(1.3)
    with torch.no_grad():
        dense = [solve(net, y0, T, dense=True, options=options).dense(1.234) for options in (COMPILED, None)]
    torch.testing.assert_close(*dense, rtol=1e-9, atol=1e-10)

    gradients = []
    for options in (COMPILED, None):
        net.zero_grad()
        solve(net, y0, T, gradient="checkpoint", options=options).y.square().mean().backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)
    assert not compiled.compile_seconds, "compiled again"


@pytest.mark.slow
def test_nothing_that_was_compiled_is_kept_alive():
    net = Net()
    assert_same_solve(net, start())
    dead = [weakref.ref(net), weakref.ref(net.first.weight)]
    del net
    gc.collect()
    assert [ref() for ref in dead] == [None, None]


@pytest.mark.slow
def test_layouts_and_aliases_that_a_graph_is_not_made_for():
    """Slopes come back transposed, and y0 is both the state and a constant of func."""
    matrix, y0 = torch.randn(3, 3, dtype=torch.float64), start()
    assert_same_solve(lambda t, y: (matrix @ y.T).T * torch.cos(t) + y0, y0)


@pytest.mark.slow
def test_a_single_number_keeps_its_precision():
    y0, how = torch.tensor(1.0), {"rtol": 1e-4, "atol": 1e-5, "method": "bosh3"}
    with torch.no_grad():
        fast = solve(lambda t, y: -y * t, y0, T.float(), options=COMPILED, **how)
    assert fast.y.dtype == torch.float32
    torch.testing.assert_close(fast.y, solve(lambda t, y: -y * t, y0, T.float(), **how).y, rtol=1e-5, atol=1e-5)


def test_func_may_fill_one_buffer():
    class Filling(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("slope", torch.zeros(2, dtype=torch.float64))

        def forward(self, t, y):
            return self.slope.copy_(-y * (1 + t))

    how = {"rtol": 1e-6, "atol": 1e-8}
    with torch.no_grad():
        y = solve(Filling(), start(1)[0, :2], T, options=COMPILED, **how).y
    torch.testing.assert_close(y[-1], y[0] * torch.exp(-3.0 - 0.5 * T[-1] ** 2), rtol=1e-4, atol=1e-7)
