"""Figures of the lesson on straight paths: many flows of one density, optimal transport, and what a penalty changes.

Every function draws the arrays it is given; none of them solves an equation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure

DATA: dict[str, Any] = {"color": COLORS["blue"], "marker": "o", "linestyle": "none", "markersize": 3.2}
BASE: dict[str, Any] = {"color": COLORS["vermillion"], "marker": "^", "linestyle": "none", "markersize": 3.6}
PATH: dict[str, Any] = {"color": COLORS["grey"], "linestyle": "-", "linewidth": 0.8, "alpha": 0.75}
GUIDE: dict[str, Any] = {"color": COLORS["grey"], "linestyle": (0, (6, 3)), "linewidth": 1.3}
HERE: dict[str, Any] = {"color": COLORS["vermillion"], "marker": "s", "markersize": 10, "linestyle": "none"}


def broken(paths: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Several paths (times, n, 2) as one line with gaps: one artist draws faster than n."""
    z = np.asarray(paths, float)
    gap = np.full((1, *z.shape[1:]), np.nan)
    x, y = np.concatenate([z, gap]).transpose(2, 1, 0).reshape(2, -1)
    return x, y


def draw_paths(ax: Axes, paths: ArrayLike, legend: bool = False) -> None:
    """Paths (times, n, 2) with their ends; three artists, which :func:`move_paths` moves."""
    ax.plot([], [], **PATH)
    ax.plot([], [], label="data, t = 0", **DATA)
    ax.plot([], [], label="base, t = 1", **BASE)
    ax.set_aspect("equal")
    ax.grid(visible=False)
    if legend:
        ax.legend(loc="lower left", fontsize=10, handletextpad=0.1, borderpad=0.2)
    move_paths(ax, paths)


def move_paths(ax: Axes, paths: ArrayLike) -> None:
    """Put other paths into a panel drawn by :func:`draw_paths`."""
    z = np.asarray(paths, float)
    ax.lines[0].set_data(*broken(z))
    ax.lines[1].set_data(*z[0].T)
    ax.lines[2].set_data(*z[-1].T)


def path_panels(panels: Mapping[str, ArrayLike], half_width: float, alt: str, fig: Figure | None = None) -> Figure:
    """Paths of several flows side by side.

    Args:
        panels: title -> paths (times, n, 2).
    """
    fig = new_figure(fig, (3.2 * len(panels), 3.7))
    axes = fig.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for k, (ax, (title, paths)) in enumerate(zip(axes, panels.items(), strict=True)):
        draw_paths(ax, paths, legend=k == 0)
        ax.set_title(title, fontsize=11)
        ax.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width))
    return describe(fig, alt)


def timetables(t: ArrayLike, panels: Mapping[str, ArrayLike], fig: Figure | None = None) -> Figure:
    """Flows on a line: position against time.

    Args:
        panels: title -> paths (times, n), on the same points.
    """
    fig = new_figure(fig, (9.6, 3.3))
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, paths) in zip(axes, panels.items(), strict=True):
        z = np.asarray(paths, float)
        ax.plot(t, z, color=COLORS["blue"], linestyle="-", linewidth=0.9)
        ax.plot(np.full(z.shape[1], 0.0), z[0], **DATA)
        ax.plot(np.full(z.shape[1], 1.0), z[-1], **BASE)
        ax.set_title(title, fontsize=11)
        ax.set(xlabel="time t")
    axes[0].set(ylabel="position z")
    return describe(
        fig,
        "Positions on a line against time, from two clusters at time 0 to one at time 1. Left they go there directly; "
        "right they swing forwards and back twice, and end in the same places.",
    )


@dataclass(frozen=True)
class Measured:
    """What was measured of a flow: paths (times, n, 2), evaluations, mean kinetic energy and NLL in nats."""

    paths: np.ndarray
    nfe: int
    energy: float
    nll: float


