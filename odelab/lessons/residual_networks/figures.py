"""Figures of lesson 01: slope fields, paths, errors, clouds of points, a trained network's flow.

Every function draws the arrays it is given; none of them solves an equation. Colour and marker tell the classes apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.quiver import Quiver

from odelab.lessons.kit.style import COLORS, GROUNDS, describe, line_style, new_figure, polylines

Curve = tuple[np.ndarray, np.ndarray]  # x and y, one shape
CLASSES = ({"color": COLORS["blue"], "marker": "o"}, {"color": COLORS["vermillion"], "marker": "^"})


def slope_field(
    t: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray,
    solutions: Mapping[str, Curve],
    polygons: Mapping[str, Curve],
    alt: str,
) -> Figure:
    """The slope dy/dt at every place of a grid as a short dash; solutions as curves, Euler's polygons with markers.

    Args:
        t, y, slope: arrays of one shape.
        solutions, polygons: name -> (t, y).
    """
    fig = new_figure((8.0, 4.0))
    ax = fig.subplots()
    width, height = np.ptp(t), np.ptp(y)
    t, y, slope = np.ravel(t), np.ravel(y), np.ravel(slope)
    run = 0.016 / np.hypot(1 / width, slope / height)
    ax.plot([t - run, t + run], [y - run * slope, y + run * slope], color=COLORS["grey"], linestyle="-", linewidth=1.1)
    for i, (name, curve) in enumerate(solutions.items()):
        ax.plot(*curve, color=COLORS["black"], linestyle=("-", "--", ":")[i % 3], linewidth=2, label=name)
    for i, (name, curve) in enumerate(polygons.items()):
        ax.plot(*curve, label=name, **line_style(i))
    ax.set(xlim=(t.min(), t.max()), ylim=(y.min(), y.max()), xlabel="time t", ylabel="state y")
    ax.grid(visible=False)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return describe(fig, alt)


def block_beside_step() -> Figure:
    """A residual block as a diagram, and Euler's step as a drawing: what is kept is blue, what is added is orange."""
    fig = new_figure((9.6, 4.0))
    block, step = fig.subplots(1, 2)
    keep = {"color": COLORS["blue"], "linewidth": 2.4}
    add = {"color": COLORS["vermillion"], "linewidth": 2.4, "linestyle": "--"}

    def arrow(ax: Axes, *points: tuple[float, float], **style: Any) -> None:
        ax.plot(*zip(*points[:-1], strict=True), **style)
        style |= {"arrowstyle": "-|>", "mutation_scale": 18, "shrinkA": 0, "shrinkB": 0}
        ax.add_patch(FancyArrowPatch(points[-2], points[-1], **style))

    arrow(block, (0.8, 2.0), (0.8, 3.2), (4.6, 3.2), (4.6, 2.3), **keep)
    block.plot([0.2, 0.8], [2.0, 2.0], "-", **keep)
    arrow(block, (0.8, 2.0), (1.6, 2.0), color=COLORS["black"], linewidth=2.4)
    arrow(block, (3.1, 2.0), (4.3, 2.0), **add)
    arrow(block, (4.9, 2.0), (6.0, 2.0), color=COLORS["black"], linewidth=2.4)
    block.add_patch(FancyBboxPatch((1.6, 1.5), 1.5, 1.0, boxstyle="round,pad=0", facecolor="white", edgecolor="black"))
    block.plot(4.6, 2.0, "o", markersize=21, markerfacecolor="white", markeredgecolor="black")
    for x, y, text in (
        (0.15, 2.3, "$z_k$"),
        (2.35, 2.0, "layers of\nblock k"),
        (3.65, 1.35, "add\n$f(z_k, \\theta_k)$"),
        (2.7, 3.45, "keep $z_k$"),
        (4.6, 2.0, "+"),
        (5.75, 2.35, "$z_{k+1}$"),
    ):
        block.text(x, y, text, ha="center", va="center", fontsize=12)
    block.set(title="a residual block", xlim=(-0.3, 6.4), ylim=(0.4, 4.2))
    block.axis("off")

    t = np.linspace(0, 1.75, 100)
    start, end, slope = 0.35, 1.35, np.exp(0.35)
    step.plot(t, np.exp(t), color=COLORS["black"], linestyle=":", label="the solution through $z_k$")
    step.plot([start, end], [slope, slope], **keep)
    arrow(step, (end, slope), (end, 2 * slope), **add)
    step.plot(
        [start, end], [slope, 2 * slope], color=COLORS["dark grey"], linestyle="-.", label="straight on for time s"
    )
    step.plot([start, end], [slope, 2 * slope], "o", color=COLORS["black"])
    for x, y, text, side in (
        (start - 0.04, slope + 0.1, "$z_k$", "right"),
        (end + 0.07, 2 * slope - 0.1, "$z_{k+1}$", "left"),
        ((start + end) / 2, slope - 0.35, "keep $z_k$", "center"),
        (end + 0.07, 1.5 * slope - 0.1, "add\n$s\\,f(z_k, t_k)$", "left"),
    ):
        step.text(x, y, text, ha=side, va="center", fontsize=12)
    step.set(title="one step of Euler's method", xlim=(0, 2.1), ylim=(0.6, 5.4), ylabel="state z")
    step.set_xticks([start, end], ["$t_k$", "$t_k + s$"])
    step.set_yticks([])
    step.grid(visible=False)
    step.legend(loc="upper left")
    return describe(
        fig,
        "Left: a residual block. The state goes two ways, one unchanged past the layers and one through them, and both "
        "are added. Right: a step of Euler's method. The state is kept, and s times the slope at the start is added; "
        "the end lies on the straight line, below the curve of the solution.",
    )


