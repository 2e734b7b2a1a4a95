"""Implicit Runge–Kutta methods: Newton's iteration, its gradients, its Jacobians, and what they are refused for."""

import math
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from odelab import odeint, solve
from odelab.solvers import METHODS, NewtonFailure
from tests.solvers.gradient_problems import THREE, inputs, loss_of
from tests.solvers.problems import IMPLICIT, Linear, gradients, tensor

PAIRS = [name for name in IMPLICIT if METHODS[name]({}).adaptive]
LOOSE = {"rtol": 1e-4, "atol": 1e-6}


class Bent(nn.Module):
    """Nonlinear and nonautonomous, so that Newton's iteration has something to do."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(tensor(1.5, 0.7))

    def forward(self, t, y):
        return -self.rate * y**3 + torch.sin(3 * t) * y.flip(-1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("gradient", THREE)
@pytest.mark.parametrize("method", ["radauIIA5", "kvaerno5"])
def test_gradients_against_a_closed_form(method, gradient, reverse):
    """y0, every time and every parameter, through the steps that the error estimate chose."""
    field = Linear()
    y0, t, *params = inputs(field)
    when = t.flip(0) if reverse else t
    y = solve(field, y0, when, method=method, gradient=gradient, rtol=1e-7, atol=1e-8).y
    exact = gradients(loss_of(field.exact(y0, when)), y0, t, *params)
    for mine, true in zip(gradients(loss_of(y), y0, t, *params), exact, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
@pytest.mark.parametrize("method", IMPLICIT)
def test_the_implicit_function_theorem_gives_the_gradient_of_the_steps_themselves(method, gradient):
    """On a coarse grid, where the method is far from the solution; outputs between the steps too."""
    field = Bent()

    def end(y0, t, rate):
        field.rate.data = rate.data
        func = torch.func.functional_call
        run = solve(
            lambda t, y: func(field, {"rate": rate}, (t, y)),
            y0,
            t,
            method=method,
            gradient=gradient,
            options={"step_size": 0.25, "interp": "cubic"},
            params=(rate,),
        )
        return run.y

    leaves = tensor(0.8, -0.4).requires_grad_(), tensor(0.0, 0.6, 1.0).requires_grad_(), tensor(1.5, 0.7)
    leaves[2].requires_grad_()
    found, values = end(*leaves), []
    mine = gradients(found[-1].square().sum() + found[1].sum(), leaves[0], leaves[2])
    for leaf, grad in zip((leaves[0], leaves[2]), mine, strict=True):
        for i in range(2):
            for shift in (1e-5, -1e-5):
                moved = [x.detach().clone() for x in leaves]
                moved[0 if leaf is leaves[0] else 2][i] += shift
                y = end(*moved)
                values.append(float(y[-1].square().sum() + y[1].sum()))
            assert float(grad[i]) == pytest.approx((values[-2] - values[-1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("gradient", THREE)
def test_gradcheck(gradient):
    field = Bent()

    def final(y0, t):
        return solve(field, y0, t, method="radauIIA5", gradient=gradient, rtol=1e-8, atol=1e-9).y[1:]

    assert torch.autograd.gradcheck(final, (tensor(0.8, -0.4).requires_grad_(), tensor(0.0, 0.4).requires_grad_()))


@pytest.mark.parametrize("method", ["implicit_euler", "radauIIA3", "kvaerno3"])
def test_what_is_recorded_does_not_grow_with_newtons_iterations(method):
    """A state for which the stages take more iterations keeps no more for the backward pass."""

    def kept(size):
        sizes = []
        y0 = tensor(size, 0.5 * size).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            run = solve(lambda t, y: -(y**3), y0, tensor(0.0, 1.0), method=method, options={"step_size": 0.5})
        return sum(sizes), run.stats.nfe

    (few, short), (many, long) = kept(0.01), kept(0.9)
    assert long > 1.3 * short and many == few


def test_a_second_derivative_is_refused_in_words():
    y0 = tensor(1.0, 0.5).requires_grad_()
    for gradient in ("backprop", "checkpoint"):
        y = solve(
            lambda t, y: -(y**3), y0, tensor(0.0, 1.0), method="kvaerno3", gradient=gradient, params=(), **LOOSE
        ).y
        (first,) = torch.autograd.grad(y[-1].sum(), y0, create_graph=True)
        with pytest.raises(RuntimeError, match=r"implicit methods can be differentiated once.*'rodas3'"):
            torch.autograd.grad(first.sum(), y0)


@pytest.mark.parametrize("gradient", THREE)
def test_tuples_batches_and_complex_states(gradient):
    rate = torch.tensor(-3 + 2j, dtype=torch.complex128, requires_grad=True)
    y0 = torch.tensor([[1 + 1j], [2.0]], dtype=torch.complex128, requires_grad=True)
    how = {"method": "radauIIA5", "gradient": gradient, "params": (rate,), "rtol": 1e-8, "atol": 1e-10}
    y = solve(lambda t, y: rate * y.conj().conj(), y0, tensor(0.0, 1.5), **how).y[-1]
    true = gradients((y0 * torch.exp(rate * 1.5)).abs().square().sum(), y0, rate)
    for mine, exact in zip(gradients(y.abs().square().sum(), y0, rate), true, strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-5, atol=1e-7)
    pair = tensor(1.0, 2.0).requires_grad_(), tensor(3.0).requires_grad_()
    x, z = solve(lambda t, s: (-s[0] * s[1], -s[1]), pair, tensor(0.0, 1.0), **{**how, "params": ()}).y
    factor = torch.exp(-pair[1] * (1 - torch.exp(tensor(-1.0))))
    torch.testing.assert_close(x[-1], pair[0] * factor, rtol=1e-6, atol=0)
    for mine, exact in zip(gradients(x[-1].sum(), *pair), gradients((pair[0] * factor).sum(), *pair), strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-5, atol=0)
    assert z.shape == (2, 1)


@pytest.mark.parametrize("method", IMPLICIT)
def test_float32_and_backwards_in_time(method):
    t = torch.tensor([1.0, 0.4, 0.0])
    how = {"rtol": 1e-4, "atol": 1e-5} if method in PAIRS else {"options": {"step_size": 0.01}}
    y = solve(lambda t, y: -3 * y + torch.sin(t), torch.tensor([[0.5, 1.0]]), t, method=method, **how).y
    exact = solve(lambda t, y: -3 * y + torch.sin(t), torch.tensor([[0.5, 1.0]]).double(), t.double()).y
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), exact, rtol=0.1 if method == "implicit_euler" else 1e-2, atol=0)


class Rowwise(nn.Module):
    """Four rows, from not stiff to very."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(tensor(1.0, 30.0, 1e3, 1e5)[:, None])

    def forward(self, t, y):
        return -self.rate * (y - torch.cos(t)) + 0.1 * y.flip(-1) ** 2


