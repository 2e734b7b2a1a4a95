"""Explorables of the lesson on straight paths: flows that turn, maps between Gaussians, a penalty's strength."""

from __future__ import annotations

import math
from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.lessons.kit.explorable import Explorable
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


def turning(family: Mapping[float, figures.Measured], turns: float | None = None) -> Explorable:
    """A slider over flows with the same density: paths, and NLL, NFE and kinetic energy.

    Args:
        family: turns -> what the lesson measured.
    """

    def draw(fig: Figure, turns: float) -> None:
        figures.turning(family, turns, fig=fig)

    def update(fig: Figure, turns: float) -> None:
        figures.update_turning(fig, family, turns)

    def readout(turns: float) -> str:
        one = family[turns]
        return f"{turns:g} turns: NLL {one.nll:.3f}, NFE {one.nfe}, kinetic energy {one.energy:.3g}."

    options = [(f"{value:g}", value) for value in family]
    value = next(iter(family)) if turns is None else turns
    controls = {"turns": widgets.SelectionSlider(options=options, value=value, description="turns")}
    alt = "Paths of a flow that turns on its way, and its NLL, NFE and kinetic energy against the number of turns."
    return Explorable(draw, controls, alt=alt, readout=readout, update=update, size=(9.6, 4.2))


def displacement(angle: int = 0, percent: int = 50, points: int = 80) -> Explorable:
    """Sliders for time and for the turn of the map; points on straight lines between two Gaussians."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(points, 2, generator=generator, dtype=torch.float64) @ root(FROM)
    angles = list(range(-180, 181, 15))
    maps = {each: gaussian_map(FROM, TO, each) for each in angles}
    costs = [transport_cost(FROM, TO, matrix) for matrix in maps.values()]
    least = bures_wasserstein(FROM, TO)
    ring = 2 * torch.stack((CIRCLE.cos(), CIRCLE.sin()), dim=1) @ root(FROM)

    def scene(angle: int, percent: int) -> figures.Transport:
        matrix, t = maps[angle], percent / 100
        circles = [((1 - s) * ring + s * ring @ matrix.T).numpy() for s in (0.0, t, 1.0)]
        return figures.Transport(
            start.numpy(),
            (start @ matrix.T).numpy(),
            np.stack(circles),
            angle,
            costs[angles.index(angle)],
            angles,
            costs,
            least,
            t,
        )

    def draw(fig: Figure, angle: int, percent: int) -> None:
        figures.displacement(scene(angle, percent), fig=fig)

    def update(fig: Figure, angle: int, percent: int) -> None:
        figures.update_displacement(fig, scene(angle, percent))

    def readout(angle: int, percent: int) -> str:
        between = torch.eye(2, dtype=torch.float64) * (1 - percent / 100) + maps[angle] * percent / 100
        area = float(torch.linalg.det(between))
        return (
            f"turn {angle:+d}°: cost {costs[angles.index(angle)]:.3f}, least possible {least:.3f}; "
            f"an area of 1 has become {area:.3f} at t = {percent / 100:.2f}."
        )

    controls = {
        "angle": widgets.IntSlider(angle, min=-180, max=180, step=15, description="turn of the map (°)"),
        "percent": widgets.IntSlider(percent, min=0, max=100, step=5, description="time (%)"),
    }
    alt = "Points on straight lines from one Gaussian to another, and the cost of the map against its turn."
    return Explorable(draw, controls, alt=alt, readout=readout, update=update, size=(9.6, 4.2), play="percent")


def regularised(
    flows: Mapping[float, figures.Trained], half_width: float, best: float, strength: float | None = None
) -> Explorable:
    """A slider over trained flows: density, paths, NLL and NFE.

    Args:
        flows: λ -> what the lesson trained and measured.
        best: entropy of the data, which no NLL beats.
    """

    def draw(fig: Figure, strength: float) -> None:
        figures.regularised(flows, strength, half_width, best, fig=fig)

    def update(fig: Figure, strength: float) -> None:
        figures.update_regularised(fig, flows, strength)

    def readout(strength: float) -> str:
        flow = flows[strength]
        return (
            f"λ = {strength:g}: true NLL {flow.nll:.2f} (its own solver says {flow.own_nll:.2f}), NFE {flow.nfe}, "
            f"kinetic energy {flow.energy:.2f}, paths {flow.straightness:.4f} times as long as straight ones."
        )

    options = [(f"{value:g}", value) for value in flows]
    value = next(iter(flows)) if strength is None else strength
    controls = {"strength": widgets.SelectionSlider(options=options, value=value, description="λ")}
    alt = "Density and paths of a trained flow, with NLL and NFE against the weight of its penalty."
    return Explorable(draw, controls, alt=alt, readout=readout, update=update, size=(9.6, 4.2))
