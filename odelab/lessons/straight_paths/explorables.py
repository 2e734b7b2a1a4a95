"""Explorables of the lesson on straight paths: flows that turn, maps between Gaussians, a penalty's strength."""

import math
from collections.abc import Mapping

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from odelab.flows import CNF
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.export import Twin
from odelab.lessons.straight_paths import figures

FROM = torch.tensor([[2.2, 0.9], [0.9, 0.6]], dtype=torch.float64)  # covariances of the two Gaussians of the lesson
TO = torch.tensor([[0.5, -0.6], [-0.6, 1.6]], dtype=torch.float64)
CIRCLE = torch.linspace(0, 2 * math.pi, 61, dtype=torch.float64)


def root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a symmetric positive definite matrix (d, d)."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


def gaussian_map(source: Tensor, target: Tensor, angle: float = 0.0) -> Tensor:
    """A matrix A (2, 2) that carries N(0, source) to N(0, target).

    Args:
        angle: 0 gives the optimal map, symmetric and positive definite; another one turns by so many degrees where
            the target is round.

    Source: Peyré and Cuturi (2019), Computational Optimal Transport, remark 2.31.
    """
    a = root(source)
    inverse = torch.linalg.inv(a)
    optimal = inverse @ root(a @ target @ a) @ inverse
    phi = torch.tensor(math.radians(angle), dtype=source.dtype)
    turn = torch.stack((torch.stack((phi.cos(), -phi.sin())), torch.stack((phi.sin(), phi.cos()))))
    b = root(target)
    return b @ turn @ torch.linalg.inv(b) @ optimal


def transport_cost(source: Tensor, target: Tensor, matrix: Tensor) -> float:
    """∫‖x − Ax‖² p dx for p = N(0, source) and a matrix A with A p = N(0, target), in closed form."""
    return float(torch.trace(source) + torch.trace(target) - 2 * torch.trace(matrix @ source))


def bures_wasserstein(source: Tensor, target: Tensor) -> float:
    """The least of these costs over all maps, W₂² of the two Gaussians, without constructing a map."""
    a = root(source)
    return float(torch.trace(source + target) - 2 * torch.trace(root(a @ target @ a)))


class TurningFlow(nn.Module):
    """A field that carries eight Gaussians to the standard normal while the plane turns so many times."""

    def __init__(self, turns: float) -> None:
        super().__init__()
        self.dim, self.rate = 2, 2 * math.pi * turns
        angles = torch.arange(8) * math.pi / 4
        self.centres = 4 / 1.414 * torch.stack((angles.cos(), angles.sin()), dim=1)  # of the density "8gaussians"
        self.width = 0.5 / 1.414

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        angle = torch.as_tensor(self.rate * t, dtype=z.dtype)
        turn = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos())).view(2, 2)
        across = self.rate * torch.stack((-z[..., 1], z[..., 0]), dim=-1)
        return self.mean_velocity(t, z @ turn) @ turn.T + across

    def mean_velocity(self, t: Tensor | float, z: Tensor) -> Tensor:
        """Mean of z₁ − z₀ over the straight lines through z (…, 2) at the time t, z₀ and z₁ drawn independently."""
        variance = ((1 - t) * self.width) ** 2 + t**2
        away = z[..., None, :] - (1 - t) * self.centres.to(z.dtype)
        weight = torch.softmax(-away.square().sum(-1) / (2 * variance), dim=-1)
        means = away * (t - (1 - t) * self.width**2) / variance - self.centres.to(z.dtype)
        return (weight[..., None] * means).sum(-2)


def measured(field: nn.Module, x: Tensor, shown: int = 12) -> figures.Measured:
    """Paths of the first points, and of all points x (n, dim) mean NLL, NFE and mean kinetic energy; dopri5 at 1e-5."""
    flow = CNF(field)
    with torch.no_grad():
        log_prob, costs = flow.log_prob_and_costs(x, ["kinetic"])
        nfe = flow.stats.nfe if flow.stats else 0
        paths, _ = flow.trajectory(x[:shown], torch.linspace(0, 1, 61))
    return figures.Measured(paths.numpy(), nfe, costs["kinetic"].mean().item(), -log_prob.mean().item())


