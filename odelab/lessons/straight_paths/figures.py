"""Figures of the lesson on straight paths: many flows of one density, optimal transport, and what a penalty changes.

Every function draws the arrays it is given; none of them solves an equation.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from odelab.lessons.kit.panels import few_decades
from odelab.lessons.kit.style import COLORS, GUIDE, describe, line_style, new_figure, polylines

DATA: dict[str, Any] = {"color": COLORS["blue"], "marker": "o", "linestyle": "none", "markersize": 3.2}
BASE: dict[str, Any] = {"color": COLORS["vermillion"], "marker": "^", "linestyle": "none", "markersize": 3.6}
PATH: dict[str, Any] = {"color": COLORS["grey"], "linestyle": "-", "linewidth": 0.8, "alpha": 0.75}
HERE: dict[str, Any] = {"color": COLORS["vermillion"], "marker": "s", "markersize": 10, "linestyle": "none"}

MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")  # more than the style's seven curves


def draw_paths(ax: Axes, legend: bool = False) -> None:
    """A panel for paths and their ends: three artists, which :func:`move_paths` fills."""
    ax.plot([], [], **PATH)
    ax.plot([], [], label="data, t = 0", **DATA)
    ax.plot([], [], label="base, t = 1", **BASE)
    ax.set_aspect("equal")
    ax.grid(visible=False)
    if legend:
        ax.legend(loc="lower left", fontsize=10, handletextpad=0.1, borderpad=0.2)


def move_paths(ax: Axes, paths: ArrayLike) -> None:
    """Put paths (times, n, 2) into a panel drawn by :func:`draw_paths`."""
    z = np.asarray(paths, float)
    ax.lines[0].set_data(*polylines(np.swapaxes(z, 0, 1)))
    ax.lines[1].set_data(*z[0].T)
    ax.lines[2].set_data(*z[-1].T)


def timetables(t: ArrayLike, panels: Mapping[str, ArrayLike]) -> Figure:
    """Flows on a line: position against time.

    Args:
        panels: title -> paths (times, n), on the same points.
    """
    fig = new_figure((9.6, 3.3))
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


def turning(family: Mapping[float, Measured]) -> Figure:
    """Left the paths of one member; right NFE, kinetic energy and NLL of all, each relative to the first member."""
    fig = new_figure((9.6, 4.2))
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.25))
    draw_paths(left, legend=True)
    left.set(xlim=(-4.6, 4.6), ylim=(-4.6, 4.6))
    x, first = [*family], next(iter(family.values()))
    for k, name in enumerate(("energy", "nfe", "nll")):
        label = {"energy": "kinetic energy", "nfe": "NFE", "nll": "NLL"}[name]
        values = [getattr(member, name) / getattr(first, name) for member in family.values()]
        right.plot(x, values, label=label, **line_style(k) | {"markersize": 4.5})
    right.plot([], [], **HERE | {"markerfacecolor": "none", "markeredgewidth": 2})
    right.set(yscale="log", xlabel="turns", title="relative to the flow that does not turn", ylim=(0.5, None))
    right.legend(loc="upper left")
    return describe(
        fig,
        "Left: paths of points from eight Gaussians to one normal distribution, turning on their way. Right, against "
        "the number of turns: kinetic energy rises steeply, evaluations rise less, the negative log-likelihood stays "
        "flat.",
    )


def update_turning(fig: Figure, family: Mapping[float, Measured], turns: float) -> None:
    """Show a member in a figure drawn by :func:`turning`."""
    left, right = fig.axes
    member, first = family[turns], next(iter(family.values()))
    move_paths(left, member.paths)
    left.set_title(f"{turns:g} turns")
    right.lines[3].set_data([turns] * 3, [member.energy / first.energy, member.nfe / first.nfe, member.nll / first.nll])


def displacement(
    ellipses: Sequence[ArrayLike], angles: Sequence[float], costs: Sequence[float], least: float
) -> Figure:
    """Left: points a share t of their straight way, with the ellipses. Right: cost of the map against its angle.

    Args:
        ellipses: 2σ of the Gaussian at the start and at the end, (m, 2) each.
        angles, costs: of all maps, (k,); least: the cost that no map can beat.
    """
    fig = new_figure((9.6, 4.2))
    left, right = fig.subplots(1, 2, width_ratios=(1.1, 1))
    left.plot([], [], **PATH)
    for k, label in enumerate(("p, t = 0", "q, t = 1")):
        left.plot(*np.asarray(ellipses[k]).T, label=label, **line_style(k) | {"marker": None, "linewidth": 1.6})
    left.plot([], [], label="now", color=COLORS["black"], linestyle=":", linewidth=2)
    left.plot([], [], color=COLORS["black"], marker="o", markersize=3, linestyle="none")
    left.set(xlim=(-5.2, 5.2), ylim=(-4.4, 4.4), aspect="equal")
    left.legend(loc="lower right")
    right.plot(angles, costs, label="cost of the map", color=COLORS["blue"], linestyle="-")
    right.axhline(least, label="least possible", **GUIDE)
    right.plot([], [], **HERE)
    right.set_xticks(range(-180, 181, 90))
    right.set(xlabel="the map's turn in degrees", title="∫‖x − z(x)‖² p dx", ylim=(0, None))
    right.legend(loc="upper center")
    return describe(
        fig,
        "Left: points move on straight lines from one Gaussian to another, with the ellipses of both and of the "
        "present time. Right: the cost of the map against the angle it turns by, least at zero.",
    )


def update_displacement(
    fig: Figure, start: ArrayLike, now: ArrayLike, ellipse: ArrayLike, angle: float, cost: float, t: float
) -> None:
    """Put a time and a map into a figure drawn by :func:`displacement`.

    Args:
        start, now: the points, (n, 2); ellipse: 2σ now, (m, 2); angle, cost: of the map.
    """
    left, right = fig.axes
    left.lines[0].set_data(*polylines(np.stack([start, now], axis=1)))
    left.lines[3].set_data(*np.asarray(ellipse).T)
    left.lines[4].set_data(*np.asarray(now).T)
    left.set_title(f"turn {angle:+g}°, t = {t:.2f}")
    right.lines[2].set_data([angle], [cost])


def crossing(starts: ArrayLike, ends: ArrayLike, place: Sequence[float], mean: Sequence[float]) -> Figure:
    """Straight lines that pass close to one place at one time, and their mean velocity.

    Args:
        starts, ends: of the lines, (n, 2) each.
        place: where they meet; mean: velocity there, drawn as an arrow half as long.
    """
    fig = new_figure((6.4, 4.6))
    ax = fig.subplots()
    draw_paths(ax)
    move_paths(ax, np.stack([np.asarray(starts, float), np.asarray(ends, float)]))
    x, y = place
    ax.annotate(
        "",
        (x + mean[0] / 2, y + mean[1] / 2),
        (x, y),
        arrowprops={"arrowstyle": "-|>", "color": COLORS["black"], "lw": 2.5, "shrinkA": 0, "shrinkB": 0},
    )
    ax.plot([x], [y], label="the place", **HERE | {"color": COLORS["black"], "markersize": 7})
    ax.plot([], [], label="mean velocity, ×½", color=COLORS["black"], linewidth=2.5)
    ax.set(xlim=(-4.6, 4.6), ylim=(-3.6, 3.6))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return describe(
        fig,
        "Straight lines from points of eight Gaussians to points of a normal distribution, which all pass through one "
        "place at half time in different directions, and the arrow of their mean velocity there.",
    )


def matching(floor: float, iterations: int) -> Figure:
    """The loss of flow matching (left), and the paths of the field that is being learned (right).

    Args:
        floor: value below which the loss cannot fall in the mean.
    """
    fig = new_figure((9.6, 4.0))
    curve, plane = fig.subplots(1, 2, width_ratios=(1.25, 1))
    curve.plot([], [], label="loss of a batch", color=COLORS["blue"], linestyle="-", linewidth=1)
    ground = {"color": COLORS["vermillion"], "linestyle": "--", "linewidth": 1.8, "zorder": 3}
    curve.axhline(floor, label="scatter of independent lines", **ground)
    curve.set(title="loss", xlabel="iteration", xlim=(0, iterations), ylim=(0, 2.6 * floor))
    curve.legend(loc="upper right")
    draw_paths(plane)
    plane.set(title="paths of the network's field", xlim=(-4.6, 4.6), ylim=(-4.6, 4.6))
    return describe(
        fig,
        "Left, the loss falls to the scatter of the lines and stays there. Right, paths from eight Gaussians, at first "
        "short and aimless, come to end in the middle, where the normal distribution is.",
    )


def update_matching(fig: Figure, losses: ArrayLike, paths: ArrayLike) -> None:
    """Put the losses so far, (m,), and paths (times, n, 2) into a figure drawn by :func:`matching`."""
    curve, plane = fig.axes
    curve.lines[0].set_data(np.arange(len(np.asarray(losses))), losses)
    move_paths(plane, paths)


Arms = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def pareto(panels: Mapping[str, Arms], chain: Sequence[str]) -> Figure:
    """Gap of the likelihood against evaluations, a panel for each density.

    Args:
        panels: density -> training -> (evaluations, gap to the truth in nats), a number for each seed in their order;
            both positive.
        chain: trainings of growing penalty; a line joins the runs of a seed.
    """
    fig = new_figure((4.8 * len(panels), 4.4))
    names = list(dict.fromkeys(name for arms in panels.values() for name in arms))
    for ax, (title, arms) in zip(fig.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        means = {name: np.asarray(both, float).mean(axis=1) for name, both in arms.items()}
        for seed in range(max((len(nfe) for nfe, _ in arms.values()), default=0)):
            runs = [np.transpose(arms[name])[seed] for name in chain if len(arms.get(name, ([],))[0]) > seed]
            if len(runs) > 1:
                ax.plot(*np.transpose(runs), color=COLORS["grey"], linestyle="-", linewidth=1.2, zorder=1)
        for name, (nfe, gap) in arms.items():
            k = names.index(name)
            style = {"linestyle": "none", "marker": MARKS[k % len(MARKS)], "color": line_style(k)["color"]}
            ax.plot(nfe, gap, markerfacecolor="none", markersize=6, **style)
            ax.plot(*means[name], markersize=9, **style)
        ax.set(title=title, xlabel="NFE, dopri5 at 1e-5")
        if arms:
            ax.set_yscale("log")
            few_decades(ax.yaxis)
        else:
            ax.text(0.5, 0.5, "not run yet", ha="center", transform=ax.transAxes)
    fig.axes[0].set_ylabel("gap to the truth (nats)")
    keys = [
        Line2D([], [], linestyle="none", marker=MARKS[k % len(MARKS)], color=line_style(k)["color"], label=name)
        for k, name in enumerate(names)
    ]
    if keys:
        fig.legend(handles=keys, loc="outside lower center", ncols=4)
    return describe(
        fig,
        "Gap between the likelihood of a flow and that of the truth, against the evaluations that a solve takes, for "
        "each way of training; " + ("; ".join(panels) if names else "nothing has been run yet") + ".",
    )


def races(curves: Mapping[str, Sequence[Mapping[str, ArrayLike]]], target: float | None, title: str) -> Figure:
    """Evaluations against iterations, and how far the NLL is above the truth's against processor time.

    Args:
        curves: training -> of each seed "step", "nfe", "cpu_seconds" and "gap" (nats), (n,) each.
        target: gap that ends the race, None where there is none yet.
    """
    fig = new_figure((9.6, 4.0))
    left, right = fig.subplots(1, 2)
    for k, (name, seeds) in enumerate(curves.items()):
        for seed, curve in enumerate(seeds):
            style = line_style(k) | {"markersize": 4, "label": None if seed else name}
            left.plot(curve["step"], curve["nfe"], **style)
            right.plot(curve["cpu_seconds"], curve["gap"], **style)
    if target is not None:
        right.axhline(target, label="target", **GUIDE)
    for ax in (left, right):
        if curves:
            ax.legend(loc="best")
        else:
            ax.text(0.5, 0.5, "not run yet", ha="center", transform=ax.transAxes)
    left.set(title=f"{title}: NFE, dopri5 at 1e-5", xlabel="iteration")
    right.set(title="NLL above the truth's (nats)", xlabel="CPU seconds of training")
    if curves:
        left.set_ylim(0, None)
        right.set_yscale("log")
        few_decades(right.yaxis)
    return describe(
        fig,
        "Left, evaluations of a solve against the iterations of training; right, the distance of the validation NLL "
        "from the truth's against processor time, without and with penalties"
        + ("." if curves else "; nothing has been run yet."),
    )


def own_and_true(iterations: int, titles: Sequence[str], best: float) -> Figure:
    """Panels for the NLL during training, by the solver that trains (dashed) and by an accurate one (solid).

    Args:
        iterations: the training will have; titles: of the panels.
        best: the entropy of the data, which no true NLL beats.
    """
    fig = new_figure((9.6, 3.7))
    axes = fig.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for ax, title in zip(axes, titles, strict=True):
        ax.plot([], [], label="dopri5, 1e-5", **line_style(0) | {"markersize": 4})
        ax.plot([], [], label="two rk4 steps", **line_style(1) | {"markersize": 4})
        ax.axhline(best, label="entropy of the data", **GUIDE)
        ax.set_title(title, fontsize=11)
        ax.set(xlabel="iterations", xlim=(0, 1.05 * iterations), ylim=(best - 1.5, best + 2.5))
    axes[0].set(ylabel="NLL (nats)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return describe(
        fig,
        "Negative log-likelihood against iterations in panels of growing penalty. Without a penalty the value of the "
        "training solver keeps falling while the true one turns up again; with a strong one the two curves coincide.",
    )


def update_own_and_true(fig: Figure, curves: Sequence[Sequence[Sequence[float]]]) -> None:
    """Put rows (iteration, own NLL, true NLL) of every flow into a figure drawn by :func:`own_and_true`."""
    for ax, rows in zip(fig.axes, curves, strict=True):
        if len(rows):
            iterations, own, true = np.transpose([row[:3] for row in rows])
            ax.lines[0].set_data(iterations, true)
            ax.lines[1].set_data(iterations, own)


@dataclass(frozen=True)
class Trained:
    """A trained flow: density (m, m) on the plot window, paths (times, n, 2), and its numbers."""

    density: np.ndarray
    paths: np.ndarray
    nll: float
    own_nll: float
    nfe: int
    energy: float
    straightness: float


def regularised(flows: Mapping[float, Trained], half_width: float, best: float) -> Figure:
    """Density and paths of one flow, and NLL and NFE of all against λ."""
    fig = new_figure((9.6, 4.2))
    grid = fig.add_gridspec(2, 3, width_ratios=(1, 1, 1.05))
    image, paths = fig.add_subplot(grid[:, 0]), fig.add_subplot(grid[:, 1])
    nll, nfe = fig.add_subplot(grid[0, 2]), fig.add_subplot(grid[1, 2])
    window = (-half_width, half_width)
    # zorder: what moves must lie above the panel's background, or a redraw of the moving parts hides it
    empty = np.zeros_like(next(iter(flows.values())).density)
    highest = 2.5 * math.exp(-best)
    image.imshow(
        empty, zorder=1.5, interpolation="bilinear", origin="lower", extent=(*window, *window), vmin=0, vmax=highest
    )
    image.grid(visible=False)
    draw_paths(paths)
    for ax in (image, paths):
        ax.set(xlim=window, ylim=window)
    places = range(len(flows))
    nll.plot(places, [flow.nll for flow in flows.values()], label="dopri5", **line_style(0))
    nll.plot(places, [flow.own_nll for flow in flows.values()], label="own solver", **line_style(1))
    nll.axhline(best, label="entropy", **GUIDE)
    nfe.plot(places, [flow.nfe for flow in flows.values()], **line_style(2))
    for ax, title in ((nll, "NLL (nats)"), (nfe, "NFE, dopri5 at 1e-5")):
        ax.set_title(title, fontsize=11)
        ax.set_xticks(places, [f"{value:g}" for value in flows])
        ax.margins(0.1, 0.2)  # room for the square round the chosen one
        ax.plot([], [], **HERE | {"markerfacecolor": "none", "markeredgewidth": 2, "markersize": 11})
    keys = [ax.get_legend_handles_labels() for ax in (nll, paths)]
    fig.legend(*(one + two for one, two in zip(*keys, strict=True)), loc="outside lower center", ncols=5)
    nfe.set(xlabel="λ", ylim=(0, None))
    return describe(
        fig,
        "The density of a flow trained on a checkerboard, paths of its points to the base, and NLL and evaluations "
        "against the weight λ of the penalty: evaluations fall with λ, the true NLL is best in between.",
    )


def update_regularised(fig: Figure, flows: Mapping[float, Trained], strength: float) -> None:
    """Show the flow of one λ in a figure drawn by :func:`regularised`."""
    image, paths, nll, nfe = fig.axes
    flow, place = flows[strength], [*flows].index(strength)
    image.images[0].set_data(flow.density)
    image.set_title(f"density, λ = {strength:g}", fontsize=11)
    move_paths(paths, flow.paths)
    paths.set_title(f"paths, {flow.straightness:.2f} × straight", fontsize=11)
    nll.lines[-1].set_data([place], [flow.nll])
    nfe.lines[-1].set_data([place], [flow.nfe])