def plane_paths(paths: Mapping[str, np.ndarray], arrows: tuple[np.ndarray, np.ndarray], alt: str) -> Figure:
    """Paths in the plane, black dot to white circle, one panel per title, over the arrows of a velocity field.

    Args:
        paths: title -> states, (times, n, 2); up to 40 times are drawn with a marker each.
        arrows: places and velocities, (m, 2) each.
    """
    fig = new_figure((3.3 * len(paths), 3.9))
    for ax, (title, states) in zip(np.atleast_1d(fig.subplots(1, len(paths), sharey=True)), paths.items(), strict=True):
        ax.quiver(*arrows[0].T, *arrows[1].T, color=COLORS["grey"], pivot="mid", width=0.004, scale=130)
        layered = len(states) <= 40
        style = {"color": COLORS["vermillion"], "linestyle": "--", "marker": "s", "markersize": 3.5}
        ax.plot(
            *polylines(np.swapaxes(states, 0, 1)), linewidth=1.4, **(style if layered else {"color": COLORS["blue"]})
        )
        ax.plot(*states[0].T, "o", color=COLORS["black"], markersize=5.5)
        ax.plot(*states[-1].T, "o", color=COLORS["black"], markerfacecolor="white", markersize=6.5)
        ax.set(title=title, aspect="equal", xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), xlabel="first entry of z")
        ax.grid(visible=False)
    fig.axes[0].set_ylabel("second entry of z")
    return describe(fig, alt)


def depth_error(depths: np.ndarray, errors: np.ndarray, power: float) -> Figure:
    """Distance from the ODE against depth, logarithmic, beside a line of slope -power through the last point."""
    fig = new_figure((5.4, 3.6))
    ax = fig.subplots()
    guide = errors[-1] * (depths[-1] / depths) ** power
    ax.loglog(depths, guide, color=COLORS["grey"], linestyle=":", label=f"slope {-power:.2f}")
    ax.loglog(depths, errors, label="residual network", **line_style(0))
    ax.set(title="distance from the ODE", xlabel="layers L", ylabel="largest distance")
    ax.legend()
    return describe(fig, "Distance from the ODE against number of layers, logarithmic: a straight line falling as 1/L.")


def line_paths(paths: Mapping[str, np.ndarray], alt: str) -> Figure:
    """Paths of one number over the time from 0 to 1, one panel per title.

    Args:
        paths: title -> (times, n).
    """
    fig = new_figure((3.4 * len(paths), 3.3))
    for ax, (title, states) in zip(np.atleast_1d(fig.subplots(1, len(paths), sharey=True)), paths.items(), strict=True):
        for i, path in enumerate(states.T):
            ax.plot(np.linspace(0, 1, len(path)), path, label=f"from {path[0]:g}", **line_style(i))
        ax.set(title=title, xlabel="time t", ylim=(-1.3, 1.3))
    fig.axes[0].set_ylabel("state x")
    fig.axes[0].legend(loc="upper right")
    return describe(fig, alt)


def clouds(
    points: Mapping[str, np.ndarray],
    labels: np.ndarray,
    names: tuple[str, str],
    boundaries: Mapping[str, tuple[np.ndarray, float]],
    alt: str,
) -> Figure:
    """Classified points in the plane, one panel per title.

    Args:
        points: title -> (n, 2).
        labels: 0 or 1, (n,).
        names: of the two classes.
        boundaries: title -> (normal (2,), offset) of the line normal · z + offset = 0 where there is one.
    """
    fig = new_figure((3.3 * len(points), 4.1))
    for ax, (title, cloud) in zip(np.atleast_1d(fig.subplots(1, len(points))), points.items(), strict=True):
        for k, style in enumerate(CLASSES):
            ax.plot(*cloud[labels == k].T, linestyle="none", markersize=3, label=names[k], **style)
        middle, half = (cloud.max(0) + cloud.min(0)) / 2, 0.54 * np.ptp(cloud, axis=0).max()
        ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
        ax.set(title=title, aspect="equal")
        if title in boundaries:
            decision_line(ax, *boundaries[title])
            ax.lines[-1].set_label("classifier")
    handles = {str(line.get_label()): line for ax in fig.axes for line in ax.lines}
    fig.legend([*handles.values()], [*handles], loc="outside lower center", ncols=len(handles), markerscale=2)
    return describe(fig, alt)