def turning_flows(x: Tensor) -> dict[float, figures.Measured]:
    """What the slider of :func:`turning` shows: flows that turn from 0 to 2 times, on points x (n, 2) of the data."""
    return {k / 4: measured(TurningFlow(k / 4), x) for k in range(9)}


def turning(family: Mapping[float, figures.Measured]) -> Explorable:
    """A slider over flows with the same density: paths, and NLL, NFE and kinetic energy.

    Args:
        family: turns -> what was measured.
    """

    def update(fig: Figure, turns: float) -> str:
        figures.update_turning(fig, family, turns)
        one = family[turns]
        return f"{turns:g} turns: NLL {one.nll:.3f}, NFE {one.nfe}, kinetic energy {one.energy:.3g}."

    options = [(f"{value:g}", value) for value in family]
    controls = {"turns": widgets.SelectionSlider(options=options, description="turns")}
    return Explorable(figures.turning(family), update, controls)


def displacement(angle: int = 0, percent: int = 50, points: int = 80) -> Explorable:
    """Sliders for time and for the turn of the map; points on straight lines between two Gaussians."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(points, 2, generator=generator, dtype=torch.float64) @ root(FROM)
    angles = list(range(-180, 181, 15))
    maps = {turn: gaussian_map(FROM, TO, turn) for turn in angles}
    costs = [transport_cost(FROM, TO, matrix) for matrix in maps.values()]
    least = bures_wasserstein(FROM, TO)
    ring = 2 * torch.stack((CIRCLE.cos(), CIRCLE.sin()), dim=1) @ root(FROM)

    def update(fig: Figure, angle: int, percent: int) -> str:
        t, cost = percent / 100, costs[angles.index(angle)]
        between = torch.eye(2, dtype=torch.float64) * (1 - t) + maps[angle] * t
        area = float(torch.linalg.det(between))
        figures.update_displacement(fig, start, start @ between.T, ring @ between.T, angle, cost, t)
        return (
            f"turn {angle:+d}°: cost {cost:.3f}, least possible {least:.3f}; "
            f"an area of 1 has become {area:.3f} at t = {t:.2f}."
        )

    controls = {
        "angle": widgets.IntSlider(angle, min=-180, max=180, step=15, description="turn of the map (°)"),
        "percent": widgets.IntSlider(percent, min=0, max=100, step=5, description="time (%)"),
    }
    figure = figures.displacement((ring, ring @ maps[angle].T), angles, costs, least)
    model = {"angles": angles, "maps": [matrix.tolist() for matrix in maps.values()], "costs": costs, "least": least}
    seen = {"start": start.tolist(), "rings": [ring.tolist(), (ring @ maps[0].T).tolist()]}
    return Explorable(figure, update, controls, play="percent", twin=Twin("displacement", {**model, **seen}))


def regularised(flows: Mapping[float, figures.Trained], half_width: float, best: float) -> Explorable:
    """A slider over trained flows: density, paths, NLL and NFE.

    Args:
        flows: λ -> what the lesson trained and measured.
        best: entropy of the data, which no NLL beats.
    """

    def update(fig: Figure, strength: float) -> str:
        figures.update_regularised(fig, flows, strength)
        flow = flows[strength]
        return (
            f"λ = {strength:g}: true NLL {flow.nll:.2f} (its own solver says {flow.own_nll:.2f}), NFE {flow.nfe}, "
            f"kinetic energy {flow.energy:.2f}, paths {flow.straightness:.2f} times as long as straight ones."
        )

    options = [(f"{value:g}", value) for value in flows]
    controls = {"strength": widgets.SelectionSlider(options=options, description="λ")}
    return Explorable(figures.regularised(flows, half_width, best), update, controls)