def turning(family: Mapping[float, Measured], turns: float, fig: Figure | None = None) -> Figure:
    """Left the paths of one member; right NFE, kinetic energy and NLL of all, each relative to the first member."""
    fig = new_figure(fig, (9.6, 4.2))
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.25))
    draw_paths(left, family[turns].paths, legend=True)
    left.set(xlim=(-4.6, 4.6), ylim=(-4.6, 4.6))
    x, first = [*family], next(iter(family.values()))
    for k, name in enumerate(("energy", "nfe", "nll")):
        label = {"energy": "kinetic energy", "nfe": "NFE", "nll": "NLL"}[name]
        values = [getattr(member, name) / getattr(first, name) for member in family.values()]
        right.plot(x, values, label=label, **line_style(k) | {"markersize": 4.5})
    right.plot([], [], **HERE | {"markerfacecolor": "none", "markeredgewidth": 2})
    right.set(yscale="log", xlabel="turns", title="relative to the flow that does not turn", ylim=(0.5, None))
    right.legend(loc="upper left")
    update_turning(fig, family, turns)
    return describe(
        fig,
        "Left: paths of points from eight Gaussians to one normal distribution, turning on their way. Right, against "
        "the number of turns: kinetic energy and evaluations rise, the negative log-likelihood is a flat line.",
    )


def update_turning(fig: Figure, family: Mapping[float, Measured], turns: float) -> None:
    """Show another member in a figure drawn by :func:`turning`."""
    left, right = fig.axes
    member, first = family[turns], next(iter(family.values()))
    move_paths(left, member.paths)
    left.set_title(f"{turns:g} turns")
    right.lines[3].set_data([turns] * 3, [member.energy / first.energy, member.nfe / first.nfe, member.nll / first.nll])


@dataclass(frozen=True)
class Transport:
    """Points on their way between two Gaussians under one linear map.

    Attributes:
        start, end: the points and their images, (n, 2).
        circles: 2σ-ellipse at the start, now and at the end, (3, m, 2).
        angle, cost: of this map, and `angles`, `costs` (k,) of all; `least` is the cost that no map can beat.
    """

    start: np.ndarray
    end: np.ndarray
    circles: np.ndarray
    angle: float
    cost: float
    angles: Sequence[float]
    costs: Sequence[float]
    least: float
    t: float


def displacement(scene: Transport, fig: Figure | None = None) -> Figure:
    """Left: points a share t of their straight way, with the ellipses. Right: cost of the map against its angle."""
    fig = new_figure(fig, (9.6, 4.2))
    left, right = fig.subplots(1, 2, width_ratios=(1.1, 1))
    left.plot([], [], **PATH)
    for k, label in enumerate(("p, t = 0", "q, t = 1")):
        style = line_style(k) | {"marker": None, "linewidth": 1.6}
        left.plot(*scene.circles[2 * k].T, label=label, **style)
    left.plot([], [], label="now", color=COLORS["black"], linestyle=":", linewidth=2)
    left.plot([], [], color=COLORS["black"], marker="o", markersize=3, linestyle="none")
    left.set(xlim=(-5.2, 5.2), ylim=(-4.4, 4.4), aspect="equal")
    left.legend(loc="lower right")
    right.plot(scene.angles, scene.costs, label="cost of the map", color=COLORS["blue"], linestyle="-")
    right.axhline(scene.least, label="least possible", **GUIDE)
    right.plot([], [], **HERE)
    right.set_xticks(range(-180, 181, 90))
    right.set(xlabel="the map's turn in degrees", title="∫‖x − z(x)‖² p dx", ylim=(0, None))
    right.legend(loc="upper center")
    update_displacement(fig, scene)
    return describe(
        fig,
        "Left: points move on straight lines from one Gaussian to another, with the ellipses of both and of the "
        "present time. Right: the cost of the map against the angle it turns by, least at zero.",
    )


def update_displacement(fig: Figure, scene: Transport) -> None:
    """Another time or map in a figure drawn by :func:`displacement`."""
    left, right = fig.axes
    now = (1 - scene.t) * scene.start + scene.t * scene.end
    left.lines[0].set_data(*broken(np.stack([scene.start, now])))
    left.lines[3].set_data(*scene.circles[1].T)
    left.lines[4].set_data(*now.T)
    left.set_title(f"turn {scene.angle:+g}°, t = {scene.t:.2f}")
    right.lines[2].set_data([scene.angle], [scene.cost])