@pytest.mark.parametrize("method", ["radauIIA5", "kvaerno3", "trbdf2"])
def test_rows_with_steps_and_jacobians_of_their_own(method):
    """Each row as if it were solved alone, its gradient too; also between the steps."""
    field, y0, t = Rowwise(), torch.full((4, 2), 1.5, dtype=torch.float64).requires_grad_(), tensor(0.0, 0.3, 1.0)
    how = {"method": method, "rtol": 1e-6, "atol": 1e-8}
    run = solve(field, y0, t, options={"per_sample": True}, **how)
    whole = solve(field, y0, t, method="radauIIA5", rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(run.y, whole.y, rtol=0, atol=3e-5)
    assert run.rows.accepted[0] < 0.5 * run.rows.accepted[2]
    leaves = (y0, field.rate)
    for mine, exact in zip(
        gradients(run.y.square().sum(), *leaves), gradients(whole.y.square().sum(), *leaves), strict=True
    ):
        torch.testing.assert_close(mine, exact, rtol=1e-3, atol=1e-5)


def test_a_row_of_its_own_needs_no_matrix_of_all_rows():
    y0 = torch.ones(3000, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"3000 × 3000.*per_sample=True"):
        solve(lambda t, y: -y, y0, tensor(0.0, 1.0), method="kvaerno3")
    y = solve(lambda t, y: -y, y0, tensor(0.0, 1.0), method="kvaerno3", options={"per_sample": True}, **LOOSE).y
    torch.testing.assert_close(y[-1], torch.exp(tensor(-1.0)).expand(3000, 1), rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="2049 × 2049"):  # three stages of 683 numbers
        solve(lambda t, y: -y, torch.ones(683), torch.tensor([0.0, 1.0]), method="radauIIA5")


def test_a_field_whose_backward_pass_cannot_be_batched():
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, grad):
            return grad * torch.from_numpy(np.cos(ctx.saved_tensors[0].detach().numpy()))

    rate = tensor(1.5).requires_grad_()
    found = []
    for sine in (Sine.apply, torch.sin):
        y0 = tensor(1.0, 2.0).requires_grad_()
        y = solve(lambda t, y: rate * sine(y), y0, tensor(0.0, 1.0), method="radauIIA5", **LOOSE).y  # noqa: B023
        found.append(gradients(y.sum(), y0, rate))
    for mine, exact in zip(*found, strict=True):
        torch.testing.assert_close(mine, exact)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", ["kvaerno3", "rodas3"])
