"""Each toy density: samples that follow the log-density, mass one, accurate quadrature, the entropy it claims."""

import math

import pytest
import torch

from odelab.datasets import DENSITIES, densities, density
from odelab.datasets.plane import disc_and_ring, plane_grid

SMOOTH = [name for name in DENSITIES if name != "checkerboard"]


def coarse(d):
    """A grid that still resolves the density: points (n, n, 2), area of a cell."""
    return d.grid(math.ceil(2 * d.reach / d.detail), d.reach)


def test_there_are_eight():
    assert DENSITIES == ("swissroll", "circles", "rings", "moons", "8gaussians", "pinwheel", "2spirals", "checkerboard")
    assert all(density(name).name == name for name in DENSITIES)
    with pytest.raises(ValueError, match=r"unknown density 'moon'; did you mean 'moons'"):
        density("moon")


@pytest.mark.parametrize("name", SMOOTH)
def test_the_mass_is_one(name):
    d = density(name)
    points, area = coarse(d)
    assert d.log_prob(points).exp().sum().item() * area == pytest.approx(1, abs=3e-5)


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_follow_the_density(name):
    """Cell by cell a sample's counts agree with the density's mass, by Pearson's statistic."""
    d = density(name)
    n, cells, fine = 40_000, 10, 3 if name in ("pinwheel", "2spirals") else 8
    sample = d.sample(n, torch.Generator().manual_seed(0))
    assert sample.shape == (n, 2) and sample.dtype == torch.float32
    counts = torch.histogramdd(sample.double(), cells, range=[-4.0, 4.0, -4.0, 4.0]).hist.T
    # Three Gauss–Legendre nodes in each of fine × fine parts of a cell.
    nodes, weights = torch.tensor([-(0.6**0.5), 0, 0.6**0.5]), torch.tensor([5, 8, 5]) / 18
    side = 8 / cells / fine
    centres = -4 + side * (torch.arange(cells * fine) + 0.5)
    axis = (centres[:, None] + side / 2 * nodes).flatten().double()
    weight = (weights.repeat(cells * fine) * side).double()
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    mass = d.log_prob(torch.stack([x, y], -1)).exp() * weight * weight[:, None]
    expected = n * mass.reshape(cells, 3 * fine, cells, 3 * fine).sum((1, 3))
    if name == "checkerboard":  # a cell of 0.8 is cut by the squares' edges, which lie on the parts' edges
        assert expected.sum().item() == pytest.approx(n, rel=1e-2)
    busy = expected > 20
    statistic = ((counts - expected) ** 2 / expected)[busy].sum().item()
    assert abs(statistic - busy.sum().item()) < 5 * math.sqrt(2 * busy.sum().item()), statistic


@pytest.mark.parametrize("name", DENSITIES)
def test_entropy_is_the_mean_of_minus_log_prob(name):
    d = density(name)
    x = d.sample(4000, torch.Generator().manual_seed(1))
    nll = -d.log_prob(x)
    assert abs(nll.mean().item() - d.entropy) < 4 * nll.std().item() / math.sqrt(len(x)) + 1e-4


@pytest.mark.parametrize("name", ["circles", "rings", "moons", "8gaussians", "swissroll"])
def test_entropy_does_not_depend_on_the_grid(name):
    d = density(name)
    points, area = d.grid(math.ceil(5 * d.reach / d.detail), d.reach + 0.5)
    log_p = d.log_prob(points)
    assert -(log_p.exp() * log_p).sum().item() * area == pytest.approx(d.entropy, abs=1e-4)


def test_known_entropies():
    assert density("checkerboard").entropy == pytest.approx(math.log(32))
    apart = math.log(8) + 1 + math.log(2 * math.pi * (0.5 / 1.414) ** 2)  # 2.838, were the eight far apart
    assert apart - 0.01 < density("8gaussians").entropy < apart


@pytest.mark.parametrize(
    ("log_prob", "nodes"),
    [
        (lambda x, nodes: densities.roll_log_prob(x, 0.2, nodes), 256),
        (lambda x, nodes: densities.moons_log_prob(x, 0.2, nodes), 96),
        (lambda x, nodes: densities.spirals_log_prob(x, 1 / 6, 0.1, nodes), 384),
    ],
)
def test_twice_the_nodes_change_nothing(log_prob, nodes):
    points, _ = plane_grid(4.0, 25)
    torch.testing.assert_close(log_prob(points, nodes), log_prob(points, 2 * nodes), rtol=0, atol=1e-5)


def test_circles_agree_with_quadrature_over_the_angle():
    points, _ = plane_grid(4.0, 20)
    angle = 2 * math.pi * torch.arange(400, dtype=torch.float64) / 400
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    both = torch.cat([3 * ring, 1.5 * ring])
    weights = torch.full((800,), 1 / 800, dtype=torch.float64)
    expected = densities.log_mixture(points, both, weights, densities.gaussian(0.24))
    torch.testing.assert_close(density("circles").log_prob(points), expected, rtol=0, atol=1e-9)


def test_the_blurred_square_is_smooth_far_out():
    """Across the seam to the asymptotic series, and a hundred standard deviations out, log Φ's own routine agrees."""
    d = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    distance = (d - 1 / 12).abs()
    near, far = (torch.special.log_ndtr((half - distance) / 0.1) for half in (1 / 12, -1 / 12))
    expected = 2 * (near + torch.log1p(-torch.exp(far - near)) + math.log(6))
    torch.testing.assert_close(densities.blurred_square(1 / 6, 0.1)(d, d), expected, rtol=1e-10, atol=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_is_the_slope(name):
    d = density(name)
    x = d.sample(20, torch.Generator().manual_seed(2)).double().requires_grad_()
    (score,) = torch.autograd.grad(d.log_prob(x).sum(), x)
    h = 1e-5 * torch.eye(2, dtype=torch.float64)
    with torch.no_grad():
        slope = torch.stack([(d.log_prob(x + e) - d.log_prob(x - e)) / 2e-5 for e in h], -1)
    torch.testing.assert_close(score, slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DENSITIES)
def test_shapes_dtypes_and_seeds(name):
    d = density(name)
    one, again = (d.sample(30, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, again) and not torch.equal(one, d.sample(30, torch.Generator().manual_seed(4)))
    assert d.log_prob(one.reshape(5, 6, 2)).shape == (5, 6)
    assert d.log_prob(one).dtype == torch.float32 and d.log_prob(one.double()).dtype == torch.float64
    assert d.log_prob(one[0]).shape == () and d.log_prob(one[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"points \(…, 2\).*\(30, 3\)"):
        d.log_prob(torch.zeros(30, 3))


def test_outside_the_checkerboard_there_is_nothing():
    x = torch.tensor([[-3.0, -3.0], [-1.0, -3.0], [1.0, -3.0], [3.0, 3.0], [5.0, 5.0]])
    assert density("checkerboard").log_prob(x).isfinite().tolist() == [True, False, True, True, False]


def test_disc_and_ring_keep_to_their_radii():
    x, labels = disc_and_ring(2000, 0, disc=0.3, ring=(1.0, 1.5))
    radius = x.norm(dim=1)
    assert 0.25 < radius[labels == 0].max() <= 0.3 and 1 <= radius[labels == 1].min() <= 1.05
    assert 1.45 < radius[labels == 1].max() <= 1.5
