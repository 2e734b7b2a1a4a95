"""Costs of paths, learned and random end times, copies with other settings, and what is refused."""

import pytest
import torch
from numpy.polynomial.legendre import leggauss
from torch import nn
from torch.autograd.functional import jacobian
from torch.distributions import MultivariateNormal, Normal

from odelab.divergence import check_field
from odelab.flows import CNF, exact_divergence
from odelab.nets import MLPField
from tests.flows.flow_problems import LinearField, gradient, mlp, points

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def test_costs_are_integrals_along_the_path():
    """Against Gauss–Legendre quadrature of ‖f‖² and of ‖J‖²_F by autograd at states of the trajectory."""
    flow, x = CNF(mlp(), regularizers=("kinetic", "jacobian"), **TIGHT), points(4)
    nodes, weights = map(torch.from_numpy, leggauss(12))
    t, weights = (nodes + 1) / 2, weights / 2
    z, _ = flow.trajectory(x, t)
    kinetic = sum(w * flow.field(s, y).square().sum(-1) for s, w, y in zip(t, weights, z, strict=True))
    frobenius = torch.zeros(4, dtype=torch.float64)
    for s, w, y in zip(t, weights, z.detach(), strict=True):
        full = torch.stack([jacobian(lambda row, s=s: flow.field(s, row), row) for row in y])
        frobenius += w * full.square().sum((-2, -1))
    log_prob, costs = flow.log_prob_and_costs(x)
    torch.testing.assert_close(costs["kinetic"], kinetic, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(costs["jacobian"].detach(), frobenius, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(log_prob, flow.log_prob(x), rtol=0, atol=1e-8)


def test_the_estimated_jacobian_cost_of_a_linear_field():
    torch.manual_seed(0)
    flow = CNF(LinearField(points(2, 2)), divergence="hutchinson", n_probes=2, noise="gaussian", rtol=1e-3)
    _, costs = flow.log_prob_and_costs(points(4000), ["jacobian"])
    assert abs(costs["jacobian"].mean() / flow.field.matrix.square().sum() - 1) < 0.1


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_costs_do_not_change_the_steps(method):
    """The regularizers' states are outside error control, forward and in the adjoint."""
    field, x = mlp(scale=4.0), points()
    seen = []
    for names in ((), ("kinetic",), ("kinetic", "jacobian")):
        how = {"steps": 3} if method == "rk4" else {}
        flow = CNF(field, method=method, gradient="adjoint", regularizers=names, **how)
        log_prob, costs = flow.log_prob_and_costs(x)
        assert set(costs) == set(names)
        log_prob.sum().backward()
        seen.append((flow.stats.nfe, flow.stats.nfe_backward, [(s.t, s.accepted) for s in flow.stats.steps]))
    assert seen[0][0] == seen[1][0] == seen[2][0] and seen[0][1] == seen[1][1] == seen[2][1]
    assert seen[0][2] == seen[1][2] == seen[2][2]


def test_without_regularizers_nothing_of_them_is_computed():
    """log_prob never asks for more than the divergence, whatever training adds."""
    field, asked = mlp(), []

    class Watched(nn.Module):
        dim = 2

        def __init__(self):
            super().__init__()
            self.field = field

        def forward(self, t, z):
            return self.field(t, z)

        def with_divergence(self, t, z):
            asked.append("divergence")
            f, products = field.jvp(t, z, torch.eye(2, dtype=z.dtype)[:, None])
            return f, products.diagonal(dim1=0, dim2=-1).sum(-1)

        def jvp(self, t, z, v):
            asked.append("jacobian")
            return field.jvp(t, z, v)

    flow = CNF(Watched(), regularizers=("kinetic", "jacobian"))
    flow.log_prob(points())
    assert set(asked) == {"divergence"}
    flow.log_prob_and_costs(points())
    assert set(asked) == {"divergence", "jacobian"}


def test_a_learned_end_time_is_in_the_graph():
    """For dz/dt = a z in one dimension everything is known: log p = log q(x e^{a t1}) + a t1."""
    a, x = 0.7, torch.tensor([[0.4], [-1.1]], dtype=torch.float64)
    for how in ("backprop", "checkpoint", "adjoint"):
        field, t1 = LinearField(torch.tensor([[a]]).double()), nn.Parameter(torch.tensor(0.6).double())
        flow = CNF(field, t1=t1, gradient=how, **TIGHT)
        assert any(p is t1 for p in flow.parameters())
        flow.log_prob(x).sum().backward()
        s = torch.tensor([a, 0.6], dtype=torch.float64, requires_grad=True)
        (Normal(0, 1).log_prob(x * (s[0] * s[1]).exp()).sum() + 2 * s[0] * s[1]).backward()
        torch.testing.assert_close(t1.grad, s.grad[1], rtol=1e-6, atol=1e-6, msg=how)
        torch.testing.assert_close(field.matrix.grad[0, 0], s.grad[0], rtol=1e-6, atol=1e-6, msg=how)


def test_steer_moves_the_end_in_training_only():
    torch.manual_seed(0)
    flow, x = CNF(LinearField(torch.eye(2)), steer=0.25), torch.zeros(1, 2)
    ends = torch.stack([flow.transport(x)[1] / 2 for _ in range(40)]).detach()  # log det = t1 tr A
    assert ends.min() < 0.85 and ends.max() > 1.15 and (ends - 1).abs().max() <= 0.2501
    flow.eval()
    torch.testing.assert_close(flow.transport(x)[1], torch.tensor([2.0]))
    flow.train()
    back = flow.transport(x, reverse=True)[1]
    torch.testing.assert_close(back, torch.tensor([-2.0]), msg="sampling keeps to t1")


def test_sampling_leaves_modes_and_gradients_alone():
    flow = CNF(mlp()).train()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            flow.sample(3)
            assert torch.is_grad_enabled() is grad
    assert flow.training and all(p.requires_grad and p.grad is None for p in flow.parameters())


def test_probes_are_drawn_once_a_solve():
    """Else the controller would chase noise; and equal seeds give equal estimates."""
    flow, x, found = CNF(mlp(), divergence="hutchinson"), points(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(flow.log_prob(x))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert flow.stats.rejected < flow.stats.accepted


def test_replace_shares_weights_and_nothing_else():
    flow, x = CNF(mlp(), t1=nn.Parameter(torch.tensor(1.0).double()), method="rk4", steps=2), points()
    fine = flow.replace(method="dopri5", steps=None, rtol=1e-8, t1=1.0)
    assert flow.method == "rk4" and flow.steps == 2 and isinstance(flow.t1, nn.Parameter) and fine.t1 == 1.0
    for name, weight in flow.field.named_parameters():
        assert fine.field.get_parameter(name) is weight
    fine.eval()
    assert flow.field.training and flow.training
    fine.field = mlp(seed=1)
    assert flow.field is not fine.field
    fine.options["max_step"] = 0.5
    assert not flow.options
    fine = flow.replace(method="dopri5", steps=None, rtol=1e-8, t1=1.0)
    assert 0 < (fine.log_prob(x) - flow.log_prob(x)).abs().max() < 0.1
    with pytest.raises(ValueError, match="unknown setting 'metod'; did you mean 'method'"):
        flow.replace(metod="rk4")


def test_a_replaced_flow_follows_the_weights():
    """Also where a tensor of the field is computed from others, and cannot be copied."""
    flow, x = CNF(mlp(), t1=nn.Parameter(torch.tensor(1.0).double())), points()
    flow.field.register_buffer("unused", torch.zeros(1))
    flow.field.computed = 2 * flow.field.layers[0].weight
    other = flow.replace(rtol=1e-6)
    assert other.field.computed is flow.field.computed and other.t1 is flow.t1
    assert other.field.unused is flow.field.unused and other.stats is None
    (-flow.log_prob(x).mean()).backward()
    torch.optim.SGD(flow.parameters(), 0.1).step()
    torch.testing.assert_close(other.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-3)
    flow.float()
    assert {p.dtype for p in other.parameters()} == {torch.float32}


def test_leading_shapes():
    flow, x = CNF(mlp()), points(12)
    flat = flow.log_prob(x)
    torch.testing.assert_close(flow.log_prob(x.view(3, 4, 2)).flatten(), flat)
    assert flow.log_prob(x[0]).shape == () and flow.sample().shape == (2,) and flow.sample(5).shape == (5, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"divergence": "hutchison"}, "unknown divergence 'hutchison'; did you mean 'hutchinson'"),
        ({"noise": "normal"}, "unknown noise 'normal'.*Known: rademacher, gaussian"),
        ({"regularizers": ("kinetc",)}, "unknown regularizer 'kinetc'; did you mean 'kinetic'"),
        ({"steer": 1.0}, "steer must be in"),
        ({"t1": -1.0}, "t1 positive"),
        ({"t1": float("inf")}, "t1 positive and finite"),
        (
            {"base": MultivariateNormal(torch.zeros(3), torch.eye(3))},
            r"base must be over .* \(2,\).* event_shape \(3,\)",
        ),
        (
            {"base": Normal(torch.zeros(2), torch.ones(2))},
            r"base must be .* batch_shape \(2,\); .* Independent\(base, 1\)",
        ),
        ({"n_probes": 0}, "n_probes must be a whole number, at least 1, got 0"),
        ({"n_probes": 1.5}, "n_probes must be a whole number, at least 1, got 1.5"),
        ({"gradient": "adjiont"}, "unknown gradient 'adjiont'; did you mean 'adjoint'"),
        ({"method": "rk5"}, "unknown method 'rk5'; did you mean 'rk4'"),
        ({"rtol": -1.0}, "rtol must be non-negative"),
        ({"options": {"stepsize": 0.1}}, "unknown option 'stepsize'"),
        ({"method": "rk4", "steps": 0}, "steps must be a whole number, at least 1, got 0"),
        ({"steps": 4}, r"steps=4 is for methods of fixed steps, 'dopri5' chooses its own.*steps=None"),
        ({"method": "rk4"}, "'rk4' takes fixed steps: give steps"),
        ({"method": "rk4", "steps": 4, "options": {"step_size": 0.1}}, r"steps=4 and options\['step_size'\]"),
        ({"method": "explicit_adams", "steps": 4}, "'checkpoint' replays single steps.*'adjoint' or 'backprop'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        CNF(MLPField(2), **settings)


def test_settings_of_a_wrong_type():
    with pytest.raises(TypeError, match=r"base must be a torch\.distributions\.Distribution, got int"):
        CNF(MLPField(2), 2)
    with pytest.raises(TypeError, match="options must be a mapping"):
        CNF(MLPField(2)).replace(options=None)


def test_settings_changed_later_are_checked_by_the_next_call():
    flow, x = CNF(mlp()), points(3)
    flow.steer = 5.0
    for call in (flow.log_prob, flow.inverse, lambda x: flow.trajectory(x, torch.tensor([0.5]))):
        with pytest.raises(ValueError, match="steer must be in"):
            call(x)
    flow.steer, flow.method = 0.0, "rk4"
    flow.steps = 4  # not before: neither setting fits without the other
    assert torch.equal(flow.log_prob(x), CNF(flow.field, method="rk4", steps=4).log_prob(x)) and flow.stats.nfe == 16


def test_fixed_steps_by_options():
    flow, x = CNF(mlp(), method="rk4", steps=4), points(3)
    for options in ({"step_size": 0.25}, {"grid_constructor": lambda f, y, t: torch.linspace(0, 1, 5).to(t)}):
        assert torch.equal(flow.replace(steps=None, options=options).log_prob(x), flow.log_prob(x))


def test_points_that_cannot_be():
    flow = CNF(MLPField(2))
    with pytest.raises(ValueError, match=r"shape \(…, 2\), the flow's dim, got \(4, 3\)"):
        flow.log_prob(torch.zeros(4, 3))
    with pytest.raises(TypeError, match="floating-point tensor"):
        flow.log_prob(torch.zeros(4, 2, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"x is torch.float64, the flow's weights torch.float32"):
        flow.log_prob(torch.zeros(4, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="NaN or infinite entries in 1 of its points"):
        flow.log_prob(torch.tensor([[0.0, torch.nan], [1.0, 2.0]]))
    with pytest.raises(ValueError, match=r"increasing times in \[0, 1\]"):
        flow.trajectory(torch.zeros(1, 2), torch.tensor([0.0, 2.0]))
    with pytest.raises(ValueError, match="unknown layer 'concatsqash'; did you mean 'concatsquash'"):
        MLPField(2, layer="concatsqash")
    with pytest.raises(TypeError, match=r"must be an nn\.Module"):
        CNF(lambda t, z: z)
    with pytest.raises(ValueError, match="no attribute `dim`"):
        CNF(nn.Identity())


def test_gradient_reaches_the_points():
    flow, x = CNF(mlp(), **TIGHT), points(3).requires_grad_()
    (exact,) = torch.autograd.grad(flow.log_prob(x).sum(), x)
    h = 1e-5
    for i in range(2):
        step = torch.zeros(2).double()
        step[i] = h
        with torch.no_grad():
            numeric = (flow.log_prob(x + step) - flow.log_prob(x - step)) / (2 * h)
        torch.testing.assert_close(exact[:, i], numeric, rtol=1e-4, atol=1e-4)
    assert gradient(flow.log_prob(x).sum(), flow.field).isfinite().all()


def test_batch_norm_in_the_field_is_refused_while_it_mixes_points():
    class Normed(nn.Module):
        dim = 2

        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2, dtype=torch.float64)

        def forward(self, t, z):
            return torch.tanh(self.norm(z))

    flow = CNF(Normed(), MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)))
    with pytest.raises(ValueError, match=r"batch norm in training mode \(norm\)"):
        flow.log_prob(points(4))
    flow.eval()
    assert torch.isfinite(flow.log_prob(points(4))).all()


class Field(nn.Module):
    """A perceptron, and what `change` makes of z and it."""

    dim = 2

    def __init__(self, change):
        super().__init__()
        self.net, self.change = mlp(2), change

    def forward(self, t, z, context=None):
        return self.change(self.net(t, z), z) + (0 if context is None else context)


def base():
    return MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
@pytest.mark.parametrize("context", [None, torch.ones(6, 2).double()])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f, z: f - z.mean(0), "depends on the other points of the batch"),
        (lambda f, z: f + z.softmax(0), "depends on the other points of the batch"),
        (lambda f, z: f - 0.5 * z.detach(), "by autograd is .* where a difference quotient"),
        (lambda f, z: f + 3 * z.sin().detach() * z[..., :1], "by autograd is .* where a difference quotient"),
    ],
)
def test_a_field_whose_density_would_silently_be_wrong_is_refused(change, reason, context, divergence):
    flow = CNF(Field(change), base(), divergence=divergence)
    for look in (torch.enable_grad, torch.no_grad):
        with look(), pytest.raises(ValueError, match=reason):
            flow.log_prob(points(6), context=context)


