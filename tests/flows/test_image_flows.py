"""Grey levels, logits and bits; the flows for images."""

import math

import pytest
import torch
from torch.distributions import TransformedDistribution

from odelab.flows import CNF, NICE, CNFTransform, MultiscaleCNF, bits_per_dim, dequantize, logit_transform
from odelab.nets import ImageField
from tests.flows.flow_problems import points

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def test_dequantized_levels_fill_their_cells():
    grey = torch.arange(17, dtype=torch.uint8).repeat(2000, 1)
    x = dequantize(grey, 17, torch.Generator().manual_seed(0))
    assert x.dtype == torch.float32 and x.min() >= 0 and x.max() < 1
    assert torch.equal((x * 17).floor().to(torch.uint8), grey)
    assert ((x * 17 - grey).mean(0) - 0.5).abs().max() < 0.1
    for wrong in (17, -1):
        with pytest.raises(ValueError, match="grey levels must lie in 0 … 16"):
            dequantize(torch.tensor([wrong]), 17)


def test_logit_transform():
    transform, x = logit_transform(0.05), torch.rand(4, 3, dtype=torch.float64)
    y = transform(x)
    torch.testing.assert_close(y, torch.logit(0.05 + 0.9 * x))
    torch.testing.assert_close(transform.inv(y), x)
    jacobian = torch.autograd.functional.jacobian(transform, x[0])
    torch.testing.assert_close(transform.log_abs_det_jacobian(x, y)[0], torch.linalg.slogdet(jacobian)[1])
    with pytest.raises(ValueError, match="alpha"):
        logit_transform(0.5)


def test_bits_per_dim_of_uniform_noise_is_the_logarithm_of_the_levels():
    assert bits_per_dim(0.0, 64, 17) == pytest.approx(math.log2(17))
    torch.testing.assert_close(bits_per_dim(torch.tensor([math.log(17.0) * 64]), 64, 17), torch.tensor([0.0]))


def test_a_density_of_pixels_from_a_flow_of_logits():
    flow, transform = NICE(4, hidden=(3,)), logit_transform(0.05)
    axis = (torch.arange(14) + 0.5) / 14
    grid = torch.cartesian_prod(axis, axis, axis, axis)
    pixels = TransformedDistribution(flow.base, [CNFTransform(flow), transform.inv])
    log_prob = pixels.log_prob(grid)
    y = transform(grid)
    torch.testing.assert_close(log_prob, flow.log_prob(y) + transform.log_abs_det_jacobian(grid, y))
    mass = torch.special.erf(torch.logit(torch.tensor(0.95)) / 2**0.5) ** 4  # within logit of 0.05 … 0.95
    assert abs(log_prob.exp().mean() / mass - 1) < 0.03


def test_a_flow_of_convolutions():
    torch.manual_seed(0)
    flow, x = CNF(ImageField((1, 4, 4), hidden=(4,)).double(), **TIGHT), points(2, 16)
    log_prob = flow.log_prob(x)
    jacobian = torch.autograd.functional.jacobian(lambda row: flow.transport(row)[0], x[0])
    expected = flow.base.log_prob(flow.transport(x[0])[0]) + torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(log_prob[0], expected, rtol=0, atol=1e-6)


def multiscale(**settings):
    torch.manual_seed(0)
    return MultiscaleCNF((1, 4, 4), hidden=(2,), scales=2, blocks=1, **settings).double()


def test_multiscale_is_a_bijection_with_its_determinant():
    flow, x = multiscale(divergence="exact", rtol=1e-6, atol=1e-6), points(2, 16)
    z, log_det = flow.transport(x)
    back, other = flow.transport(z, reverse=True)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)
    torch.testing.assert_close(other, -log_det, rtol=0, atol=1e-5)
    torch.testing.assert_close(flow.inverse(z), back, rtol=0, atol=1e-5)
    jacobian = torch.autograd.functional.jacobian(lambda row: flow.transport(row)[0], x[0])
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0], rtol=0, atol=1e-5)
    assert flow.sample((2, 2)).shape == (2, 2, 16) and flow.sample((0,)).shape == (0, 16)
    assert flow.log_prob(x[:0]).shape == (0,)


def test_multiscale_trains_with_costs():
    flow, x = multiscale(method="rk4", steps=1, regularizers=("kinetic", "jacobian")), points(4, 16).view(2, 2, 16)
    log_prob, costs = flow.log_prob_and_costs(x)
    assert log_prob.shape == (2, 2) and {name: cost.shape for name, cost in costs.items()} == {
        "kinetic": (2, 2),
        "jacobian": (2, 2),
    }
    (costs["kinetic"].mean() + costs["jacobian"].mean() - log_prob.mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in flow.parameters())
    with pytest.raises(ValueError, match="cannot be halved 3 times"):
        MultiscaleCNF((1, 28, 28), scales=3)
