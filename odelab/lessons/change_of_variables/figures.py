"""Figures of lesson 05: mass in patches and strips, a layer that folds, costs; then whole flows of densities.

Every function draws the arrays it is given.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, GUIDE, describe, line_style, new_figure, polylines

FOLD: dict[str, Any] = {"color": COLORS["vermillion"], "linestyle": "-", "linewidth": 1.7}
GRID: dict[str, Any] = {"color": COLORS["blue"], "linestyle": "-", "linewidth": 0.8}
ROUTES = ("determinant", "trace, d passes", "trace, one batched pass", "Hutchinson, one probe")
Costs = Mapping[int, Mapping[str, tuple[float, float]]]  # dimension -> route -> (multiplications, seconds)


def patch(densities: ArrayLike, times: ArrayLike) -> Figure:
    """A density with a patch that a flow carries; beside it the patch's area and the density in it, over time.

    Args:
        densities: at the times (T,), (T, side, side), in a window of half-width 4; the first is drawn.
    """
    fig = new_figure((9.6, 4.4))
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.1))
    stack, clock = np.asarray(densities, float), np.asarray(times, float)
    left.imshow(stack[0], extent=(-4, 4, -4, 4), **INK, vmax=np.quantile(stack, 0.999))
    left.plot([], [], color=COLORS["dark grey"], linestyle="--", linewidth=1.4)
    left.plot([], [], color=COLORS["black"], linestyle="-", linewidth=1.0)
    left.plot([], [], color=COLORS["vermillion"], linestyle="-", linewidth=2.6)
    left.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", title="density, and a patch that is carried along")
    left.grid(visible=False)
    for i, name in enumerate(("area of the patch", "density at its middle", "product of the two")):
        right.plot([], [], label=name, **line_style((1, 0, 2)[i]) | {"markersize": 5})
    right.set(xlim=(clock[0] - 0.05, clock[-1] + 0.05), ylim=(0.1, 10), yscale="log", xlabel="time t")
    right.set_yticks((0.1, 0.2, 0.5, 1, 2, 5, 10), ("0.1", "0.2", "0.5", "1", "2", "5", "10"))
    right.minorticks_off()
    right.set_title("as a multiple of the start")
    right.legend(loc="lower left")
    return describe(
        fig,
        "Left, a round hill of density that a flow pulls apart, and a square patch that is carried along and deformed. "
        "Right, over time, the area of the patch and the density at its middle: one grows as the other falls, and "
        "their product stays at one.",
    )


def update_patch(
    fig: Figure,
    density: ArrayLike,
    edges: ArrayLike,
    path: ArrayLike,
    growth: tuple[ArrayLike, ArrayLike, ArrayLike],
) -> None:
    """Put a moment into a figure drawn by :func:`patch`.

    Args:
        density: of the moment, (side, side).
        edges, path: of the patch and its middle at all moments up to this one, (k, corners, 2) and (k, 2).
        growth: these times, the area and the density there as multiples of those at the start, (k,) each.
    """
    left, right = fig.axes
    times, area, height = (np.asarray(curve, float) for curve in growth)
    left.images[0].set_data(np.asarray(density))
    first, last = np.asarray(edges, float)[[0, -1]]
    for line, edge in ((left.lines[0], first), (left.lines[2], last)):
        line.set_data(*np.concatenate([edge, edge[:1]]).T)
    left.lines[1].set_data(*np.asarray(path, float).T)
    for line, curve in zip(right.lines, (area, height, area * height), strict=True):
        line.set_data(times, curve)


def training(target: ArrayLike, iterations: int, half_width: float = 4.0) -> Figure:
    """Two flows in training: the KL of each batch against the iteration, and the densities beside the target.

    Args:
        target: its density on a grid, (side, side).
    """
    fig = new_figure((10.4, 3.0))
    curves, *panels = fig.subplots(1, 4, width_ratios=(1.5, 1, 1, 1))
    for i, name in enumerate(("NF", "CNF")):
        curves.plot([], [], label=name, **line_style(i) | {"marker": None, "linewidth": 1.4})
    curves.axhline(0, **GUIDE)
    curves.axhline(np.log(2), **GUIDE)
    curves.text(0.98 * iterations, np.log(2) + 0.04, "ln 2", ha="right", va="bottom", fontsize=10)
    curves.set(xlim=(0, iterations), ylim=(-0.3, 3), xlabel="iteration", title="KL of the batch, nats")
    curves.legend(loc="upper right")
    window, top = (-half_width, half_width, -half_width, half_width), np.quantile(np.asarray(target), 0.999)
    for ax, name in zip(panels, ("target", "NF", "CNF"), strict=True):
        ax.imshow(np.asarray(target) * (name == "target"), extent=window, **INK, vmax=top)
        ax.set_title(name)
        ax.set(xticks=(), yticks=())
        ax.grid(visible=False)
    return describe(
        fig,
        "Left, the KL divergence of a discrete and of a continuous flow to the target falls with the iterations. "
        "Right, the target with two crescents, and the densities of both flows as they learn.",
    )


def update_training(fig: Figure, losses: Mapping[str, Sequence[float]], densities: Mapping[str, ArrayLike]) -> None:
    """Put the losses so far and the present densities, by flow, into a figure drawn by :func:`training`."""
    curves, _, *panels = fig.axes
    for line, ax, name in zip(curves.lines, panels, losses, strict=False):
        line.set_data(np.arange(len(losses[name])), losses[name])
        ax.images[0].set_data(np.asarray(densities[name]))


def mass_strips(z: ArrayLike, base: ArrayLike, cuts: ArrayLike) -> Figure:
    """A map x = g(z): the base density below it, the density it makes to its left, equal masses as strips.

    Args:
        z, base: a grid of z and its density, (n,) each; cuts: boundaries of strips of equal mass, (k,).
    """
    fig = new_figure((8.4, 6.0))
    places = fig.add_gridspec(2, 2, width_ratios=(1, 2), height_ratios=(2, 1))
    left, middle, below = (fig.add_subplot(place) for place in (places[0, 0], places[0, 1], places[1, 1]))
    middle.plot([], [], color=COLORS["black"], linestyle="-", label="x = g(z)")
    below.plot(z, base, color=COLORS["blue"], linestyle="-", label="p(z)")
    left.plot([], [], color=COLORS["vermillion"], linestyle="--", linewidth=2.2, label="p(z) / |g′(z)|")
    left.plot([], [], color=COLORS["grey"], linestyle="-", linewidth=1.2, label="histogram")
    middle.plot([], [], color=COLORS["sky"], linestyle="-", linewidth=0.8, label="strips of equal mass")
    below.vlines(cuts, 0, 0.45, color=COLORS["sky"], linewidth=0.8)
    left.set(ylim=(-3.2, 3.2), ylabel="x", xlabel="density of x")
    middle.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
    below.set(xlim=(-3.2, 3.2), ylim=(0, 0.45), xlabel="z", ylabel="density of z")
    for ax in (left, middle, below):
        ax.legend(loc="upper left")
    return describe(
        fig,
        "A curve x = g(z). Below it the Gaussian density of z in strips of equal mass, to its left the density of x: "
        "high where the curve is flat and strips are squeezed, low where it is steep. A histogram follows the formula.",
    )


def update_mass_strips(
    fig: Figure, z: ArrayLike, x: ArrayLike, density: ArrayLike, samples: ArrayLike, edges: ArrayLike
) -> None:
    """Put a map into a figure drawn by :func:`mass_strips`.

    Args:
        z, x, density: a grid, where it goes and the density there by the formula, (n,) each.
        samples: mapped samples, for the histogram, (m,); edges: the strips' boundaries, in z and x, (k, 2).
    """
    left, middle = fig.axes[:2]
    middle.lines[0].set_data(z, x)
    left.lines[0].set_data(density, x)
    top = float(np.asarray(density).max())
    left.set_xlim(next((end for end in (0.5, 1.0) if top < 0.9 * end), 1.1 * top), 0)  # few ends: a new one costs time
    height, bins = np.histogram(np.asarray(samples), bins=80, range=(-3.2, 3.2), density=True)
    height *= np.mean(np.abs(np.asarray(samples)) < 3.2)
    left.lines[1].set_data(np.repeat(height, 2), np.repeat(bins, 2)[1:-1])
    low, at = np.full(len(np.asarray(edges)), -3.2), np.asarray(edges, float)
    bent = [np.stack([at[:, 0], low], 1), at, np.stack([low, at[:, 1]], 1)]
    middle.lines[1].set_data(*polylines(np.stack(bent, 1)))


def squares(before: ArrayLike, after: ArrayLike, log_det: ArrayLike) -> Figure:
    """Little squares and their images under a map of the plane, coloured by the logarithm of the determinant.

    Args:
        before, after: corners in order, (n, 4, 2) each.
        log_det: at the middle of each square, (n,).
    """
    fig = new_figure((9.6, 4.2))
    panels, size = fig.subplots(1, 2), float(np.abs(np.asarray(log_det)).max())
    for ax, corners, title in zip(panels, (before, after), ("z₀", "z₁ = f(z₀)"), strict=True):
        patches = PolyCollection(
            list(np.asarray(corners)), array=np.asarray(log_det), cmap="PuOr_r", edgecolor=COLORS["dark grey"]
        )
        patches.set(clim=(-size, size), linewidth=0.4)
        ax.add_collection(patches)
        ax.set(title=title, aspect="equal")
        ax.autoscale_view()
        ax.grid(visible=False)
    fig.colorbar(patches, ax=panels, label="log |det ∂f/∂z₀|")
    return describe(
        fig,
        "Left, a sheet of little squares. Right, their images under a smooth map: slanted, larger where the logarithm "
        "of the determinant is positive, smaller where it is negative.",
    )


def planar_layer(lines: ArrayLike) -> Figure:
    """A planar layer: the grid before and after it, and what it does along w.

    Args:
        lines: of the grid before the layer, (lines, points, 2).
    """
    fig = new_figure((10.5, 4.0))
    before, after, along = fig.subplots(1, 3)
    before.plot(*polylines(lines), **GRID)
    before.plot([], [], **FOLD, label="det < 0")
    before.plot([], [], color=COLORS["black"], linestyle="-", linewidth=2.4, marker="o", markevery=[0], label="w")
    before.plot([], [], color=COLORS["green"], linestyle="--", linewidth=2.4, marker="s", markevery=[0], label="u")
    after.plot([], [], **GRID)
    after.plot([], [], **FOLD)
    along.plot([], [], color=COLORS["blue"], linestyle="-", linewidth=2.2)
    along.plot([], [], **FOLD | {"linewidth": 3.0})
    along.plot([-4, 4], [-4, 4], **GUIDE)
    before.set(title="before", xlim=(-3.6, 3.6), ylim=(-4.0, 3.2), aspect="equal")
    after.set(title="after: z + u tanh(wᵀz + b)", xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
    along.set(title="along w", xlabel="wᵀz before", ylabel="wᵀz after", xlim=(-4, 4), ylim=(-5, 5), aspect=0.8)
    for ax in (before, after):
        ax.grid(visible=False)
    before.legend(loc="lower right", ncols=3, handlelength=1.2, columnspacing=0.8)
    return describe(
        fig,
        "Left, a square grid with the vectors w and u. Middle, the grid after a planar layer; where the determinant is "
        "negative it is drawn thick and orange, folded over the rest. Right, wᵀz after the layer against before.",
    )


def update_planar_layer(
    fig: Figure,
    lines: ArrayLike,
    after: ArrayLike,
    det: ArrayLike,
    w: ArrayLike,
    u: ArrayLike,
    along: tuple[ArrayLike, ArrayLike, ArrayLike],
) -> None:
    """Put a layer into a figure drawn by :func:`planar_layer`.

    Args:
        lines, after: the grid before and after, (lines, points, 2); det: determinant there, (lines, points).
        w, u: (2,) each; along: wᵀz before, after, and the slope of one over the other, (n,) each.
    """
    left, middle, right = fig.axes
    folded, (s, mapped, slope) = np.asarray(det)[..., None] < 0, (np.asarray(part, float) for part in along)
    left.lines[1].set_data(*polylines(np.where(folded, lines, np.nan)))
    for line, vector in zip(left.lines[2:], (w, u), strict=True):
        line.set_data(*np.stack([np.asarray(vector, float), np.zeros(2)], 1))
    middle.lines[0].set_data(*polylines(after))
    middle.lines[1].set_data(*polylines(np.where(folded, after, np.nan)))
    right.lines[0].set_data(s, mapped)
    right.lines[1].set_data(s, np.where(slope < 0, mapped, np.nan))


def step_and_flow() -> Figure:
    """One Euler step of a planar field beside its flow for the same time."""
    fig = new_figure((8.4, 4.7))  # so high that the titles have room above square panels
    names = ("one layer: z + h f(z)", "the flow of f for time h")
    for ax, name in zip(fig.subplots(1, 2), names, strict=True):
        ax.plot([], [], **GRID)
        ax.plot([], [], **FOLD)
        ax.set(title=name, xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), aspect="equal")
        ax.grid(visible=False)
    return describe(
        fig,
        "A square grid under one large Euler step, left, and under the flow of the same field, right, as the time h "
        "grows: the step folds over, in orange, once h is too large; the flow is squeezed but never folds.",
    )


def update_step_and_flow(fig: Figure, h: float, stepped: ArrayLike, flowed: ArrayLike, det: ArrayLike) -> None:
    """Put a time into a figure drawn by :func:`step_and_flow`.

    Args:
        stepped, flowed: grids (lines, points, 2); det: of the step, (lines, points).
    """
    left, right = fig.axes
    left.lines[0].set_data(*polylines(stepped))
    left.lines[1].set_data(*polylines(np.where(np.asarray(det)[..., None] < 0, stepped, np.nan)))
    right.lines[0].set_data(*polylines(flowed))
    left.set_title(f"one layer: z + h f(z), h = {h:.1f}")


def costs(measured: Costs) -> Figure:
    """Multiplications and seconds of four routes to a change of log-density, against the dimension; one is marked."""
    fig = new_figure((9.6, 4.2))
    dims = list(measured)
    for k, (ax, unit) in enumerate(zip(fig.subplots(1, 2), ("multiplications", "seconds"), strict=True)):
        for i, name in enumerate(ROUTES):
            ax.plot(dims, [row[name][k] for row in measured.values()], label=name, **line_style(i))
        ax.axvline(dims[0], color=COLORS["black"], linestyle="-", linewidth=0.9)
        ax.set(xlabel="dimension d", ylabel=unit, xscale="log", yscale="log")
        ax.set(title=("counted", "measured in this run")[k])
        ax.set_xticks(dims, [str(n) for n in dims])
        ax.minorticks_off()
    fig.axes[0].legend(loc="upper left")
    return describe(
        fig,
        "Multiplications counted and seconds measured against the dimension, log-log, for the determinant, the trace "
        "by d passes, the trace in one batched pass, and Hutchinson's estimate, which grows most slowly.",
    )


def update_costs(fig: Figure, d: int) -> None:
    """Move the marker of a figure drawn by :func:`costs`."""
    for ax in fig.axes:
        cast(Any, ax.lines[len(ROUTES)]).set_xdata([d, d])


def limits(errors: Mapping[str, tuple[ArrayLike, ArrayLike, int]]) -> Figure:
    """Errors that vanish like a power, one panel each.

    Args:
        errors: title -> (abscissa, error, expected slope), (n,) each.
    """
    fig = new_figure((9.6, 3.6))
    for i, (ax, (title, (x, error, slope))) in enumerate(
        zip(fig.subplots(1, len(errors)), errors.items(), strict=True)
    ):
        at, size = np.asarray(x, float), np.asarray(error, float)
        ax.loglog(at, size, label="measured", **line_style(i))
        ax.loglog(at, size[-1] * (at / at[-1]) ** slope, label=f"slope {slope}".replace("-", "−"), **GUIDE)
        name, ax_title = title.split("|")
        ax.set(title=ax_title, xlabel=name, ylabel="error")
        ax.xaxis.set_minor_formatter(NullFormatter())  # less than two decades would label every tick
        if (at == at.round()).all():
            ax.set_xticks(at, [f"{n:g}" for n in at])
        ax.legend()
    return describe(
        fig,
        "Two errors on logarithmic axes: that of ε tr J for log det(I + εJ) falls with slope two, that of a "
        "log-density carried by N Euler layers with slope minus one.",
    )


def _from_white() -> ListedColormap:
    """Blues on white paper: their own lightest shade would tint a whole figure once its palette is reduced."""
    colors = colormaps["Blues"](np.linspace(0, 1, 256))
    fade = np.linspace(0, 1, 24)[:, None]
    colors[:24, :3] = 1 - fade * (1 - colors[:24, :3])
    return ListedColormap(colors)


INK: dict[str, Any] = {
    "cmap": _from_white(),
    "origin": "lower",
    "interpolation": "bilinear",
    "vmin": 0.0,
    "zorder": 1.5,
}  # above the paper


def density_strips(
    rows: Mapping[str, tuple[ArrayLike, Sequence[str]]], half_width: float, common: bool = False
) -> Figure:
    """Rows of densities, each picture on its own scale unless a row has a common one.

    Args:
        rows: title -> (densities (n, side, side), a title for each of the n).
        half_width: of every window.
        common: one scale for all pictures of a row.
    """
    count = max(len(titles) for _, titles in rows.values())
    fig = new_figure((1.75 * count, 1.95 * len(rows) + 0.1))
    panels = fig.subplots(len(rows), count, squeeze=False)
    window = (-half_width, half_width, -half_width, half_width)
    for ax in panels.flat:
        ax.axis("off")
    for line, (name, (densities, titles)) in zip(panels, rows.items(), strict=True):
        stack = np.asarray(densities, float)
        for ax, density, title in zip(line, stack, titles, strict=False):
            highest = np.quantile(stack if common else density, 0.999)
            ax.imshow(density, extent=window, **INK, vmax=max(highest, 1e-9))
            ax.set_title(title, loc="center", fontsize=11)
        line[0].text(-0.08, 0.5, name, rotation=90, ha="right", va="center", transform=line[0].transAxes, fontsize=11)
    return describe(
        fig,
        f"Rows of small pictures of a density in the plane, dark where it is high: {'; '.join(rows)}.",
    )


def layer(densities: ArrayLike, masses: ArrayLike, half_width: float) -> Figure:
    """A discrete flow after some of its layers: density, warped grid, and the mass on the grid after every layer.

    Args:
        densities: after 0, 1, … K layers, (K + 1, side, side); the first is drawn.
        masses: their integrals, (K + 1,).
    """
    fig = new_figure((10.5, 3.9))
    left, middle, right = fig.subplots(1, 3)
    stack, window = np.asarray(densities, float), (-half_width, half_width, -half_width, half_width)
    left.imshow(stack[0], extent=window, **INK, vmax=np.quantile(stack, 0.999))
    middle.plot([], [], **GRID)
    middle.plot([], [], color=COLORS["vermillion"], linestyle="--", linewidth=2.2)
    for ax in (left, middle):
        ax.set(xlim=window[:2], ylim=window[2:], aspect="equal")
        ax.grid(visible=False)
    middle.set_title("grid, and where it is creased next")
    _meter(right, np.arange(len(stack)), masses, "layers")
    return describe(
        fig,
        "Left, a density after some layers of a planar flow. Middle, the square grid as those layers have bent it, "
        "and the line along which the next layer acts. Right, the mass on the grid, one after every layer.",
    )


def update_layer(fig: Figure, k: int, density: ArrayLike, lines: ArrayLike, crease: ArrayLike) -> None:
    """Put another number of layers into a figure drawn by :func:`layer`.

    Args:
        lines: the warped grid, (lines, points, 2).
        crease: two points of the next layer's line wᵀz + b = 0, (2, 2); NaN after the last layer.
    """
    left, middle, right = fig.axes
    left.images[0].set_data(np.asarray(density))
    left.set_title(f"density after {k} layers")
    middle.lines[0].set_data(*polylines(lines))
    middle.lines[1].set_data(*np.asarray(crease, float).T)
    cast(Any, right.lines[2]).set_xdata([k, k])


def movie(
    times: ArrayLike, densities: ArrayLike, masses: ArrayLike, log_density: ArrayLike, half_width: float
) -> Figure:
    """A continuous flow: density with particles, log-density along a few paths, and the mass on the grid.

    Args:
        times: (T,); densities: (T, side, side); masses: their integrals, (T,).
        log_density: along the marked paths, (T, k).
    """
    fig = new_figure((10.5, 3.9))
    left, middle, right = fig.subplots(1, 3)
    stack, window = np.asarray(densities, float), (-half_width, half_width, -half_width, half_width)
    left.imshow(stack[0], extent=window, **INK, vmax=np.quantile(stack, 0.999))
    left.plot([], [], linestyle="none", marker=".", markersize=3, color=COLORS["grey"])
    for i, path in enumerate(np.asarray(log_density, float).T):
        style = line_style(i)
        left.plot([], [], **style | {"linestyle": "none", "markersize": 9, "markeredgecolor": "white"})
        middle.plot(times, path, **style | {"markevery": [-1]})
    for ax in (left, middle):
        ax.grid(visible=ax is middle)
    middle.axvline(0, color=COLORS["black"], linestyle="-", linewidth=1)
    left.set(xlim=window[:2], ylim=window[2:], aspect="equal")
    middle.set(title="log p along four paths", xlabel="time t", ylabel="log p(z₀) − ∫ tr dt")
    _meter(right, times, masses, "time t")
    return describe(
        fig,
        "Left, a density in the plane with particles carried by a flow, four of them marked. Middle, the log-density "
        "along those four paths against time. Right, the integral of the density over the grid, which stays at one.",
    )


def update_movie(fig: Figure, t: float, density: ArrayLike, particles: ArrayLike, marked: ArrayLike) -> None:
    """Put another time into a figure drawn by :func:`movie`; particles (n, 2), marked (k, 2)."""
    left, middle, right = fig.axes
    left.images[0].set_data(np.asarray(density))
    left.set_title(f"t = {t:.2f}")
    left.lines[0].set_data(*np.asarray(particles).T)
    for line, (x, y) in zip(left.lines[1:], np.asarray(marked), strict=True):
        line.set_data([x], [y])
    for line in (middle.lines[-1], right.lines[2]):
        cast(Any, line).set_xdata([t, t])


def _meter(ax: Any, at: ArrayLike, masses: ArrayLike, name: str) -> None:
    """The mass meter: integrals of a density along a flow, with a mark at the first."""
    mass = np.asarray(masses, float)
    ax.plot(at, mass, color=COLORS["green"], linestyle="-", linewidth=2.4)
    ax.axhline(1, **GUIDE)
    first = float(np.asarray(at)[0])
    ax.axvline(first, color=COLORS["black"], linestyle="-", linewidth=1)
    low, high = min(0.8, mass.min() - 0.1), max(1.2, mass.max() + 0.1)
    ax.set(title="mass meter: ∫ p dz", xlabel=name, ylim=(low, high))


def kl_by_width(panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]) -> Figure:
    """KL to a target against width or depth, one panel a target, one mark a seed, a line through the means.

    Args:
        panels: target -> model -> units or layers -> KL of each seed, in nats.
    """
    fig = new_figure((3.5 * len(panels), 3.6))
    axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for ax, (title, models) in zip(axes, panels.items(), strict=True):
        for i, (name, found) in enumerate(models.items()):
            sizes, style = sorted(found), line_style(i)
            ax.plot(sizes, [np.mean(found[size]) for size in sizes], label=name, **style | {"marker": None})
            every = np.array([(size, kl) for size in sizes for kl in found[size]]).reshape(-1, 2)
            ax.plot(*every.T, **style | {"linestyle": "none", "alpha": 0.8})
        sizes = sorted({size for found in models.values() for size in found})
        ax.set(title=title, xscale="log", yscale="log", xlabel="layers K, units M")
        ax.set_xticks(sizes, [str(n) for n in sizes])
        ax.xaxis.set_minor_formatter(NullFormatter())
    known = {name: line for ax in axes for line, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(known.values(), known, loc="outside lower center", ncols=len(known))
    axes[0].set_ylabel("KL(q‖p), nats")
    return describe(
        fig,
        f"KL divergence to the targets {', '.join(panels)} against the number of layers or units, on logarithmic axes.",
    )
