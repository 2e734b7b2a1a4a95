"""options=dict(compile=True): the same solve by one graph. A graph takes half a minute, so it serves many tests."""

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
from odelab.solvers import SolverError
from odelab.solvers.compiled import rows as by_rows
from odelab.solvers.compiled.loop import NARROW, SMALL, advancing, replaying, small_or_tall_mm

pytestmark = pytest.mark.usefixtures("untraced_compiler")
COMPILED = {"compile": True}
ATTEMPTS = 16  # in one call of the graph with a step size for every row
T = torch.linspace(0.0, 3.0, 5, dtype=torch.float64)


class Net(nn.Module):
    """A small perceptron with a drive, so that time, parameters, a buffer and the state all matter."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 8, dtype=torch.float64)
        self.last = nn.Linear(8, 3, dtype=torch.float64)
        self.drop, self.unused = nn.Dropout(0.5), nn.Parameter(torch.ones(2))
        self.register_buffer("growth", torch.zeros((), dtype=torch.float64))

    def forward(self, t, y):
        return self.last(self.drop(torch.tanh(self.first(y)))) + torch.sin(3 * t) * y + self.growth * y**2


def decay(t, y):
    return -0.7 * y


def start(batch=4):
    return torch.randn(batch, 3, dtype=torch.float64)


def graphs():
    """How many were compiled so far."""
    return advancing.cache_info().misses, replaying.cache_info().misses


def both(func, y0, t=T, options=None, **how):
    """The compiled and the ordinary solve."""
    options = options or {}
    return solve(func, y0, t, options=options | COMPILED, **how), solve(func, y0, t, options=options, **how)


def assert_same(fast, plain, tol=1e-9):
    """They did the same, and the same came out."""
    torch.testing.assert_close(fast.y, plain.y, rtol=tol, atol=tol)
    for name in ("method", "nfe", "accepted", "rejected"):
        assert getattr(fast.stats, name) == getattr(plain.stats, name), name
    assert [step.accepted for step in fast.stats.steps] == [step.accepted for step in plain.stats.steps]
    for name in ("t", "dt", "error_ratio"):
        ours, theirs = ([getattr(step, name) for step in one.stats.steps] for one in (fast, plain))
        assert ours == pytest.approx(theirs, rel=max(1e-3, 10 * tol))


def assert_same_states(fast, plain):
    """Of two errors: what the solves had reached."""
    torch.testing.assert_close(fast.times, plain.times, rtol=1e-6, atol=0)
    torch.testing.assert_close(fast.states, plain.states, rtol=1e-3, atol=1e-9, equal_nan=True)


@pytest.fixture(autouse=True)
def rows_of_few_attempts(monkeypatch):
    """With a step size for every row: long solves take several calls of the graph, and all tests share it."""
    monkeypatch.setattr(by_rows, "capacity", lambda y: ATTEMPTS)


@pytest.fixture
def net():
    return Net().eval()


@pytest.mark.slow
@torch.no_grad()
def test_a_batch_of_another_size_is_not_taken_for_another_number_of_times():
    for batch, n in ((2, 3), (6, 4), (6, 7)):
        y0, times = start(batch), torch.linspace(0.0, 1.0, n, dtype=torch.float64)
        for _ in range(2):  # the second solve goes straight to the machine code
            fast, plain = both(decay, y0, times, method="bosh3")
            assert_same(fast, plain)


@pytest.mark.slow
@torch.no_grad()
def test_one_compilation_serves_whatever_changes_between_solves(net):
    y0 = start()
    assert_same(*both(net, y0))
    compiled = graphs()
    before = solve(net, y0, T, options=COMPILED).y

    for times in (T[[0, -1]], torch.linspace(0.0, 3.0, 37, dtype=torch.float64), T.flip(0), T.float()):
        assert_same(*both(net, y0, times))
    assert_same(*both(net, y0, rtol=1e-4, atol=1e-5))
    assert_same(*both(net, y0, options={"max_step": 0.05, "safety": 0.8, "ifactor": 3.0, "dfactor": 0.5}))
    with pytest.warns(UserWarning, match="min_step = 0.4") as warned:
        assert_same(*both(net, y0, options={"min_step": 0.4}, rtol=1e-10, atol=1e-12))
    assert len(warned) == 2, "the compiled solve warns, too"
    assert_same(*both(net, start().T.contiguous().T))
    fast, plain = both(net, y0, options={"first_step": 1e-3})
    assert fast.stats.nfe == plain.stats.nfe + 1, "the graph looks for a first step all the same, and says so"
    fast.stats.nfe -= 1
    assert_same(fast, plain)

    net.last.weight.mul_(0.5)  # as an optimizer does
    assert (assert_same(*both(net, y0)) or solve(net, y0, T, options=COMPILED).y - before).abs().max() > 0.01
    net.first = nn.Linear(3, 8, dtype=torch.float64)
    assert_same(*both(net, y0))
    net.growth.fill_(0.01)
    assert_same(*both(net, y0))
    assert_same(*both(Net().eval(), y0))
    assert graphs() == compiled, "compiled again"


@pytest.mark.slow
def test_more_steps_than_one_log_holds(net):
    how = {"rtol": 1e-13, "atol": 1e-14}
    y0 = start().requires_grad_()
    fast, plain = both(net, y0, gradient="checkpoint", **how)
    attempts = len(plain.stats.steps)
    assert len(fast.stats.steps) == attempts > 300
    torch.testing.assert_close(fast.y, plain.y, rtol=1e-10, atol=1e-11)
    assert plain.stats.nfe < fast.stats.nfe <= plain.stats.nfe + 2 * (attempts // 256)
    grads = [torch.autograd.grad(one.y.square().sum(), [y0, *net.first.parameters()]) for one in (fast, plain)]
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-9)


@pytest.mark.slow
def test_a_training_loop_compiles_once(net):
    """Gradients of y0, parameters and times are those of the ordinary checkpoint, also after changes in place."""
    net(T[0], start())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    y0, t = start().requires_grad_(), T.clone().requires_grad_()
    compiled = None
    for _ in range(3):
        grads = []
        for options in (COMPILED, {}):
            optimizer.zero_grad()
            y0.grad = t.grad = None
            solution = solve(net, y0, t, gradient="checkpoint", options=options)
            (solution.y[1:].sin().sum() + solution.y[0].sum()).backward()
            grads.append([x.grad.clone() for x in (y0, t, *net.parameters())])
            assert solution.stats.nfe_backward > 6 * solution.stats.accepted
        torch.testing.assert_close(*grads, rtol=1e-7, atol=1e-9)
        optimizer.step()
        compiled = compiled or graphs()
    assert graphs() == compiled, "compiled again"


@pytest.mark.slow
def test_second_derivatives_and_changes_in_between(net):
    y0, penalties = start().requires_grad_(), []
    for options in (COMPILED, {}):
        y = solve(net, y0, T, gradient="checkpoint", options=options).y
        (grad,) = torch.autograd.grad(y[-1].square().sum(), y0, create_graph=True)
        penalties.append(torch.autograd.grad(grad.square().sum(), [y0, net.first.weight]))
    torch.testing.assert_close(*penalties, rtol=1e-7, atol=1e-9)
    y = solve(net, y0, T, gradient="checkpoint", options=COMPILED).y
    with torch.no_grad():
        net.first.weight.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.slow
@torch.no_grad()
def test_failures_are_those_of_the_ordinary_loop(net):
    def failure(y0, options, growth, **how):
        net.growth.fill_(growth)
        with pytest.raises(SolverError) as caught:
            solve(net, y0, T, options=options, **how)
        return caught.value

    cases = [
        (start().fill_(torch.nan), {}, 0.0, {}),
        (start(), {}, torch.nan, {}),
        (start().fill_(3.0), {}, 3.0, {}),
        (start(), {"max_num_steps": 3}, 0.0, {}),
        (start().fill_(1e-300), {}, 0.0, {"rtol": 1e-7, "atol": 0.0}),
    ]
    for y0, options, growth, how in cases:
        fast, plain = failure(y0, options | COMPILED, growth, **how), failure(y0, options, growth, **how)
        assert type(fast) is type(plain)
        assert str(fast)[:25] == str(plain)[:25] and fast.hint[:30] == plain.hint[:30]
        assert fast.t == pytest.approx(plain.t, rel=1e-6) and fast.nfe == pytest.approx(plain.nfe, abs=20)
        assert_same_states(fast, plain)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("per_sample", [False, True])
def test_a_stiff_problem_is_noticed(net, per_sample):
    for part, weight in ((net.first, torch.eye(8, 3)), (net.last, -3000 * torch.eye(3, 8))):
        part.weight.copy_(weight)
        part.bias.zero_()
    with pytest.warns(UserWarning, match="the problem looks stiff"):
        solve(net, start(), T, options=COMPILED | {"per_sample": per_sample}, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("per_sample", [False, True])
def test_a_state_far_below_atol_is_told_of(net, per_sample):
    for p in (net.last.weight, net.last.bias):
        p.zero_()
    y0, options = start(), {"per_sample": per_sample} | COMPILED
    small = torch.cat([y0[:2], 1e-12 * y0[2:]]) if per_sample else 1e-12 * y0
    with pytest.warns(UserWarning, match="row 2 of the batch.*far smaller" if per_sample else "y0 .*far sm") as told:
        solve(net, small, T, options=options)
    assert [warning.filename for warning in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(net, small, T, atol=1e-18, options=options)
        solve(net, y0, T, options=options)


@pytest.mark.slow
def test_nothing_that_was_compiled_is_kept_alive():
    net = Net().eval()
    solve(net, start(), T, gradient="checkpoint", options=COMPILED).y.sum().backward()
    dead = [weakref.ref(net), weakref.ref(net.first.weight)]
    del net
    gc.collect()
    assert [ref() for ref in dead] == [None, None]


@pytest.mark.slow
@torch.no_grad()
def test_tuples_tolerances_per_entry_and_methods_without_midpoint():
    rate, y0 = torch.tensor(0.3), (torch.rand(2, 3), torch.tensor(1.5))

    def field(t, y):
        return -y[0] * y[1] * torch.tensor([1.0, 2.0, 3.0]), -rate * y[1] + 0.1 * torch.cos(t)

    both_the_same = torch.tensor(1e-4).expand(7)
    t, how = torch.linspace(0.0, 2.0, 7), {"method": "adaptive_heun", "rtol": both_the_same, "atol": both_the_same}
    solve(field, y0, t, options=COMPILED, **how)
    how |= {"rtol": (1e-3, 1e-4), "atol": torch.full((7,), 1e-5)}
    fast, plain = (solve(field, y0, t, options=options, **how) for options in (COMPILED, {}))
    for ours, theirs in zip(fast.y, plain.y, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert (fast.stats.accepted, fast.stats.rejected) == (plain.stats.accepted, plain.stats.rejected)
    rate.fill_(0.9)
    assert not torch.equal(solve(field, y0, t, options=COMPILED, **how).y[1], fast.y[1])


@pytest.mark.slow
@torch.no_grad()
def test_a_step_size_for_every_row(net):
    y0, options = start() * torch.tensor([[0.1], [1.0], [4.0], [9.0]]), {"per_sample": True}
    rows = torch.stack([T, T, T / 2, T.flip(0)])
    rows[1, 1] = rows[1, 0]
    for times in (T, T.flip(0)[:3] / 3, rows):
        fast, plain = both(net, y0, times, options=options)
        fast.stats.nfe -= 2 * ((len(plain.stats.steps) - 1) // ATTEMPTS)  # each further call begins with two
        assert_same(fast, plain)
        assert torch.equal(fast.rows.accepted, plain.rows.accepted)
        assert torch.equal(fast.rows.rejected, plain.rows.rejected)
    for growth, more in ((torch.nan, {}), (0.0, {"max_num_steps": 3}), (9.0, {})):
        net.growth.fill_(growth)
        failures = []
        for compile_ in (True, False):
            with pytest.raises(SolverError) as caught:
                solve(net, y0, T, options=options | more | {"compile": compile_})
            failures.append(caught.value)
        fast, plain = failures
        assert type(fast) is type(plain) and str(fast)[:25] == str(plain)[:25]
        assert fast.t == pytest.approx(plain.t, rel=1e-6)
        assert_same_states(fast, plain)


@pytest.mark.slow
def test_gradients_of_a_step_size_for_every_row(net):
    """Those of backprop: over several calls of the graph, with rejected steps, rows that are done, repeated times."""
    rows = torch.stack([T, T, T / 2, T.flip(0)])
    rows[1, 1] = rows[1, 0]
    stretch = torch.tensor([[0.1], [1.0], [4.0], [9.0]])
    compiled = None
    for times, growth in ((T, 0.0), (T.flip(0)[:3] / 3, 0.1), (rows, 0.0)):
        net.growth.fill_(growth)
        y0, runs, grads = start() * stretch, [], []
        for options in (COMPILED, {}):
            leaf, t = y0.clone().requires_grad_(), times.clone().requires_grad_()
            run = solve(net, leaf, t, options={"per_sample": True, **options})
            weights = torch.linspace(0.5, 1.5, run.y.numel()).view(run.y.shape)
            loss = (run.y * weights).sum() + run.y.square().sum()
            grads.append(torch.autograd.grad(loss, (leaf, t, *net.first.parameters(), *net.last.parameters())))
            runs.append(run)
        fast, plain = runs
        torch.testing.assert_close(fast.y, plain.y, rtol=1e-9, atol=1e-9)
        assert torch.equal(fast.rows.accepted, plain.rows.accepted)
        assert torch.equal(fast.rows.rejected, plain.rows.rejected)
        assert fast.stats.rejected and fast.stats.nfe_backward
        assert len(fast.stats.steps) > ATTEMPTS or times is not T
        torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-8)
        now = by_rows.advancing.cache_info().misses, by_rows.replaying.cache_info().misses
        compiled = compiled or now
        assert now == compiled, "compiled again"
    y = solve(net, leaf, T, options={"per_sample": True, **COMPILED}).y
    (slope,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="a second derivative: leave compile=True away"):
        slope.sum().backward()


# --- what is not compiled, and why ---


class Hooked(Net):
    def callback_step(self, t, y, dt):
        pass


class Branching(Net):
    def forward(self, t, y):
        return -y if y.sum() > 0 else y


@pytest.mark.parametrize(
    ("func", "how", "reason"),
    [
        (Net(), {"method": "rodas3"}, "explicit adaptive Runge–Kutta"),
        (Net(), {"options": {"jump_t": [1.0]}}, "does not stop at the times"),
        (Net(), {"dense": True}, "no interpolants"),
        (Net(), {"event_fn": lambda t, y: t - 1.3}, "looks for no events"),
        (Hooked(), {}, "no callbacks"),
        (Branching(), {}, "Data-dependent"),
        (Net(), {"training": True}, "random numbers .*func.eval()"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_not_compiled_is_solved_all_the_same(func, how, reason):
    func.train(how.pop("training", False))
    y0, how = start(), {"rtol": 1e-3, "atol": 1e-4, **how}
    options, t = how.pop("options", {}), T[[0, -1]]
    compiled = graphs()
    for _ in range(2):
        torch.manual_seed(1)
        with torch.no_grad(), pytest.warns(UserWarning, match=f"the solve is not compiled: .*{reason}"):
            fast = solve(func, y0, t, options=options | COMPILED, **how)
    torch.manual_seed(1)
    with torch.no_grad():
        torch.testing.assert_close(fast.y, solve(func, y0, t, options=options, **how).y, rtol=0, atol=0)
    assert graphs() == compiled


@torch.no_grad()
def test_complex_numbers_are_not_compiled():
    y0, t = torch.tensor([1.0 + 1.0j]), torch.tensor([0.0, 1.0])
    with pytest.warns(UserWarning, match="no complex numbers"):
        fast = solve(lambda t, y: 1j * y, y0, t, options=COMPILED)
    torch.testing.assert_close(fast.y, solve(lambda t, y: 1j * y, y0, t).y, rtol=0, atol=0)


@pytest.mark.parametrize("gradient", ["backprop", "adjoint"])
def test_other_gradients_are_not_compiled(net, gradient):
    grads = []
    for options in (COMPILED, {}):
        y0 = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
        if options:
            with pytest.warns(UserWarning, match="gradient='checkpoint' is compiled"):
                y = solve(net, y0, T, gradient=gradient, options=options, rtol=1e-3, atol=1e-4).y
        else:
            y = solve(net, y0, T, gradient=gradient, rtol=1e-3, atol=1e-4).y
        grads += torch.autograd.grad(y.sum(), y0)
    torch.testing.assert_close(*grads, rtol=0, atol=0)


def test_without_a_compiler_the_warning_says_so(tmp_path):
    program = """
import torch, odelab
with torch.no_grad():
    y0, t = torch.ones(2), torch.tensor([0.0, 1.0])
    solution = odelab.solve(lambda t, y: -y, y0, t, method="bosh3", options=dict(compile=True))
print("y", solution.y[-1].tolist(), "steps", solution.stats.accepted > 3)
"""
    env = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "not compiled: InvalidCxxCompiler" in done.stderr or "No working C++ compiler found" in done.stderr
    assert "y [0.3678" in done.stdout
    assert "steps True" in done.stdout


@pytest.mark.parametrize(("rows", "columns"), [(50, 2), (9, 8), (2, 50), (8, 8), (50, 9)])
@pytest.mark.parametrize("between", [5, 500])
def test_small_products_are_written_out_and_those_of_few_columns_taken_the_other_way_round(rows, columns, between):
    for a, b in (
        (torch.randn(rows, between), torch.randn(between, columns)),
        (torch.randn(between, rows).t(), torch.randn(columns, between).t()),
    ):
        product = small_or_tall_mm(a, b)
        if rows * between * columns <= SMALL or columns <= NARROW < rows:
            torch.testing.assert_close(product, a @ b, rtol=1e-4, atol=1e-4)
        else:
            assert product is NotImplemented and between == 500
