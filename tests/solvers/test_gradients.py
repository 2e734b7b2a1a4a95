"""Backprop, adjoint and checkpoint against each other, a closed form, finite differences and torchdiffeq."""

import warnings

import pytest
import torch
import torchdiffeq

from odelab import odeint, solve
from tests.solvers.gradient_problems import THREE, TIGHT, Network, inputs, loss_of
from tests.solvers.problems import FIXED, SYMPLECTIC, Linear, gradients, tensor, times


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("gradient", THREE)
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8", "bosh3"])
def test_closed_form_including_every_time(method, gradient, reverse):
    """y0, start, inner and end times, parameters, against autograd through the matrix exponential."""
    field = Linear()
    y0, t, *params = inputs(field)
    when = t.flip(0) if reverse else t
    tolerance = {"rtol": 1e-8, "atol": 1e-9} if method == "bosh3" else TIGHT
    options = {"step_t": when.tolist()[1:-1]}  # outputs at step ends: the interpolant's error stays out of it
    y = solve(field, y0, when, method=method, gradient=gradient, options=options, **tolerance).y
    found = gradients(loss_of(y), y0, t, *params)
    exact = gradients(loss_of(field.exact(y0, when)), y0, t, *params)
    for mine, true in zip(found, exact, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun3", "rk4", "implicit_adams", "rodas3"])
@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
def test_agree_with_backprop_on_other_methods(method, gradient):
    if (method, gradient) == ("implicit_adams", "checkpoint"):
        pytest.skip("a multistep method has no single steps to replay (tested in test_bad_input)")
    field = Linear(2)
    y0 = tensor(0.8, -0.5).requires_grad_()
    leaves = (y0, *field.parameters())
    options = {} if method == "rodas3" else {"step_size": 0.01}
    how = {"method": method, "options": options, "rtol": 1e-5, "atol": 1e-6}
    y = [solve(field, y0, times(1.0, 4), gradient=g, **how).y for g in ("backprop", gradient)]
    torch.testing.assert_close(y[0], y[1])
    for exact, mine in zip(*(gradients(loss_of(x), *leaves) for x in y), strict=True):
        # replaying is exact; the adjoint is as accurate as the method
        tolerance = 1e-11 if gradient == "checkpoint" else {"euler": 0.1}.get(method, 1e-3)
        torch.testing.assert_close(mine, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SYMPLECTIC)
def test_checkpoint_replays_symplectic_steps(name):
    stiffness = tensor(2.0).requires_grad_()
    start = tensor(1.0).requires_grad_(), tensor(0.0).requires_grad_()
    found = []
    for gradient in ("backprop", "checkpoint"):
        field = lambda t, s: (s[1], -stiffness * s[0])  # noqa: E731
        x, v = solve(field, start, times(2.0, 21), method=name, gradient=gradient, params=(stiffness,)).y
        found.append(gradients((x * v).sum(), *start, stiffness))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gradient", THREE)
def test_finite_differences(gradient):
    field = Network()

    def final(y0, end):
        return solve(field, y0, torch.stack([end * 0, end / 3, end]), gradient=gradient, **TIGHT).y[1:]

    assert torch.autograd.gradcheck(
        final, (tensor(0.8, -0.4).requires_grad_(), torch.tensor(1.2).double().requires_grad_())
    )


@pytest.mark.parametrize("method", [name for name in FIXED if name not in SYMPLECTIC])
def test_fixed_grids_differentiate_their_own_steps(method):
    """As torchdiffeq's suite asks: gradcheck through a coarse grid with respect to y0 and every time."""
    field = Linear(2)
    t = tensor(0.0, 0.2, 0.55, 0.7, 1.0).requires_grad_()
    with_t = lambda y0, t: odeint(field, y0, t, method=method)  # noqa: E731
    with warnings.catch_warnings():  # the implicit methods need more iterations on so coarse a grid, and say so
        warnings.filterwarnings("ignore", "Functional iteration did not converge")
        assert torch.autograd.gradcheck(with_t, (tensor(0.8, -0.4).requires_grad_(), t))


@pytest.mark.parametrize("gradient", THREE)
def test_tuple_states_of_several_shapes(gradient):
    a, b = tensor(0.5, 1.0).requires_grad_(), torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    rate = tensor(0.7).requires_grad_()
    field = lambda t, s: (-rate * s[0] + s[1].sum(), s[1] * torch.cos(t))  # noqa: E731
    x, z = solve(field, (a, b), times(1.0, 3), gradient=gradient, params=(rate,), **TIGHT).y
    found = gradients(x[-1].sum() + (z[1] ** 2).sum(), a, b, rate)
    x, z = torchdiffeq.odeint(field, (a, b), times(1.0, 3), **TIGHT)
    for mine, theirs in zip(found, gradients(x[-1].sum() + (z[1] ** 2).sum(), a, b, rate), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-8)


def test_complex_states():
    rate = torch.tensor(-0.3 + 2j, requires_grad=True, dtype=torch.complex128)
    y0 = torch.tensor([1 + 1j], requires_grad=True, dtype=torch.complex128)
    true = gradients((y0 * torch.exp(rate * 1.5)).abs().square().sum(), y0, rate)
    for gradient in THREE:
        y = solve(lambda t, y: rate * y, y0, times(1.5), gradient=gradient, params=(rate,), **TIGHT).y[-1]
        for mine, exact in zip(gradients(y.abs().square().sum(), y0, rate), true, strict=True):
            torch.testing.assert_close(mine, exact, rtol=1e-6, atol=1e-8)


def test_gradients_survive_a_named_jump():
    """f jumps at 0.5; the replayed steps must see each side of it as the solve did."""
    push = tensor(3.0).requires_grad_()
    field = lambda t, y: torch.where(t < 0.5, -y, push + 0 * y)  # noqa: E731
    for gradient in THREE:
        y0 = tensor(1.0).requires_grad_()
        y = solve(field, y0, times(1.0), gradient=gradient, params=(push,), options={"jump_t": [0.5]}, **TIGHT).y
        found = gradients(y[-1].sum(), y0, push)
        torch.testing.assert_close(
            torch.cat(found), torch.cat([torch.exp(tensor(-0.5)), tensor(0.5)]), rtol=1e-7, atol=0
        )


@pytest.mark.parametrize("gradient", THREE)
def test_gradients_survive_a_jump_at_an_output_time(gradient):
    """Backwards, a segment then starts at the jump and must see the side it came from."""
    push, y0 = tensor(3.0).requires_grad_(), tensor(1.0).requires_grad_()
    field = lambda t, y: torch.where(t < 0.5, -y, push * y)  # noqa: E731
    run = solve(field, y0, tensor(0, 0.5, 1), gradient=gradient, params=(push,), options={"jump_t": [0.5]}, **TIGHT)
    exact = y0 * torch.exp(-0.5 + 0.5 * push)
    for mine, true in zip(gradients(run.y[-1].sum(), y0, push), gradients(exact.sum(), y0, push), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-8, atol=0)
    assert run.stats.nfe_backward < 1000


@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
def test_parameters_changed_before_backward_are_noticed(gradient):
    field = Linear(2)
    y = solve(field, tensor(1.0, 0.0), times(1.0), gradient=gradient).y
    with torch.no_grad():
        field.b.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("gradient", THREE)
def test_states_in_any_memory_layout(gradient):
    """Transposed y0 and transposed slopes, also for the method that takes a Jacobian."""
    matrix = torch.rand(3, 2, dtype=torch.float64).requires_grad_()
    for method in ("dopri5", "rodas3"):
        if (method, gradient) == ("rodas3", "adjoint"):
            continue
        y = solve(lambda t, y: -y.T.contiguous().T, matrix.T, times(1.0), method=method, gradient=gradient, params=()).y
        (grad,) = gradients(y[-1].sum(), matrix)
        torch.testing.assert_close(grad, torch.full((3, 2), 0.36787944, dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("options", [{}, {"per_sample": True}])
def test_a_field_may_differentiate_inside_itself(options):
    """A Hamiltonian net takes the gradient of its energy; nothing may switch autograd off around it."""

    def descend(t, y):
        y = y.detach().requires_grad_()
        return -torch.autograd.grad((y**2).sum(), y)[0]

    y = solve(descend, torch.ones(2, 1, dtype=torch.float64), times(1.0), options=options).y[-1]
    torch.testing.assert_close(y, torch.exp(tensor(-2.0)).expand(2, 1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("gradient", ["adjoint"])
@pytest.mark.parametrize("loss", [torch.Tensor.sum, lambda y: y.square().sum()], ids=["constant gradient", "another"])
def test_a_second_derivative_is_refused_in_words(gradient, loss):
    """Also where the gradient that comes in is constant, and what is missing would not be noticed."""
    field, t = torch.nn.Linear(2, 2), torch.tensor([0.0, 1.0])
    y = solve(lambda t, y: field(y).tanh(), torch.ones(2), t, gradient=gradient, params=tuple(field.parameters())).y
    (first,) = torch.autograd.grad(loss(y), field.weight, create_graph=True)
    words = rf"^gradient='{gradient}'.*second derivative: take gradient='backprop'"
    with pytest.raises(RuntimeError, match=words):
        torch.autograd.grad(first.sum(), field.weight, retain_graph=True, allow_unused=True)
    with pytest.raises(RuntimeError, match=words):
        (first.sum() + field.weight.square().sum()).backward()


def test_a_jacobian_is_taken_without_a_visit_to_all_that_the_state_was_computed_from(monkeypatch):
    """Differentiation with respect to a leaf walks through the whole history, at every step of rodas3 again."""
    grad, leaves = torch.autograd.grad, []

    def spy(outputs, inputs, *args, **how):
        leaves.append(any(x.is_leaf for x in (inputs if isinstance(inputs, tuple) else (inputs,))))
        return grad(outputs, inputs, *args, **how)

    y0 = tensor(0.8, -0.5, 0.3).requires_grad_()
    monkeypatch.setattr(torch.autograd, "grad", spy)
    solve(Linear(), y0, times(), method="rodas3", rtol=1e-3, atol=1e-4)
    assert len(leaves) >= 3 and not any(leaves), leaves


@pytest.mark.parametrize("method", ["euler", "rk4", "implicit_euler", "gl4"])
def test_perturbed_steps_keep_the_gradient_of_times(method):
    """func sees times that are moved by a rounding; they have the gradients of those from which they were moved."""
    grads = []
    for perturb in (True, False):
        t = torch.tensor([0.0, 0.5, 1.2], dtype=torch.float64, requires_grad=True)
        y0 = torch.ones(2, dtype=torch.float64)
        y = solve(lambda t, y: torch.sin(t) - y**2, y0, t, method=method, options={"perturb": perturb}).y
        grads += torch.autograd.grad(y.sum(), t)
    torch.testing.assert_close(*grads)
