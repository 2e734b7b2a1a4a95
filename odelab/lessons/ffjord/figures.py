"""Figures of the FFJORD lesson: eight densities, a training, the price of fresh noise, digits, a solver exploited.

Every function draws the arrays it is given; none of them solves an equation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure


@dataclass(frozen=True)
class Toy:
    """One density in the plane and what a flow made of it; the last two are None where no flow was trained.

    Attributes:
        half_width: of the window.
        points: data, (n, 2).
        density: of the flow, on a grid of cells, (m, m), rows from bottom to top.
        paths: from data to base, (times, k, 2).
    """

    half_width: float
    points: ArrayLike
    density: ArrayLike | None = None
    paths: ArrayLike | None = None


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


def eight(toys: Mapping[str, Toy]) -> Figure:
    """A column for each density: its points, the flow's density, and paths of the flow from data to base."""
    fig = new_figure((9.6, 4.2))
    axes = fig.subplots(3, len(toys), squeeze=False)
    for column, (name, toy) in zip(axes.T, toys.items(), strict=True):
        column[0].plot(*np.asarray(toy.points).T, ".", color=COLORS["blue"], markersize=1.2, alpha=0.6)
        column[0].set_title(name, fontsize=10)
        for ax in column:
            bare(ax, toy.half_width)
        if toy.density is None or toy.paths is None:
            for ax in column[1:]:
                ax.text(0, 0, "not run\nyet", ha="center", va="center", fontsize=10)
            continue
        heat(column[1], toy.density, toy.half_width)
        paths = np.asarray(toy.paths)
        column[2].plot(paths[..., 0], paths[..., 1], "-", color=COLORS["grey"], linewidth=0.7)
        column[2].plot(*paths[0].T, "o", color=COLORS["blue"], markersize=2)
        column[2].plot(*paths[-1].T, "s", color=COLORS["vermillion"], markersize=2)
    for ax, label in zip(axes[:, 0], ("data", "flow: density", "flow: paths"), strict=True):
        ax.set_ylabel(label)
    return describe(
        fig,
        f"Columns for {', '.join(toys)}. Upper row: points of the data. Middle: the density a trained flow gives, "
        "bright in the same shape. Lower: paths that carry data, blue dots, to a Gaussian, red squares.",
    )


def training(loss: ArrayLike, nfe: ArrayLike, entropy: float) -> Figure:
    """Loss and evaluations per solve of every iteration; no density can stay below the entropy."""
    fig = new_figure((9.6, 3.4))
    left, right = fig.subplots(1, 2)
    step = np.arange(1, len(np.asarray(loss)) + 1)
    left.plot(step, loss, color=COLORS["blue"], linewidth=1.2, label="loss of each batch")
    left.axhline(entropy, color=COLORS["black"], linestyle="--", label=f"entropy of the data {entropy:.3f}")
    left.set(xlabel="iteration", ylabel="nats", title="negative log-likelihood", ylim=(entropy - 0.3, entropy + 2))
    left.legend(loc="upper right")
    right.plot(step, nfe, color=COLORS["vermillion"], drawstyle="steps-mid", linestyle="-", linewidth=1.4)
    right.set(xlabel="iteration", ylabel="evaluations of f", title="work of one solve", ylim=(0, None))
    return describe(
        fig,
        "Left, the loss of a flow falls within some dozens of iterations and creeps towards a dashed line, the entropy "
        "of the data. Right, the evaluations of f that one solve takes grow during the training.",
    )


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
        "with fresh noise at every evaluation they grow ever faster, towards one over the tolerance, until the solver "
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
