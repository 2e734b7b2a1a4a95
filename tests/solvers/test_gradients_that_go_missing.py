"""No gradient is lost without a word: it is right, or refused with the way out."""

import warnings

import pytest
import torch
from torch import nn

from odelab import odeint, odeint_adjoint, solve
from tests.solvers.gradient_problems import THREE, Network
from tests.solvers.problems import gradients, tensor, times

REPLAYING = ["adjoint", "checkpoint"]
TIGHT = {"rtol": 1e-9, "atol": 1e-10}
START = tensor(0.8, -0.5)


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4, dtype=torch.float64), nn.Dropout(0.5))

    def forward(self, t, y):
        return self.net(y) * torch.cos(t)


DROPOUT = [
    {"method": "rk4", "options": {"step_size": 0.1}},
    {
        "method": "rk4",
        "options": {"step_size": 0.3, "interp": "cubic"},
    },  # slopes for outputs alone
    {"rtol": 0.3, "atol": 0.3},  # with rejected steps
    {"method": "dopri8", "rtol": 0.3, "atol": 0.3},  # first slopes that were no stage
]


class DroppingLater(Dropping):
    def forward(self, t, y):
        return self.net(y) if float(t.detach()) > 0.4 else 0.1 * self.net[0](y)


@pytest.mark.parametrize("kind", [Dropping, DroppingLater])
@pytest.mark.parametrize("how", DROPOUT, ids=str)
def test_dropout_under_checkpoint_is_that_of_the_forward_pass(how, kind):
    field, y0, t, found = kind(), torch.ones(3, 4, dtype=torch.float64).requires_grad_(), times(1.0, 4), []
    for gradient in ("backprop", "checkpoint"):
        torch.manual_seed(5)
        run = solve(field, y0, t, gradient=gradient, **how)
        after_forward = torch.get_rng_state()
        first = torch.autograd.grad(run.y[1:].square().sum(), (y0, *field.parameters()), create_graph=True)
        grads = gradients(run.y[1:].square().sum(), y0, *field.parameters())
        assert torch.equal(torch.get_rng_state(), after_forward)  # numbers are drawn again, and no others
        second = gradients(sum(g.square().sum() for g in first), y0, *field.parameters())
        found.append([run.y, *grads, *second, tensor(run.stats.nfe, run.stats.accepted, len(run.stats.steps))])
    for exact, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-10, atol=1e-12)


