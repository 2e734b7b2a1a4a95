"""Energies: Z against closed forms and finer grids, gradients, the wall, and the divergence from a known density."""

import math

import pytest
import torch

from odelab.datasets import ENERGIES, density, energy
from odelab.datasets.energies import wall

ALONG = 8 + 0.4 * math.sqrt(2 * math.pi)  # ∫ exp(−wall(z₁)) dz₁


@pytest.mark.parametrize(("name", "z"), [("U2", 0.4 * ALONG), ("U3", 2 * 0.35 * ALONG)])
def test_z_in_closed_form(name, z):
    """Over z₂ they are one and two Gaussians for every z₁, over z₁ a plateau with half a Gaussian at either end."""
    assert energy(name).log_z == pytest.approx(math.log(z * math.sqrt(2 * math.pi)), abs=1e-6)


@pytest.mark.parametrize("name", ENERGIES)
def test_z_on_a_finer_and_on_a_wider_grid(name):
    e = energy(name)
    for n, half_width in ((1400, e.reach), (1000, 12.0)):
        points, area = e.grid(n, half_width)
        assert (-e(points)).exp().sum().item() * area == pytest.approx(math.exp(e.log_z), rel=1e-6)


def test_u1_in_polar_coordinates():
    e = energy("U1")
    radius = (torch.arange(2000, dtype=torch.float64) + 0.5) / 250
    angle = 2 * math.pi * torch.arange(400, dtype=torch.float64) / 400
    points = radius[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
    z = ((-e(points)).exp() * radius[:, None]).sum().item() / 250 * 2 * math.pi / 400
    assert e.log_z == pytest.approx(math.log(z), abs=1e-5)


def test_values_by_hand():
    assert energy("U2")(torch.tensor([1.0, 1.0])).item() == pytest.approx(0, abs=1e-10)
    assert energy("U2")(torch.tensor([4.4, math.sin(2.2 * math.pi) + 0.4])).item() == pytest.approx(1, abs=1e-5)
    assert energy("U1")(torch.tensor([2.0, 0.0])).item() == pytest.approx(-math.log1p(math.exp(-0.5 * (4 / 0.6) ** 2)))
    assert energy("U3")(torch.tensor([1.0, -2.0])).item() == pytest.approx(0, abs=1e-6)  # on the lower branch
    assert energy("U3")(torch.tensor([1.0, 1.0])).item() == pytest.approx(0, abs=1e-6)  # on the upper one
    assert wall(torch.tensor([-4.8, -4.0, 3.9, 4.4])).tolist() == pytest.approx([2, 0, 0, 0.5], abs=1e-5)


@pytest.mark.parametrize("name", ENERGIES)
def test_differentiable_and_batched(name):
    e = energy(name)
    z = 3 * torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert e(z).shape == (4, 5) and e(z.float()).dtype == torch.float32
    assert torch.autograd.gradcheck(e, z.requires_grad_())
    torch.testing.assert_close(e.log_prob(z), -e(z) - e.log_z)
    far = torch.tensor([[100.0, -100.0], [0.0, 0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(e(far).sum(), far)
    assert e(far).isfinite().all() and slope.isfinite().all()


@pytest.mark.parametrize("name", ENERGIES)
def test_kl(name):
    """Nothing from itself; from a normal density what its own samples say; finite where q vanishes."""
    e = energy(name)
    assert e.kl_from(e.log_prob) == pytest.approx(0, abs=1e-6)
    normal = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2), torch.ones(2)), 1)
    z = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    gap = normal.log_prob(z) - e.log_prob(z)
    assert abs(e.kl_from(normal.log_prob) - gap.mean().item()) < 5 * gap.std().item() / math.sqrt(len(z))
    assert math.isfinite(e.kl_from(density("checkerboard").log_prob))


def test_errors_say_what_to_give():
    with pytest.raises(ValueError, match=r"unknown energy 'U4'.*Known: U1, U2, U3"):
        energy("U4")
    with pytest.raises(ValueError, match=r"U1 takes points \(…, 2\).*\(3,\)"):
        energy("U1")(torch.zeros(3))