def test_jacobians_need_no_permission_to_record(method, mode):
    """Without its Jacobian rodas3 would be of a lower order, and wrong in the fourth digit here."""

    def run():
        return solve(lambda t, y: -(y**3), tensor(1.0), tensor(0.0, 1.5), method=method, rtol=1e-6, atol=1e-8)

    with mode():
        inside = run()
    outside = run()
    assert float(inside.y[-1]) == pytest.approx(0.5, rel=1e-4) and not inside.y.requires_grad
    assert inside.stats.accepted == outside.stats.accepted
    torch.testing.assert_close(inside.y.clone(), outside.y)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("method", ["implicit_euler", "radauIIA5", "kvaerno5", "rodas3"])
def test_y_changed_in_place_is_refused_in_words(method, mode):
    with mode(), pytest.raises(ValueError, match="func changed y in place"):
        solve(lambda t, y: y.mul_(-1.0), tensor(1.0, 2.0), tensor(0.0, 1.0), method=method)


def test_stages_that_are_not_found_end_a_fixed_grid_in_words():
    with pytest.raises(NewtonFailure, match=r"Newton's iteration.*'gl4'.*step_size") as failure:
        solve(lambda t, y: y**2 + 1, tensor(0.0), tensor(0.0, 4.0), method="gl4", options={"step_size": 4.0})
    assert failure.value.t == 0.0 and failure.value.dt == 4.0 and failure.value.nfe > 0
    with pytest.raises(NewtonFailure, match="did not converge in 2 iterations"):
        solve(lambda t, y: -(y**3), tensor(2.0), tensor(0.0, 0.5), method="implicit_euler", options={"max_iters": 2})
    with pytest.raises(NewtonFailure, match="NaN or infinite"):
        solve(lambda t, y: y / 0.0, tensor(1.0), tensor(0.0, 1.0), method="implicit_euler")


def test_stages_that_are_not_found_halve_an_adaptive_step():
    run = solve(lambda t, y: -(y**3), tensor(50.0), tensor(0.0, 1.0), method="radauIIA5", options={"first_step": 1.0})
    first, second = run.stats.steps[:2]
    assert not first.accepted and first.error_ratio == math.inf and second.dt == 0.5 * first.dt
    assert float(run.y[-1]) == pytest.approx((50.0**-2 + 2) ** -0.5, rel=1e-5)


