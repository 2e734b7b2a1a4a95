"""Conditional densities: the field gets a context, and gradients reach whatever made it."""

import math

import pytest
import torch
from torch import Tensor, nn

from odelab.flows import CNF, CNFTransform
from odelab.nets import MLPField
from tests.flows.flow_problems import Plain, points

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


class Stretched(nn.Module):
    """dz/dt = c z, c (batch, 1): z(1) = e^c x, so that x ~ N(0, e^{−2c})."""

    dim = 2

    def forward(self, t: Tensor, z: Tensor, context: Tensor) -> Tensor:
        return context * z


def conditional(seed: int = 0) -> MLPField:
    torch.manual_seed(seed)
    return MLPField(2, (8,), context=3).double()


class PlainConditional(Plain):
    def forward(self, t: Tensor, z: Tensor, context: Tensor) -> Tensor:  # type: ignore[override]
        return self.field(t, z, context)


def test_each_point_has_the_density_of_its_own_context() -> None:
    flow, x, c = CNF(Stretched(), **TIGHT), points(), torch.linspace(-1, 1, 6)[:, None].double()
    expected = flow.base.log_prob(c.exp() * x) + 2 * c[:, 0]
    torch.testing.assert_close(flow.log_prob(x, context=c), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(flow.log_prob(x.view(2, 3, 2), context=c.view(2, 3, 1)).flatten(), expected)
    torch.testing.assert_close(flow.distribution(context=c).log_prob(x), expected)
    z, _ = flow.transport(x, context=c)
    torch.testing.assert_close(flow.inverse(z, context=c), x, rtol=0, atol=1e-7)
    paths, log_density = flow.trajectory(x, torch.tensor([0.0, 1.0]), context=c)
    torch.testing.assert_close(paths[1], z)
    torch.testing.assert_close(log_density[0], expected)
    one = torch.tensor([0.5]).double()  # the same for all points
    torch.testing.assert_close(flow.log_prob(x, context=one), flow.log_prob(x, context=one.expand(6, 1)))
    _, costs = flow.log_prob_and_costs(x, ["jacobian"], context=c)
    torch.testing.assert_close(costs["jacobian"], 2 * c[:, 0].square())


def test_samples_are_those_of_their_context() -> None:
    torch.manual_seed(0)
    flow, c = CNF(Stretched()), torch.tensor([[-1.0], [1.0]])
    scale = flow.sample((4000, 2), context=c).std((0, 2))
    torch.testing.assert_close(scale, (-c[:, 0]).exp(), rtol=0.05, atol=0)
    assert flow.rsample((3, 2), context=c.requires_grad_()).requires_grad
    assert flow.distribution(context=c).sample((3, 2)).shape == (3, 2, 2)


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
@pytest.mark.parametrize("field", [conditional, lambda: PlainConditional(conditional())], ids=["pushed", "pulled"])
def test_gradients_reach_the_encoder_and_the_field_by_every_way(field, divergence: str) -> None:
    found = {}
    encoder, x, given = nn.Linear(4, 3).double(), points(), points(6, 4)
    for gradient in ("backprop", "checkpoint", "adjoint"):
        flow = CNF(field(), gradient=gradient, divergence=divergence, regularizers=("kinetic", "jacobian"), **TIGHT)
        torch.manual_seed(1)
        log_prob, costs = flow.log_prob_and_costs(x, context=encoder(given).tanh())
        loss = costs["kinetic"].mean() + costs["jacobian"].mean() - log_prob.mean()
        parameters = (*encoder.parameters(), *flow.field.parameters())
        found[gradient] = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
    assert found["backprop"][:15].abs().max() > 1e-3
    for gradient in ("checkpoint", "adjoint"):
        torch.testing.assert_close(found[gradient], found["backprop"], rtol=0, atol=1e-6)


def test_an_encoder_learns_where_the_density_is() -> None:
    """x ~ N(m(c), 1) with m = 2c: what is learned comes near the entropy of the truth, ½ ln 2πe a dimension."""
    torch.manual_seed(0)
    encoder, flow = nn.Linear(1, 3), CNF(MLPField(2, (16,), context=3), method="rk4", steps=4)
    c = torch.randn(512, 1)
    x = 2 * c + torch.randn(512, 2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *flow.parameters()], 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -flow.log_prob(x, context=encoder(c)).mean()
        loss.backward()
        optimizer.step()
    entropy = math.log(2 * math.pi * math.e)
    assert abs(loss.item() - entropy) < 0.4  # without the context it is 4.6


def test_what_cannot_be_a_context() -> None:
    flow, x = CNF(conditional()), points()
    for context, error, words in (
        (torch.zeros(5, 3).double(), ValueError, r"context \(5, 3\) does not broadcast to the points \(6, 2\)"),
        (torch.zeros(6, 2).double(), ValueError, "made for a context of size 3, and was given one of 2"),
        (torch.full((3,), torch.nan).double(), ValueError, "context has NaN"),
        (torch.zeros(3).long(), TypeError, "context must be a floating-point tensor"),
        ([1.0], TypeError, "context must be a floating-point tensor"),
    ):
        with pytest.raises(error, match=words):
            flow.log_prob(x, context=context)
    with pytest.raises(ValueError, match="made for a context of size 3, and was given one of 0"):
        flow.log_prob(x)
    assert CNFTransform(flow) != CNFTransform(flow, context=torch.zeros(3))
    assert flow.log_prob(x[:0], context=torch.zeros(3).double()).shape == (0,)
