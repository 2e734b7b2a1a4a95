"""Explorables of lesson 05 about whole flows: a discrete one layer by layer, a continuous one through time."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.datasets.plane import plane_grid
from odelab.flows import PlanarFlow
from odelab.flows.planar import planar, planar_inverse
from odelab.lessons.change_of_variables import flow_figures as figures
from odelab.lessons.change_of_variables.explorables import square_grid
from odelab.lessons.kit.explorable import Explorable
from odelab.solvers import solve

SIDE = 72  # cells of a density's picture along each side
MARKED = torch.tensor([[0.0, 0.0], [1.2, 0.4], [-0.5, 1.3], [-0.4, -0.9]])  # where the marked paths start
PARTICLES = 400


def log_normal(z: Tensor) -> Tensor:
    """Log-density of the standard normal at z (…, 2)."""
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)


@torch.no_grad()
def layer_densities(flow: PlanarFlow, points: Tensor) -> Tensor:
    """Densities at points (…, 2) after 0, 1, … K layers, (K + 1, …), from a standard normal before the first."""
    layers = list(zip(*flow.effective(), strict=True))
    found = []
    for k in range(len(layers) + 1):
        z, log_det = points, torch.zeros(points.shape[:-1])
        for parameters in reversed(layers[:k]):
            z = planar_inverse(z, *parameters)
            log_det = log_det + planar(z, *parameters)[1]
        found.append((log_normal(z) - log_det).exp())
    return torch.stack(found)


def layers(flow: PlanarFlow, half_width: float = 4.0) -> Explorable:
    """A slider over the layers of a planar flow: density, warped grid, and the mass after every layer."""
    points, area = plane_grid(half_width, SIDE)
    densities = layer_densities(flow, points.float())
    masses = densities.sum((1, 2)) * area
    with torch.no_grad():
        grids = flow.intermediate(square_grid())[0]
        w, _, b = flow.effective()
        foot, across = -(b / w.square().sum(-1))[:, None] * w, 9 * torch.stack([-w[:, 1], w[:, 0]], -1)
        across = across / w.norm(dim=-1, keepdim=True)
        creases = torch.stack([foot - across, foot + across], 1)
    creases = torch.cat([creases, torch.full((1, 2, 2), torch.nan)])

    def draw(fig: Figure, k: int) -> None:
        figures.layer(densities, masses, half_width, fig=fig)

    def update(fig: Figure, k: int) -> str:
        figures.update_layer(fig, k, densities[k], grids[k], creases[k])
        return f"after {k} of {len(creases) - 1} layers: mass on the grid {float(masses[k]):.4f}"

    controls = {"k": widgets.IntSlider(len(creases) - 1, min=0, max=len(creases) - 1, description="layers")}
    alt = "Density, warped grid and mass of a planar flow after a chosen number of its layers."
    return Explorable(draw, controls, alt=alt, update=update, size=(10.5, 3.9), play="k")


@torch.no_grad()
def carried(field: Any, z: Tensor, log_p: Tensor, times: Tensor, step_size: float = 1 / 32) -> tuple[Tensor, Tensor]:
    """Points (…, 2) and their log-density (…) at all of the times, (T, …, 2) and (T, …), along a field's flow."""

    def slope(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        f, divergence = field.with_divergence(t, state[0])
        return f, -divergence

    path, log_density = solve(slope, (z, log_p), times, method="rk4", options={"step_size": step_size}).y
    return path, log_density


@torch.no_grad()
def time_densities(field: Any, points: Tensor, times: Tensor) -> Tensor:
    """Densities at points (…, 2) at the times (T,), (T, …), from a standard normal at time 0: each by a way back."""
    found = [log_normal(points).exp()]
    for t in times[1:]:
        back, gained = carried(field, points, torch.zeros(points.shape[:-1]), torch.stack([t, times[0]]))
        found.append((log_normal(back[-1]) - gained[-1]).exp())
    return torch.stack(found)


class Film:
    """What a movie of a continuous flow shows, computed once, from a standard normal at t = 0 to t = 1.

    ``masses`` are the integrals of the density at ``times``, ``drift`` is how far they get from one.

    Args:
        field: with ``with_divergence(t, z) -> (f, div)`` for z (…, 2).
        half_width: of the window; frames: moments, the first and the last included.
    """

    alt = (
        "Particles and density of a continuous flow: a round hill takes the shape that was learned, its mass stays one."
    )

    def __init__(self, field: Any, half_width: float = 4.0, frames: int = 21) -> None:
        self.times, self.half_width = torch.linspace(0, 1, frames), half_width
        points, area = plane_grid(half_width, SIDE)
        self.densities = time_densities(field, points.float(), self.times)
        self.masses = self.densities.sum((1, 2)) * area
        self.drift = float((self.masses - 1).abs().max())
        cloud = torch.randn(PARTICLES, 2, generator=torch.Generator().manual_seed(0))
        start = torch.cat([MARKED, cloud])
        self.paths, self.log_density = carried(field, start, log_normal(start), self.times)

    def draw(self, fig: Figure | None = None) -> Figure:
        """The whole figure, at no moment yet."""
        marked = self.log_density[:, : len(MARKED)]
        return figures.movie(self.times, self.densities, self.masses, marked, self.half_width, fig=fig)

    def update(self, fig: Figure, k: int) -> str:
        """Put the k-th moment into the figure."""
        marked, cloud = self.paths[k].split([len(MARKED), PARTICLES])
        figures.update_movie(fig, float(self.times[k]), self.densities[k], cloud, marked)
        return f"t = {float(self.times[k]):.2f}: mass on the grid {float(self.masses[k]):.4f}"


def movie(film: Film) -> Explorable:
    """A time slider over a continuous flow: particles, density, log-density along paths, mass meter."""

    def draw(fig: Figure, t: float) -> None:
        film.draw(fig)

    def update(fig: Figure, t: float) -> str:
        return film.update(fig, moments.index(t))

    moments = [round(float(t), 6) for t in film.times]
    options = [(f"{t:.2f}", t) for t in moments]
    controls = {"t": widgets.SelectionSlider(options=options, value=moments[-1], description="time")}
    alt = "Density, particles, log-density along four paths and mass of a continuous flow at a chosen time."
    return Explorable(draw, controls, alt=alt, update=update, size=(10.5, 3.9))