def decision_line(ax: Axes, normal: np.ndarray, offset: float) -> None:
    foot = -offset * normal / (normal @ normal)
    ax.axline(foot, foot + np.array([-normal[1], normal[0]]), color=COLORS["black"], linestyle="-.", linewidth=1.4)


def depth_flow(
    places: np.ndarray, boundary: tuple[np.ndarray, float], limits: tuple[float, float, float, float], fastest: float
) -> Figure:
    """Left: velocity field and the way of every point so far. Right: the grid as the network has warped it.

    Args:
        places: of the arrows, (m, 2).
        boundary: (normal (2,), offset) of the classifier's line.
        limits: (x low, x high, y low, y high) of both panels.
        fastest: the velocity whose arrow is a twentieth of the panel.
    """
    fig = new_figure((7.4, 4.2))  # no wider, so that a phone shows its letters
    left, right = fig.subplots(1, 2, sharex=True, sharey=True)
    zero = np.zeros(len(places))
    left.quiver(*places.T, zero, zero, color=COLORS["grey"], pivot="mid", width=0.003, scale=20 * fastest)
    for style in CLASSES:
        left.plot([], [], color=style["color"], linestyle="-", linewidth=0.6)
    right.plot([], [], color=COLORS["grey"], linestyle="-", linewidth=0.7)
    for ax in (left, right):
        for name, style in zip(("class 0", "class 1"), CLASSES, strict=True):
            ax.plot([], [], linestyle="none", markersize=4, label=name, **style)
        ax.grid(visible=False)
    decision_line(right, *boundary)
    right.lines[-1].set_label("classifier")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    left.set(xlim=limits[:2], ylim=limits[2:], xlabel="first entry of z", ylabel="second entry of z")
    right.set(xlabel="first entry of z", title="the plane, warped")
    return describe(
        fig,
        "Left: two interleaved moons of points, the velocity field that moves them, and their paths so far. Right: a "
        "square grid warped by the same network, with the points at their present place and the classifier's line.",
    )


def update_depth_flow(
    fig: Figure, title: str, paths: np.ndarray, labels: np.ndarray, grid: np.ndarray, velocity: np.ndarray
) -> None:
    """Put a depth and a time into a figure drawn by :func:`depth_flow`.

    Args:
        paths, labels: states of the points up to now, (times, n, 2), and their classes 0 or 1, (n,).
        grid: the warped grid, (points, lines, 2); velocity: of the arrows, (m, 2).
    """
    left, right = fig.axes
    cast(Quiver, left.collections[0]).set_UVC(*velocity.T)
    left.set_title(title)
    right.lines[0].set_data(*polylines(np.swapaxes(grid, 0, 1)))
    for k in range(2):
        of_class = paths[:, labels == k]
        left.lines[k].set_data(*polylines(np.swapaxes(of_class, 0, 1)))
        left.lines[2 + k].set_data(*of_class[-1].T)
        right.lines[1 + k].set_data(*of_class[-1].T)


def folds(maps: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], alt: str) -> Figure:
    """A square of the plane where a map takes it, one panel per title; what is turned over is orange, and on top.

    Args:
        maps: title -> the places where the corners of n × n small squares end, (n + 1, n + 1, 2), which of the
            squares are turned over, (n, n), and where lines of the plane end, (points, lines, 2).
    """
    fig = new_figure((4.8 * len(maps), 4.4))
    pale, bright, ink = GROUNDS["pale blue"], COLORS["vermillion"], COLORS["grey"]
    for ax, (title, (grid, over, lines)) in zip(np.atleast_1d(fig.subplots(1, len(maps))), maps.items(), strict=True):
        corners = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=2)
        ax.add_collection(PolyCollection([*corners.reshape(-1, 4, 2)], facecolors=pale, edgecolors=pale))
        ax.plot(*polylines(np.swapaxes(lines, 0, 1)), color=ink, linestyle="-", linewidth=0.5)
        ax.add_collection(PolyCollection([*corners[over]], facecolors=bright, edgecolors=bright, zorder=3))
        for color, name in ((pale, "not turned over"), (bright, "turned over")):
            ax.plot([], [], "s", markersize=9, color=color, markeredgecolor=ink, label=name)
        ax.set(title=title, aspect="equal", xlabel="first entry of z", ylabel="second entry of z")
        ax.grid(visible=False)
        ax.legend(loc="upper left")
    return describe(fig, alt)


