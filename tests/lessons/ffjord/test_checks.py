"""Lesson 06: its exercises take right answers only, its explorables plot what an independent computation finds."""

import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.distributions import MultivariateNormal, Normal, Uniform

from odelab.flows import CNF
from odelab.lessons.ffjord import explorables
from odelab.lessons.ffjord.stored import stored_couplings, stored_flows
from tests.lessons.kit.answers import every_answer, judge
from tests.lessons.kit.contrast import faint

# Exercises: (answer, a word of the hint it must get), or None for right answers.

LOG_2PI = math.log(2 * math.pi)


def by_distributions(z1, integral):
    return (
        MultivariateNormal(torch.zeros(z1.shape[1]).double(), torch.eye(z1.shape[1]).double()).log_prob(z1) + integral
    )


def row_by_row(z1, integral):
    values = []
    for z, growth in zip(z1, integral, strict=True):
        value = growth
        for coordinate in z:
            value = value - coordinate**2 / 2 - LOG_2PI / 2
        values.append(value)
    return torch.stack(values)


LOG_PROB = {
    "right": (lambda z, i: i - z.square().sum(1) / 2 - z.shape[1] / 2 * LOG_2PI, None),
    "right, by torch.distributions": (by_distributions, None),
    "right, one coordinate after another": (row_by_row, None),
    "right, by the density": (
        lambda z, i: torch.log(torch.exp(-(z**2) / 2).prod(1) / (2 * math.pi) ** (z.shape[1] / 2)) + i,
        None,
    ),
    "right, by Normal": (lambda z, i: Normal(0.0, 1.0).log_prob(z).sum(-1).add(i), None),
    "right, einsum": (
        lambda z, i: -torch.einsum("nd,nd->n", z, z) / 2 + i - len(z[0]) * math.log(2 * math.pi) / 2,
        None,
    ),
    "right, NumPy and SciPy": (
        lambda z, i: multivariate_normal(np.zeros(z.shape[1])).logpdf(z.numpy()) + i.numpy(),
        None,
    ),
    "minus the integral": (lambda z, i: -z.square().sum(1) / 2 - 1.5 * LOG_2PI - i, "sign of the integral"),
    "no constant": (lambda z, i: i - z.square().sum(1) / 2, "constant"),
    "constant once": (lambda z, i: i - z.square().sum(1) / 2 - LOG_2PI / 2, "every dimension"),
    "constant twice": (lambda z, i: i - z.square().sum(1) / 2 - 3 * LOG_2PI, "twice that"),
    "the loss": (lambda z, i: -by_distributions(z, i), "negative"),
    "no integral": (lambda z, i: by_distributions(z, 0 * i), "integral is missing"),
    "mean of the batch": (lambda z, i: by_distributions(z, i).mean(), "not their mean"),
    "sum of the batch": (lambda z, i: by_distributions(z, i).sum(), "not for all together"),
    "no half": (lambda z, i: i - z.square().sum(1) - 1.5 * LOG_2PI, "factor ½"),
    "mean of the squares": (lambda z, i: i - z.square().mean(1) / 2 - 1.5 * LOG_2PI, "not their mean"),
    "norm, not its square": (lambda z, i: i - z.norm(dim=1) / 2 - 1.5 * LOG_2PI, "not the distance"),
    "the density": (lambda z, i: by_distributions(z, i).exp(), "do not take the exponential"),
    "logarithm of the logarithm": (lambda z, i: by_distributions(z, i.abs().log()), "already its logarithm"),
    "one number for each coordinate": (lambda z, i: Normal(0.0, 1.0).log_prob(z) + i[:, None], "shape"),
    "stub": (lambda z, i: ..., "not attempted"),
}


def vjp(then=lambda product, eps: (product * eps).sum(1), graph=True):
    def answer(f, t, z, eps):
        z = z.requires_grad_()
        slope = f(t, z)
        (product,) = torch.autograd.grad(slope, z, eps, create_graph=graph, retain_graph=True)
        return slope, then(product, eps)

    return answer


