"""Figures of lesson 07's flows under training: what their own solver says of them, and what is true."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure
from odelab.lessons.straight_paths.figures import GUIDE, HERE, draw_paths, move_paths


def own_and_true(
    iterations: ArrayLike, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], best: float, fig: Figure | None = None
) -> Figure:
    """NLL during training, by the solver that trains (dashed) and by an accurate one (solid).

    Args:
        curves: title -> (own, true), each like iterations, (k,).
        best: the entropy of the data, which no true NLL beats.
    """
    fig = new_figure(fig, (9.6, 3.7))
    axes = fig.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for ax, (title, (own, true)) in zip(axes, curves.items(), strict=True):
        ax.plot(iterations, true, label="dopri5, 1e-5", **line_style(0) | {"markersize": 4})
        ax.plot(iterations, own, label="two rk4 steps", **line_style(1) | {"markersize": 4})
        ax.fill_between(np.asarray(iterations), own, true, color=COLORS["orange"], alpha=0.25, linewidth=0)
        ax.axhline(best, label="entropy of the data", **GUIDE)
        ax.set_title(title, fontsize=11)
        ax.set(xlabel="iterations")
    axes[0].set(ylabel="NLL (nats)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return describe(
        fig,
        "Negative log-likelihood against iterations in panels of growing penalty. Without a penalty the value of the "
        "training solver keeps falling while the true one turns up again; with a strong one the two curves coincide.",
    )


@dataclass(frozen=True)
class Trained:
    """A trained flow: density (m, m) on the plot window, paths (times, n, 2), and its numbers."""

    density: np.ndarray
    paths: np.ndarray
    nll: float
    own_nll: float
    nfe: int
    energy: float
    straightness: float


def regularised(
    flows: Mapping[float, Trained], strength: float, half_width: float, best: float, fig: Figure | None = None
) -> Figure:
    """Density and paths of one flow, and NLL and NFE of all against λ."""
    fig = new_figure(fig, (9.6, 4.2))
    grid = fig.add_gridspec(2, 3, width_ratios=(1, 1, 1.05))
    image, paths = fig.add_subplot(grid[:, 0]), fig.add_subplot(grid[:, 1])
    nll, nfe = fig.add_subplot(grid[0, 2]), fig.add_subplot(grid[1, 2])
    window = (-half_width, half_width)
    # zorder: what moves must lie above the panel's background, or a redraw of the moving parts hides it
    image.imshow(
        flows[strength].density,
        zorder=1.5,
        origin="lower",
        extent=(*window, *window),
        vmin=0,
        vmax=2.5 * math.exp(-best),
    )
    image.grid(visible=False)
    draw_paths(paths, flows[strength].paths)
    for ax in (image, paths):
        ax.set(xlim=window, ylim=window)
    places = range(len(flows))
    nll.plot(places, [flow.nll for flow in flows.values()], label="dopri5", **line_style(0))
    nll.plot(places, [flow.own_nll for flow in flows.values()], label="own solver", **line_style(1))
    nll.axhline(best, label="entropy", **GUIDE)
    nfe.plot(places, [flow.nfe for flow in flows.values()], **line_style(2))
    for ax, title in ((nll, "NLL (nats)"), (nfe, "NFE, dopri5 at 1e-5")):
        ax.set_title(title, fontsize=11)
        ax.set_xticks(places, [f"{value:g}" for value in flows])
        ax.margins(0.1, 0.2)  # room for the square round the chosen one
        ax.plot([], [], **HERE | {"markerfacecolor": "none", "markeredgewidth": 2, "markersize": 11})
    keys = [ax.get_legend_handles_labels() for ax in (nll, paths)]
    fig.legend(*(one + two for one, two in zip(*keys, strict=True)), loc="outside lower center", ncols=5)
    nfe.set(xlabel="λ", ylim=(0, None))
    update_regularised(fig, flows, strength)
    return describe(
        fig,
        "The density of a flow trained on a checkerboard, paths of its points to the base, and NLL and evaluations "
        "against the weight λ of the penalty: evaluations fall with λ, the true NLL is best in between.",
    )


def update_regularised(fig: Figure, flows: Mapping[float, Trained], strength: float) -> None:
    """Show the flow of another λ in a figure drawn by :func:`regularised`."""
    image, paths, nll, nfe = fig.axes
    flow, place = flows[strength], [*flows].index(strength)
    image.images[0].set_data(flow.density)
    image.set_title(f"density, λ = {strength:g}", fontsize=11)
    move_paths(paths, flow.paths)
    paths.set_title(f"paths, {flow.straightness:.4f} × straight", fontsize=11)
    nll.lines[-1].set_data([place], [flow.nll])
    nfe.lines[-1].set_data([place], [flow.nfe])