def test_an_adaptive_method_that_never_finds_its_stages_says_so():
    """No step is short enough to reach what lies behind t = 1/2."""
    with pytest.raises(NewtonFailure, match=r"NaN or infinite.*no step is short enough.* t = 0.5") as failure:
        solve(lambda t, y: -y / (t < 0.5), tensor(1.0), tensor(0.0, 1.0), method="kvaerno3", **LOOSE)
    assert failure.value.t == pytest.approx(0.5) and 0.5 < float(failure.value.states[0]) <= 1


@pytest.mark.parametrize("method", ["radauIIA5", "sdirk2", "trbdf2"])
def test_who_chooses_the_steps(method):
    t, field = tensor(0.0, 0.5, 1.0), lambda t, y: -y
    steps = lambda run: run.stats.accepted  # noqa: E731
    adaptive = steps(solve(field, tensor(1.0), t, method=method))
    assert adaptive > 10 and steps(solve(field, tensor(1.0), t, method=method, options={"step_size": 0.1})) == 10
    assert steps(solve(field, tensor(1.0), t, method=method, options={"adaptive": False})) == 2
    heard = []
    field = Heard(heard)
    odeint(field, tensor(1.0), t, method=method)  # as in torchdiffeq
    assert len(heard) == 2
    odeint(field, tensor(1.0), t, method=method, options={"adaptive": True})
    assert len(heard) == 2 + adaptive
    for options, why in (({"adaptive": True, "step_size": 0.1}, "fixed grids"), ({"max_iters": 0}, "positive")):
        with pytest.raises(ValueError, match=why):
            solve(field, tensor(1.0), t, method=method, options=options)


def test_a_method_without_an_error_estimate_cannot_choose():
    with pytest.raises(ValueError, match="'gl4' cannot be True: it has no error estimate"):
        solve(lambda t, y: -y, tensor(1.0), tensor(0.0, 1.0), method="gl4", options={"adaptive": True})


class Heard:
    def __init__(self, log):
        self.callback_step = lambda t, y, dt: log.append(dt)

    def __call__(self, t, y):
        return -y


def test_jumps_and_a_method_that_looks_beyond_its_steps():
    kick = lambda t, y: torch.where(t < 0.5, -y, 3.0 + 0 * y)  # noqa: E731
    run = solve(kick, tensor(1.0), tensor(0.0, 1.0), method="radauIIA5", options={"jump_t": [0.5]})
    assert float(run.y[-1]) == pytest.approx(math.exp(-0.5) + 1.5, abs=1e-6)
    with pytest.raises(ValueError, match=r"'kvaerno5' asks func up to 23% of a step behind its end.*'radauIIA5'"):
        solve(kick, tensor(1.0), tensor(0.0, 1.0), method="kvaerno5", options={"jump_t": [0.5]})


