"""Figures of lesson 12: fans that shrink as points come in, and states that jump at a visit.

Every function draws the arrays it is given; none of them solves an equation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure, polylines

TRUTH: dict[str, Any] = {"color": COLORS["black"], "linestyle": "--", "linewidth": 1.6, "marker": None}
POINTS: dict[str, Any] = {"color": COLORS["vermillion"], "marker": "s", "linestyle": "none", "markersize": 7}
DRAWS: dict[str, Any] = {"color": COLORS["sky"], "linestyle": "-", "linewidth": 0.7, "marker": None}


def smooth(index: int, **more: object) -> dict[str, Any]:
    """Style of the ``index``-th curve when it is dense: colour and dash, no markers."""
    return line_style(index) | {"marker": None} | more


def _fan_panel(ax: Axes, times: np.ndarray, title: str, height: float) -> None:
    """Lines of one panel, in this order: draws, mean, truth, points."""
    ax.plot([], [], label="draws", **DRAWS)
    ax.plot([], [], label="their mean", **smooth(0, linewidth=2.4))
    ax.plot([], [], label="what is true", **TRUTH)
    ax.plot([], [], label="points given", **POINTS)
    ax.set(title=title, xlabel="time", xlim=(times[0], times[-1]), ylim=(-height, height))


def _fill_fan(ax: Axes, times: ArrayLike, draws: ArrayLike, truth: ArrayLike, points: ArrayLike) -> None:
    """Draws (K, T), truth (T,), points (m, 2) into a panel."""
    paths = np.asarray(draws, float)
    both = np.stack([np.broadcast_to(np.asarray(times, float), paths.shape), paths], -1)
    cloud, mean, true, given = ax.lines[:4]
    cloud.set_data(*polylines(both))
    mean.set_data(times, paths.mean(0))
    true.set_data(times, truth)
    given.set_data(*np.asarray(points, float).reshape(-1, 2).T)


def fans(times: ArrayLike, names: Sequence[str], most: int, height: float = 1.5) -> Figure:
    """A fan for each model, and how wide the fans are over the number of points; empty yet.

    Args:
        times: (T,); most: points.
    """
    fig = new_figure((9.6, 3.9))
    *panels, width = fig.subplots(1, len(names) + 1, width_ratios=(*[1.3] * len(names), 1))
    for ax, name in zip(panels, names, strict=True):
        _fan_panel(ax, np.asarray(times, float), name, height)
    for i, name in enumerate(names):
        width.plot([], [], label=name, **line_style(i))
    width.plot([], [], color=COLORS["black"], linestyle="-", linewidth=1.2)
    width.set(title="width of the fan", xlabel="points given", xlim=(0, most), ylim=(0, 2.2))
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    width.legend(loc="upper right")
    return describe(
        fig,
        """Panels with a bundle of curves for each model, and the true curve. Here no point is given yet: the bundles
        are wide. On the right the width of the bundles falls from about 1 to about 0.2 as ten points are added.""",
    )


def update_fans(
    fig: Figure,
    times: ArrayLike,
    draws: Mapping[str, ArrayLike],
    truth: ArrayLike,
    points: ArrayLike,
    widths: Mapping[str, ArrayLike],
    count: int,
) -> None:
    """Draws (K, T) of each model, truth (T,), points (m, 2), widths (most + 1,) over the number of points."""
    *panels, width = fig.axes
    for ax, paths in zip(panels, draws.values(), strict=True):
        _fill_fan(ax, times, paths, truth, points)
    for line, values in zip(width.lines, widths.values(), strict=False):
        line.set_data(range(len(np.asarray(values))), values)
    width.lines[-1].set_data([count, count], [0, 2.2])


def one_curve(times: ArrayLike, truth: ArrayLike, given: ArrayLike, late: ArrayLike) -> Figure:
    """Left a curve fitted to some points, right the same curve and a point that comes later; curves empty yet.

    Args:
        truth: (T,); given: (m, 2), points that were fitted; late: (1, 2).
    """
    fig = new_figure((9.6, 3.4))
    axes = fig.subplots(1, 2, sharey=True)
    for i, (ax, title) in enumerate(zip(axes, ("fitted to five points", "a sixth point comes"), strict=True)):
        ax.plot(times, truth, label="what is true", **TRUTH)
        ax.plot(*np.asarray(given, float).T, label="points", **POINTS)
        ax.plot([], [], label="neural ODE fitted to five points", **smooth(0, linewidth=2.2))
        if i:
            ax.plot(*np.asarray(late, float).T, "D", color=COLORS["green"], markersize=9, label="new point")
            ax.plot([], [], label="trained again", **smooth(3, linewidth=2.2))
        ax.set(title=title, xlabel="time", ylim=(-1.7, 1.7))
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return describe(
        fig,
        """Left, a curve through five points of a sine; after the last point it leaves the sine. Right, a sixth point
        lies off that curve. The curve stays where it was. A second curve, trained again, comes near all six points and
        then rises out of the picture; it is no sine.""",
    )


def update_one_curve(fig: Figure, times: ArrayLike, first: ArrayLike, again: ArrayLike | None = None) -> None:
    """The curve fitted to five points (T,), and the one that was trained again."""
    for ax in fig.axes:
        ax.lines[2].set_data(times, first)
    if again is not None:
        fig.axes[1].lines[4].set_data(times, again)


def learning_process(iterations: int, times: ArrayLike, titles: Sequence[str]) -> Figure:
    """The loss of a neural process in training, and its fans for new series; empty yet."""
    fig = new_figure((9.6, 3.5))
    loss, *panels = fig.subplots(1, 1 + len(titles))
    loss.plot([], [], color=COLORS["sky"], linewidth=0.6, label="each batch")
    loss.plot([], [], label="mean of 25", **smooth(0, linewidth=2.2))
    loss.set(title="−bound / point", xlabel="iteration", xlim=(0, iterations), ylim=(-1, 6))
    loss.legend(loc="upper right")
    for ax, title in zip(panels, titles, strict=True):
        _fan_panel(ax, np.asarray(times, float), title, 1.5)
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return describe(
        fig,
        """Left, the loss of a neural ODE process falls with the iterations. Beside it its draws for one new series.
        Without a point they fill a wide band. With two points they lie close together, and the true sine lies outside
        of them. With six points they lie close together, near the points and near the true sine.""",
    )


def update_learning_process(
    fig: Figure,
    losses: Sequence[float],
    times: ArrayLike,
    draws: Sequence[ArrayLike],
    truth: ArrayLike,
    points: Sequence[ArrayLike],
) -> None:
    """Losses so far, and for each panel draws (K, T) and points (m, 2)."""
    loss, *panels = fig.axes
    values = np.asarray(losses, float)
    loss.lines[0].set_data(np.arange(len(values)), values)
    if len(values) >= 25:
        means = np.convolve(values, np.ones(25) / 25, "valid")
        loss.lines[1].set_data(np.arange(24, len(values)), means)
    for ax, paths, given in zip(panels, draws, points, strict=True):
        _fill_fan(ax, times, paths, truth, given)


def by_points(curves: Mapping[str, Mapping[str, tuple[Sequence[int], ArrayLike]]], level: float = 0.9) -> Figure:
    """Scores over the number of points given: score -> model -> (numbers, (seeds, numbers)); bands over seeds."""
    fig = new_figure((9.6, 3.6))
    for ax, (score, models) in zip(np.atleast_1d(fig.subplots(1, len(curves))), curves.items(), strict=True):
        for i, (name, (counts, values)) in enumerate(models.items()):
            seeds = np.asarray(values, float)
            style = line_style(i)
            ax.fill_between(counts, seeds.min(0), seeds.max(0), color=style["color"], alpha=0.2, linewidth=0)
            for edge in (seeds.min(0), seeds.max(0)):
                ax.plot(counts, edge, **style | {"marker": None, "linewidth": 0.6})
            ax.plot(counts, seeds.mean(0), label=name, **style)
        ax.set(title=score, xlabel="points given", xscale="log")
        ticks = next(iter(models.values()))[0]
        ax.set_xticks(list(ticks), [str(tick) for tick in ticks])
        ax.set_xticks([], minor=True)
        if "coverage" in score:
            ax.axhline(level, color=COLORS["grey"], linestyle=(0, (6, 3)), linewidth=1.3)
            ax.set_ylim(0, 1.02)
        else:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_locator(NullLocator())
    fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return describe(
        fig,
        """Error, coverage and score of three models against the number of points they are given of a new series, with
        bands over seeds: the errors of all three fall with the number of points; the latent ODE begins far above the
        two processes and ends below them. The coverage of all three stays below the dashed line at 0.9.""",
    )


def turning(rows: Mapping[str, ArrayLike], given: Sequence[int]) -> Figure:
    """Frames of a digit that turns, a row of images for each name; frames that were given have a frame around them.

    Args:
        rows: name -> (T, side, side) in [0, 1].
    """
    count = len(np.asarray(next(iter(rows.values()))))
    fig = new_figure((9.6, 0.7 * len(rows) + 0.3))
    axes = fig.subplots(len(rows), count, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for k, (ax, image) in enumerate(zip(line, np.asarray(images, float), strict=True)):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            for side in ax.spines.values():
                side.set(visible=k in given, color=COLORS["vermillion"], linewidth=2.5)
            if name == next(iter(rows)):
                ax.set_title(str(k), fontsize=10, loc="center")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return describe(
        fig,
        f"""Rows of small images of a handwritten 3 that turns once through all positions; only the framed images were
        given. Row by row: {", ".join(rows)}.""",
    )


def patients(histories: Mapping[str, tuple[ArrayLike, ArrayLike]], ends: Mapping[str, tuple[float, str]]) -> Figure:
    """Visits of some patients on a logarithmic axis, and how their follow-up ended.

    Args:
        histories: name -> years (m,) and values (m,); ends: name -> year and word.
    """
    fig = new_figure((9.6, 3.8))
    ax = fig.subplots()
    marks = {"death": "X", "transplant": "P", "censored": "|"}
    for i, (name, (years, values)) in enumerate(histories.items()):
        style = line_style(i) | {"linewidth": 1.2}
        ax.plot(years, values, label=name, **style)
        year, word = ends[name]
        last = np.asarray(values)[-1]
        ax.plot([np.asarray(years)[-1], year], [last, last], color=COLORS["grey"], linestyle="-", linewidth=1)
        ax.plot([year], [last], marks[word], color=style["color"], markersize=15, markeredgewidth=2, zorder=4)
    for word, mark in marks.items():
        ax.plot([], [], mark, color=COLORS["black"], markersize=11, linestyle="none", label=word)
    ax.plot([], [], color=COLORS["grey"], linewidth=1, label="not measured")
    ax.set(title="five patients and their visits", xlabel="years since the first visit", yscale="log")
    ax.set_ylabel("bilirubin, mg/dl")
    ax.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    ax.set_yticks([], minor=True)
    ax.legend(ncols=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return describe(
        fig,
        """Bilirubin of five patients over up to fourteen years on a logarithmic axis. Every patient comes at other
        times; the symbols at the ends say who died, had a transplant or was censored. A thin grey line leads there from
        the last visit.""",
    )


def two_trainings(names: Sequence[str], epochs: int, guide: float) -> Figure:
    """Losses of nets in training, on the patients that train them and on others; empty yet.

    Args:
        guide: the loss of saying the last value again, on the others.
    """
    fig = new_figure((9.6, 3.4))
    for ax, name in zip(fig.subplots(1, len(names), sharey=True), names, strict=True):
        ax.axhline(guide, color=COLORS["grey"], linestyle=(0, (6, 3)), linewidth=1.3, label="others, last value again")
        ax.plot([], [], label="patients that train it", **smooth(0))
        ax.plot([], [], label="other patients", **smooth(1))
        ax.set(title=name, xlabel="epoch", xlim=(0, epochs), ylim=(0.6 * guide, 1.3 * guide))
    fig.axes[0].set_ylabel("squared error")
    fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return describe(
        fig,
        """The squared error of two nets over the epochs of their training, on the patients that train them and on
        others; a grey dashed line is the error of saying the last value again to the others.""",
    )


def update_two_trainings(fig: Figure, place: int, losses: Sequence[tuple[int, float, float]]) -> None:
    """Epochs and losses (training, others) of the net in panel ``place``."""
    epochs, *columns = np.asarray(losses, float).reshape(-1, 3).T
    for line, column in zip(fig.axes[place].lines[1:], columns, strict=True):
        line.set_data(epochs, column)


def patient_ahead() -> Figure:
    """A patient's bilirubin, and what a net says of the time after the visits it has read; empty yet."""
    fig = new_figure((9.6, 4.0))
    values, state = fig.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
    values.plot([], [], "o", color=COLORS["grey"], markersize=8, markerfacecolor="none", label="visits to come")
    values.plot([], [], "s", color=COLORS["vermillion"], markersize=7, linestyle="none", label="visits read")
    values.plot([], [], label="what the net says for later times", **smooth(0, linewidth=2.4))
    values.set(yscale="log", xlim=(-0.3, 14.5), ylim=(0.2, 60))
    values.set_ylabel("bilirubin, mg/dl")
    values.set_yticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    values.set_yticks([], minor=True)
    values.legend(loc="upper right")
    for i in range(4):
        state.plot([], [], **smooth(i))
    state.set(xlabel="years since the first visit", ylabel="four entries", ylim=(-1.6, 1.6))
    return describe(
        fig,
        """Above, a patient's bilirubin over the years: visits read, visits to come, and the net's curve after the last
        visit read. Below, four entries of the state: they flow between visits and jump at each.""",
    )


