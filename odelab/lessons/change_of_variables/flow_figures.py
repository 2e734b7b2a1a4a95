"""Figures of lesson 05 about whole flows: a strip of densities, one layer of many, a movie with a mass meter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike

from odelab.lessons.change_of_variables.figures import GRID, GUIDE, broken
from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure


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
    rows: Mapping[str, tuple[ArrayLike, Sequence[str]]],
    half_width: float,
    fig: Figure | None = None,
    common: bool = False,
) -> Figure:
    """Rows of densities, each picture on its own scale unless a row has a common one.

    Args:
        rows: title -> (densities (n, side, side), a title for each of the n).
        half_width: of every window.
        common: one scale for all pictures of a row.
    """
    count = max(len(titles) for _, titles in rows.values())
    fig = new_figure(fig, (1.75 * count, 1.95 * len(rows) + 0.1))
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


def layer(densities: ArrayLike, masses: ArrayLike, half_width: float, fig: Figure | None = None) -> Figure:
    """A discrete flow after some of its layers: density, warped grid, and the mass on the grid after every layer.

    Args:
        densities: after 0, 1, … K layers, (K + 1, side, side); the first is drawn.
        masses: their integrals, (K + 1,).
    """
    fig = new_figure(fig, (10.5, 3.9))
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
    middle.lines[0].set_data(*broken(lines))
    middle.lines[1].set_data(*np.asarray(crease, float).T)
    cast(Any, right.lines[2]).set_xdata([k, k])


def movie(
    times: ArrayLike, densities: ArrayLike, masses: ArrayLike, log_density: ArrayLike, half_width: float,
    fig: Figure | None = None,
) -> Figure:  # fmt: skip
    """A continuous flow: density with particles, log-density along a few paths, and the mass on the grid.

    Args:
        times: (T,); densities: (T, side, side); masses: their integrals, (T,).
        log_density: along the marked paths, (T, k).
    """
    fig = new_figure(fig, (10.5, 3.9))
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


def kl_by_width(panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], fig: Figure | None = None) -> Figure:
    """KL to a target against width or depth, one panel a target, one mark a seed, a line through the means.

    Args:
        panels: target -> model -> units or layers -> KL of each seed, in nats.
    """
    fig = new_figure(fig, (3.5 * len(panels), 3.6))
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
    axes[0].legend()
    axes[0].set_ylabel("KL(q‖p), nats")
    return describe(
        fig,
        f"KL divergence to the targets {', '.join(panels)} against the number of layers or units, on logarithmic axes.",
    )