@pytest.mark.parametrize("stiffness", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("method", [*PAIRS, "rodas3"])
def test_output_times_inside_long_steps(method, stiffness):
    """cos t, which all solutions join at once: where the steps are long, slopes hold its error times the stiffness."""
    t = torch.linspace(0.0, 1.0, 41, dtype=torch.float64)
    field = lambda t, y: -stiffness * (y - torch.cos(t)) - torch.sin(t)  # noqa: E731
    y = solve(field, tensor(2.0), t, method=method, rtol=1e-5, atol=1e-7).y[:, 0]
    assert float((y - torch.cos(t) - torch.exp(-stiffness * t)).abs().max()) < 3e-4


@pytest.mark.parametrize("gradient", THREE)
@pytest.mark.parametrize("method", ["implicit_midpoint", "radauIIA5", "kvaerno3"])
def test_every_evaluation_is_counted(method, gradient):
    asked = []

    class Counted(Bent):
        def forward(self, t, y):
            asked.append(t)
            return super().forward(t, y)

    y0 = tensor(0.8, -0.4).requires_grad_()
    run = solve(Counted(), y0, tensor(0.0, 0.25, 1.0), method=method, gradient=gradient, **LOOSE)
    assert run.stats.nfe == len(asked)
    run.y.sum().backward()
    assert run.stats.nfe + run.stats.nfe_backward == len(asked)
    assert (run.stats.nfe_backward > 0) == (gradient != "backprop")


@pytest.mark.parametrize("method", [name for name in IMPLICIT if name != "kvaerno5"])
def test_func_is_asked_nowhere_outside_the_interval(method):
    asked = []

    def field(t, y):
        asked.append(float(t))
        return -y

    how = {"rtol": 1e-3, "atol": 1e-4} if method in PAIRS else {"options": {"step_size": 0.3}}
    solve(field, tensor(1.0), tensor(0.0, 0.1, 1.0), method=method, **how)
    assert min(asked) >= 0.0 and max(asked) <= 1.0


@pytest.mark.parametrize("gradient", THREE)
@pytest.mark.parametrize("method", ["implicit_euler", "radauIIA3", "gl4"])
def test_a_stiff_problem_on_a_coarse_grid(method, gradient):
    """dt |∂f/∂y| = 300 from the first step on: without its Jacobian no stage is found."""
    rate = tensor(3e3).requires_grad_()
    field = lambda t, y: -rate * (y - 2)  # noqa: E731
    how = {"method": method, "gradient": gradient, "params": (rate,), "options": {"step_size": 0.1}}
    y = solve(field, tensor(2.5), tensor(0.0, 0.5, 1.0), **how).y
    factor = {"implicit_euler": 1 / 301, "radauIIA3": (1 - 100) / (1 + 200 + 300**2 / 6)}
    factor["gl4"] = (1 - 150 + 300**2 / 12) / (1 + 150 + 300**2 / 12)
    torch.testing.assert_close(y[-1], tensor(2 + 0.5 * factor[method] ** 10))
    lost = gradient == "adjoint" and method != "gl4"  # the layer at the start, for whoever comes from behind
    with pytest.warns(UserWarning, match="y backwards") if lost else nullcontext():
        assert gradients(y[-1].sum(), rate)[0].isfinite().all()


@pytest.mark.parametrize("method", ["kvaerno5", "rodas3", "implicit_euler"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_refused_in_words(method, dtype):
    with pytest.raises(ValueError, match=rf"{method}.*{dtype}.*y0\.float"):
        solve(lambda t, y: -y, torch.ones(2, dtype=dtype), [0.0, 1.0], method=method, rtol=0.1, atol=0.1)


def test_dense_output_at_a_list_of_times_at_none_and_at_a_table():
    dense = solve(lambda t, y: -y, tensor(1.0, 2.0), tensor(0.0, 1.0), method="kvaerno3", dense=True).dense
    torch.testing.assert_close(dense([0.1, 0.9]), dense(tensor(0.1, 0.9)))
    assert dense(tensor(0.1, 0.9)[:0]).shape == (0, 2)
    with pytest.raises(ValueError, match=r"times \(n,\), got shape \(2, 2\)"):
        dense(torch.zeros(2, 2))


def test_rodas3_warns_where_autograd_does_not_see_what_func_does() -> None:
    """Its Jacobian would be zero in silence, and its order lost; a func that is constant warns of nothing."""
    y0, t = torch.ones(1, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    with pytest.warns(UserWarning, match="rodas3 needs the derivatives of func, and autograd sees none"):
        y = solve(lambda t, y: -y.detach(), y0, t, method="rodas3").y
    assert abs(y[-1] - math.exp(-1)) > 1e-5, "so the warning has a reason"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert abs(solve(lambda t, y: torch.full_like(y, 2.0), y0, t, method="rodas3").y[-1] - 3) < 1e-6
        assert abs(solve(lambda t, y: -y, y0, t, method="rodas3").y[-1] - math.exp(-1)) < 1e-6
