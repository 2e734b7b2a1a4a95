"""What a model of walks forecasts: fans of channels, the error against the horizon, the latent gait, two penalties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure

FPS = 120


def fans(
    draws: Mapping[str, ArrayLike], truth: Mapping[str, ArrayLike], seen: int, fig: Figure | None = None
) -> Figure:
    """Draws (K, T) of some channels, by name, with what was recorded (T,); the first frames were seen."""
    fig = new_figure(fig, (9.6, 4.6))
    rows = (len(draws) + 1) // 2
    for k, (ax, name) in enumerate(zip(fig.subplots(rows, 2, sharex=True).flat, draws, strict=False)):
        fan = np.asarray(draws[name], float)
        t = np.arange(fan.shape[1]) / FPS
        ax.plot(t, fan.T, "-", color=COLORS["blue"], linewidth=0.6, alpha=0.35)
        ax.plot(t, truth[name], "--", color=COLORS["vermillion"], linewidth=2)
        ax.axvspan(0, seen / FPS, color=COLORS["yellow"], zorder=0)
        ax.set(title=name, xlim=(0, t[-1]))
        if k >= 2 * (rows - 1):
            ax.set_xlabel("seconds")
    return describe(
        fig,
        f"Panels for {', '.join(draws)}: {len(fan)} blue draws of a model that saw {seen} frames, and a dashed red "
        "recording among them. The draws start together and spread with time.",
    )


def horizon(errors: Mapping[str, ArrayLike], fig: Figure | None = None) -> Figure:
    """Squared error (T,) of each forecast, in degrees, against the time since the last frame seen, one frame before."""
    fig = new_figure(fig, (8.0, 3.8))
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


def gait(z: ArrayLike, fig: Figure | None = None) -> Figure:
    """Latent paths (n, T, 2q) of second order: position against velocity, a panel for each of the q."""
    paths = np.asarray(z, float)
    q = paths.shape[-1] // 2
    fig = new_figure(fig, (9.6, 3.3))
    for k, ax in enumerate(fig.subplots(1, q, squeeze=False)[0]):
        for path in paths:
            ax.plot(path[:, k], path[:, q + k], "-", color=COLORS["blue"], linewidth=0.9, alpha=0.7)
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


def penalties(
    fan: ArrayLike, truth: ArrayLike, widths: Sequence[ArrayLike], top: float, fig: Figure | None = None
) -> Figure:
    """One model out of several: a fan (K, T) of the knee with the recording (T,), and its error beside its widths.

    Args:
        widths: three of (T,), over walks and channels: root of the squared error of the mean of the draws at each
            frame, root of the mean variance of the draws, and of that with the observation noise, as the error has it.
        top: of the second panel, the same for all the models.
    """
    fig = new_figure(fig, (8.4, 3.4))
    left, right = fig.subplots(1, 2)
    draws, recorded = np.asarray(fan, float), np.asarray(truth, float)
    t = np.arange(draws.shape[1]) / FPS
    fans = LineCollection([], colors=[COLORS["blue"]], linewidths=0.6, alpha=0.35, linestyles="solid")
    left.add_collection(fans, autolim=False)
    left.plot(t, recorded, "--", color=COLORS["vermillion"], linewidth=2)
    for k, label in zip((1, 0, 2), ("error of the mean", "spread of the draws", "spread and noise"), strict=True):
        right.plot(t, 0 * t, **(line_style(k) | {"marker": None}), label=label)
    left.set(
        xlabel="seconds", ylabel="left knee, °", xlim=(0, t[-1]), ylim=(0, 85), title=f"{len(draws)} draws, one walk"
    )
    right.set(xlabel="seconds", ylabel="degrees", xlim=(0, t[-1]), ylim=(0, top), title="all test walks and channels")
    right.legend(loc="upper left")
    update_penalties(fig, fan, truth, widths)
    return describe(
        fig,
        "Left, draws of a knee angle around a dashed recording. Right, the error of their mean, the spread of the "
        "draws, and this with the observation noise, against time, for one choice of the two penalties.",
    )


def update_penalties(fig: Figure, fan: ArrayLike, truth: ArrayLike, widths: Sequence[ArrayLike]) -> None:
    """Another model in a figure drawn by :func:`penalties`."""
    left, right = fig.axes
    draws = np.asarray(fan, float)
    t = np.arange(draws.shape[1]) / FPS
    lines = next(each for each in left.collections if isinstance(each, LineCollection))
    lines.set_segments([np.column_stack((t, draw))[::3] for draw in draws])
    left.lines[-1].set_ydata(np.asarray(truth, float))
    for line, width in zip(right.lines, widths, strict=True):
        line.set_ydata(np.asarray(width, float))