def update_patient_ahead(
    fig: Figure,
    read: ArrayLike,
    later: ArrayLike,
    ahead: tuple[ArrayLike, ArrayLike],
    states: tuple[ArrayLike, ArrayLike],
) -> None:
    """Visits (m, 2) read and to come, what is said (times, values), and states (times (q,), (q, 4))."""
    values, state = fig.axes
    values.lines[0].set_data(*np.asarray(later, float).reshape(-1, 2).T)
    values.lines[1].set_data(*np.asarray(read, float).reshape(-1, 2).T)
    values.lines[2].set_data(*ahead)
    for line, column in zip(state.lines, np.asarray(states[1], float).T, strict=True):
        line.set_data(states[0], column)


def control(times: ArrayLike, values: ArrayLike, corners: ArrayLike) -> Figure:
    """A measured value over time, and the rectilinear path that drives a neural CDE.

    Args:
        times, values: (m,), visits; corners: (2 m − 1, 2).
    """
    fig = new_figure((7.6, 3.2))
    ax = fig.subplots()
    ax.plot(times, values, label="a straight line to the next visit", **smooth(3, linewidth=1.6))
    ax.plot(*np.asarray(corners, float).T, label="rectilinear: first the time, then the value", **smooth(0))
    ax.plot(times, values, "s", color=COLORS["vermillion"], markersize=8, label="visits")
    ax.set(xlabel="time", ylabel="value", title="the path X that drives the equation")
    ax.legend()
    return describe(
        fig,
        """Visits as points over time. A slanted line leads from each to the next; the rectilinear path stays level
        until the next visit and goes straight up or down there.""",
    )