def test_dropout_where_steps_are_not_replayed_with_it_keeps_the_graph():
    field, y0, found = Dropping(), torch.ones(1, 4, dtype=torch.float64), []
    for gradient in ("backprop", "checkpoint"):
        torch.manual_seed(5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = solve(field, y0, times(), method="rodas3", gradient=gradient, rtol=0.3, atol=0.3).y
        assert (gradient == "checkpoint") == any("random" in str(warning.message) for warning in caught)
        found.append(gradients(y[-1].square().sum(), *field.parameters()))
    for exact, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gradient", THREE)
def test_a_func_without_random_numbers_does_not_pay_for_them(gradient, monkeypatch):
    asked, get = [], torch.random.get_rng_state
    monkeypatch.setattr(torch.random, "get_rng_state", lambda: asked.append(1) or get())
    for end in (1.0, 10.0):
        run = solve(Network(), START, times(end), gradient=gradient, **TIGHT)
        run.y.sum().backward()
    assert run.stats.accepted > 20 and len(asked) <= 2 * (0 if gradient == "backprop" else 3)


def test_dropout_under_adjoint_is_refused():
    for field in (Dropping(), DroppingLater()):
        with pytest.raises(ValueError, match=r"random numbers.*backprop"):
            solve(field, torch.ones(3, 4, dtype=torch.float64), times(), gradient="adjoint", rtol=0.3, atol=0.3)
    field = Dropping().eval()
    solve(field, torch.ones(3, 4, dtype=torch.float64), times(), gradient="adjoint")


@pytest.mark.parametrize("gradient", REPLAYING)
def test_the_backward_pass_computes_in_the_precision_of_the_forward_pass(gradient):
    dtypes = []

    class Watched(Network):
        def forward(self, t, y):
            slope = self.net(y)
            dtypes.append(slope.dtype)
            return slope.to(y.dtype)

    field = Watched(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = solve(field, START.float(), times(dtype=torch.float32), gradient=gradient, rtol=1e-3, atol=1e-3).y
    forward = len(dtypes)
    y.sum().backward()
    assert len(dtypes) > forward and set(dtypes) == {torch.bfloat16}


@pytest.mark.parametrize("gradient", THREE)
def test_weights_given_by_functional_call(gradient):
    field = Network()

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.field = field

        def forward(self, y):
            return solve(self.field, y, times(), gradient=gradient, **TIGHT).y[-1]

    block = Block()
    given = {name: (p.detach() * 1.5).requires_grad_() for name, p in block.named_parameters()}
    mine = gradients(torch.func.functional_call(block, given, (START,)).square().sum(), *given.values())
    with torch.no_grad():
        for p in field.parameters():
            p.mul_(1.5)
    right = gradients(solve(field, START, times(), **TIGHT).y[-1].square().sum(), *field.parameters())
    for a, b in zip(mine, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("gradient", REPLAYING)
def test_parameters_that_func_no_longer_uses_backwards_are_missed(gradient):
    """A closure over weights that have been swapped for the time of the solve."""
    weights = [tensor(0.5).requires_grad_()]
    y = solve(lambda t, y: -weights[0] * y, START, times(), gradient=gradient, params=tuple(weights)).y
    weights[0] = tensor(0.5).requires_grad_()
    with pytest.raises(RuntimeError, match="does not depend on it backwards"):
        y.sum().backward()


@pytest.mark.parametrize("params", [None, ()])
@pytest.mark.parametrize("gradient", REPLAYING)
@pytest.mark.parametrize("kind", ["leaf", "computed", "y0"])
def test_tensors_that_func_uses_and_nobody_lists(gradient, kind, params):
    leaf = START.clone().requires_grad_()
    context = {"leaf": leaf, "computed": leaf.exp(), "y0": leaf}[kind]
    y0 = leaf if kind == "y0" else START

    class Conditioned(nn.Module):
        def forward(self, t, y):
            return -y * context

    with pytest.raises(ValueError, match=r"shape \(2,\).*params"):
        solve(Conditioned(), y0, times(), gradient=gradient, params=params)
    with torch.no_grad():
        solve(Conditioned(), y0, times(), gradient=gradient, params=params)
    listed = solve(Conditioned(), y0, times(), gradient=gradient, params=(context,), **TIGHT).y
    exact = solve(Conditioned(), y0, times(), **TIGHT).y
    torch.testing.assert_close(gradients(listed[-1].sum(), leaf), gradients(exact[-1].sum(), leaf), rtol=1e-6, atol=0)


def test_torchdiffeqs_list_of_parameters_may_leave_some_out_with_a_warning():
    field = Network()
    with pytest.warns(UserWarning, match="gets no gradient"):
        odeint_adjoint(field, START, times(), adjoint_params=tuple(field.parameters())[:2])


@pytest.mark.parametrize("gradient", REPLAYING)
def test_a_leaf_that_func_makes_for_itself_is_none_of_ours(gradient):
    """Fields that differentiate inside themselves: Hamiltonian nets, FFJORD's divergence."""

    class Energy(nn.Module):
        def __init__(self):
            super().__init__()
            self.rate = nn.Parameter(tensor(0.5))

        def forward(self, t, y):
            with torch.enable_grad():
                point = y.detach().requires_grad_()
                y.requires_grad_()
                slope = torch.autograd.grad((self.rate * point**2).sum(), point, create_graph=True)[0]
            return -slope + 0 * y

    with torch.no_grad():
        solve(Energy(), START, times(), gradient=gradient)
    assert solve(Energy(), START, times(), gradient=gradient).y.requires_grad


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "rk4"])
def test_checkpoint_gradients_can_be_differentiated_again(method):
    found, options = [], {"step_size": 0.1, "interp": "cubic"} if method == "rk4" else {}
    for gradient in ("backprop", "checkpoint"):
        field, y0, t = Network(), START.clone().requires_grad_(), tensor(0.0, 0.45, 1.0).requires_grad_()
        y = solve(field, y0, t, method=method, gradient=gradient, options=options).y
        first = torch.autograd.grad(y[1:].sum(), (y0, t, *field.parameters()), create_graph=True)
        penalty = sum(g.square().sum() for g in first)
        found.append([penalty, *gradients(penalty, y0, *field.parameters())])
    for mine, exact in zip(*reversed(found), strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-9, atol=1e-11)


def test_params_that_were_computed_are_differentiated_once():
    """A list of both a tensor and what it was computed from would count paths twice."""
    leaf = START.clone().requires_grad_()
    y = solve(lambda t, y: -leaf.exp() * y, START, times(), gradient="checkpoint", params=(leaf,)).y
    (first,) = torch.autograd.grad(y[-1].sum(), leaf, create_graph=True)
    assert gradients(first.sum(), leaf)[0].abs().min() > 0.01
    context = leaf.exp()
    y = solve(lambda t, y: -context * y, START, times(), gradient="checkpoint", params=(context,)).y
    (again,) = torch.autograd.grad(y[-1].sum(), leaf, create_graph=True)
    torch.testing.assert_close(again, first)
    with pytest.raises(RuntimeError, match="gradient='backprop'"):
        again.sum().backward()


@pytest.mark.parametrize("kind", ["y0", "parameter", "t"])
def test_scipy_records_nothing_and_says_so(kind):
    field = Network().requires_grad_(kind == "parameter")
    y0, t = START.clone().requires_grad_(kind == "y0"), times().requires_grad_(kind == "t")
    with pytest.raises(ValueError, match=r"scipy_solver.*gradient='adjoint'"):
        odeint(field, y0, t, method="scipy_solver")
    with torch.no_grad():
        odeint(field, y0, t, method="scipy_solver")


class Conditioned(nn.Module):
    """A field with a context kept on it, and statistics of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 3).double()
        self.norm = nn.InstanceNorm1d(3, track_running_stats=True).double()
        self.batch = nn.BatchNorm1d(3).double()
        self.context = torch.zeros(4, 3).double()
        self.nested: list[torch.Tensor] = []

    def forward(self, t, y):
        x = self.batch(self.mix(y)) + self.norm(y.mT[None]).mT[0]
        return torch.tanh(x + self.context + sum(self.nested))


@pytest.mark.parametrize("method", ["dopri5", "rk4", "kvaerno3"])
@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_a_context_that_was_replaced_before_the_backward_pass(gradient, method):
    """Two solves with contexts of their own, and one backward pass of both, which used that of the second for both."""
    grads, how = {}, {"method": method, "options": {"step_size": 0.1} if method == "rk4" else {}}
    for way in ("backprop", gradient):
        torch.manual_seed(0)
        field, y0, total = Conditioned().eval(), torch.randn(4, 3).double(), torch.zeros(()).double()
        for _ in range(2):
            field.context = torch.randn(4, 3).double()
            y = solve(field, y0, times(), gradient=way, rtol=1e-6, atol=1e-8, **how).y
            total = total + (y[-1] ** 2).sum()
        field.train()
        total.backward()
        assert field.training and field.mix.weight.grad is not None
        grads[way] = field.mix.weight.grad
    torch.testing.assert_close(grads[gradient], grads["backprop"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["dopri5", "rk4", "kvaerno3"])
def test_a_context_hidden_from_the_solver_is_noticed(method):
    field, y0 = Conditioned().eval(), torch.randn(4, 3).double()
    for gradient in ("checkpoint", "adjoint"):
        field.nested = [torch.randn(4, 3).double()]
        y = solve(field, y0, times(), gradient=gradient, method=method, rtol=1e-3, atol=1e-3).y
        field.nested = [torch.randn(4, 3).double()]
        if gradient == "adjoint" and method != "dopri5":
            continue  # they do not know the last slope
        with pytest.warns(UserWarning, match="func gives other slopes in the backward pass"):
            y[-1].sum().backward()


@pytest.mark.parametrize("method", ["dopri5", "rk4", "rodas3", "kvaerno3"])
@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_statistics_of_a_field_are_not_updated_a_second_time(gradient, method):
    """As the forward pass left them; torch.utils.checkpoint counts its replay, too."""
    field, y0 = Conditioned(), torch.randn(4, 3).double()
    y = solve(field, y0, times(), gradient=gradient, method=method, rtol=0.1, atol=0.1).y
    before = {name: buffer.clone() for name, buffer in field.named_buffers()}
    assert before["batch.num_batches_tracked"] >= 4
    y[-1].sum().backward()
    for name, buffer in field.named_buffers():
        assert torch.equal(buffer, before[name]), name


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_a_scripted_field(gradient):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh()).double()

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with warnings.catch_warnings():  # torch.jit is deprecated, and old models are made of it
                warnings.simplefilter("ignore")
                self.net = torch.jit.script(net)

        def forward(self, t, y):
            return self.net(y)

    grads = []
    for way in ("backprop", gradient):
        net.zero_grad()
        solve(Field(), torch.ones(3).double(), times(), gradient=way).y[-1].sum().backward()
        grads.append(net[0].weight.grad.clone())
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_statistics_of_a_scripted_field_are_not_updated_a_second_time(gradient):
    """Batch norm's were, and so was what the field counts: 14 evaluations became 26."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.batch = nn.Linear(3, 3), nn.BatchNorm1d(3)
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("total", torch.zeros(()))

        def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.total = self.total + y.detach().abs().mean()
            return torch.tanh(self.batch(self.net(y)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        field = torch.jit.script(Counting().double())
    run = solve(field, torch.randn(8, 3).double(), times(), gradient=gradient, rtol=1e-3, atol=1e-3)
    before = {name: buffer.clone() for name, buffer in field.named_buffers()}
    assert float(before["calls"]) == run.stats.nfe and float(before["total"]) > 0
    run.y[-1].square().sum().backward()
    for name, buffer in field.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert field.net.weight.grad is not None


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_weights_computed_before_the_solve_are_told_of_in_words(gradient):
    class LowRank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.ones(2, 1).double()), nn.Parameter(torch.ones(1, 2).double())
            self.w = self.a @ self.b

        def forward(self, t, y):
            return torch.tanh(y @ self.w)

    field = LowRank()
    with pytest.raises(RuntimeError, match=r"computed from its parameters before this evaluation.*params=\(…\)"):
        solve(field, START, times(), gradient=gradient).y[-1].sum().backward()
    grads = []
    for way in ("backprop", gradient):
        field = LowRank()
        solve(field, START, times(), gradient=way, params=(field.w,)).y[-1].sum().backward()
        grads.append(field.a.grad)
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gradient", REPLAYING)
def test_a_hook_of_a_parameter_meets_its_gradient_once(gradient):
    def halved(how):
        net = nn.Linear(2, 2, dtype=torch.float64)
        with torch.no_grad():
            net.weight.copy_(torch.tensor([[-0.3, 0.8], [-0.6, 0.1]]))
            net.bias.zero_()
        field, met = Wrapped(net), []
        net.weight.register_hook(lambda grad: met.append(1) or grad / 2)
        solve(field, START, times(1.0, 3), gradient=how, **TIGHT).y[-1].sum().backward()
        return net.weight.grad, len(met), net.weight

    right, _, _ = halved("backprop")
    grad, count, weight = halved(gradient)
    torch.testing.assert_close(grad, right, rtol=1e-6, atol=1e-8)
    assert count == 1 and weight._backward_hooks  # and it stays


class Wrapped(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, t, y):
        return torch.tanh(self.net(y))


@pytest.mark.parametrize("gradient", REPLAYING)
def test_a_parameter_that_is_listed_twice_counts_once(gradient):
    rate = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    end = solve(lambda t, y: rate * y, START, times(1.0, 2), gradient=gradient, params=[rate, rate], **TIGHT).y[-1]
    (grad,) = torch.autograd.grad(end.sum(), rate)
    torch.testing.assert_close(grad, (START * torch.exp(rate.detach())).sum(), rtol=1e-6, atol=1e-8)