def training(places: np.ndarray, reach: float, steps: int) -> Figure:
    """Where a network in training takes its points, and the loss so far; drawn by :func:`update_training`.

    Args:
        places: of the arrows, (m, 2).
        reach: both axes run from -reach to reach.
        steps: of the optimizer, in all.
    """
    fig = new_figure((7.4, 4.0))  # no wider, so that a phone shows its letters
    plane, loss = fig.subplots(1, 2, width_ratios=(1.2, 1))
    zero = np.zeros(len(places))
    plane.quiver(*places.T, zero, zero, color=COLORS["grey"], pivot="mid", width=0.004, scale=200)
    for style in CLASSES:
        plane.plot([], [], color=style["color"], linestyle="-", linewidth=0.7)
    for name, style in zip(("class 0", "class 1"), CLASSES, strict=True):
        plane.plot([], [], linestyle="none", markersize=4, label=name, **style)
    plane.plot([], [], color=COLORS["black"], linestyle="-.", linewidth=1.4, label="classifier")
    plane.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
    plane.set(xlabel="first entry of z", ylabel="second entry of z", title="from input to output")
    plane.grid(visible=False)
    fig.legend(*plane.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    loss.plot([], [], **(line_style(0) | {"marker": None}))
    loss.set(xlim=(0, steps), ylim=(0, 1), xlabel="step of the optimizer", ylabel="loss", title="loss")
    return describe(
        fig,
        "A network in training. Left: the paths of two moons of points through the layers, pulled apart until a "
        "straight line separates their ends, over the arrows of the field. Right: the loss, falling.",
    )


def update_training(
    fig: Figure,
    paths: np.ndarray,
    labels: np.ndarray,
    velocity: np.ndarray,
    boundary: tuple[np.ndarray, float],
    losses: Sequence[float],
) -> None:
    """Put a moment of the training into a figure drawn by :func:`training`.

    Args:
        paths, labels: states of the points in all layers, (times, n, 2), and their classes 0 or 1, (n,).
        velocity: of the arrows, (m, 2).
        boundary: (normal (2,), offset) of the classifier's line.
        losses: so far.
    """
    plane, loss = fig.axes
    cast(Quiver, plane.collections[0]).set_UVC(*velocity.T)
    for k in range(2):
        of_class = paths[:, labels == k]
        plane.lines[k].set_data(*polylines(np.swapaxes(of_class, 0, 1)))
        plane.lines[2 + k].set_data(*of_class[-1].T)
    normal, offset = boundary
    foot, along = -offset * normal / (normal @ normal), 50 * np.array([-normal[1], normal[0]]) / np.linalg.norm(normal)
    plane.lines[4].set_data(*np.stack([foot - along, foot + along]).T)
    loss.lines[0].set_data(np.arange(len(losses)), losses)


def step_matrix(accuracy: np.ndarray, trained: Sequence[int | str], tested: Sequence[int]) -> Figure:
    """Left: accuracy for every pair of layers in training and layers in testing. Right: the outputs of one pair.

    Args:
        accuracy: (len(trained), len(tested)), between 0 and 1.
    """
    fig = new_figure((7.8, 4.2))  # no wider, so that a phone shows its letters
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
        right.plot([], [], linestyle="none", markersize=3.5, label=name, **style)
    right.axvline(0, color=COLORS["black"], linestyle="-.", linewidth=1.4, label="classifier")
    right.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
    right.set(xlabel="right of the line: class 1", ylabel="along the classifier's line")
    right.set_title("outputs of one network (seed 0)")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=3)
    return describe(
        fig,
        "Left: a table of test accuracies, layers in training downwards, layers in testing to the right: high on the "
        "diagonal, low to its right in the upper rows. Right: the outputs of one pair and the classifier's line.",
    )


def update_step_matrix(fig: Figure, row: int, column: int, outputs: np.ndarray, labels: np.ndarray) -> None:
    """Put a pair into a figure drawn by :func:`step_matrix`.

    Args:
        outputs: (n, 2), turned so that the classifier says class 1 where the first entry is positive.
        labels: 0 or 1, (n,).
    """
    left, right = fig.axes
    cast(Rectangle, left.patches[0]).set_xy((column - 0.5, row - 0.5))
    shown = np.clip(outputs, -1.6, 1.6)  # what is beyond lies at the rim
    for k in range(2):
        right.lines[k].set_data(*shown[labels == k].T)
