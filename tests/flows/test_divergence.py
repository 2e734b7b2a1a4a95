"""Divergences by three routes, and Hutchinson's estimator held to its mean and variance."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from odelab.flows import exact_divergence, hutchinson_divergence, jacobian_products, probes, unit_directions
from odelab.nets import ACTIVATIONS, LAYERS, ImageField
from tests.flows.flow_problems import LinearField, Plain, gradient, mlp, points

T = torch.tensor(0.3, dtype=torch.float64)


def by_rows(field, t, z):
    """Jacobians (n, d, d) row by row, and their traces."""
    jacobians = torch.stack([jacobian(lambda row: field(t, row), row, create_graph=True) for row in z])
    return jacobians, jacobians.diagonal(dim1=-2, dim2=-1).sum(-1)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_three_routes_agree_in_values_and_gradients(layer, activation):
    field, z = mlp(3, layer=layer, activation=activation), points(5, 3)
    f, pushed = exact_divergence(field, T, z)
    also_f, pulled = exact_divergence(Plain(field), T, z)
    _, reference = by_rows(field, T, z)
    torch.testing.assert_close(f, field(T, z))
    torch.testing.assert_close(also_f, f)
    torch.testing.assert_close(pushed, reference)
    torch.testing.assert_close(pulled, reference)
    weights = torch.linspace(1, 2, 5, dtype=torch.float64)
    both = ((f, pushed), (also_f, pulled), (field(T, z), reference))
    grads = [gradient((weights * divergence).sum() + f.sum(), field) for f, divergence in both]
    torch.testing.assert_close(grads[0], grads[2])
    torch.testing.assert_close(grads[1], grads[2])


def test_convolutions_push_forward_what_autograd_pulls_back():
    torch.manual_seed(0)
    field, z = ImageField((2, 4, 4), hidden=(5,)).double(), points(3, 32)
    _, reference = by_rows(field, T, z)
    torch.testing.assert_close(exact_divergence(field, T, z)[1], reference)
    torch.testing.assert_close(exact_divergence(Plain(field), T, z)[1], reference)


def test_products_are_columns_forward_and_rows_backward():
    field, z = mlp(3), points(4, 3)
    jacobians, _ = by_rows(field, T, z)
    _, columns = jacobian_products(field, T, z, unit_directions(z))
    _, rows = jacobian_products(Plain(field), T, z, unit_directions(z))
    torch.testing.assert_close(columns, jacobians.permute(2, 0, 1))
    torch.testing.assert_close(rows, jacobians.permute(1, 0, 2))


@pytest.mark.parametrize("wrap", [lambda field: field, Plain])
def test_any_batch_shape_and_no_grad(wrap):
    field, z = mlp(3), points(10, 3)
    _, flat = exact_divergence(wrap(field), T, z)
    with torch.no_grad():
        f, shaped = exact_divergence(wrap(field), T, z.view(2, 5, 3))
    assert f.shape == (2, 5, 3) and not f.requires_grad and not shaped.requires_grad
    torch.testing.assert_close(shaped.flatten(), flat.detach())
    torch.testing.assert_close(exact_divergence(wrap(field), T, z[0])[1], flat[0])


def test_a_time_for_each_point():
    for layer in LAYERS:
        field, z, t = mlp(2, layer=layer), points(5), torch.rand(5, 1, dtype=torch.float64)
        each = torch.stack([field(now[0], row) for now, row in zip(t, z, strict=True)])
        torch.testing.assert_close(field(t, z), each)


def test_a_field_that_does_not_depend_on_z_has_no_divergence():
    class Wind(nn.Module):
        def forward(self, t, z):
            return torch.ones_like(z) * t

    assert torch.equal(exact_divergence(Wind(), T, points())[1], torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_hutchinson_has_the_mean_and_the_variance_of_the_formula(kind):
    """Var = 2‖S‖²_F for Gaussian probes and 2(‖S‖²_F − Σ sᵢᵢ²) for signs, S the symmetric part."""
    n, generator = 40_000, torch.Generator().manual_seed(0)
    matrix = torch.tensor([[1.0, 2.0, 0.0], [-1.0, 0.5, 1.0], [3.0, 0.0, -2.0]], dtype=torch.float64)
    field, z = LinearField(matrix), torch.zeros(n, 3, dtype=torch.float64)
    _, estimates = hutchinson_divergence(field, T, z, probes(kind, 1, z, generator))
    symmetric = (matrix + matrix.T) / 2
    variance = 2 * (symmetric**2).sum() - (2 * (symmetric.diagonal() ** 2).sum() if kind == "rademacher" else 0)
    assert abs(estimates.mean() - matrix.trace()) < 5 * (variance / n) ** 0.5
    assert abs(estimates.var() / variance - 1) < 0.06
    _, averaged = hutchinson_divergence(field, T, z, probes(kind, 4, z, generator))
    assert abs(averaged.var() / (variance / 4) - 1) < 0.06


def test_the_same_probes_estimate_the_frobenius_norm():
    field, z = LinearField(points(3, 3)), torch.zeros(20_000, 3, dtype=torch.float64)
    for kind in ("rademacher", "gaussian"):
        _, products = jacobian_products(field, T, z, probes(kind, 1, z, torch.Generator().manual_seed(0)))
        estimate = products.square().sum(-1).mean()
        assert abs(estimate / field.matrix.square().sum() - 1) < 0.05


def test_probes():
    like = torch.zeros(5, 2, dtype=torch.float64)
    signs = probes("rademacher", 3, like, torch.Generator().manual_seed(0))
    assert signs.shape == (3, 5, 2) and signs.dtype == like.dtype and set(signs.unique().tolist()) == {-1.0, 1.0}
    again = probes("rademacher", 3, like, torch.Generator().manual_seed(0))
    assert torch.equal(signs, again)
    with pytest.raises(ValueError, match="unknown noise 'gausian'; did you mean 'gaussian'"):
        probes("gausian", 1, like)
    with pytest.raises(ValueError, match="at least one probe"):
        probes("gaussian", 0, like)


class Hidden(nn.Module):
    """tanh(z) in a way that autograd does not see."""

    dim = 2

    def __init__(self, how):
        super().__init__()
        self.how, self.scale = how, nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, t, z):
        if self.how == "no_grad":
            with torch.no_grad():
                return torch.tanh(self.scale * z)
        return self.scale * (
            torch.tanh(z.detach()) if self.how == "detach" else torch.from_numpy(np.tanh(z.detach().numpy()))
        )


@pytest.mark.parametrize("how", ["no_grad", "detach", "numpy"])
def test_a_field_whose_derivative_autograd_does_not_see_is_refused(how):
    for look in (torch.enable_grad, torch.no_grad):
        with look(), pytest.raises(ValueError, match=r"depends on z, but autograd does not see how.*method jvp"):
            exact_divergence(Hidden(how), T, points())


def test_a_field_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"must return dz/dt shaped like z, \(…, 2\), but returned \(\d+, 1\) for z"):
        exact_divergence(lambda t, z: z[:, :1], T, points())