def jvp(f, t, z, eps):
    """Right, forward mode: the same number, and never a backward pass."""
    slope, product = torch.func.jvp(lambda z: f(t, z), (z,), (eps,))
    return slope, (product * eps).sum(1)


def pulled(f, t, z, eps):
    slope, pull = torch.func.vjp(lambda z: f(t, z), z)
    return slope, torch.einsum("ni,ni->n", pull(eps)[0], eps)


def by_a_product(f, t, z, eps):
    """Right: the gradient of a number, εᵀf, is εᵀJ."""
    z = z.detach().requires_grad_()
    slope = f(t, z)
    product = torch.autograd.grad((slope * eps).sum(), z, create_graph=True)[0]
    return slope, (eps * product).sum(dim=1)


def whole_jacobian(f, t, z, eps):
    """Right, and d times as much work."""
    jacobian = torch.vmap(torch.func.jacrev(lambda x: f(t, x)))(z)
    return f(t, z), torch.einsum("ni,nij,nj->n", eps, jacobian, eps)


def differences(f, t, z, eps):
    """Right up to rounding: a derivative along ε by two more evaluations."""
    along = (f(t, z + 1e-5 * eps) - f(t, z - 1e-5 * eps)) / 2e-5
    return f(t, z), (eps * along).sum(1)


def exact_trace(f, t, z, eps):
    jacobian = torch.vmap(torch.func.jacrev(lambda x: f(t, x)))(z)
    return f(t, z), jacobian.diagonal(dim1=1, dim2=2).sum(1)


HUTCHINSON = {
    "right": (vjp(), None),
    "right, forward mode": (jvp, None),
    "right, torch.func.vjp": (pulled, None),
    "right, gradient of a product": (by_a_product, None),
    "right, the whole Jacobian": (whole_jacobian, None),
    "right, differences": (differences, None),
    "probe forgotten": (vjp(lambda product, eps: product.sum(1)), "once more"),
    "summed over the batch": (vjp(lambda product, eps: (product * eps).sum()), "rows apart"),
    "mean over the batch": (vjp(lambda product, eps: (product * eps).sum(1).mean()), "mean over the batch"),
    "mean over the entries": (vjp(lambda product, eps: (product * eps).mean(1)), "not their mean"),
    "not summed": (vjp(lambda product, eps: product * eps), "entry by entry"),
    "Frobenius": (vjp(lambda product, eps: product.square().sum(1)), "Frobenius"),
    "exact": (exact_trace, "exact trace"),
    "no graph": (vjp(graph=False), "create_graph"),
    "half a graph": (vjp(lambda product, eps: ((product.detach() + 0 * product) * eps).sum(1)), "detached"),
    "own probe": (lambda f, t, z, eps: vjp()(f, t, z, torch.randn_like(z)), "off by"),
    "one thing": (lambda f, t, z, eps: vjp()(f, t, z, eps)[1], "two things"),
    "another f": (lambda f, t, z, eps: (2 * f(t, z), vjp()(f, t, z, eps)[1]), "f is off"),
    "stub": (lambda f, t, z, eps: (f(t, z), ...), "not attempted"),
}


def always_the_same(x, levels):
    return (x + torch.rand(x.shape, generator=torch.Generator().manual_seed(1))) / levels


