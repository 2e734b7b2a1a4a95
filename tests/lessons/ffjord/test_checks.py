"""Lesson 06: its exercises take right answers only, its explorables plot what an independent computation finds."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from odelab.flows import CNF
from odelab.lessons.ffjord import explorables
from odelab.lessons.ffjord.stored import stored_flows
from tests.lessons.kit.answers import every_answer, judge

# Exercises: (answer, a word of the hint it must get), or None for right answers.

LOG_2PI = math.log(2 * math.pi)


def by_distributions(z1, integral):
    return (
        MultivariateNormal(torch.zeros(z1.shape[1]).double(), torch.eye(z1.shape[1]).double()).log_prob(z1) + integral
    )


LOG_PROB = {
    "right": (lambda z, i: i - z.square().sum(1) / 2 - z.shape[1] / 2 * LOG_2PI, None),
    "right, by torch.distributions": (by_distributions, None),
    "minus the integral": (lambda z, i: -z.square().sum(1) / 2 - 1.5 * LOG_2PI - i, "sign of the integral"),
    "no constant": (lambda z, i: i - z.square().sum(1) / 2, "constant"),
    "constant once": (lambda z, i: i - z.square().sum(1) / 2 - LOG_2PI / 2, "every dimension"),
    "the loss": (lambda z, i: -by_distributions(z, i), "negative"),
    "no integral": (lambda z, i: by_distributions(z, 0 * i), "integral is missing"),
    "one number": (lambda z, i: by_distributions(z, i).mean(), "mean"),
    "no half": (lambda z, i: i - z.square().sum(1) - 1.5 * LOG_2PI, "off by"),
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


def exact_trace(f, t, z, eps):
    jacobian = torch.vmap(torch.func.jacrev(lambda x: f(t, x)))(z)
    return f(t, z), jacobian.diagonal(dim1=1, dim2=2).sum(1)


HUTCHINSON = {
    "right": (vjp(), None),
    "right, forward mode": (jvp, None),
    "probe forgotten": (vjp(lambda product, eps: product.sum(1)), "once more"),
    "summed over the batch": (vjp(lambda product, eps: (product * eps).sum()), "rows apart"),
    "not summed": (vjp(lambda product, eps: product * eps), "entry by entry"),
    "Frobenius": (vjp(lambda product, eps: product.square().sum(1)), "Frobenius"),
    "exact": (exact_trace, "exact trace"),
    "no graph": (vjp(graph=False), "create_graph"),
    "half a graph": (vjp(lambda product, eps: ((product.detach() + 0 * product) * eps).sum(1)), "detached"),
    "own probe": (lambda f, t, z, eps: vjp()(f, t, z, torch.randn_like(z)), "off by"),
    "one thing": (lambda f, t, z, eps: vjp()(f, t, z, eps)[1], "two things"),
    "stub": (lambda f, t, z, eps: (f(t, z), ...), "not attempted"),
}
DEQUANTIZED = {
    "right": (lambda x, levels: (x + torch.rand(x.shape)) / levels, None),
    "right, by uniform_": (lambda x, levels: (x + torch.empty(x.shape).uniform_()).div(levels), None),
    "no noise": (lambda x, levels: x / levels, "no noise"),
    "largest level": (lambda x, levels: (x + torch.rand(x.shape)) / (levels - 1), "how many steps"),
    "centred noise": (lambda x, levels: (x + torch.rand(x.shape) - 0.5).clamp(0) / levels, "own grey level"),
    "Gaussian noise": (lambda x, levels: ((x + 0.5 + 0.1 * torch.randn(x.shape)) / levels).clamp(0, 1), "uniform"),
    "one number for all": (lambda x, levels: (x + torch.rand(())) / levels, "no noise|of its own"),
    "one per image": (lambda x, levels: (x + torch.rand(len(x), 1)) / levels, "of its own"),
    "always the same": (
        lambda x, levels: (x + torch.rand(x.shape, generator=torch.Generator().manual_seed(1))) / levels,
        "same noise",
    ),
    "integers": (lambda x, levels: x, "floating-point"),
    "stub": (lambda x, levels: ..., "not attempted"),
}
BITS = {
    "right": (lambda log_p, dim, levels: (math.log(levels) - log_p / dim) / math.log(2), None),
    "right, by log2": (lambda log_p, dim, levels: math.log2(levels) - log_p / (dim * math.log(2)), None),
    "nats": (lambda log_p, dim, levels: math.log(levels) - log_p / dim, "ln 2"),
    "no levels": (lambda log_p, dim, levels: -log_p / dim / math.log(2), "1/levels"),
    "MNIST's": (lambda log_p, dim, levels: (math.log(256) - log_p / dim) / math.log(2), "256"),
    "sign": (lambda log_p, dim, levels: (math.log(levels) + log_p / dim) / math.log(2), "fewer bits"),
    "sign of the levels": (lambda log_p, dim, levels: -(log_p / dim + math.log(levels)) / math.log(2), "levels"),
    "whole image": (lambda log_p, dim, levels: (math.log(levels) * dim - log_p) / math.log(2), "whole image"),
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


class Shear(torch.nn.Module):
    """dz/dt = A z: the density at every time is a Gaussian in closed form."""

    dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.tensor([[0.4, -0.9], [0.3, -0.2]]))

    def forward(self, t: torch.Tensor | float, z: torch.Tensor) -> torch.Tensor:
        return z @ self.matrix.T


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
    assert stored_flows(["no such density"]) == {}
    for name, flow in stored_flows().items():
        log_prob = flow.log_prob(torch.zeros(2, 2))
        assert torch.isfinite(log_prob).all() and not log_prob.requires_grad, name
