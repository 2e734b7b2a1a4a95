"""Figures of lesson 01's explorables: a trained network's flow, and layers in training against layers in testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver

from odelab.lessons.kit.style import COLORS, describe, new_figure
from odelab.lessons.residual_networks.figures import CLASSES, broken, decision_line


@dataclass(frozen=True)
class Flow:
    """A residual network of one depth, looked at up to one time.

    Attributes:
        title: what is shown.
        paths: states of the points up to now, (times, n, 2).
        labels: 0 or 1, (n,).
        grid: the warped grid, (points, lines, 2).
        places, velocity: of the arrows, (m, 2).
        boundary: (normal (2,), offset) of the classifier's line.
    """

    title: str
    paths: np.ndarray
    labels: np.ndarray
    grid: np.ndarray
    places: np.ndarray
    velocity: np.ndarray
    boundary: tuple[np.ndarray, float]


def depth_flow(flow: Flow, limits: tuple[float, float, float, float], fig: Figure | None = None) -> Figure:
    """Left: velocity field and the way of every point so far. Right: the grid as the network has warped it.

    Args:
        limits: (x low, x high, y low, y high) of both panels.
    """
    fig = new_figure(fig, (9.6, 4.6))
    left, right = fig.subplots(1, 2, sharex=True, sharey=True)
    scale = 20 * np.linalg.norm(flow.velocity, axis=1).max()
    left.quiver(*flow.places.T, *flow.velocity.T, color="#BDBDBD", pivot="mid", width=0.003, scale=scale)
    for style in CLASSES:
        left.plot([], [], color=style["color"], linestyle="-", linewidth=0.8, alpha=0.6)
    right.plot([], [], color=COLORS["grey"], linestyle="-", linewidth=0.7)
    for ax in (left, right):
        for name, style in zip(("class 0", "class 1"), CLASSES, strict=True):
            ax.plot([], [], linestyle="none", markersize=4, label=name, **style)
        ax.grid(visible=False)
    decision_line(right, *flow.boundary)
    right.lines[-1].set_label("classifier")
    right.legend(loc="lower right")
    left.set(xlim=limits[:2], ylim=limits[2:], xlabel="first entry of z", ylabel="second entry of z")
    right.set(xlabel="first entry of z", title="the plane, as this network has warped it")
    update_depth_flow(fig, flow)
    return describe(
        fig,
        "Left: two interleaved moons of points, the velocity field that moves them, and their paths so far. Right: a "
        "square grid warped by the same network, with the points at their present place and the classifier's line.",
    )


def update_depth_flow(fig: Figure, flow: Flow) -> None:
    """Put another depth or time into a figure drawn by :func:`depth_flow`."""
    left, right = fig.axes
    cast(Quiver, left.collections[0]).set_UVC(*flow.velocity.T)
    left.set_title(flow.title)
    right.lines[0].set_data(*broken(flow.grid))
    for k in range(2):
        paths = flow.paths[:, flow.labels == k]
        left.lines[k].set_data(*broken(paths))
        left.lines[2 + k].set_data(*paths[-1].T)
        right.lines[1 + k].set_data(*paths[-1].T)


@dataclass(frozen=True)
class StepTest:
    """A network's outputs when it runs with another number of layers than it was trained with.

    Attributes:
        outputs: (n, 2), turned so that the classifier says class 1 where the first entry is positive.
        labels: 0 or 1, (n,).
    """

    outputs: np.ndarray
    labels: np.ndarray


def step_matrix(
    accuracy: np.ndarray, trained: Sequence[int | str], tested: Sequence[int], test: StepTest, fig: Figure | None = None
) -> Figure:
    """Left: accuracy for every pair of layers in training and layers in testing. Right: the outputs of one pair.

    Args:
        accuracy: (len(trained), len(tested)), between 0 and 1.
    """
    fig = new_figure(fig, (9.6, 4.2))
    left, right = fig.subplots(1, 2, width_ratios=(1.35, 1))
    left.imshow(accuracy, vmin=0.5, vmax=1, cmap="cividis", aspect="auto")
    for (row, column), value in np.ndenumerate(accuracy):
        ink = "black" if value > 0.75 else "white"
        left.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize=11)
    left.set_xticks(range(len(tested)), [str(n) for n in tested])
    left.set_yticks(range(len(trained)), [str(n) for n in trained])
    left.set(xlabel="layers when tested", ylabel="layers when trained", title="test accuracy in %")
    left.grid(visible=False)
    left.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor=COLORS["vermillion"], linewidth=3))
    for name, style in zip(("class 0", "class 1"), CLASSES, strict=True):
        right.plot([], [], linestyle="none", markersize=3.5, alpha=0.8, label=name, **style)
    right.axvline(0, color=COLORS["black"], linestyle="-.", linewidth=1.4, label="classifier")
    right.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), xlabel="→ called class 1", ylabel="along the classifier's line")
    right.legend(loc="upper left", ncols=3, columnspacing=0.8, handletextpad=0.3)
    update_step_matrix(fig, 0, 0, test)
    return describe(
        fig,
        "Left: a table of test accuracies, layers in training downwards, layers in testing to the right: high on the "
        "diagonal, low to its right in the upper rows. Right: the outputs of one pair and the classifier's line.",
    )


def update_step_matrix(fig: Figure, row: int, column: int, test: StepTest) -> None:
    """Look at another pair in a figure drawn by :func:`step_matrix`."""
    left, right = fig.axes
    cast(Rectangle, left.patches[0]).set_xy((column - 0.5, row - 0.5))
    shown = np.clip(test.outputs, -1.6, 1.6)  # what is beyond lies at the rim
    for k in range(2):
        right.lines[k].set_data(*shown[test.labels == k].T)