@pytest.mark.parametrize("name", ["jvp", "with_divergence"])
def test_derivatives_of_a_field_that_are_not_those_of_its_values_are_refused(name):
    field = mlp(2)
    right = field.jvp if name == "jvp" else lambda t, z: exact_divergence(mlp(2), t, z)

    def wrong(*arguments):
        f, derivatives = right(*arguments)
        return f, 2 * derivatives

    for method, reason in ((right, None), (wrong, f"by its method {name} is .*Mend {name}")):
        setattr(field, name, method)
        flow = CNF(field, base())
        if reason is None:
            assert flow.log_prob(points(4)).isfinite().all()
        else:
            with pytest.raises(ValueError, match=reason):
                flow.log_prob(points(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "change",
    [
        lambda f, z: f.relu(),
        lambda f, z: (30 * f).sin(),
        lambda f, z: 1e4 * f,
        lambda f, z: 1e-4 * f + 1,
        lambda f, z: f * 0 + 3,
        lambda f, z: nn.functional.layer_norm(f, (2,)),
        lambda f, z: nn.functional.dropout(f),
        lambda f, z: z.abs().clamp_max(0.5),
    ],
)
def test_good_fields_are_not_refused(change, dtype):
    field = Field(change).to(dtype)
    for rows in (2, 50):
        for scale in (1e-3, 1, 1e3):
            check_field(field, torch.tensor(0.3, dtype=dtype), scale * points(rows).to(dtype))
