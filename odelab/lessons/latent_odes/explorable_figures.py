"""Figures behind the sliders of the latent ODE lesson: a window seen through a mask, and latent paths in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odelab.lessons.kit.style import COLORS, describe, new_figure

PARTS = ("before", "window", "after")
PART_STYLE: dict[str, dict[str, Any]] = {
    "before": {"color": COLORS["blue"], "linestyle": "--"},
    "window": {"color": COLORS["green"], "linestyle": "-"},
    "after": {"color": COLORS["vermillion"], "linestyle": "-."},
}
REACH = 6.3  # half the side of the plane that is shown
COORDINATES = ("x", "y")


@dataclass(frozen=True)
class Scene:
    """One series, what was seen of it, and what a model says.

    Attributes:
        times: (3T,), before the window, within, after it; curve: the truth there, (3T, 2).
        seen_times: (k,); seen: noisy observations (k, 2).
        paths: decoded draws, (K, 3T, 2).
    """

    times: np.ndarray
    curve: np.ndarray
    seen_times: np.ndarray
    seen: np.ndarray
    paths: np.ndarray

    def part(self, index: int) -> slice:
        """Where before, window, after lie; they share their ends, so that no line is broken."""
        third = len(self.times) // 3
        return slice(max(index * third - 1, 0), (index + 1) * third)


def draw_plane(ax: Axes) -> None:
    """The plane of the data, empty: all draws in one line for each of three parts, the truth, the observations."""
    for part in PARTS:
        ax.plot([], [], alpha=0.4, linewidth=1.0, label=part, **PART_STYLE[part])
    ax.plot([], [], color=COLORS["black"], linestyle=":", linewidth=1.4, label="truth")
    ax.plot([], [], "o", color=COLORS["black"], markersize=3.5, linestyle="", label="seen")
    ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xlabel="x", ylabel="y")


def legend_of(plane: Axes, fig: Figure, *more: Artist) -> None:
    """What the lines of :func:`draw_plane` are, below the panels, where nothing runs behind it, and more."""
    handles = [*plane.lines, *more]
    legend = fig.legend(handles=handles, loc="outside lower center", ncols=4 if more else len(handles))
    for handle in legend.get_lines():
        handle.set_alpha(1)


def update_plane(ax: Axes, data: Scene) -> None:
    """Put a scene into what :func:`draw_plane` drew."""
    for index, line in enumerate(ax.lines[:3]):
        part = data.paths[:, data.part(index)]
        ends = np.full((len(part), 1, 2), np.nan)  # lift the pen between two draws
        line.set_data(*np.concatenate([part, ends], 1).reshape(-1, 2).T)
    ax.lines[3].set_data(*data.curve.T)
    ax.lines[4].set_data(*data.seen.T)


def draw_clock(ax: Axes, data: Scene, coordinate: int) -> None:
    """One coordinate against time, empty: the mean in three parts, the truth, the observations, and a band."""
    start, end = data.times[len(data.times) // 3], data.times[2 * len(data.times) // 3]
    ax.axvspan(start, end, color=COLORS["grey"], alpha=0.25, linewidth=0)
    for _ in range(2):
        ax.plot([], [], color=COLORS["grey"], linestyle="-", linewidth=0.9)
    for part in PARTS:
        ax.plot([], [], linewidth=1.8, **PART_STYLE[part])
    ax.plot([], [], color=COLORS["black"], linestyle=":", linewidth=1.4)
    ax.plot([], [], "o", color=COLORS["black"], markersize=3.5, linestyle="")
    ax.set(xlim=(data.times[0], data.times[-1]), ylim=(-REACH, REACH), ylabel=COORDINATES[coordinate])


def update_clock(ax: Axes, data: Scene, coordinate: int) -> None:
    """Put a scene into what :func:`draw_clock` drew."""
    paths = data.paths[..., coordinate]
    for line, level in zip(ax.lines[:2], (5, 95), strict=True):
        line.set_data(data.times, np.percentile(paths, level, axis=0))
    for index, line in enumerate(ax.lines[2:5]):
        part = data.part(index)
        line.set_data(data.times[part], paths.mean(0)[part])
    ax.lines[5].set_data(data.times, data.curve[:, coordinate])
    ax.lines[6].set_data(data.seen_times, data.seen[:, coordinate])


def scene(data: Scene, fig: Figure | None = None) -> Figure:
    """A window and what the model says of it: in the plane, and both coordinates against time."""
    fig = new_figure(fig, (9.6, 4.3))
    grid = fig.add_gridspec(2, 2, width_ratios=(1, 1.25))
    plane = fig.add_subplot(grid[:, 0])
    draw_plane(plane)
    clocks = [fig.add_subplot(grid[row, 1]) for row in range(2)]
    for coordinate, ax in enumerate(clocks):
        draw_clock(ax, data, coordinate)
    clocks[0].set(title="grey: the window; thin lines: 5 % and 95 %", xticklabels=[])
    clocks[1].set(xlabel="time since the window began")
    legend_of(plane, fig)
    update_scene(fig, data)
    return describe(
        fig,
        "Left, a spiral in the plane: dots that were seen, and draws of a model that follow the dotted truth inside "
        "the window, before it and after it. Right, both coordinates against time with a band of the draws.",
    )


def update_scene(fig: Figure, data: Scene) -> None:
    """Put another scene into a figure drawn by :func:`scene`."""
    plane, *clocks = fig.axes
    update_plane(plane, data)
    for coordinate, ax in enumerate(clocks):
        update_clock(ax, data, coordinate)
    plane.set_title(f"{len(data.seen)} points seen")


@dataclass(frozen=True)
class Portrait:
    """Latent paths in their two widest directions, and what they decode to, at the same times.

    Attributes:
        times: (T,); latent, decoded: (n, T, 2); clockwise: (n,), bool; window: its two ends.
    """

    times: np.ndarray
    latent: np.ndarray
    decoded: np.ndarray
    clockwise: np.ndarray
    window: tuple[float, float]


def draw_portrait(ax: Axes, paths: np.ndarray, clockwise: np.ndarray) -> None:
    """Paths (n, T, 2) as thin lines, and markers to be moved along them, one colour and marker for each direction."""
    for flag, (color, marker, name) in enumerate((("orange", "o", "counter-clockwise"), ("purple", "s", "clockwise"))):
        for path in paths[clockwise == bool(flag)]:
            ax.plot(*path.T, color=COLORS[color], linewidth=0.7, alpha=0.45, linestyle="-")
        ax.plot([], [], marker, color=COLORS[color], markersize=5, linestyle="", label=name, gid="mover",
                markeredgecolor=COLORS["black"], markeredgewidth=0.5)  # fmt: skip
    span = np.abs(paths - paths.mean((0, 1))).max() * 1.05
    (x, y) = paths.mean((0, 1))
    ax.set(xlim=(x - span, x + span), ylim=(y - span, y + span), aspect="equal")


def move(ax: Axes, places: np.ndarray, clockwise: np.ndarray) -> None:
    """Put the markers of :func:`draw_portrait` at places (n, 2)."""
    movers = [line for line in ax.lines if line.get_gid() == "mover"]
    for flag, line in enumerate(movers):
        line.set_data(*places[clockwise == bool(flag)].T)


def portrait(data: Portrait, frame: int, fig: Figure | None = None) -> Figure:
    """Latent paths beside the series they decode to, with everybody's place at one time."""
    fig = new_figure(fig, (9.0, 4.4))
    left, right = fig.subplots(1, 2)
    draw_portrait(left, data.latent, data.clockwise)
    draw_portrait(right, data.decoded, data.clockwise)
    left.set(xlabel="first principal direction of z", ylabel="second")
    right.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xlabel="x", ylabel="y")
    fig.legend(handles=[line for line in right.lines if line.get_gid() == "mover"], loc="outside lower center", ncols=2)
    update_portrait(fig, data, frame)
    return describe(
        fig,
        "Left, latent paths in their two widest directions, one bundle for each sense of rotation, with markers at one "
        "time. Right, what they decode to at that time: points on spirals in the plane.",
    )


def update_portrait(fig: Figure, data: Portrait, frame: int) -> None:
    """Another time in a figure drawn by :func:`portrait`."""
    left, right = fig.axes
    move(left, data.latent[:, frame], data.clockwise)
    move(right, data.decoded[:, frame], data.clockwise)
    t = data.times[frame]
    where = PARTS[int(t >= data.window[0]) + int(t > data.window[1])]
    left.set_title(f"latent, t = {t:.2f}")
    right.set_title(f"decoded, {where}")
