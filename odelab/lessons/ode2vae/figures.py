"""Figures of the ODE²VAE lesson: why a flow needs a velocity, functions drawn whole, the objective term by term.

Every function draws the arrays it is given; none of them solves an equation.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, DASHES, describe, line_style, new_figure

ORDERS = {"truth": ("black", "-", 1.4), "position only": ("vermillion", "--", 2.2), "second order": ("blue", "-.", 2.2)}
SPAN = 3.2  # of positions and velocities in the phase plane


def crossing(t: ArrayLike, s: ArrayLike, v: ArrayLike, passes: Sequence[int]) -> Figure:
    """An oscillator's position against time, and position against velocity.

    Args:
        passes: indices of two times at the same position and opposite velocities.
    """
    fig = new_figure((9.6, 3.6))
    left, right = fig.subplots(1, 2, width_ratios=(3, 2))
    t, s, v = (np.asarray(a, float) for a in (t, s, v))
    left.plot(t, s, "-", color=COLORS["black"], linewidth=1.4)
    right.plot(s, v, "-", color=COLORS["black"], linewidth=1.4)
    here = s[passes[0]]
    left.axhline(here, color=COLORS["grey"], linestyle=":", linewidth=1.4)
    right.axvline(here, color=COLORS["grey"], linestyle=":", linewidth=1.4)
    for k, color, marker, words in zip(passes, ("blue", "vermillion"), "os", ("down", "up"), strict=True):
        look = {"color": COLORS[color], "marker": marker, "markersize": 9, "linestyle": ""}
        left.plot(t[k], s[k], label=f"here, on the way {words}", **look)
        right.plot(s[k], v[k], **look)
        length = 0.75
        arrow = {"arrowstyle": "-|>", "color": COLORS[color], "linewidth": 2.2}
        left.annotate("", (t[k] + length, s[k] + length * v[k]), (t[k], s[k]), arrowprops=arrow)
        right.annotate("", (s[k] + length * v[k], v[k] - length * s[k]), (s[k], v[k]), arrowprops=arrow)
    left.set(xlabel="time", ylabel="position s", title="one position, two futures", ylim=(-1.5, 1.75))
    right.set(xlabel="position s", ylabel="velocity v", title="two states, two futures", aspect="equal")
    right.set(xlim=(-1.7, 1.7), ylim=(-1.5, 1.5))
    left.legend(loc="upper right", ncols=2)
    return describe(
        fig,
        "Left, a cosine against time passes the same position on the way down and on the way up, with opposite arrows. "
        "Right, in the plane of position and velocity these are two different points of a circle, one arrow each.",
    )


@dataclass(frozen=True)
class Portrait:
    """What three systems do from one start; times (T,), the others name -> (T,), the names those of ``ORDERS``.

    Attributes:
        position, velocity: along the paths.
        graph: the position-only field as a curve in the phase plane, s (m,) and f(s) (m,).
    """

    times: ArrayLike
    position: Mapping[str, ArrayLike]
    velocity: Mapping[str, ArrayLike]
    graph: tuple[ArrayLike, ArrayLike]


def portrait(data: Portrait | None) -> Figure:
    """Position against time, and the phase plane with the graph that a position-only flow cannot leave.

    Args:
        data: whose times and graph are drawn; None for nine time units, and a graph that comes with an update.
    """
    fig = new_figure((9.6, 3.8))
    left, right = fig.subplots(1, 2, width_ratios=(3, 2))
    for ax in (left, right):
        for name, (color, dash, width) in ORDERS.items():
            ax.plot([], [], color=COLORS[color], linestyle=dash, linewidth=width, label=name)
        ax.plot([], [], "o", color=COLORS["black"], markersize=6)
    graph: tuple[ArrayLike, ArrayLike] = ([], []) if data is None else data.graph
    right.plot(*graph, linestyle=":", color=COLORS["vermillion"], linewidth=1.4, label="v = f(s), learned")
    left.set(xlabel="time", ylabel="position s", ylim=(-SPAN, SPAN), xlim=(0, 9))
    if data is not None:
        left.set_xlim(0, np.max(np.asarray(data.times)))
    right.set(xlabel="position s", ylabel="velocity v", ylim=(-SPAN, SPAN), xlim=(-SPAN, SPAN), aspect="equal")
    left.legend(loc="upper right", ncols=3)
    right.legend(handles=[right.lines[-1]], loc="upper right")
    return describe(
        fig,
        "Left, position against time: the truth and a learned second-order flow swing, a learned position-only flow "
        "creeps to a stop. Right, the plane of position and velocity: closed orbits, and the graph of f(s) that the "
        "position-only flow cannot leave.",
    )


def update_portrait(fig: Figure, data: Portrait) -> None:
    """Put a start into a figure drawn by :func:`portrait`."""
    left, right = fig.axes
    for k, name in enumerate(ORDERS):
        s, v = np.asarray(data.position[name], float), np.asarray(data.velocity[name], float)
        left.lines[k].set_data(np.asarray(data.times, float), s)
        right.lines[k].set_data(s, v)
    s, v = np.asarray(data.position["truth"], float), np.asarray(data.velocity["truth"], float)
    left.lines[len(ORDERS)].set_data([0], s[:1])
    right.lines[len(ORDERS)].set_data(s[:1], v[:1])
    right.lines[-1].set_data(*(np.asarray(part, float) for part in data.graph))
    left.set_title(f"start at s = {s[0]:.1f}, v = {v[0]:.1f}")


def whole_functions(s: ArrayLike, values: ArrayLike, t: ArrayLike, paths: Mapping[str, ArrayLike]) -> Figure:
    """Draws of an uncertain field, and the fans that they make.

    Args:
        s (m,): positions; values (K, m): each drawn f at rest there.
        t (T,); paths: how the weights were drawn -> positions (K, T).
    """
    fig = new_figure((9.6, 3.5))
    axes = fig.subplots(1, 1 + len(paths))
    axes[0].plot(np.asarray(s), np.asarray(values).T, "-", color=COLORS["blue"], linewidth=0.7, alpha=0.5)
    axes[0].set(xlabel="position s (at v = 0)", ylabel="acceleration f", title=f"{len(np.asarray(values))} draws of f")
    for ax, (name, fan), color in zip(axes[1:], paths.items(), ("blue", "orange"), strict=False):
        ax.plot(np.asarray(t), np.asarray(fan).T, "-", color=COLORS[color], linewidth=0.7, alpha=0.5)
        ax.set(xlabel="time", ylabel="position s", title=name, ylim=(-SPAN, SPAN))
    return describe(
        fig,
        f"Left, a bundle of curves, one for each draw of f. Then fans of paths from one start: {', '.join(paths)}. "
        "The fan of whole functions spreads widely with time, the other much less.",
    )


def budget(columns: Mapping[str, Mapping[str, float]], level: float) -> Figure:
    """What each term takes from or gives to each objective, as a staircase, beside a level they must not exceed.

    Args:
        columns: objective -> term -> nats with its sign.
        level: log p(X).
    """
    fig = new_figure((9.6, 3.9))
    axes = fig.subplots(1, len(columns), sharex=True, sharey=True)
    for ax, (name, terms) in zip(axes, columns.items(), strict=True):
        _staircase(ax, terms)
        ax.axvline(level, color=COLORS["black"], linestyle="--", linewidth=1.4, label="log p(X)", zorder=0)
        ax.margins(x=0.18)
        ax.set(title=f"{name}: {sum(terms.values()):.2f} nats", xlabel="nats, added up from the top")
    axes[-1].set_xlim(right=9)  # the numbers stand on the right
    axes[-1].legend(loc="lower left")
    return describe(
        fig,
        "Staircases of terms added up from the top. "
        + " ".join(f"{name} ends at {sum(terms.values()):.2f}." for name, terms in columns.items())
        + f" A dashed line at {level:.2f} is log p(X), which neither exceeds.",
    )


def _staircase(ax: Axes, terms: Mapping[str, float]) -> None:
    ends = np.cumsum([0.0, *terms.values()])
    for k, (begin, end) in enumerate(itertools.pairwise(ends)):
        loses = end < begin
        ax.annotate(
            f"{end - begin:+.1f}",
            (max(begin, end), k),
            (9, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
        ax.barh(
            k,
            end - begin,
            left=begin,
            height=0.62,
            color=COLORS["orange" if loses else "sky"],
            hatch="//" if loses else None,
            edgecolor="white",
        )
    ax.plot(
        np.repeat(ends[1:], 2)[:-1], np.repeat(np.arange(len(terms)), 2)[1:], linestyle=DASHES[3], color=COLORS["grey"]
    )
    ax.plot(ends[-1], len(terms) - 1, "D", color=COLORS["blue"], markersize=8, label="their sum")
    ax.set_yticks(range(len(terms)), list(terms))
    ax.set_ylim(len(terms) - 0.5, -0.5)


FPS = 120


def horizon(errors: Mapping[str, ArrayLike]) -> Figure:
    """Squared error (T,) of each forecast, in degrees, against the time since the last frame seen, one frame before."""
    fig = new_figure((8.0, 3.8))
    ax = fig.subplots()
    for k, (name, error) in enumerate(errors.items()):
        e = np.asarray(error, float)
        style = line_style(k) | {"markevery": (7 * k, 45)}
        ax.plot(np.arange(1, len(e) + 1) / FPS, e, label=name, **style)
    ax.set(xlabel="seconds after the last frame seen", ylabel="squared error, °²", yscale="log")
    ax.legend(loc="lower right", ncols=2)
    return describe(
        fig,
        f"Squared error against time on a logarithmic axis: {', '.join(errors)}. The model's grows with the horizon.",
    )


def gait(z: ArrayLike) -> Figure:
    """Latent paths (n, T, 2q) of second order: position against velocity, a panel for each of the q."""
    paths = np.asarray(z, float)
    q = paths.shape[-1] // 2
    fig = new_figure((9.6, 3.3))
    for k, ax in enumerate(fig.subplots(1, q, squeeze=False)[0]):
        for path in paths:
            ax.plot(path[:, k], path[:, q + k], "-", color=COLORS["blue"], linewidth=1.1, alpha=0.6)
        ax.plot(paths[:, 0, k], paths[:, 0, q + k], "o", color=COLORS["vermillion"], markersize=4)
        begin, end = paths[0, [60, 64]][:, [k, q + k]]
        arrow = {"arrowstyle": "-|>", "color": COLORS["black"], "mutation_scale": 24, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", end, begin, arrowprops=arrow, zorder=4)
        ax.set(xlabel=f"position s{k + 1}", ylabel=f"velocity v{k + 1}")
    fig.axes[0].set_title("dots: first frame of each walk")
    return describe(
        fig,
        f"{q} panels of latent position against latent velocity: the paths of {len(paths)} walks go round in loops. "
        "A black arrow on one of them shows which way.",
    )


def penalties(frames: int, draws: int, top: float) -> Figure:
    """One model out of several: a fan of draws of the knee with the recording, and its error beside its spread.

    Args:
        frames, draws: T and K; top: of the second panel, the same for all the models.
    """
    fig = new_figure((9.6, 3.7))
    left, right = fig.subplots(1, 2)
    t = np.arange(frames) / FPS
    fan = LineCollection([], colors=[COLORS["blue"]], linewidths=0.8, alpha=0.4, linestyles="solid")
    left.add_collection(fan, autolim=False)
    left.plot(t, 0 * t, "--", color=COLORS["vermillion"], linewidth=2)
    for k, label in zip(
        (1, 0, 2), ("error of the mean", "spread of the draws", "spread by the law alone"), strict=True
    ):
        right.plot(t, 0 * t, **(line_style(k) | {"marker": None}), label=label)
    left.set(xlabel="seconds", ylabel="left knee, °", xlim=(0, t[-1]), ylim=(0, 85), title=f"{draws} draws, one walk")
    right.set(xlabel="seconds", ylabel="degrees", xlim=(0, t[-1]), ylim=(0, top), title="all test walks and channels")
    right.legend(loc="upper left")
    return describe(
        fig,
        "Left, draws of a knee angle around a dashed recording. Right, the error of their mean, the spread of the "
        "draws, and the part of it that the law alone makes, against time, for one weight of the objective.",
    )


def update_penalties(fig: Figure, fan: ArrayLike, truth: ArrayLike, widths: Sequence[ArrayLike]) -> None:
    """Put a model into a figure drawn by :func:`penalties`.

    Args:
        fan, truth: draws (K, T) and the recording (T,).
        widths: three of (T,), over walks and channels: root of the squared error of the mean of the draws, root of
            the mean variance of the draws, and of draws of the law alone.
    """
    left, right = fig.axes
    t = left.lines[0].get_xdata()
    next(lines for lines in left.collections if isinstance(lines, LineCollection)).set_segments(
        [np.column_stack((t, draw))[::3] for draw in np.asarray(fan, float)]
    )
    left.lines[0].set_ydata(np.asarray(truth, float))
    for line, width in zip(right.lines, widths, strict=True):
        line.set_ydata(np.asarray(width, float))


def parts(spreads: Mapping[str, ArrayLike], error: ArrayLike) -> Figure:
    """Spread (T,) of draws in which only some things are drawn, by name, beside the error of their mean (T,)."""
    fig = new_figure((8.6, 3.9))
    ax = fig.subplots()
    t = np.arange(len(np.asarray(error))) / FPS
    ax.plot(t, error, color=COLORS["black"], linewidth=1.4, label="error of the mean of the draws")
    for k, (name, spread) in enumerate(spreads.items()):
        ax.plot(t, spread, **(line_style(k) | {"markevery": (12 * k, 50)}), label=name)
    ax.set(xlabel="seconds", ylabel="degrees", xlim=(0, t[-1]), ylim=(0, None))
    ax.legend(loc="upper left", ncols=2)
    ax.set_ylim(0, 1.35 * max(np.max(np.asarray(each)) for each in (error, *spreads.values())))
    return describe(
        fig,
        f"Error against time, and far below it the spread of the draws: {', '.join(spreads)}.",
    )


def covered(levels: ArrayLike, shares: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Share of the recordings that central bands cover against what they promise.

    Args:
        levels: (L,); shares: title of a panel -> part of the horizon -> (L,).
    """
    fig = new_figure((3.2 * len(shares), 3.9))
    for ax, (title, lines) in zip(
        fig.subplots(1, len(shares), sharey=True, squeeze=False)[0], shares.items(), strict=True
    ):
        _diagonal(ax)
        for k, (name, share) in enumerate(lines.items()):
            ax.plot(np.asarray(levels), np.asarray(share), **line_style(k), label=name)
        ax.set(title=title, xlabel="share that the band promises")
    fig.axes[0].set_ylabel("share that it covers")
    fig.axes[0].legend(loc="upper left")
    return describe(
        fig,
        "Share of the recordings that bands cover against the share they promise, by part of the horizon, a panel for "
        f"each kind of band: {', '.join(shares)}. The dotted diagonal is a calibrated forecast.",
    )


