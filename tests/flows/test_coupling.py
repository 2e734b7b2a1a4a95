"""Coupling layers, NICE and Real NVP: a bijection with its determinant, and a density that sums to one."""

import pytest
import torch
from torch.distributions import (
    AffineTransform,
    Independent,
    IndependentTransform,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)

from odelab.flows import NICE
from tests.flows.flow_problems import points


def bent(affine: bool, dim: int = 5, layers: int = 3) -> NICE:
    """A flow whose weights are not those of the start, where it is the identity."""
    torch.manual_seed(0)
    flow = NICE(dim, hidden=(8,), layers=layers, affine=affine).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


@pytest.mark.parametrize("affine", [False, True])
def test_nice_is_invertible_and_counts_volume(affine):
    x = points(6, 5)
    fresh = NICE(5, hidden=(8,), layers=3, affine=affine).double()
    torch.testing.assert_close(fresh.transport(x)[0], x, msg="the identity at first")
    flow = bent(affine)
    z, log_det = flow.transport(x)
    back, other = flow.transport(z, reverse=True)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(other, -log_det)
    jacobian = torch.autograd.functional.jacobian(lambda row: flow.transport(row)[0], x[0])
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0])
    if not affine:
        torch.testing.assert_close(log_det, flow.log_scale.sum().expand(6))
    torch.testing.assert_close(flow.distribution().log_prob(x), flow.log_prob(x))
    assert flow.sample((2, 3)).shape == (2, 3, 5)
    with pytest.raises(ValueError, match=r"shape \(…, 5\)"):
        flow.log_prob(x[:, :4])


def test_nice_learns_a_correlation():
    torch.manual_seed(0)
    target = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    flow = NICE(2, hidden=(16,), layers=2)
    optimizer = torch.optim.Adam(flow.parameters(), lr=2e-2)
    for _ in range(100):
        optimizer.zero_grad()
        (-flow.log_prob(target.sample((256,))).mean()).backward()
        optimizer.step()
    x = target.sample((4000,))
    assert (target.log_prob(x) - flow.log_prob(x)).mean() < 0.05, "independent normals are 0.83 nats away"


def test_nice_needs_two_halves():
    with pytest.raises(ValueError, match="dim ≥ 2"):
        NICE(1)


@pytest.mark.parametrize("affine", [False, True])
def test_layers_of_constants_are_the_affine_transforms_of_torch(affine: bool) -> None:
    """With zero weights each layer shifts (and scales) its half by its last biases, whatever the other half is."""
    flow = bent(affine, dim=4, layers=2)
    scale, shift = torch.ones(4).double(), torch.zeros(4).double()
    with torch.no_grad():
        for i, net in enumerate(flow.nets):
            for parameter in net[:-1].parameters():
                parameter.zero_()
            net[-1].weight.zero_()
            moves = torch.arange(4) % 2 != i  # the even entries are what layer 0 computes from
            factor = torch.tanh(net[-1].bias[4:]).exp() if affine else torch.ones(4).double()
            scale = torch.where(moves, scale * factor, scale)
            shift = torch.where(moves, shift * factor + net[-1].bias[:4], shift)
        scale, shift = scale * flow.log_scale.exp(), shift * flow.log_scale.exp()
    base = Independent(Normal(torch.zeros(4).double(), torch.ones(4).double()), 1)
    law = TransformedDistribution(base, [IndependentTransform(AffineTransform(shift, scale), 1).inv])
    x = points(6, 4)
    torch.testing.assert_close(flow.log_prob(x), law.log_prob(x))
    torch.testing.assert_close(flow.transport(x)[0], shift + scale * x)


def test_a_bent_density_sums_to_one() -> None:
    flow = bent(True, dim=2, layers=4)
    side = (torch.arange(400).double() + 0.5) * 24 / 400 - 12
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        mass = flow.log_prob(grid).exp().sum() * (24 / 400) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)
