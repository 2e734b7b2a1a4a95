"""Figures of the lesson after FFJORD: samples in few steps, two ways from noise to data, digits, angles on a torus.

Every function draws the arrays it is given; none of them solves an equation.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, GUIDE, describe, line_style, new_figure, polylines

TRUE: dict[str, Any] = {"color": COLORS["grey"], "marker": ".", "linestyle": "none", "markersize": 2.2}
DRAWN: dict[str, Any] = {"color": COLORS["blue"], "marker": "o", "linestyle": "none", "markersize": 2.6}
HERE: dict[str, Any] = {
    "color": COLORS["black"],
    "marker": "s",
    "markersize": 11,
    "linestyle": "none",
    "markerfacecolor": "none",
    "markeredgewidth": 2,
}
WINDOW = 3.4  # half the width of what is shown of the plane


def _plane(ax: Axes, data: ArrayLike, title: str) -> None:
    """A panel with data (n, 2) behind, and one artist for what is drawn over them."""
    ax.plot(*np.asarray(data).T, label="data", **TRUE)
    ax.plot([], [], label="samples", **DRAWN)
    ax.set(xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), aspect="equal", xticks=[], yticks=[])
    ax.set_title(title, fontsize=11)
    ax.grid(visible=False)


@dataclass(frozen=True)
class FewSteps:
    """One flow, sampled by Euler's method.

    Attributes:
        samples: number of steps -> points (n, 2); distances: number of steps -> energy distance to fresh data.
    """

    samples: Mapping[int, np.ndarray]
    distances: Mapping[int, float]


def few_steps(flows: Mapping[str, FewSteps], data: ArrayLike, floor: float) -> Figure:
    """Samples of two flows side by side, and how far they are from the data for every number of steps.

    Args:
        data: points (n, 2); floor: energy distance of data from data.
    """
    fig = new_figure((9.6, 3.5))
    *planes, curve = fig.subplots(1, len(flows) + 1, width_ratios=(*[1] * len(flows), 1.25))
    for ax, name in zip(planes, flows, strict=True):
        _plane(ax, data, name)
    planes[0].legend(loc="lower left", handletextpad=0.1, borderpad=0.2, markerscale=2)
    for k, (name, flow) in enumerate(flows.items()):
        curve.plot([*flow.distances], [*flow.distances.values()], label=name, **line_style(k) | {"markersize": 4.5})
    curve.axhline(floor, label="data from data", **GUIDE)
    curve.plot([], [], **HERE)
    curve.set(xscale="log", yscale="log", xlabel="Euler steps", title="energy distance to the data")
    steps = [*next(iter(flows.values())).distances]
    curve.set_xticks(steps, [str(step) for step in steps])
    curve.set_xticks([], minor=True)
    curve.legend(loc="upper right")
    return describe(
        fig,
        "Samples of two flows by the same few Euler steps over a pinwheel of five arms: before reflow one step puts "
        "all points in the middle, after reflow most lie on the arms at once. Right, the distance from the data "
        "against the number of steps, on logarithmic axes.",
    )


def update_few_steps(fig: Figure, flows: Mapping[str, FewSteps], steps: int) -> None:
    """Show a number of steps in a figure drawn by :func:`few_steps`."""
    *planes, curve = fig.axes
    for ax, (name, flow) in zip(planes, flows.items(), strict=True):
        ax.lines[1].set_data(*flow.samples[steps].T)
        ax.set_title(f"{name}: {steps} step{'s' * (steps > 1)}", fontsize=11)
    curve.lines[-1].set_data([steps] * len(flows), [flow.distances[steps] for flow in flows.values()])


def learning(iterations: int, data: ArrayLike, highest: float, pairs: str) -> Figure:
    """The loss of a training that runs (left), and samples of its field in one Euler step (right).

    Args:
        pairs: name of the pairs it is trained on, for the alternative text.
    """
    fig = new_figure((9.6, 3.4))
    curve, plane = fig.subplots(1, 2, width_ratios=(1.6, 1))
    curve.plot([], [], label="loss of a batch", color=COLORS["blue"], linestyle="-", linewidth=1)
    curve.set(title="loss", xlabel="iteration", xlim=(0, iterations), ylim=(0, highest))
    _plane(plane, data, "one Euler step")
    return describe(
        fig,
        f"Left, the loss of a flow that is trained on {pairs}; "
        "right, its samples by a single Euler step over the data.",
    )


def update_learning(fig: Figure, losses: ArrayLike, samples: ArrayLike) -> None:
    """Put the losses so far, (m,), and samples (n, 2) into a figure drawn by :func:`learning`."""
    curve, plane = fig.axes
    curve.lines[0].set_data(np.arange(len(np.asarray(losses))), losses)
    plane.lines[1].set_data(*np.asarray(samples).T)
    of_data, of_samples = (np.median(np.hypot(*np.asarray(line.get_data()))) for line in plane.lines)
    shape = "a small cloud in the middle" if of_samples < of_data / 2 else "spread as widely as the data"
    before = str(fig.get_label()).split(" After ")[0]
    describe(fig, f"{before} After {len(np.asarray(losses)):,} iterations these are {shape}.")


def by_steps(rows: Mapping[str, Mapping[int, ArrayLike]], data: ArrayLike) -> Figure:
    """Samples in rows of one flow each, in columns of one number of Euler steps."""
    columns = [*next(iter(rows.values()))]
    fig = new_figure((2.4 * len(columns), 2.5 * len(rows)))
    axes = fig.subplots(len(rows), len(columns), squeeze=False)
    for line, (name, samples) in zip(axes, rows.items(), strict=True):
        for ax, (steps, points) in zip(line, samples.items(), strict=True):
            _plane(ax, data, f"{steps} step{'s' * (steps > 1)}")
            ax.lines[1].set_data(*np.asarray(points).T)
        line[0].set_ylabel(name)
    return describe(
        fig,
        f"Samples over the data by {', '.join(map(str, columns))} Euler steps, one row for each flow: "
        f"{'; '.join(rows)}. Before reflow one step gives a small cloud in the middle and eight steps blurred arms; "
        "after reflow all pictures look alike.",
    )


def two_ways(t: ArrayLike, ways: Mapping[str, ArrayLike], seen: str) -> Figure:
    """For each way from noise (t = 1) to data (t = 0): first coordinates of 40 paths, and all ends in the plane.

    Args:
        t: times (T,), falling; ways: title -> positions (T, n, 2).
        seen: what the paths look like, for the alternative text.
    """
    fig = new_figure((9.6, 6.2))
    for line, (title, way) in zip(fig.subplots(len(ways), 2, width_ratios=(1.9, 1)), ways.items(), strict=True):
        paths, ends = line
        z = np.asarray(way)
        first = z[:, :40, 0]
        paths.plot(t, first, color=COLORS["blue"], linestyle="-", linewidth=0.7, alpha=0.8)
        paths.plot(np.full(first.shape[1], 1.0), first[0], color=COLORS["vermillion"], marker="^", linestyle="none")
        paths.plot(np.full(first.shape[1], 0.0), first[-1], color=COLORS["blue"], marker="o", linestyle="none")
        paths.set(xlim=(1.03, -0.03), ylabel="first coordinate", title=f"{title}: 40 paths")
        ends.plot(*z[-1].T, **DRAWN)
        ends.set(aspect="equal", title="all ends, in the plane")
    fig.axes[-2].set_xlabel("time t, from noise to data")
    return describe(
        fig,
        f"One row each for {'; '.join(ways)}. Left, first coordinates of paths against time, from noise at time 1 to "
        f"data at time 0, of the same starts: {seen}. Right, all ends in the plane: in both rows they lie in eight "
        "clusters on a circle.",
    )


def sheet(images: ArrayLike, columns: int) -> np.ndarray:
    """Images (n, side, side) as one picture, row by row, with a dark line between them."""
    x = np.asarray(images, float)
    x = np.pad(np.clip(x, -1, 1), ((0, 0), (0, 1), (0, 1)), constant_values=-1)
    n, height, width = x.shape
    return x.reshape(n // columns, columns, height, width).swapaxes(1, 2).reshape(-1, columns * width)


def _images(ax: Axes, picture: np.ndarray) -> None:
    ax.imshow(picture, cmap="gray", vmin=-1, vmax=1, interpolation="nearest", zorder=1.5)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)


def drawing(iterations: int, shape: tuple[int, int]) -> Figure:
    """The loss of a training that runs (left), and images of the digits 0 to 9 (right).

    Args:
        shape: of the picture that `sheet` makes.
    """
    fig = new_figure((9.6, 3.2))
    curve, right = fig.subplots(1, 2, width_ratios=(1, 1.5))
    curve.plot([], [], color=COLORS["blue"], linestyle="-", linewidth=1)
    curve.set(title="loss of a batch", xlabel="iteration", xlim=(0, iterations), ylim=(0, 2))
    _images(right, np.full(shape, -1.0))
    right.set_title("digits 0 to 9, asked for by their labels", fontsize=11)
    return describe(
        fig,
        "Left, the loss falls while a field is trained on digits of 8 × 8 pixels. Right, ten columns of images, one "
        "for each digit, that turn from noise into digits.",
    )


def update_drawing(fig: Figure, losses: ArrayLike, picture: np.ndarray) -> None:
    """Put losses (m,) and a picture into a figure drawn by :func:`drawing`."""
    curve, right = fig.axes
    curve.lines[0].set_data(np.arange(len(np.asarray(losses))), losses)
    right.images[0].set_data(picture)


def guided(
    pictures: Mapping[tuple[float, int], np.ndarray], curves: Mapping[str, Mapping[float, float]], real: float
) -> Figure:
    """Images for a weight of the guidance and a number of steps; right what stored runs say of every weight.

    Args:
        curves: what -> weight -> mean over seeds; first a share, last what a logarithmic axis shows.
        real: the share of real test images.
    """
    fig = new_figure((9.6, 3.9))
    places = fig.add_gridspec(len(curves), 2, width_ratios=(1.9, 1))
    _images(fig.add_subplot(places[:, 0]), np.full_like(next(iter(pictures.values())), -1.0))
    for k, (name, values) in enumerate(curves.items()):
        ax = fig.add_subplot(places[k, 1])
        ax.plot([*values], [*values.values()], **line_style(k))
        if k == 0:
            ax.axhline(real, label="real test images", **GUIDE)
            ax.legend(loc="lower right")
        ax.plot([], [], **HERE)
        ax.set_title(name, fontsize=11)
    fig.axes[1].set_ylim(0, 1.05)
    fig.axes[-1].set(xlabel="weight w", yscale="log")
    return describe(
        fig,
        "Left, images of the digits 0 to 9 in columns, drawn from the same noise for every weight of the guidance. "
        "Right, two curves against the weight: the share of images whose nearest training image is the digit asked for "
        "rises, from 2 on above that of real test images; the energy distance to test images, on a logarithmic axis, "
        "is least at 1.5 and then rises steeply.",
    )


def update_guided(
    fig: Figure,
    pictures: Mapping[tuple[float, int], np.ndarray],
    curves: Mapping[str, Mapping[float, float]],
    weight: float,
    steps: int,
) -> None:
    """Show a weight and a number of steps in a figure drawn by :func:`guided`."""
    left, *panels = fig.axes
    left.images[0].set_data(pictures[weight, steps])
    left.set_title(f"w = {weight:g}, {steps} step{'s' * (steps > 1)} of Heun's method", fontsize=11)
    for ax, values in zip(panels, curves.values(), strict=True):
        if weight in values:
            ax.lines[-1].set_data([weight], [values[weight]])


DEGREES = (-180, -90, 0, 90, 180)


def _torus(ax: Axes, title: str) -> None:
    ax.set(xlim=(-180, 180), ylim=(-180, 180), aspect="equal", xlabel="φ (degrees)", xticks=DEGREES, yticks=DEGREES)
    ax.set_title(title, fontsize=11)
    ax.grid(visible=False)


def ramachandran(maps: Mapping[str, ArrayLike]) -> Figure:
    """Densities of two torsion angles side by side on one scale of colours.

    Args:
        maps: title -> density per square radian on the cells of the torus, (n, n), the first axis φ.
    """
    fig = new_figure((3.3 * len(maps), 3.6))
    highest = max(float(np.asarray(density).max()) for density in maps.values())
    axes = fig.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for ax, (title, density) in zip(axes, maps.items(), strict=True):
        ax.imshow(
            np.sqrt(np.asarray(density).T / highest), origin="lower", extent=(-180, 180, -180, 180), vmin=0, vmax=1
        )
        _torus(ax, title)
    axes[0].set_ylabel("ψ (degrees)")
    return describe(
        fig,
        "Densities of the two torsion angles of a dipeptide over the square from −180° to 180°, brighter where denser: "
        f"{', '.join(maps)}. The densest places touch the upper edge and go on at the lower one.",
    )


def on_torus(true: ArrayLike) -> Figure:
    """Two torsion angles as points over the true density, at a time that :func:`update_on_torus` sets.

    Args:
        true: the density on the cells of the torus, (n, n), the first axis φ.
    """
    fig = new_figure((9.6, 4.4))
    left, right = fig.subplots(1, 2, width_ratios=(1, 1))
    density = np.asarray(true)
    left.imshow(
        np.sqrt(density.T / density.max()), origin="lower", extent=(-180, 180, -180, 180), cmap="Greys", alpha=0.6
    )
    left.plot([], [], **DRAWN)
    _torus(left, "points at time t over the true density")
    left.set_ylabel("ψ (degrees)")
    right.plot([], [], color=COLORS["grey"], linestyle="-", linewidth=0.8)
    right.plot([], [], color=COLORS["vermillion"], marker="o", linestyle="none", markersize=4)
    _torus(right, "ways of twenty points, cut at the edge")
    return describe(
        fig,
        "Left, points on the square of two torsion angles: uniform at time 1, gathered on the dark places of the true "
        "density at time 0. Right, the ways of twenty points, some of which leave at one edge and enter at the other.",
    )


def update_on_torus(fig: Figure, paths: ArrayLike, place: int) -> None:
    """Put paths (times, n, 2) in radians, unwrapped, and which time is now, into a figure of :func:`on_torus`."""
    left, right = fig.axes
    angles = np.asarray(paths, float)
    wrapped = np.degrees((angles + math.pi) % (2 * math.pi) - math.pi)
    left.lines[0].set_data(*wrapped[place].T)
    some = wrapped[: place + 1, :20]
    jumps = np.abs(np.diff(some, axis=0)).max(-1, keepdims=True) > 180
    cut = some.copy()
    cut[1:][np.broadcast_to(jumps, some[1:].shape)] = np.nan
    right.lines[0].set_data(*polylines(np.swapaxes(cut, 0, 1)))
    right.lines[1].set_data(*some[-1].T)


def butane(phi: ArrayLike, energy: ArrayLike, density: ArrayLike) -> Figure:
    """Energy of a torsion (left) and its density (right), against the angle in degrees.

    Args:
        phi: (n,); energy: E/kT (n,); density: per radian (n,).
    """
    fig = new_figure((9.6, 3.3))
    left, right = fig.subplots(1, 2)
    left.plot(phi, energy, color=COLORS["blue"], linestyle="-")
    for place, height, name, side in (
        (-180, -0.9, "trans", "left"),
        (-66, 0.5, "gauche", "center"),
        (66, 0.5, "gauche", "center"),
        (180, -0.9, "trans", "right"),
    ):
        left.text(place, height, name, ha=side, fontsize=11)
    left.set(title="energy, in units of kT at 300 K", xlabel="torsion φ (degrees)", xticks=DEGREES, ylim=(-1.3, None))
    right.plot(phi, density, color=COLORS["blue"], linestyle="-")
    right.set(title="density per radian", xlabel="torsion φ (degrees)", xticks=DEGREES, ylim=(0, None))
    return describe(
        fig,
        "Left, butane's torsion energy against the angle: three valleys, the deepest at ±180° (trans), two at about "
        "±66° (gauche), with a high wall at 0°. "
        "Right, the density of the angle: it peaks in the valleys, highest at ±180°.",
    )


def solvers(curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]], floor: float) -> Figure:
    """Error and energy distance of images against evaluations.

    Args:
        curves: method -> evaluations, root mean square error of a pixel, energy distance to test images, (n,) each.
        floor: energy distance of test images from test images.
    """
    fig = new_figure((9.6, 3.6))
    left, right = fig.subplots(1, 2)
    for k, (name, (nfe, error, distance)) in enumerate(curves.items()):
        left.plot(nfe, error, label=name, **line_style(k))
        right.plot(nfe, distance, **line_style(k))
    right.axhline(floor, label="test images from test images", **GUIDE)
    left.set(xscale="log", yscale="log", xlabel="NFE", title="error of a pixel (range −1 to 1)")
    right.set(xscale="log", xlabel="NFE", title="energy distance to test images", ylim=(min(floor, 0) - 0.01, None))
    for ax in (left, right):
        ax.set_xticks((4, 8, 16, 32), ("4", "8", "16", "32"))
        ax.set_xticks([], minor=True)
    if curves:
        left.legend(loc="lower left")
        right.legend(loc="upper right")
    return describe(
        fig,
        "Against the evaluations, for five solvers. Left, the error of a pixel falls nearly as its order says. "
        "Right, the distance of the images from test images hardly changes once the error is below some hundredths.",
    )