DEQUANTIZED = {
    "right": (lambda x, levels: (x + torch.rand(x.shape)) / levels, None),
    "right, by uniform_": (lambda x, levels: (x + torch.empty(x.shape).uniform_()).div(levels), None),
    "right, rand_like": (lambda x, levels: x / levels + torch.rand_like(x.float()) / levels, None),
    "right, by distributions": (lambda x, levels: Uniform(0.0, 1.0).sample(x.shape).add(x).div(levels), None),
    "right, from above": (lambda x, levels: (x + 1 - torch.rand(x.shape)) / levels, None),
    "right, NumPy": (
        lambda x, levels: torch.from_numpy((x.numpy() + np.random.default_rng().random(x.shape)) / levels),
        None,
    ),
    "right, limits for each": (lambda x, levels: Uniform(x / levels, (x + 1) / levels).sample(), None),
    "no noise": (lambda x, levels: x / levels, "^✗ not yet: no noise"),
    "the middle": (lambda x, levels: (x + 0.5) / levels, "shifted by 0.50 steps, which is no noise"),
    "largest level": (lambda x, levels: (x + torch.rand(x.shape)) / (levels - 1), "count the levels from 0 to 4"),
    "not divided": (lambda x, levels: x + torch.rand(x.shape), "divide"),
    "256 levels": (lambda x, levels: (x + torch.rand(x.shape)) / 256, "do not have 256"),
    "another number of levels": (lambda x, levels: (x + torch.rand(x.shape)) / 10, "0.10 apart"),
    "centred noise": (lambda x, levels: (x + torch.rand(x.shape) - 0.5) / levels, "from -0.50 to 0.50 steps"),
    "noise after dividing": (lambda x, levels: x / levels + torch.rand(x.shape), "left their own grey level"),
    "Gaussian noise": (lambda x, levels: (x + torch.randn(x.shape)) / levels, "not spread evenly"),
    "small Gaussian noise": (lambda x, levels: (x + 0.5 + 0.1 * torch.randn(x.shape)) / levels, "not spread evenly"),
    "clamped Gaussian noise": (
        lambda x, levels: ((x + 0.5 + 0.1 * torch.randn(x.shape)) / levels).clamp(0, 1),
        "not spread evenly",
    ),
    "half a step": (lambda x, levels: (x + torch.rand(x.shape) / 2) / levels, "only a part of each step"),
    "one u for all": (lambda x, levels: (x + torch.rand(())) / levels, "one u for all pixels of all images"),
    "one u for all, by random": (lambda x, levels: (x + random.random()) / levels, "one u for all pixels of all"),
    "one u for each image": (
        lambda x, levels: (x + torch.rand(len(x), 1)) / levels,
        "pixels of an image have the same",
    ),
    "one u for each pixel": (lambda x, levels: (x + torch.rand(x.shape[1])) / levels, "the same u in all images"),
    "always the same": (always_the_same, "same noise at every call"),
    "integers": (lambda x, levels: x, "floating-point"),
    "stub": (lambda x, levels: ..., "not attempted"),
}
BITS = {
    "right": (lambda log_p, dim, levels: (math.log(levels) - log_p / dim) / math.log(2), None),
    "right, by log2": (lambda log_p, dim, levels: math.log2(levels) - log_p / (dim * math.log(2)), None),
    "right, by the probability of a cell": (
        lambda log_p, dim, levels: -(log_p - dim * math.log(levels)) / dim / math.log(2),
        None,
    ),
    "right, as (6.9) prints it": (lambda log_p, dim, levels: -1 / math.log(2) * (log_p / dim - math.log(levels)), None),
    "right, tensors": (
        lambda log_p, dim, levels: torch.log2(torch.tensor(levels).double()) - torch.as_tensor(log_p) / dim / np.log(2),
        None,
    ),
    "right, by the width of a level": (
        lambda log_p, dim, levels: -(log_p / dim + math.log(1 / levels)) * math.log2(math.e),
        None,
    ),
    "nats": (lambda log_p, dim, levels: math.log(levels) - log_p / dim, "ln 2"),
    "no levels": (lambda log_p, dim, levels: -log_p / dim / math.log(2), "1/levels"),
    "MNIST's": (lambda log_p, dim, levels: (math.log(256) - log_p / dim) / math.log(2), "256"),
    "sign": (lambda log_p, dim, levels: (math.log(levels) + log_p / dim) / math.log(2), "fewer bits"),
    "sign of the levels": (lambda log_p, dim, levels: -(log_p / dim + math.log(levels)) / math.log(2), "levels"),
    "whole image": (lambda log_p, dim, levels: (math.log(levels) * dim - log_p) / math.log(2), "whole image"),
    "log p of the image": (lambda log_p, dim, levels: (math.log(levels) - log_p) / math.log(2), "per dimension"),
    "in grey levels": (
        lambda log_p, dim, levels: (math.log(levels) - log_p / dim) / math.log(levels),
        "not by ln levels",
    ),
    "multiplied": (lambda log_p, dim, levels: (math.log(levels) - log_p / dim) * math.log(2), "more bits than nats"),
    "levels themselves": (lambda log_p, dim, levels: (levels - log_p / dim) / math.log(2), "not their number"),
    "stub": (lambda log_p, dim, levels: ..., "not attempted"),
}
EXERCISES = {
    "flow_log_prob": LOG_PROB,
    "hutchinson_estimate": HUTCHINSON,
    "dequantized": DEQUANTIZED,
    "bits_per_dim": BITS,
}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)