def _diagonal(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], color=COLORS["black"], linestyle=":", linewidth=1.4, label="calibrated")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")


def channels(shares: Mapping[str, ArrayLike], level: float) -> Figure:
    """Share covered in every channel (C,), sorted, for several kinds of band, beside the level they promise."""
    fig = new_figure((8.6, 3.6))
    ax = fig.subplots()
    for k, (name, share) in enumerate(shares.items()):
        values = np.sort(np.asarray(share, float))
        ax.plot(np.arange(1, len(values) + 1), values, **(line_style(k) | {"markevery": (2 * k, 7)}), label=name)
    ax.axhline(level, color=COLORS["black"], linestyle=":", linewidth=1.4, label="promised")
    ax.set(xlabel="channels, from the one least covered on", ylabel="share covered", ylim=(0, 1.03))
    fig.legend(loc="outside upper center", ncols=len(shares) + 1)
    return describe(
        fig,
        f"Share of the recordings within bands of {level:.0%}, for every channel, sorted: {', '.join(shares)}.",
    )


def bands(frames: int, levels: Sequence[float], parts: Sequence[str], low: float, high: float) -> Figure:
    """An empty panel for one knee in its band, and one for what bands cover in each part of the horizon."""
    fig = new_figure((9.6, 4.2))
    left, right = fig.subplots(1, 2, width_ratios=(3, 2))
    t = np.arange(frames) / FPS
    left.fill_between(t, 0 * t, 0 * t, color=COLORS["blue"], alpha=0.3, linewidth=0)
    left.plot(t, 0 * t, "--", color=COLORS["vermillion"], linewidth=2.2)
    left.set(xlabel="seconds", ylabel="left knee, °", xlim=(0, t[-1]), ylim=(low - 12, high + 12))
    _diagonal(right)
    for k, name in enumerate(parts):
        right.plot(levels, 0 * np.asarray(levels), **line_style(k), label=name)
    right.axvline(0, color=COLORS["grey"], linestyle="-", linewidth=1.2)
    right.set(xlabel="share that the band promises", ylabel="share that it covers", title="all walks and channels")
    right.legend(loc="upper left")
    return describe(
        fig,
        "Left, the band of a knee angle against time and a dashed recording. Right, what bands cover against what they "
        "promise, a line for each third of the forecast.",
    )


def update_bands(
    fig: Figure, low: ArrayLike, high: ArrayLike, truth: ArrayLike, shares: np.ndarray, level: float
) -> None:
    """Put a band (T,) with the recording, shares (parts, levels) and the level into what :func:`bands` drew."""
    left, right = fig.axes
    t = np.asarray(left.lines[0].get_xdata(), float)
    edge = np.concatenate((np.column_stack((t, low)), np.column_stack((t, high))[::-1]))
    next(each for each in left.collections if isinstance(each, PolyCollection)).set_verts([edge])
    left.lines[0].set_ydata(np.asarray(truth, float))
    left.set_title(f"a band that promises {level:.0%}")
    for line, share in zip(right.lines[1:-1], shares, strict=True):
        line.set_ydata(share)
    right.lines[-1].set_xdata([level] * 2)
