"""Figures of the FFJORD lesson: a patch that is carried, trainings, one probe and many, digits, a solver exploited.

Every function draws the arrays it is given; none of them solves an equation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, GUIDE, describe, line_style, new_figure, polylines


@dataclass(frozen=True)
class Toy:
    """One density in the plane and what flows made of it; None where no flow was trained.

    Attributes:
        half_width: of the window.
        points: data, (n, 2).
        density: of the flow, on a grid of cells, (m, m), rows from bottom to top.
        paths: from data to base, (times, k, 2).
        discrete: density of a discrete flow, as `density`.
    """

    half_width: float
    points: ArrayLike
    density: ArrayLike | None = None
    paths: ArrayLike | None = None
    discrete: ArrayLike | None = None


def bare(ax: Axes, half_width: float) -> None:
    """A square window without ticks."""
    ax.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width), aspect="equal", xticks=[], yticks=[])
    ax.grid(visible=False)
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set(visible=True, color=COLORS["grey"], linewidth=0.8)


def heat(ax: Axes, density: ArrayLike, half_width: float) -> None:
    """A density on a grid of cells, rows from bottom to top, dark where it vanishes."""
    window = (-half_width, half_width, -half_width, half_width)
    ax.imshow(np.asarray(density, float), origin="lower", extent=window, interpolation="bilinear", vmin=0, zorder=1.5)
    bare(ax, half_width)


def patch(half_width: float, reach: tuple[float, float]) -> Figure:
    """A cloud on its way from data to base with a small patch in it (left), and how the patch's area grows (right).

    Args:
        half_width: of the window.
        reach: of the vertical axis on the right.
    """
    fig = new_figure((9.6, 4.4))
    plane, growth = fig.subplots(1, 2, width_ratios=(1, 1.25))
    plane.plot([], [], "o", color=COLORS["sky"], markersize=2.2, label="points, carried by f")
    plane.plot([], [], color=COLORS["dark grey"], linestyle="--", linewidth=1.2, label="path from x")
    plane.plot([], [], color=COLORS["vermillion"], linestyle="-", linewidth=2.2, label="patch around it")
    plane.plot([], [], "s", color=COLORS["vermillion"], markersize=2.5)
    bare(plane, half_width)
    plane.legend(loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2, borderaxespad=0, handlelength=1.4)
    growth.axhline(0, color=COLORS["black"], linestyle="-", linewidth=0.8)
    growth.plot([], [], color=COLORS["blue"], linestyle="-", linewidth=2.4, label="∫ div f dt along the path of x")
    measured = "log (area of the patch / area at t = 0)"
    growth.plot([], [], "s", color=COLORS["vermillion"], markersize=5, label=measured)
    growth.set(xlabel="time t", xlim=(-0.03, 1.03), ylim=reach, title="how much the patch has grown")
    growth.legend(loc="upper left", bbox_to_anchor=(0, -0.2), borderaxespad=0)
    return describe(
        fig,
        "Left, points on their way from the shape of the data to a Gaussian, and among them a small patch that is "
        "carried along and stretched. Right, the logarithm of its area over time: measured squares lie on the curve of "
        "the integral of the divergence.",
    )


def update_patch(
    fig: Figure,
    points: ArrayLike,
    path: ArrayLike,
    outline: ArrayLike,
    times: ArrayLike,
    growth: ArrayLike,
    areas: ArrayLike,
) -> None:
    """Put a patch at the last of these times into a figure drawn by :func:`patch`.

    Args:
        points: of the cloud now, (n, 2).
        path: of the patch's centre up to now, (m, 2).
        outline: of the patch now, (k, 2), closed.
        times, growth, areas: up to now, (m,): ∫ div f dt, and the logarithm of the measured area.
    """
    plane, right = fig.axes
    now = np.asarray(times, float)
    centre = np.asarray(path, float)
    plane.lines[0].set_data(*np.asarray(points, float).T)
    plane.lines[1].set_data(*centre.T)
    plane.lines[2].set_data(*np.asarray(outline, float).T)
    plane.lines[3].set_data(*centre[-1:].T)
    right.lines[1].set_data(now, growth)
    right.lines[2].set_data(now, areas)
    end = {0.0: " (data)", 1.0: " (Gaussian)"}.get(float(now[-1]), "")
    plane.set_title(f"t = {now[-1]:.2f}{end}")


def eight(toys: Mapping[str, Toy]) -> Figure:
    """A column for each density: its points, the flow's density, a discrete flow's, and paths from data to base."""
    fig = new_figure((9.6, 5.5))
    axes = fig.subplots(4, len(toys), squeeze=False)
    for column, (name, toy) in zip(axes.T, toys.items(), strict=True):
        column[0].plot(*np.asarray(toy.points).T, ".", color=COLORS["blue"], markersize=1.2, alpha=0.6)
        column[0].set_title(name, fontsize=10)
        for ax, drawn in zip(column, (toy.points, toy.density, toy.paths, toy.discrete), strict=True):
            bare(ax, toy.half_width)
            if drawn is None:
                ax.text(0, 0, "not run\nyet", ha="center", va="center", fontsize=10)
        if toy.density is not None:
            heat(column[1], toy.density, toy.half_width)
        if toy.paths is not None:
            paths = np.asarray(toy.paths)
            column[2].plot(*polylines(paths.swapaxes(0, 1)), "-", color=COLORS["grey"], linewidth=0.7)
            column[2].plot(*paths[0].T, "o", color=COLORS["blue"], markersize=2)
            column[2].plot(*paths[-1].T, "s", color=COLORS["vermillion"], markersize=2)
        if toy.discrete is not None:
            heat(column[3], toy.discrete, toy.half_width)
    for ax, label in zip(axes[:, 0], ("data", "FFJORD", "its paths", "couplings"), strict=True):
        ax.set_ylabel(label)
    return describe(
        fig,
        f"Columns for {', '.join(toys)}. First row: points of the data. Second: the density of a trained FFJORD, "
        "bright in the same shape. Third: paths that carry data, blue dots, to a Gaussian, orange-red squares. Fourth: "
        "the density of a discrete flow of as many parameters.",
    )


def training(data: ArrayLike, half_width: float, entropy: float, iterations: int) -> Figure:
    """The loss so far (left), the evaluations per solve, and samples of the flow on top of the data (right)."""
    fig = new_figure((10.6, 3.7))
    curve, work, plane = fig.subplots(1, 3)
    curve.plot([], [], color=COLORS["blue"], linestyle="-", linewidth=1.2, label="loss of each batch")
    curve.axhline(entropy, color=COLORS["black"], linestyle="--", label=f"entropy of the data, {entropy:.2f}")
    curve.set(xlabel="iteration", title="−log p, nats", xlim=(0, iterations), ylim=(entropy - 0.3, entropy + 2))
    curve.legend(loc="upper right")
    work.plot([], [], color=COLORS["vermillion"], linestyle="-", linewidth=1.4)
    work.set(xlabel="iteration", title="evaluations of f per solve", xlim=(0, iterations), ylim=(0, 45))
    plane.plot(*np.asarray(data, float).T, ".", color=COLORS["grey"], markersize=2, label="data")
    plane.plot([], [], "o", color=COLORS["blue"], markersize=2.4, label="samples of the flow")
    bare(plane, half_width)
    plane.legend(loc="upper left", bbox_to_anchor=(0, -0.03), ncols=2, borderaxespad=0, handlelength=1, markerscale=2)
    return describe(
        fig,
        "Left, the loss of a flow falls within some dozens of iterations and creeps towards a dashed line, the entropy "
        "of the data. Middle, the evaluations of f that one solve takes grow during the training. Right, samples of "
        "the flow gather where the data are.",
    )


def update_training(fig: Figure, losses: Sequence[float], evaluations: Sequence[int], samples: ArrayLike) -> None:
    """The training so far in a figure drawn by :func:`training`; samples (n, 2)."""
    curve, work, plane = fig.axes
    step = np.arange(1, len(losses) + 1)
    curve.lines[0].set_data(step, losses)
    work.lines[0].set_data(step, evaluations)
    plane.lines[1].set_data(*np.asarray(samples, float).T)


def fresh_noise(
    tolerance: ArrayLike, held: Sequence[int], fresh: Sequence[int], stopped: Sequence[bool], limit: int
) -> Figure:
    """Evaluations against tolerance with ε held for the solve and with ε drawn at each evaluation.

    Args:
        stopped: whether the solve with fresh noise ran out of steps, at as many evaluations as given.
        limit: of steps.
    """
    fig = new_figure((7.2, 3.8))
    ax = fig.subplots()
    tol, count, out = np.asarray(tolerance, float), np.asarray(fresh, float), np.asarray(stopped)
    ax.loglog(tol, held, label="ε held during the solve", **line_style(0))
    ax.loglog(tol[~out], count[~out], label="ε drawn at every evaluation", **line_style(1))
    given_up = f"gave up after {limit} steps"
    ax.loglog(tol[out], count[out], "x", color=COLORS["vermillion"], markersize=11, label=given_up)
    guide = count[~out][-1] * tol[~out][-1] / tol  # through the last solve that ended
    ax.loglog(tol, guide, color=COLORS["grey"], linestyle=(0, (6, 3)), linewidth=1.2, label="slope −1")
    ax.set(xlabel="tolerance of the solver", ylabel="evaluations of f", ylim=(6, 1e5))
    ax.invert_xaxis()
    ax.legend(loc="upper left")
    return describe(
        fig,
        "Evaluations of f against the solver's tolerance, log-log. With noise held during the solve they grow slowly; "
        "with fresh noise at every evaluation they soon grow about as fast as one over the tolerance, until the solver "
        f"gives up after {limit} steps.",
    )


def beliefs(
    densities: Mapping[str, ArrayLike], nll: Mapping[str, float], mass: Mapping[str, float], half_width: float
) -> Figure:
    """The same weights as read by several solvers: density on a grid, NLL on the same points, mass in the window."""
    fig = new_figure((3.2 * len(densities), 3.7))
    for ax, (name, density) in zip(fig.subplots(1, len(densities), squeeze=False)[0], densities.items(), strict=True):
        p = np.asarray(density, float)
        heat(ax, np.minimum(p, np.quantile(p, 0.995)), half_width)  # a few cells would darken all others
        ax.set_title(f"{name}\nNLL {nll[name]:.2f}, mass {mass[name]:.2f}", fontsize=11)
    return describe(
        fig, "Densities in the plane: " + "; ".join(f"{n}, NLL {nll[n]:.2f}, mass {mass[n]:.2f}" for n in densities)
    )


def digit_training(iterations: int, count: int) -> Figure:
    """Bits per pixel of every batch so far (left), and so many samples of the flow (right)."""
    fig = new_figure((9.6, 3.0))
    curve, images = fig.subplots(1, 2, width_ratios=(1, 1.6))
    curve.plot([], [], color=COLORS["blue"], linestyle="-", linewidth=1.2)
    curve.set(xlabel="iteration", title="bits per pixel of each batch", xlim=(0, iterations), ylim=(2.3, 2.8))
    images.imshow(np.zeros((18, 9 * (count // 2))), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    images.set(xticks=[], yticks=[], title="samples of the flow")
    images.grid(visible=False)
    images.spines[["left", "bottom"]].set_visible(False)
    return describe(
        fig,
        "Left, bits per pixel fall during the training. Right, samples of the flow: at first every pixel is drawn on "
        "its own, later neighbours agree and blobs and strokes appear.",
    )


def update_digit_training(fig: Figure, bits: Sequence[float], samples: ArrayLike) -> None:
    """The training so far in a figure drawn by :func:`digit_training`; samples (count, 8, 8), grey levels 0 to 1."""
    curve, images = fig.axes
    curve.lines[0].set_data(np.arange(1, len(bits) + 1), bits)
    tiles = np.pad(np.asarray(samples, float), ((0, 0), (0, 1), (0, 1)), constant_values=1.0)
    half = len(tiles) // 2
    images.images[0].set_data(np.vstack([np.hstack(list(tiles[:half])), np.hstack(list(tiles[half:]))]))


def digits(rows: Mapping[str, ArrayLike]) -> Figure:
    """A row of 8×8 images for each name; images (n, 8, 8), grey levels from 0 to 1."""
    fig = new_figure((9.6, 0.66 * len(rows) + 0.1))
    for ax, (name, images) in zip(fig.subplots(len(rows), 1, squeeze=False)[:, 0], rows.items(), strict=True):
        padded = np.pad(np.asarray(images, float), ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
        ax.imshow(np.hstack(list(padded))[:, :-1], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
    return describe(fig, f"Rows of small handwritten digits: {', '.join(rows)}.")


NOISES = ("gaussian", "rademacher")  # one colour, dash and marker each
BINS = 61


def one_probe() -> Figure:
    """A probe ε and Bε in the plane (left), and εᵀBε over the direction of ε (right)."""
    fig = new_figure((9.6, 4.2))
    plane, curve = fig.subplots(1, 2, width_ratios=(1, 1.5))
    around = np.linspace(0, 2 * np.pi, 121)
    circle = 2**0.5 * np.stack((np.cos(around), np.sin(around)))
    corners = np.array([[1, -1, -1, 1], [1, 1, -1, -1]])
    plane.plot(*circle, label="‖ε‖² = 2", **GUIDE)
    plane.plot(*corners, "s", color=COLORS["vermillion"], markersize=7, label="the four Rademacher probes")
    plane.plot([], [], color=COLORS["blue"], linestyle="-", linewidth=2.6, label="ε")
    plane.plot([], [], color=COLORS["green"], linestyle="-.", linewidth=2.6, label="Bε")
    plane.plot([], [], "o", color=COLORS["blue"], markersize=6)
    plane.plot([], [], "^", color=COLORS["green"], markersize=7)
    bare(plane, 3.4)
    plane.legend(loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2, borderaxespad=0)
    curve.axhline(0, color=COLORS["black"], linestyle="--", label="trace of B")
    curve.plot([], [], color=COLORS["blue"], linestyle="-", label="εᵀBε")
    curve.plot([], [], "s", color=COLORS["vermillion"], markersize=8, label="Rademacher probes")
    curve.plot([], [], "o", color=COLORS["blue"], markersize=9, label="this probe")
    curve.set(xlabel="direction of ε, degrees", xlim=(0, 360), ylim=(-5, 5), xticks=range(0, 361, 45))
    curve.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=4, borderaxespad=0, handlelength=1.4)
    return describe(
        fig,
        "Left, a probe ε on a circle, the vector Bε, and the four corners (±1, ±1). Right, the number εᵀBε over the "
        "direction of the probe: a wave around the trace, with the four corners marked on it.",
    )


def update_one_probe(fig: Figure, matrix: ArrayLike, degrees: float) -> None:
    """Put a matrix (2, 2) and the direction of a probe into a figure drawn by :func:`one_probe`."""
    plane, curve = fig.axes
    B = np.asarray(matrix, float)
    angles = np.arange(0, 361, 3)
    vectors = 2**0.5 * np.stack((np.cos(np.radians(angles)), np.sin(np.radians(angles))))
    wave = np.einsum("in,ij,jn->n", vectors, B, vectors)
    here = 2**0.5 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    image = B @ here
    for line, end in ((plane.lines[2], here), (plane.lines[3], image)):
        line.set_data([0, end[0]], [0, end[1]])
    for line, end in ((plane.lines[4], here), (plane.lines[5], image)):
        line.set_data([end[0]], [end[1]])
    curve.lines[0].set_ydata([np.trace(B)] * 2)
    curve.lines[1].set_data(angles, wave)
    corners = np.array([45, 135, 225, 315])
    curve.lines[2].set_data(corners, wave[corners // 3])
    curve.lines[3].set_data([degrees], [here @ B @ here])


def estimates(probes: Sequence[int], reach: float) -> Figure:
    """Histograms of the estimates with K probes, and their standard deviation against K with the predicted line.

    Args:
        probes: numbers K, increasing; reach: the histograms show errors up to this size.
    """
    fig = new_figure((9.6, 3.8))
    histogram, spread = fig.subplots(1, 2)
    for i, noise in enumerate(NOISES):
        style = line_style(i)
        histogram.plot([], [], drawstyle="steps-mid", label=noise, **(style | {"marker": None}))
        spread.plot([], [], label=f"{noise}: measured", **(style | {"linestyle": ""}))
    for i in range(len(NOISES)):
        spread.plot([], [], **(line_style(i) | {"marker": None, "linewidth": 1.2}))
    histogram.axvline(0, color=COLORS["black"], linestyle="-", linewidth=1)
    spread.axvline(1, color=COLORS["black"], linestyle="-", linewidth=1)
    histogram.set(xlabel="estimate − trace", ylabel="height, tallest bin 1", ylim=(0, 1.08), xlim=(-reach, reach))
    spread.set(xscale="log", yscale="log", xlabel="probes K", ylabel="standard deviation")
    spread.set(ylim=(0.02, 60), xlim=(probes[0] / 1.4, probes[-1] * 1.4), title="lines: formula; marks: measured")
    histogram.legend(loc="upper right")
    spread.legend(loc="lower left")
    return describe(
        fig,
        "Left, histograms of a trace estimated with Gaussian and with Rademacher probes, around zero error. Right, "
        "their standard deviations against the number of probes, log-log, on lines of slope minus one half.",
    )


def update_estimates(
    fig: Figure, errors: Mapping[str, np.ndarray], predicted: Mapping[str, float], probes: Sequence[int], k: int
) -> None:
    """Put a matrix and K into a figure drawn by :func:`estimates`.

    Args:
        errors: noise -> estimate − trace with each number K of probes, (len(probes), n).
        predicted: noise -> standard deviation of one estimate with K = 1, by formula.
    """
    histogram, spread = fig.axes
    edges, at, counts = np.linspace(*histogram.get_xlim(), BINS + 1), probes.index(k), np.array(probes)
    for i, noise in enumerate(NOISES):
        count, _ = np.histogram(errors[noise][at], edges)
        histogram.lines[i].set_data((edges[1:] + edges[:-1]) / 2, count / max(count.max(), 1))
        spread.lines[i].set_data(counts, np.maximum(errors[noise].std(1), 1e-9))
        spread.lines[len(NOISES) + i].set_data(counts, np.maximum(predicted[noise] / np.sqrt(counts), 1e-9))
    spread.lines[2 * len(NOISES)].set_xdata([k] * 2)
    histogram.set_title(f"{errors['gaussian'].shape[1]} estimates with K = {k}")


def movie(points: ArrayLike, density: ArrayLike, t: float, half_width: float) -> Figure:
    """Particles of a flow at time t, (n, 2), beside its density there on a grid, (m, m)."""
    fig = new_figure((7.6, 3.9))
    left, right = fig.subplots(1, 2)
    left.plot([], [], "o", color=COLORS["blue"], markersize=2.2, alpha=0.75)
    heat(right, np.zeros_like(np.asarray(density, float)), half_width)
    right.images[0].set_clim(0, 1)
    bare(left, half_width)
    right.set_title("density, its peak bright")
    update_movie(fig, points, density, t, half_width)
    return describe(
        fig,
        "Left, a few hundred particles; right, the density they are distributed by. At t = 1 both are a Gaussian, at "
        "t = 0 the shape of the data; in between one becomes the other.",
    )


def update_movie(fig: Figure, points: ArrayLike, density: ArrayLike, t: float, half_width: float) -> None:
    """Another time, or another flow, in a figure drawn by :func:`movie`."""
    left, right = fig.axes
    left.lines[0].set_data(*np.asarray(points, float).T)
    p = np.asarray(density, float)
    right.images[0].set_data(p / p.max())
    right.images[0].set_extent((-half_width, half_width, -half_width, half_width))
    for ax in (left, right):
        ax.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width))
    end = {0.0: " (data)", 1.0: " (base)"}.get(t, "")
    left.set_title(f"particles at t = {t:.2f}{end}")