# Explorables: what is plotted, against another computation, at two settings each.

MATRICES = {"skew": torch.tensor([[0.0, 2.0], [-2.0, 0.0]]), "dense": torch.tensor([[1.0, 3.0], [0.5, -2.0]])}


@pytest.mark.parametrize(("name", "k"), [("dense", 1), ("dense", 16), ("skew", 4)])
def test_probe_explorer_plots_the_spread_of_estimates(name: str, k: int) -> None:
    explorer = explorables.probe_explorer(MATRICES)
    text = explorer.drive(matrix=name, k=k)
    matrix = MATRICES[name].double().numpy()
    signs = [np.array(s) @ matrix @ np.array(s) for s in itertools.product([-1.0, 1.0], repeat=2)]
    normal = np.random.default_rng(0).standard_normal((200_000, 2))
    exact = {"gaussian": np.einsum("ni,ij,nj->n", normal, matrix, normal).std(), "rademacher": np.std(signs)}
    histogram, spread = explorer.figure.axes
    for i, noise in enumerate(("gaussian", "rademacher")):
        measured = dict(zip(*spread.lines[i].get_data(), strict=True))[k]
        assert measured == pytest.approx(exact[noise] / k**0.5, rel=0.1, abs=1e-6)
        line = dict(zip(*spread.lines[2 + i].get_data(), strict=True))[k]
        assert line == pytest.approx(exact[noise] / k**0.5, rel=0.02, abs=1e-6)
        places, heights = histogram.lines[i].get_data()
        assert (places * heights).sum() / heights.sum() == pytest.approx(0.0, abs=0.4)
    assert f"trace {np.trace(matrix):.3g}" in text


@pytest.mark.parametrize(("name", "degrees"), [("symmetric, not diagonal", 30), ("rotation", 210)])
def test_one_probe_is_a_point_on_the_wave_around_the_trace(name: str, degrees: int) -> None:
    explorer = explorables.one_probe_explorer()
    text = explorer.drive(matrix=name, degrees=degrees)
    B = explorables.SMALL[name].double()
    turn = torch.tensor(math.radians(degrees), dtype=torch.float64)
    probe = math.sqrt(2) * torch.stack([turn.cos(), turn.sin()])
    plane, curve = explorer.figure.axes
    np.testing.assert_allclose(plane.lines[3].get_xydata()[1], B @ probe, atol=1e-6)
    np.testing.assert_allclose(curve.lines[3].get_xydata(), [[degrees, probe @ B @ probe]], atol=1e-6)
    wave = curve.lines[1].get_ydata()[:-1]
    assert wave.mean() == pytest.approx(float(B.trace()), abs=1e-6), "over all directions the mean is the trace"
    corners = [float(torch.tensor(e).double() @ B @ torch.tensor(e).double()) for e in ([1.0, 1.0], [-1.0, 1.0])]
    np.testing.assert_allclose(curve.lines[2].get_ydata(), [*corners, *corners], atol=1e-6)
    assert f"the trace is {float(B.trace()):.2f}" in text
    assert not list(faint(explorer.figure))


