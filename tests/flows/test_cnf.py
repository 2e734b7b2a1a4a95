"""The density of a CNF: against closed forms, against its own samples, and as others' code sees it."""

import copy
import gc
import math
import weakref

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, TransformedDistribution, constraints

from odelab.flows import CNF, NICE, CNFTransform
from tests.flows.flow_problems import LinearField, Plain, Reversed, gradient, mlp, points

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_a_linear_field_gives_the_gaussian_of_the_matrix_exponential(divergence):
    """z(1) = e^A x is N(0, 1), so x is N(0, e^{−A} e^{−Aᵀ}); with signs as probes a diagonal A has no variance."""
    matrix = torch.tensor([[0.8, 0.0], [0.0, -0.4]] if divergence == "hutchinson" else [[0.3, 1.0], [-0.7, -0.2]])
    matrix = matrix.double()
    back = torch.linalg.matrix_exp(-matrix)
    reference = MultivariateNormal(torch.zeros(2).double(), back @ back.T)
    flow, x = CNF(LinearField(matrix), divergence=divergence, **TIGHT), points()
    torch.testing.assert_close(flow.log_prob(x), reference.log_prob(x), rtol=0, atol=1e-7)
    z, log_det = flow.transport(x)
    torch.testing.assert_close(z, x @ torch.linalg.matrix_exp(matrix).T, rtol=0, atol=1e-7)
    torch.testing.assert_close(log_det, matrix.trace().expand(6), rtol=0, atol=1e-7)


def test_it_is_a_density():
    axis = torch.linspace(-7, 7, 141, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        total = CNF(mlp()).log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 1e-3


def test_samples_are_distributed_like_the_density():
    """E[−log p] over samples is the entropy: that of the base less the mean log-determinant."""
    torch.manual_seed(0)
    flow = CNF(LinearField(torch.tensor([[0.5, 0.2], [0.0, -1.0]])))
    x = flow.sample((50, 40))
    assert x.shape == (50, 40, 2) and not x.requires_grad
    entropy = math.log(2 * math.pi * math.e) - (-0.5)
    assert abs(-flow.log_prob(x).mean() - entropy) < 0.1


def test_samples_carry_gradients_to_field_and_base():
    """For dz/dt = a z from N(m, 1): x = e^{−a} z, so ∂x/∂a = −x and ∂x/∂m = e^{−a}."""
    m = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    flow = CNF(LinearField(torch.tensor([[0.7]]).double()), Independent(Normal(m, 1.0), 1), **TIGHT)
    x = flow.rsample((5,))
    by_field, by_base = torch.autograd.grad(x.sum(), (flow.field.matrix, m))
    assert x.shape == (5, *flow.event_shape)
    torch.testing.assert_close(by_field[0, 0], -x.sum(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(by_base[0].item(), 5 * math.exp(-0.7), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        lambda: CNF(mlp()),
        lambda: CNF(Plain(mlp()), divergence="hutchinson", method="rk4", steps=2, gradient="backprop"),
        lambda: NICE(2).double(),
    ],
)
def test_of_no_points_there_is_nothing(build):
    flow = build()
    for shape in ((0,), (3, 0)):
        x = flow.sample(shape)
        assert x.shape == (*shape, flow.dim) and flow.rsample(shape).shape == x.shape
        log_prob = flow.log_prob(x)
        log_prob.sum().backward()
        assert log_prob.shape == shape and log_prob.dtype == torch.float64
        assert all(p.grad is None or not p.grad.any() for p in flow.parameters())


def test_of_no_points_there_are_no_paths_and_costs():
    flow, x = CNF(mlp()), torch.zeros(3, 0, 2, dtype=torch.float64)
    z, log_density = flow.trajectory(x, torch.tensor([0.0, 0.5]))
    assert z.shape == (2, 3, 0, 2) and log_density.shape == (2, 3, 0)
    log_prob, costs = flow.log_prob_and_costs(x, ["kinetic", "jacobian"])
    assert {log_prob.shape, costs["kinetic"].shape, costs["jacobian"].shape} == {(3, 0)} and flow.stats.nfe == 1


def test_there_and_back():
    flow, x = CNF(mlp(), **TIGHT), points()
    z, log_det = flow.transport(x)
    back, other = flow.transport(z, reverse=True)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-7)
    torch.testing.assert_close(other, -log_det, rtol=0, atol=1e-7)
    torch.testing.assert_close(flow.inverse(z), back, rtol=0, atol=1e-7)
    jacobian = torch.autograd.functional.jacobian(lambda row: flow.transport(row)[0], x[0])
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0], rtol=0, atol=1e-7)


