"""Figures of the latent ODE lesson: the idea, an autoencoder's map, two clocks, a training, densities, calibration.

Every function draws the arrays it is given; none of them runs a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure, polylines

PARTS = ("before", "window", "after")
REGIONS = ("before", "inside", "beyond")  # the same, of errors
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

    def until(self, end: int) -> "Scene":
        """The scene with nothing to be seen from the point `end` on."""
        gone = np.arange(len(self.times)) >= end
        curve = np.where(gone[:, None], np.nan, self.curve)
        return Scene(self.times, curve, self.seen_times, self.seen, np.where(gone[:, None], np.nan, self.paths))


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
        line.set_data(*polylines(data.paths[:, data.part(index)]))
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


def scene(data: Scene) -> Figure:
    """A window and what the model says of it: in the plane, and both coordinates against time."""
    fig = new_figure((9.6, 4.3))
    grid = fig.add_gridspec(2, 2, width_ratios=(1, 1.25))
    plane = fig.add_subplot(grid[:, 0])
    draw_plane(plane)
    clocks = [fig.add_subplot(grid[row, 1]) for row in range(2)]
    for coordinate, ax in enumerate(clocks):
        draw_clock(ax, data, coordinate)
    clocks[0].set(title="grey: the window; thin lines: 5 % and 95 %", xticklabels=[])
    clocks[1].set(xlabel="time since the window began")
    legend_of(plane, fig)
    return describe(
        fig,
        "Left, a spiral in the plane: dots that were seen, and draws of a model that follow the dotted truth inside "
        "the window, before it and after it. Right, both coordinates against time with a band of the draws.",
    )


def update_scene(fig: Figure, data: Scene) -> None:
    """Put a scene into a figure drawn by :func:`scene`."""
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
        ax.plot(
            [],
            [],
            marker,
            color=COLORS[color],
            markersize=5,
            linestyle="",
            label=name,
            gid="mover",
            markeredgecolor=COLORS["black"],
            markeredgewidth=0.5,
        )
    span = np.abs(paths - paths.mean((0, 1))).max() * 1.05
    (x, y) = paths.mean((0, 1))
    ax.set(xlim=(x - span, x + span), ylim=(y - span, y + span), aspect="equal")


def move(ax: Axes, places: np.ndarray, clockwise: np.ndarray) -> None:
    """Put the markers of :func:`draw_portrait` at places (n, 2)."""
    movers = [line for line in ax.lines if line.get_gid() == "mover"]
    for flag, line in enumerate(movers):
        line.set_data(*places[clockwise == bool(flag)].T)


def portrait(data: Portrait, frame: int) -> Figure:
    """Latent paths beside the series they decode to, with everybody's place at one time."""
    fig = new_figure((9.0, 4.4))
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


def hero(scene: Scene, portrait: Portrait) -> Figure:
    """Seen points and what becomes of them: in the plane, against time, and in latent space."""
    fig = new_figure((10.0, 3.9))
    plane, clock, latent = fig.subplots(1, 3, width_ratios=(1, 1.15, 1))
    draw_plane(plane)
    update_plane(plane, scene)
    plane.set_title(f"{len(scene.seen)} noisy points …")
    draw_clock(clock, scene, 0)
    update_clock(clock, scene, 0)
    clock.set(title="… at irregular times, …", xlabel="time (grey: the window)", ylabel="x")
    draw_portrait(latent, portrait.latent, portrait.clockwise)
    start = int(np.searchsorted(portrait.times, 0.0))
    move(latent, portrait.latent[:, start], portrait.clockwise)
    latent.plot(*portrait.latent[0].T, color=COLORS["black"], linewidth=1.6)
    latent.plot(*portrait.latent[0, start], "*", color=COLORS["black"], markersize=15, label="$z_0$ of this window")
    latent.set(title="… one state $z_0$ and an ODE", xlabel="latent, 1st direction", ylabel="2nd")
    legend_of(plane, fig, *latent.get_legend_handles_labels()[0])
    return describe(
        fig,
        "Left, thirty noisy points of a spiral and a model's draws, which follow the dotted truth also before and "
        "after the points. Middle, one coordinate against time. Right, latent paths in two bundles, one for each "
        "sense of rotation, with a marker where each starts, a star for the window on the left.",
    )