class Shear(torch.nn.Module):
    """dz/dt = A z: the density at every time is a Gaussian in closed form."""

    dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.tensor([[0.4, -0.9], [0.3, -0.2]]))

    def forward(self, t: torch.Tensor | float, z: torch.Tensor) -> torch.Tensor:
        return z @ self.matrix.T


@pytest.mark.parametrize(("frame", "start"), [(16, 0), (5, 12)])
def test_a_patch_is_carried_and_stretched_as_a_linear_flow_does_it(frame: int, start: int) -> None:
    flow = CNF(Shear())
    ends = torch.tensor([1.0, -2.0]), torch.tensor([-1.0, 2.0])
    explorer = explorables.patch_explorer(flow, torch.randn(20, 2), 4.0, ends)
    text = explorer.drive(frame=frame, start=start)
    plane, growth = explorer.figure.axes
    A, t = flow.field.matrix.detach().double(), frame / (explorables.MOMENTS - 1)
    x = (ends[0] + start / (explorables.STARTS - 1) * (ends[1] - ends[0])).double()
    carried = torch.linalg.matrix_exp(A * t) @ x
    np.testing.assert_allclose(plane.lines[3].get_xydata()[0], carried, atol=1e-4)
    outline = torch.tensor(np.array(plane.lines[2].get_xydata())) - carried
    back = torch.linalg.solve(torch.linalg.matrix_exp(A * t), outline.T)
    np.testing.assert_allclose(back.norm(dim=0), explorables.RADIUS, atol=1e-4)
    for line in growth.lines[1:]:  # the area of a disc grows by det exp(A t), whose logarithm is t tr A
        np.testing.assert_allclose(line.get_xydata()[-1], [t, t * A.trace()], atol=1e-3)
    onward = torch.linalg.matrix_exp(A)
    law = MultivariateNormal(torch.zeros(2).double(), precision_matrix=onward.T @ onward)
    assert f"log p(x) = {float(law.log_prob(x)):.2f}" in text
    assert not list(faint(explorer.figure))


@pytest.mark.parametrize("frame", [0, 5])
def test_movie_plots_the_density_on_its_way(frame: int) -> None:
    flow = CNF(Shear())
    reel = explorables.film(flow, 5.0)
    player = explorables.movie({"shear": reel, "again": reel})
    text = player.drive(frame=frame, name="again")
    left, right = player.figure.axes
    t = frame / (explorables.FRAMES - 1)
    onward = torch.linalg.matrix_exp(flow.field.matrix.detach().double() * (1 - t))
    law = MultivariateNormal(torch.zeros(2).double(), precision_matrix=onward.T @ onward)
    side = (torch.arange(explorables.CELLS).double() + 0.5) * 10 / explorables.CELLS - 5
    grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1)
    density = law.log_prob(grid).exp().numpy()
    np.testing.assert_allclose(right.images[0].get_array(), density / density.max(), atol=2e-4)
    points = torch.tensor(np.stack(left.lines[0].get_data(), 1))
    start = torch.randn(len(points), 2, generator=torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(points, start @ torch.linalg.inv(onward).T, atol=1e-4)
    assert f"mass in the window {reel.mass[frame]:.3f}" in text and abs(reel.mass[frame] - 1) < 0.03


# What is shown of stored runs


def test_stored_flows_are_those_that_have_weights() -> None:
    assert stored_flows(["no such density"]) == stored_couplings(["no such density"]) == {}
    for name, flow in [*stored_flows().items(), *stored_couplings().items()]:
        log_prob = flow.log_prob(torch.zeros(2, 2))
        assert torch.isfinite(log_prob).all() and not log_prob.requires_grad, name
