"""Planar flows: what they claim in closed form, against autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from odelab.flows import CNF, PlanarCNF, PlanarDensity, PlanarFlow, exact_divergence
from odelab.flows.planar import gated_planar, invertible, planar, planar_inverse


def points(n: int = 7, dim: int = 2, seed: int = 0) -> Tensor:
    return 2 * torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_flow(dim: int = 2, layers: int = 6, seed: int = 0, **settings: bool) -> PlanarFlow:
    torch.manual_seed(seed)
    flow = PlanarFlow(dim, layers, **settings).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return flow


def log_det_by_autograd(function, z: Tensor) -> Tensor:
    return torch.stack([torch.linalg.slogdet(torch.autograd.functional.jacobian(function, row))[1] for row in z])


@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("reparametrize", [True, False])
def test_log_det_is_that_of_the_jacobian(dim: int, reparametrize: bool) -> None:
    z, flow = points(dim=dim), random_flow(dim, reparametrize=reparametrize)
    torch.testing.assert_close(flow(z)[1], log_det_by_autograd(lambda row: flow(row)[0], z))


def test_one_layer_is_a_flow_of_one_layer() -> None:
    flow, z = random_flow(layers=1), points()
    layer = [parameter[0] for parameter in flow.effective()]
    for one, other in zip(planar(z, *layer), flow(z), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(planar_inverse(planar(z, *layer)[0], *layer), z)


@given(st.lists(st.floats(-6, 6), min_size=4, max_size=4).filter(lambda v: abs(v[0]) + abs(v[1]) > 1e-3))
@settings(deadline=None, max_examples=50)
def test_reparametrised_u_keeps_the_layer_invertible(values: list[float]) -> None:
    w, u = torch.tensor(values, dtype=torch.float64).view(2, 2)
    moved = invertible(w, u)
    assert (w @ moved) >= -1 - 1e-9
    # û differs from u along w only
    across = torch.stack([-w[1], w[0]])
    torch.testing.assert_close(across @ moved, across @ u, atol=1e-9, rtol=1e-9)


def test_without_it_a_layer_may_fold_and_has_no_inverse() -> None:
    w, u, b = torch.tensor([1.0, 0.0]), torch.tensor([-3.0, 0.0]), torch.tensor(0.0)
    line = torch.stack([torch.linspace(-2, 2, 101), torch.zeros(101)], 1)
    assert (planar(line, w, u, b)[0][:, 0].diff() < 0).any()
    fold = PlanarFlow(2, 1, reparametrize=False)
    fold.load_state_dict({"w": w[None], "u": u[None], "b": b[None]})
    with pytest.raises(ValueError, match="not invertible"):
        fold.inverse(line)
    with pytest.raises(ValueError, match="not invertible"):
        random_flow(layers=20, reparametrize=False).inverse(points())


def test_inverse_undoes_the_flow_and_carries_gradients() -> None:
    flow, z = random_flow(layers=8), points()
    torch.testing.assert_close(flow.inverse(flow(z)[0]), z, atol=1e-7, rtol=1e-7)
    y = flow(z)[0].detach()
    back = torch.stack([torch.autograd.functional.jacobian(flow.inverse, row) for row in y])
    there = torch.stack([torch.autograd.functional.jacobian(lambda row: flow(row)[0], row) for row in z])
    torch.testing.assert_close(back @ there, torch.eye(2).double().expand(7, 2, 2), atol=1e-5, rtol=0)


def test_intermediate_ends_where_the_flow_ends() -> None:
    flow, z = random_flow(), points()
    path, log_dets = flow.intermediate(z)
    assert path.shape == (7, 7, 2) and log_dets.shape == (7, 7)
    torch.testing.assert_close(path[0], z)
    for one, other in zip((path[-1], log_dets[-1]), flow(z), strict=True):
        torch.testing.assert_close(one, other)


def test_a_stack_of_flows_is_one_call() -> None:
    flows, z = [random_flow(seed=seed) for seed in range(3)], points()
    stack = random_flow()
    for name in ("w", "u", "b"):
        setattr(stack, name, nn.Parameter(torch.stack([getattr(flow, name) for flow in flows], 1)[:, :, None]))
    moved, log_det = stack(z)
    for i, flow in enumerate(flows):
        torch.testing.assert_close(moved[i], flow(z)[0])
        torch.testing.assert_close(log_det[i], flow(z)[1])


@pytest.mark.parametrize("generates", [True, False])
def test_density_integrates_to_one_and_agrees_with_itself(generates: bool) -> None:
    torch.manual_seed(0)
    density = PlanarDensity(random_flow(layers=3), generates=generates)
    side = torch.linspace(-14, 14, 561, dtype=torch.float64)
    with torch.no_grad():
        mass = density.log_prob(torch.cartesian_prod(side, side)).exp().sum() * (side[1] - side[0]) ** 2
        z = density.base.sample((50,))
        x, log_det = density.transport(z, reverse=True)
        torch.testing.assert_close(density.log_prob(x), density.base.log_prob(z) - log_det, atol=1e-6, rtol=1e-6)
    assert abs(mass - 1) < 2e-3


@pytest.mark.parametrize("dim", [2, 3])
def test_trace_of_the_gated_field_is_that_of_the_jacobian(dim: int) -> None:
    torch.manual_seed(0)
    field, z, t = PlanarCNF(dim, 5).double(), points(dim=dim), torch.tensor(0.3, dtype=torch.float64)
    f, divergence = exact_divergence(field, t, z)
    jacobians = torch.stack([torch.autograd.functional.jacobian(lambda row: field(t, row), row) for row in z])
    torch.testing.assert_close(f, field(t, z))
    torch.testing.assert_close(divergence, jacobians.diagonal(dim1=1, dim2=2).sum(-1))


def test_the_field_is_the_sum_of_its_units_at_each_time() -> None:
    torch.manual_seed(0)
    field, z = PlanarCNF(2, 4).double(), points()
    times = torch.tensor([0.0, 0.7], dtype=torch.float64)
    w, u, b, gate = field.units(times)
    assert w.shape == u.shape == (2, 4, 2) and b.shape == gate.shape == (2, 4)
    assert ((gate > 0) & (gate < 1)).all()
    by_hand = sum(gate[1, n] * u[1, n] * (z @ w[1, n] + b[1, n]).tanh()[:, None] for n in range(4))
    torch.testing.assert_close(field(0.7, z), by_hand)
    stacked = gated_planar(z.expand(2, -1, -1), w, u, b, gate)
    torch.testing.assert_close(stacked[0][1], by_hand)


def test_the_planar_cnf_is_a_density() -> None:
    torch.manual_seed(0)
    flow = CNF(PlanarCNF(2, 4).double(), rtol=1e-7, atol=1e-7)
    side = torch.linspace(-10, 10, 161, dtype=torch.float64)
    with torch.no_grad():
        mass = flow.log_prob(torch.cartesian_prod(side, side)).exp().sum() * (side[1] - side[0]) ** 2
    assert abs(mass - 1) < 1e-4


@pytest.mark.parametrize("build", [lambda: PlanarFlow(0, 3), lambda: PlanarFlow(2, 0), lambda: PlanarCNF(2, 0)])
def test_sizes_that_cannot_be(build) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        build()


def test_points_of_another_dimension() -> None:
    with pytest.raises(ValueError, match="dim=2"):
        PlanarCNF(2, 3)(0.0, torch.zeros(4, 3))