def code_map(codes: ArrayLike, labels: ArrayLike, decoded: ArrayLike, reach: float) -> Figure:
    """Where images lie in a latent plane, and what a grid of latent places decodes to.

    Args:
        codes: (n, 2); labels: (n,) digits; decoded: (m, m, height, width), rows from bottom to top; reach: of the grid.
    """
    fig = new_figure((9.6, 4.4))
    left, right = fig.subplots(1, 2)
    z, y = np.asarray(codes), np.asarray(labels)
    for digit in range(10):
        style = line_style(digit)
        left.plot(*z[y == digit].T, linestyle="", marker=f"${digit}$", markersize=8, color=style["color"], alpha=0.8)
    left.set(
        xlim=(-1.5 * reach, 1.5 * reach),
        ylim=(-1.5 * reach, 1.5 * reach),
        aspect="equal",
        xlabel="first latent number",
        ylabel="second",
        title="images by their code",
    )
    tiles = np.asarray(decoded)[::-1]  # the image's first row is its top
    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in tiles], axis=0)
    right.imshow(picture, cmap="gray", extent=(-reach, reach, -reach, reach), vmin=0, vmax=1)
    right.set(xlabel="first latent number", ylabel="second", title="codes by their image")
    right.grid(visible=False)
    return describe(
        fig,
        "Left, test images as digits placed at their two-number codes: like digits lie together around the origin. "
        "Right, decoded images for a grid of codes: one digit turns smoothly into the next.",
    )


def two_clocks(values: ArrayLike, clocks: Mapping[str, ArrayLike]) -> Figure:
    """The same values at different times: as they happened, and as a network sees them that is told no times."""
    fig = new_figure((9.6, 3.4))
    left, right = fig.subplots(1, 2, sharey=True)
    y = np.asarray(values)
    for k, (name, times) in enumerate(clocks.items()):
        left.plot(times, y, label=name, **line_style(k))
        right.plot(np.arange(len(y)), y, label=name, **(line_style(k) | {"markersize": 10 - 5 * k}))
    left.set(xlabel="time", ylabel="observation", title="what happened")
    right.set(xlabel="number of the observation", title="what a plain RNN is told")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return describe(
        fig,
        "Left, two series with the same values at different times: an oscillation that slows down and one that speeds "
        "up. Right, the same two against the number of the observation: they coincide.",
    )


def learning(iterations: int) -> Figure:
    """An empty figure for a training: errors so far on unseen windows, and what is said of one of them."""
    fig = new_figure((9.6, 4.0))
    curve, plane = fig.subplots(1, 2, width_ratios=(1.3, 1))
    for region, part in zip(REGIONS, PARTS, strict=True):
        curve.plot([], [], marker="o", markersize=3.5, label=region, **PART_STYLE[part])
    curve.set(xlabel="iteration", ylabel="RMSE, unseen windows", xlim=(0, iterations), ylim=(0, 4))
    curve.legend(loc="upper right")
    draw_plane(plane)
    legend_of(plane, fig)
    return describe(
        fig,
        "Left, errors on unseen windows before, inside and beyond the window fall while the model trains. Right, its "
        "draws for one window: a tangle at first, and at the end a spiral through the dots.",
    )


def update_learning(fig: Figure, iterations: Sequence[int], errors: Mapping[str, Sequence[float]], data: Scene) -> None:
    """Put errors so far, region -> values at those iterations, and a scene into what :func:`learning` drew."""
    curve, plane = fig.axes
    for line, region in zip(curve.lines, REGIONS, strict=True):
        line.set_data(iterations, errors[region])
    update_plane(plane, data)


def turning(names: Sequence[str]) -> Figure:
    """Empty planes side by side, one for each model."""
    fig = new_figure((9.6, 4.6))
    for ax, name in zip(fig.subplots(1, len(names), sharey=True), names, strict=True):
        draw_plane(ax)
        ax.set_title(name)
    for ax in fig.axes[1:]:
        ax.set_ylabel("")
    legend_of(fig.axes[0], fig)
    return describe(
        fig,
        "The same window as two models continue it. With a linear decoder the draws follow the dotted spiral beyond "
        "the window; with a hidden layer in the decoder they leave it.",
    )


def update_turning(fig: Figure, scenes: Sequence[Scene]) -> None:
    """Put one scene of each model into what :func:`turning` drew."""
    for ax, data in zip(fig.axes, scenes, strict=True):
        update_plane(ax, data)


