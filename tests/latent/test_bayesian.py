"""Functions drawn whole, their KL, and the divergence in closed form, against torch.distributions and autograd."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.func import jacrev, vmap

from odelab.latent import NONLINEARITIES, BayesianMLP, FirstOrder, SecondOrder, Weights


def net_of(hidden=(5, 4), dim_in=4, dim_out=2, **settings) -> BayesianMLP:
    torch.manual_seed(0)
    return BayesianMLP(dim_in, dim_out, hidden, **settings).double()


def one_of(weights: Weights, *index: int) -> Weights:
    return Weights(tuple(m[index] for m in weights.matrices), tuple(b[index] for b in weights.biases))


@pytest.mark.parametrize("activation", NONLINEARITIES)
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4), (5, 3, 4), (3, 5, 4, 2)])
def test_trace_is_that_of_the_jacobian(hidden, activation):
    net, x = net_of(hidden, activation=activation), torch.randn(7, 4, dtype=torch.float64)
    weights = net.draw()
    f, trace = net.apply_with_trace(x, weights, slice(2, 4))
    jacobian = vmap(jacrev(lambda point: net.apply(point[None], weights)[0]))(x)
    torch.testing.assert_close(trace, jacobian[:, :, 2:].diagonal(dim1=1, dim2=2).sum(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(f, net.apply(x, weights))
    other = net.apply_with_trace(x, weights, [0, 3])[1]
    torch.testing.assert_close(other, jacobian[:, 0, 0] + jacobian[:, 1, 3], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4), (5, 3, 4)])
def test_many_functions_are_each_of_them(hidden):
    net = net_of(hidden, initial_variance=0.1)
    weights, x = net.draw((3, 2)), torch.randn(3, 2, 6, 5, 4, dtype=torch.float64)
    f, trace = net.apply_with_trace(x, weights, slice(0, 2))
    assert f.shape == (3, 2, 6, 5, 2) and trace.shape == (3, 2, 6, 5)
    for index in ((0, 0), (2, 1)):
        alone, alone_trace = net.apply_with_trace(x[index], one_of(weights, *index), slice(0, 2))
        torch.testing.assert_close(f[index], alone)
        torch.testing.assert_close(trace[index], alone_trace)
    assert not torch.allclose(f[0, 0], net.apply(x[0, 0], one_of(weights, 0, 1)))


def test_mean_is_a_usual_network():
    net, x = net_of(), torch.randn(3, 4, dtype=torch.float64)
    layers = [torch.nn.Linear(a, b).double() for a, b in ((4, 5), (5, 4), (4, 2))]
    weights = net.mean()
    for layer, matrix, bias in zip(layers, weights.matrices, weights.biases, strict=True):
        layer.weight.data, layer.bias.data = matrix.data, bias.data
    usual = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2])
    torch.testing.assert_close(net(x), usual(x))
    assert net.weight_count == sum(p.numel() for p in usual.parameters()) == 59


@pytest.mark.parametrize("variance", ["shared", "per-weight"])
def test_kl_is_that_of_torch_distributions(variance):
    net = net_of(variance=variance, prior_std=0.8)
    with torch.no_grad():
        net.log_variance.add_(torch.randn_like(net.log_variance))
    std = net.log_variance.exp().sqrt().expand(net.weight_count)
    q = Independent(Normal(net.mean_weights, std), 1)
    p = Independent(Normal(torch.zeros_like(std), torch.full_like(std, 0.8)), 1)
    torch.testing.assert_close(net.kl(), kl_divergence(q, p))
    w = q.sample((20000,))
    estimate = q.log_prob(w) - p.log_prob(w)  # nothing exact about it
    assert abs(net.kl() - estimate.mean()) < 5 * estimate.std() / 20000**0.5
    net.kl().backward()
    assert net.log_variance.grad.abs().min() > 0 and net.log_variance.numel() == (1 if variance == "shared" else 59)


def test_draws_have_the_variance_asked_for():
    net = net_of(initial_variance=0.09)
    weights = net.draw((4000,), torch.Generator().manual_seed(0))
    flat = torch.cat([w.flatten(1) for pair in zip(weights.matrices, weights.biases, strict=True) for w in pair], 1)
    torch.testing.assert_close(flat.mean(0), net.mean_weights.detach(), atol=0.04, rtol=0)
    spread = (flat - net.mean_weights.detach()).std(0)
    torch.testing.assert_close(spread, torch.full_like(spread, 0.3), rtol=0.07, atol=0)
    assert float(BayesianMLP(2, 2).log_variance.detach().exp()) == pytest.approx(1e-4)


def test_without_variance_a_draw_is_the_mean():
    net, x = net_of(variance="none"), torch.randn(5, 3, 4, dtype=torch.float64)
    assert net.kl() == 0 and not hasattr(net, "log_variance")
    torch.testing.assert_close(net.apply(x, net.draw((5,))), net(x))


@pytest.mark.parametrize(("order", "dynamics"), [(2, SecondOrder), (1, FirstOrder)])
def test_divergence_of_the_whole_state(order, dynamics):
    """For second order tr ∂f/∂v is the divergence of the field of z = (s, v)."""
    torch.manual_seed(0)
    field = dynamics(3, (5, 4)).double().draw()
    z = torch.randn(4, 3 * order, dtype=torch.float64)
    assert field.dim == 3 * order
    jacobian = vmap(jacrev(lambda point: field(0.0, point[None])[0]))(z)
    dz, divergence = field.with_divergence(0.0, z)
    torch.testing.assert_close(divergence, jacobian.diagonal(dim1=1, dim2=2).sum(-1))
    torch.testing.assert_close(dz, field(0.0, z))
    if order == 2:
        torch.testing.assert_close(dz[:, :3], z[:, 3:])
        torch.testing.assert_close(dz[:, 3:], field.net.apply(z, field.weights))


def test_what_cannot_be():
    with pytest.raises(ValueError, match=r"activation 'tan'; did you mean 'tanh'\?"):
        BayesianMLP(2, 2, activation="tan")
    with pytest.raises(ValueError, match="variance 'share'"):
        SecondOrder(2, variance="share")
    with pytest.raises(ValueError, match=r"positive, got 0 and 1; .* variance='none'"):
        BayesianMLP(2, 2, initial_variance=0)
    field = SecondOrder(2).draw((3,))
    with pytest.raises(ValueError, match=r"z has shape \(5, 4\), .* drawn \(3,\) times.*expand z"):
        field(0.0, torch.zeros(5, 4))
