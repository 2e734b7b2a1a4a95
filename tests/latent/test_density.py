"""The path and its density: against the change of variables, closed forms, the solvers, and each sequence alone."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap
from torch.nn.functional import batch_norm, dropout

from odelab.latent import NONLINEARITIES, BayesianMLP, DrawnField, FirstOrder, SecondOrder, flow
from odelab.solvers import solve
from tests.latent.latent_problems import own_clocks, seeded


def dynamics_of(order=2, hidden=(5, 4), **settings):
    torch.manual_seed(0)
    dynamics = (SecondOrder if order == 2 else FirstOrder)(4 // order, hidden, initial_variance=0.1, **settings)
    return dynamics.double()


def state(*shape: int) -> tuple[Tensor, Tensor]:
    z0 = torch.randn(*shape, 4, dtype=torch.float64, generator=seeded(1))
    return z0, torch.randn(shape, dtype=torch.float64, generator=seeded(2))


TIMES = torch.tensor([0.0, 0.3, 0.4, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("gradient", ["rollout", "backprop"])
@pytest.mark.parametrize("order", [1, 2])
def test_density_is_the_change_of_variables(order, gradient):
    """log q(z_T) = log q(z_0) − log |det ∂z_T/∂z_0|, the determinant by autograd of the flow map."""
    field, (z0, log_q0) = dynamics_of(order).draw(), state(5)

    def end(z: Tensor) -> Tensor:
        return flow(field, z[None], TIMES, substeps=24, gradient="backprop")[0, -1]

    log_det = torch.linalg.slogdet(vmap(jacrev(end))(z0)).logabsdet
    z, log_q = flow(field, z0, TIMES, substeps=24, density=log_q0, gradient=gradient)
    assert z.shape == (5, 4, 4) and log_q.shape == (5, 4)
    torch.testing.assert_close(log_q[:, -1], log_q0 - log_det, rtol=0, atol=1e-7)
    assert log_det.abs().max() > 0.05, "nothing to see"
    torch.testing.assert_close(z[:, 0], z0)
    torch.testing.assert_close(log_q[:, 0], log_q0)


class Damped:
    """ds = v, dv = −ω² s − c v: the divergence is −c everywhere."""

    def __call__(self, t, z):
        s, v = z.chunk(2, -1)
        return torch.cat([v, -4 * s - 0.5 * v], -1)

    def with_divergence(self, t, z):
        return self(t, z), -0.5 * z.shape[-1] / 2 * torch.ones_like(z[..., 0])


def test_density_of_a_damped_oscillator_grows_as_the_phase_volume_shrinks():
    z0, log_q0 = state(3)
    z, log_q = flow(Damped(), z0, TIMES, substeps=50, density=log_q0)
    torch.testing.assert_close(log_q, log_q0[:, None] + 2 * 0.5 * TIMES, rtol=0, atol=1e-12)
    block = torch.tensor([[0.0, 1.0], [-4.0, -0.5]], dtype=torch.float64)
    whole = torch.kron(block, torch.eye(2, dtype=torch.float64))
    exact = torch.stack([z0 @ torch.matrix_exp(whole * t).T for t in TIMES], -2)
    torch.testing.assert_close(z, exact, rtol=0, atol=1e-7)


class Spreading:
    """dz = t z: depends on time, and so do its divergence, 4 t, and log q."""

    def __call__(self, t, z):
        return t * z

    def with_divergence(self, t, z):
        return t * z, 4 * torch.as_tensor(t, dtype=z.dtype).expand_as(z)[..., 0]


@pytest.mark.parametrize("clocks", ["shared", "own"])
def test_field_that_knows_the_time(clocks):
    z0, log_q0 = state(4)
    times = TIMES if clocks == "shared" else own_clocks(4, 4)
    half = (times.square() - times[..., :1].square()) / 2
    z, log_q = flow(Spreading(), z0, times, substeps=20, density=log_q0)
    torch.testing.assert_close(log_q, log_q0[:, None] - 4 * half, rtol=0, atol=1e-12)
    torch.testing.assert_close(z, z0[:, None] * half.exp()[..., None].expand(4, 4, 1), rtol=1e-7, atol=1e-7)


def test_density_has_the_order_of_the_method():
    field, (z0, log_q0) = dynamics_of().draw(), state(6)
    with torch.no_grad():
        fine = flow(field, z0, TIMES, substeps=64, density=log_q0)[1]
        errors = [(flow(field, z0, TIMES, substeps=k, density=log_q0)[1] - fine).abs().max() for k in (1, 2, 4)]
    for coarse, finer in pairwise(errors):
        assert 8 < coarse / finer < 32, "a fourth-order method gains 16 from half the step"


@pytest.mark.parametrize("method", ["rk4_classic", "dopri5", "heun2"])
def test_it_is_the_solve_of_the_augmented_state(method):
    field, (z0, log_q0) = dynamics_of().draw(), state(5)

    def augmented(t, pair):
        dz, divergence = field.with_divergence(t, pair[0])
        return dz, -divergence

    step = {} if method == "dopri5" else {"options": {"step_size": 0.1}}
    t = torch.linspace(0, 0.6, 7, dtype=torch.float64)
    z, log_q = flow(field, z0, t, method=method, density=log_q0)
    whole = solve(augmented, (z0, log_q0), t, method=method, rtol=1e-10, atol=1e-10, **step).y
    tolerance = 1e-6 if step == {} else 1e-12
    torch.testing.assert_close(z, whole[0].movedim(0, -2), rtol=0, atol=tolerance)
    torch.testing.assert_close(log_q, whole[1].movedim(0, -1), rtol=0, atol=tolerance)


class Written:
    """A field as somebody writes it, with its divergence by autograd."""

    def __init__(self, slope):
        self.slope = slope

    def __call__(self, t, z):
        return self.slope(z)

    def with_divergence(self, t, z):
        f = self.slope(z)
        columns = [torch.autograd.grad(f[..., i].sum(), z, create_graph=True)[0][..., i] for i in range(4)]
        return f, sum(columns)


class Doubled(Written):
    def with_divergence(self, t, z):
        f, divergence = super().with_divergence(t, z)
        return f, 2 * divergence


def turned(z: Tensor) -> Tensor:
    return (z @ torch.linspace(-1, 1, 16, dtype=torch.float64).view(4, 4)).tanh()


def normed(z: Tensor) -> Tensor:
    return batch_norm(z.reshape(-1, 4), None, None, training=True).view_as(z)


@pytest.mark.parametrize("draws", [(), (3,)])
@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (Written(lambda z: turned(z) - z.mean(-2, keepdim=True)), "depends on the other points of the batch"),
        (Written(normed), "depends on the other points of the batch"),
        (Written(lambda z: turned(z) - 0.5 * z.detach()), "by its method with_divergence is .* where a difference"),
        (Doubled(turned), "by its method with_divergence is .* where a difference quotient"),
        (Written(lambda z: dropout(turned(z))), r"draws random numbers .*call eval\(\)"),
    ],
    ids=["a mean over rows", "batch norm in training", "a part detached", "a wrong divergence", "dropout"],
)
def test_a_field_whose_density_would_silently_be_wrong_is_refused(field, reason, draws):
    z0, log_q0 = state(*draws, 5)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=reason):
        flow(field, z0.requires_grad_(), TIMES, density=log_q0)
    assert torch.equal(torch.get_rng_state(), before)
    assert flow(field, z0, TIMES).isfinite().all(), "a path without a density is theirs to choose"


class Contextual(Written):
    """Every row with its own context: it can be asked for as many rows as it has contexts."""

    def __init__(self, context):
        super().__init__(turned)
        self.context = context

    def with_divergence(self, t, z):
        f, divergence = super().with_divergence(t, z)
        return f, divergence + 0 * self.context[:, None, 0]

    def __call__(self, t, z):
        return self.slope(z) + self.context


@pytest.mark.parametrize("field", [Written(turned), Written(lambda z: 1e3 + z.relu()), Contextual(torch.ones(30, 4))])
@pytest.mark.parametrize("clocks", ["shared", "own"])
def test_good_fields_are_not_refused(field, clocks):
    z0, log_q0 = state(30)
    times = TIMES if clocks == "shared" else own_clocks(30, 4)
    assert flow(field, z0.requires_grad_(), times, density=log_q0)[1].isfinite().all()


class DampedField(DrawnField):
    def __call__(self, t, z):
        return super().__call__(t, z) - z

    def with_divergence(self, t, z):
        f, divergence = super().with_divergence(t, z)
        return f - z, divergence - z.shape[-1]


class Forgetful(DampedField):
    with_divergence = DrawnField.with_divergence


class Residual(BayesianMLP):
    def apply(self, x, weights):
        return super().apply(x, weights) - x

    def apply_with_trace(self, x, weights, columns):
        f, trace = super().apply_with_trace(x, weights, columns)
        return f - x, trace - x.shape[-1]


def derived(kind: type) -> DrawnField:
    net = (kind if kind is Residual else BayesianMLP)(4, 4, (5,), variance="none").double()
    return (DrawnField if kind is Residual else kind)(net, net.mean(), 4, second_order=False)


@pytest.mark.parametrize("gradient", ["rollout", "backprop"])
@pytest.mark.parametrize("kind", [DampedField, Residual])
def test_what_a_derived_class_does_is_followed(kind, gradient):
    """The loop that is written out knows the perceptron alone."""
    field, (z0, log_q0) = derived(kind), state(5)

    def end(z: Tensor) -> Tensor:
        return solve(field, z, TIMES[[0, -1]], rtol=1e-10, atol=1e-10).y[-1]

    log_det = torch.linalg.slogdet(torch.stack([torch.autograd.functional.jacobian(end, z) for z in z0])).logabsdet
    z, log_q = flow(field, z0, TIMES, substeps=24, density=log_q0, gradient=gradient)
    torch.testing.assert_close(z[:, -1], end(z0), rtol=0, atol=1e-6)
    torch.testing.assert_close(log_q[:, -1], log_q0 - log_det, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gradient", ["rollout", "backprop"])
def test_a_derived_class_that_forgets_its_divergence_is_refused(gradient):
    z0, log_q0 = state(5)
    with pytest.raises(ValueError, match="Mend with_divergence"):
        flow(derived(Forgetful), z0, TIMES, density=log_q0, gradient=gradient)


CASES = [
    (2, (5, 4), "tanh", (), "shared", "rk4_classic"),
    (2, (5, 4), "relu", (3,), "own", "rk4_classic"),
    (1, (5,), "softplus", (2, 2), "shared", "dopri5"),
    (1, (4, 3, 5), "elu", (3,), "own", "heun2"),
    (2, (), "tanh", (3,), "shared", "bosh3"),
    (1, (5, 4), "tanh", (), "own", "dopri5"),
]


@pytest.mark.parametrize(("order", "hidden", "activation", "draws", "clocks", "method"), CASES)
def test_derivative_by_hand_is_autograds(order, hidden, activation, draws, clocks, method):
    dynamics = dynamics_of(order, hidden, activation=activation)
    times = TIMES if clocks == "shared" else own_clocks(4, 4)
    z0, log_q0 = state(*draws, 4)
    found = {}
    for gradient in ("rollout", "backprop"):
        start, density = z0.clone().requires_grad_(), log_q0.clone().requires_grad_()
        field = dynamics.draw(draws, seeded())
        z, log_q = flow(field, start, times, substeps=2, method=method, density=density, gradient=gradient)
        loss = (z.sin() * log_q[..., None]).sum() + z[..., 1, 0].sum() + log_q[..., 2].square().sum()
        found[gradient] = (z, log_q, *torch.autograd.grad(loss, (start, density, *dynamics.parameters())))
    for ours, theirs in zip(*found.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(flow(dynamics.draw(draws, seeded()), z0, times, substeps=2, method=method), z)


@pytest.mark.parametrize("gradient", ["rollout", "backprop"])
def test_own_clocks_are_each_sequence_alone(gradient):
    field, (z0, log_q0), times = dynamics_of().draw(), state(4), own_clocks(4, 5)
    z, log_q = flow(field, z0, times, substeps=2, density=log_q0, gradient=gradient)
    for i in range(4):
        one = flow(field, z0[i : i + 1], times[i], substeps=2, density=log_q0[i : i + 1], gradient=gradient)
        torch.testing.assert_close(z[i : i + 1], one[0])
        torch.testing.assert_close(log_q[i : i + 1], one[1])


def test_path_without_gradient_is_the_path():
    field, (z0, log_q0) = dynamics_of(activation="elu").draw((3,)), state(3, 2)
    z = flow(field, z0, TIMES, density=log_q0)[0]
    torch.testing.assert_close(flow(field, z0, TIMES), z)
    with torch.no_grad():
        torch.testing.assert_close(flow(field, z0, TIMES), z)
    assert len(NONLINEARITIES) == 4
    assert torch.equal(flow(field, z0, TIMES[:1]), z0[..., None, :])


def test_what_cannot_be():
    field, (z0, _) = dynamics_of().draw((3,)), state(5)
    with pytest.raises(ValueError, match=r"z has shape \(5, 4\)"):
        flow(field, z0, TIMES)
    with pytest.raises(ValueError, match="substeps must be at least 1"):
        flow(Damped(), z0, TIMES, substeps=0)
    with pytest.raises(ValueError, match="unknown method 'rk5'"):
        flow(Damped(), z0, TIMES, method="rk5")