def calibration(
    levels: ArrayLike, covered: Mapping[str, Mapping[str, ArrayLike]], crps: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Share of the truth that central bands cover against what they promise, and the CRPS in the legends.

    Args:
        covered: title of a panel -> region -> shares at the levels; crps: title -> region -> score.
    """
    fig = new_figure((8.6, 4.3))
    for ax, (title, regions) in zip(fig.subplots(1, len(covered), sharey=True), covered.items(), strict=True):
        for region, part in zip(REGIONS, PARTS, strict=True):
            label = f"{region}: {crps[title][region]:.3f}"
            ax.plot(levels, regions[region], marker="o", markersize=4, label=label, **PART_STYLE[part])
        ax.plot([0, 1], [0, 1], color=COLORS["black"], linestyle=":", linewidth=1.2, label="calibrated")
        ax.set(title=title, xlabel="share that the band promises", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.legend(loc="upper left", title="CRPS")
    fig.axes[0].set_ylabel("share that it covers")
    return describe(
        fig,
        "Share of the truth that bands cover against the share they promise, before, inside and beyond the window. "
        "Left, the curves lie below the diagonal: the bands are too narrow. Right, after widening, they lie near it; "
        "the CRPS in the legends is a little smaller there.",
    )


def by_density(measured: Mapping[str, Mapping[int, Mapping[str, Sequence[float]]]], noise: float) -> Figure:
    """RMSE against the number of points seen, one panel for each region; a mark for each seed, lines through medians.

    Args:
        measured: model -> points seen -> region -> values of the seeds; a region may be missing or empty.
    """
    fig = new_figure((9.6, 3.9))
    for ax, region in zip(fig.subplots(1, 3, sharey=True), REGIONS, strict=True):
        for k, (model, rows) in enumerate(measured.items()):
            points = [(kept, v) for kept, row in sorted(rows.items()) for v in row.get(region, ())]
            middle = [(kept, np.median(row[region])) for kept, row in sorted(rows.items()) if row.get(region)]
            style = line_style(k)
            hollow = {"linestyle": "", "markersize": 9 - k, "markerfacecolor": "none"}
            ax.plot(*np.array(points).reshape(-1, 2).T, **(style | hollow))
            ax.plot(*np.array(middle).reshape(-1, 2).T, label=model, **(style | {"markersize": 4}))
        ax.axhline(noise, color=COLORS["grey"], linestyle=(0, (6, 3)), linewidth=1.2, label="noise of a point")
        ax.set(title=region, xlabel="points seen of 100", xticks=[30, 50, 100], yscale="log")
    ticks = [0.1, 0.2, 0.5, 1, 2]
    fig.axes[0].set(ylabel="RMSE", yticks=ticks, yticklabels=[f"{tick:g}" for tick in ticks])  # shared by all
    fig.axes[0].minorticks_off()
    handles, labels = fig.axes[1].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return describe(
        fig,
        "Root mean squared errors of several models against the number of points seen, before, inside and beyond the "
        "window; a dashed line marks the noise of an observation.",
    )


def hidden_states(times: ArrayLike, states: Mapping[str, ArrayLike], seen: ArrayLike) -> Figure:
    """Some units of two recurrent states on their way back in time, with the moments of the observations.

    Args:
        times: (T,); states: network -> (T, units); seen: (k,) times of the observations.
    """
    fig = new_figure((9.6, 3.4))
    for ax, (name, values) in zip(fig.subplots(1, len(states), sharey=True), states.items(), strict=True):
        for k, unit in enumerate(np.asarray(values).T):
            ax.plot(times, unit, **(line_style(k) | {"marker": None}))
        for t in np.asarray(seen):
            ax.axvline(t, color=COLORS["grey"], linestyle=":", linewidth=0.8)
        ax.set(title=name, xlabel="time (both read from right to left)")
    fig.axes[0].set_ylabel("units of the state")
    return describe(
        fig,
        "Hidden units of two recurrent networks that read from right to left; dotted lines mark observations. The "
        "GRU's units stand still between observations, those of the ODE-RNN move there and jump at the dotted lines.",
    )


@dataclass(frozen=True)
class Gap:
    """A window of a star's record with a gap in it, and what is put there; brightness in magnitudes, times in days.

    Attributes:
        seen, hidden: observations (k, 2), times and magnitudes.
        ends: of the gap.
        times: (T,); draws: (K, T) of a model; band: (2, T), the 5 % and 95 % of an observation.
        others: name -> (times, magnitudes) of other answers.
    """

    seen: np.ndarray
    hidden: np.ndarray
    ends: tuple[float, float]
    times: np.ndarray
    draws: np.ndarray
    band: np.ndarray
    others: Mapping[str, np.ndarray]


BRIGHTNESS = (4.75, 3.25)  # magnitudes shown, faint to bright


def draw_gap(ax: Axes, names: Sequence[str], days: float) -> None:
    """An empty window: draws, band, other answers, observations that were seen and hidden ones, ends of the gap."""
    green: dict[str, Any] = {"color": COLORS["green"], "linestyle": "-"}
    ax.plot([], [], linewidth=0.9, alpha=0.35, label="draws of the latent ODE", **green)
    ax.plot([], [], linewidth=1.0, color=COLORS["grey"], linestyle="-", label="5 % and 95 % of an evening")
    for name, color, dash in zip(names, ("purple", "blue"), ("--", "-."), strict=False):
        ax.plot([], [], linewidth=1.6, color=COLORS[color], linestyle=dash, label=name)
    ax.plot([], [], "o", color=COLORS["black"], markersize=5, linestyle="", label="read by the encoder")
    hollow: dict[str, Any] = {
        "markerfacecolor": "white",
        "markeredgecolor": COLORS["vermillion"],
        "markeredgewidth": 1.6,
    }
    ax.plot([], [], "s", markersize=5.5, linestyle="", label="hidden", zorder=4, **hollow)
    ax.plot([], [], color=COLORS["black"], linestyle=":", linewidth=1.2, label="ends of the gap")
    ax.set(xlim=(-0.5, days + 0.5), ylim=BRIGHTNESS, xlabel="days since the first evening", ylabel="magnitude")


def update_gap(ax: Axes, data: Gap) -> None:
    """Put a window into what :func:`draw_gap` drew."""
    fan, band, *others, seen, hidden, ends = ax.lines
    curves = [np.column_stack([data.times, draw]) for draw in data.draws]
    fan.set_data(*polylines(np.stack(curves)))
    band.set_data(*polylines(np.stack([np.column_stack([data.times, edge]) for edge in data.band])))
    for line, answer in zip(others, data.others.values(), strict=True):
        line.set_data(*answer.T)
    seen.set_data(*data.seen.T)
    hidden.set_data(*data.hidden.T)
    start, end = data.ends
    low, high = BRIGHTNESS
    ends.set_data([start, start, np.nan, end, end], [low, high, np.nan, low, high])


def star_gap(names: Sequence[str], days: float) -> Figure:
    """One window of a star's record, empty."""
    fig = new_figure((9.0, 4.4))
    ax = fig.subplots()
    draw_gap(ax, names, days)
    handles = ax.get_legend_handles_labels()[0]
    legend = fig.legend(handles=handles, loc="outside lower center", ncols=4)
    for handle in legend.get_lines():
        handle.set_alpha(1)
    return describe(
        fig,
        "Magnitude of a star against days. Between two dotted lines the evenings are hidden: the draws of the latent "
        "ODE go up and down there as before, a straight line does not.",
    )


def update_star_gap(fig: Figure, data: Gap) -> None:
    """Put a window into what :func:`star_gap` drew."""
    update_gap(fig.axes[0], data)


def star_learning(iterations: int, line: float, days: float) -> Figure:
    """An empty figure for a training on a star: the error on hidden evenings so far, and one window.

    Args:
        line: the error of a straight line.
    """
    fig = new_figure((9.6, 4.0))
    curve, window = fig.subplots(1, 2, width_ratios=(1, 1.35))
    curve.plot([], [], marker="o", markersize=3.5, color=COLORS["green"], label="latent ODE")
    curve.axhline(line, color=COLORS["purple"], linestyle="--", linewidth=1.6, label="straight line")
    curve.set(xlabel="iteration", ylabel="RMSE on hidden evenings, magnitudes", xlim=(0, iterations), ylim=(0, 0.5))
    curve.legend(loc="upper right")
    draw_gap(window, (), days)
    return describe(
        fig,
        "Left, the error on hidden evenings, below that of a straight line from the start, falls by a third when the "
        "field begins to turn. Right, the model's draws for one window rise and fall through the gap, too.",
    )


def update_star_learning(fig: Figure, iterations: Sequence[int], errors: Sequence[float], data: Gap) -> None:
    """Put errors so far and a window into what :func:`star_learning` drew."""
    curve, window = fig.axes
    curve.lines[0].set_data(iterations, errors)
    update_gap(window, data)


def record(years: ArrayLike, magnitudes: ArrayLike, split: float, window: ArrayLike, days: float) -> Figure:
    """A star's whole record, its test part marked, and one window of it.

    Args:
        years: (n,); magnitudes: (n,); split: year from which on evenings are for the test.
        window: (k, 2), days and magnitudes.
    """
    fig = new_figure((9.6, 3.6))
    whole, part = fig.subplots(1, 2, width_ratios=(1.6, 1), sharey=True)
    t, y = np.asarray(years), np.asarray(magnitudes)
    for later, color, marker, name in ((False, "blue", "o", "to train on"), (True, "vermillion", "s", "to test on")):
        chosen = (t >= split) == later
        whole.plot(t[chosen], y[chosen], marker, color=COLORS[color], markersize=2.5, linestyle="", label=name)
    whole.set(xlabel="year", ylabel="magnitude", ylim=BRIGHTNESS, title="every evening")
    whole.legend(loc="lower left", ncols=2, markerscale=2)
    part.plot(*np.asarray(window).T, "s", color=COLORS["vermillion"], markersize=5, linestyle="")
    part.set(xlim=(-0.5, days + 0.5), xlabel="days since the first evening", title="one window")
    return describe(
        fig,
        "Left, the star's magnitude on 865 evenings of eleven years, in yearly clouds of points with gaps between "
        "them. Right, one window of 22 days, its evenings at irregular distances.",
    )