def test_the_trajectory_begins_with_the_density_and_ends_with_the_base():
    flow, x = CNF(mlp(), t1=0.5, **TIGHT), points(6).view(2, 3, 2)
    t = torch.tensor([0.0, 0.1, 0.5])
    z, log_density = flow.trajectory(x, t)
    assert z.shape == (3, 2, 3, 2) and log_density.shape == (3, 2, 3)
    torch.testing.assert_close(log_density[0], flow.log_prob(x))
    torch.testing.assert_close(log_density[-1], flow.base.log_prob(z[-1]))
    inner, middle = flow.trajectory(x, t[1:2])
    torch.testing.assert_close(inner[0], z[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(middle[0], log_density[1], rtol=0, atol=1e-6)
    # on from there it is the flow of the time that is left
    late = CNF(_Later(flow.field, 0.1), t1=0.4, **TIGHT)
    torch.testing.assert_close(late.log_prob(z[1]), log_density[1], rtol=0, atol=1e-6)


def test_a_trajectory_of_fixed_steps_is_as_good_between_them():
    flow, x, t = CNF(mlp(), **TIGHT), points(), torch.linspace(0, 1, 10)
    z, log_density = flow.trajectory(x, t)
    coarse, also = flow.replace(method="rk4", steps=8).trajectory(x, t)
    torch.testing.assert_close(coarse, z, rtol=0, atol=1e-3)
    torch.testing.assert_close(also, log_density, rtol=0, atol=1e-3)


class _Later(Plain):
    def __init__(self, field, delay):
        super().__init__(field)
        self.delay = delay

    def forward(self, t, z):
        return self.field(t + self.delay, z)


def test_gradients_agree():
    field, x = mlp(hidden=(4,)), points(3)
    found = {}
    for how in ("backprop", "checkpoint", "adjoint"):
        for name, f in (("pushed", field), ("pulled", Plain(field))):
            flow = CNF(f, gradient=how, regularizers=("kinetic", "jacobian"), **TIGHT)
            log_prob, costs = flow.log_prob_and_costs(x)
            loss = -log_prob.mean() + 0.1 * costs["kinetic"].mean() + 0.2 * costs["jacobian"].mean()
            found[how, name] = gradient(loss, field)
    for key, value in found.items():
        torch.testing.assert_close(value, found["backprop", "pushed"], rtol=0, atol=1e-6, msg=str(key))


# --- as a torch.distributions object ---


def test_distribution():
    flow, x = CNF(mlp(), **TIGHT), points()
    distribution = flow.distribution()
    torch.testing.assert_close(distribution.log_prob(x), flow.log_prob(x))
    assert distribution.event_shape == (2,) and distribution.batch_shape == ()
    torch.manual_seed(0)
    sample = distribution.sample((3, 4))
    torch.manual_seed(0)
    torch.testing.assert_close(sample, flow.sample((3, 4)), rtol=0, atol=1e-6)
    assert distribution.has_rsample and distribution.rsample((2,)).requires_grad


def test_transform_between_other_transforms():
    flow, x = CNF(mlp(), **TIGHT), points().exp()
    transform = CNFTransform(flow)
    assert transform.bijective and transform.domain == transform.codomain == constraints.real_vector
    assert transform == CNFTransform(flow) and transform != CNFTransform(CNF(mlp()))
    z = transform.inv(x.log())
    torch.testing.assert_close(transform(z), x.log(), rtol=0, atol=1e-7)
    torch.testing.assert_close(transform.log_abs_det_jacobian(z, x.log()), -flow.transport(x.log())[1])
    lognormal = TransformedDistribution(flow.base, [transform, torch.distributions.ExpTransform()])
    torch.testing.assert_close(lognormal.log_prob(x), flow.log_prob(x.log()) - x.log().sum(-1))


def test_a_density_through_the_transform_costs_one_solve(monkeypatch):
    flow, solves = CNF(mlp()), []
    solve = flow.transport
    monkeypatch.setattr(flow, "transport", lambda *args, **how: (solves.append(1), solve(*args, **how))[1])
    flow.distribution().log_prob(points())
    assert len(solves) == 1


def test_without_a_cache_nothing_is_remembered(monkeypatch):
    flow = CNF(mlp())
    transform, y = CNFTransform(flow), points()
    x = transform.inv(y)
    with torch.no_grad():
        flow.field.layers[0].weight.mul_(1.5)  # as an optimizer's step does
    torch.testing.assert_close(transform.log_abs_det_jacobian(x, y), -flow.transport(y)[1], rtol=0, atol=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda flow: torch.optim.SGD(flow.parameters(), 1.0).step(),
        lambda flow: flow.load_state_dict({name: 0.7 * tensor for name, tensor in flow.state_dict().items()}),
        lambda flow: setattr(flow, "t1", 0.3),
        lambda flow: setattr(flow.field, "activation", "sin"),
    ],
    ids=["a step", "weights loaded", "a setting", "a setting of the field"],
)
def test_a_memory_is_dropped_when_the_flow_has_changed(change):
    flow, y = CNF(mlp()), points()
    transform = CNFTransform(flow, cache_size=1)
    before = -flow.transport(y)[1]
    x = transform.inv(y)
    before.sum().backward()
    change(flow)
    after = transform.log_abs_det_jacobian(x, y)
    torch.testing.assert_close(after, -flow.transport(y)[1], rtol=0, atol=0)
    assert (after - before).abs().max() > 1e-3


class Owned:
    """Something that a weak reference can point to."""


@pytest.mark.parametrize("cache_size", [0, 1])
def test_no_graph_is_kept_alive_and_a_copy_can_be_made(cache_size):
    flow = CNF(mlp())
    distribution = TransformedDistribution(flow.base, [CNFTransform(flow, cache_size)])
    y = points().requires_grad_()
    for call in (distribution.log_prob, distribution.transforms[0].inv, lambda y: distribution.rsample((3,))):
        value, owned = call(y), Owned()
        value.grad_fn.register_hook(lambda *grads, owned=owned: None)  # lives as long as the graph
        copy.deepcopy(distribution)
        gone = weakref.ref(owned)
        del value, owned
        gc.collect()
        assert gone() is None
    assert distribution.transforms[0]._solved is None


def test_another_base_and_a_reversed_field():
    """With the field reversed, base and data change places."""
    base = Independent(Normal(torch.tensor([1.0, -1.0]).double(), torch.tensor([0.5, 2.0]).double()), 1)
    field, x = mlp(), points()
    there, back = CNF(field, base, **TIGHT), CNF(Reversed(field), base, **TIGHT)
    z, log_det = there.transport(x)
    again, other = back.transport(z)
    torch.testing.assert_close(again, x, rtol=0, atol=1e-7)
    torch.testing.assert_close(other, -log_det, rtol=0, atol=1e-7)
    torch.testing.assert_close(there.log_prob(x), base.log_prob(z) + log_det)
