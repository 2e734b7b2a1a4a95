"""Figures of the latent ODE lesson: the idea, an autoencoder's map, two clocks, a training, densities, hidden states.

Every function draws the arrays it is given; none of them runs a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure
from odelab.lessons.latent_odes.explorable_figures import (
    Portrait,
    Scene,
    draw_clock,
    draw_plane,
    draw_portrait,
    legend_of,
    move,
    update_clock,
    update_plane,
)

REGIONS = ("before", "inside", "beyond")


def hero(scene: Scene, portrait: Portrait, fig: Figure | None = None) -> Figure:
    """Seen points and what becomes of them: in the plane, against time, and in latent space."""
    fig = new_figure(fig, (10.0, 3.9))
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


def code_map(
    codes: ArrayLike, labels: ArrayLike, decoded: ArrayLike, reach: float, fig: Figure | None = None
) -> Figure:
    """Where images lie in a latent plane, and what a grid of latent places decodes to.

    Args:
        codes: (n, 2); labels: (n,) digits; decoded: (m, m, height, width), rows from bottom to top; reach: of the grid.
    """
    fig = new_figure(fig, (9.6, 4.4))
    left, right = fig.subplots(1, 2)
    z, y = np.asarray(codes), np.asarray(labels)
    for digit in range(10):
        style = line_style(digit)
        left.plot(*z[y == digit].T, linestyle="", marker=f"${digit}$", markersize=8, color=style["color"], alpha=0.8)
    left.set(xlim=(-1.5 * reach, 1.5 * reach), ylim=(-1.5 * reach, 1.5 * reach), aspect="equal",
             xlabel="first latent number", ylabel="second", title="images by their code")  # fmt: skip
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


def two_clocks(values: ArrayLike, clocks: Mapping[str, ArrayLike], fig: Figure | None = None) -> Figure:
    """The same values at different times: as they happened, and as a network sees them that is told no times."""
    fig = new_figure(fig, (9.6, 3.4))
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


def training(curves: Mapping[str, ArrayLike], fig: Figure | None = None) -> Figure:
    """Loss of every iteration, smoothed over ten; the decoder's σ falls until 60 % of them."""
    fig = new_figure(fig, (7.2, 3.2))
    ax = fig.subplots()
    for k, (name, loss) in enumerate(curves.items()):
        values = np.convolve(np.asarray(loss, float), np.full(10, 0.1), "valid")
        ax.plot(np.arange(len(values)) + 10, values, label=name, **(line_style(k) | {"marker": None}))
    ax.set(xlabel="iteration", ylabel="nats per observed point", title="−ELBO at the σ of the moment")
    ax.legend(loc="upper right")
    return describe(
        fig,
        "The negative ELBO per observed point: it rises while the decoder's standard deviation is lowered, and falls "
        "after that.",
    )


def by_density(
    measured: Mapping[str, Mapping[int, Mapping[str, Sequence[float]]]], noise: float, fig: Figure | None = None
) -> Figure:
    """RMSE against the number of points seen, one panel for each region; a mark for each seed, lines through medians.

    Args:
        measured: model -> points seen -> region -> values of the seeds; a region may be missing or empty.
    """
    fig = new_figure(fig, (9.6, 3.9))
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


def hidden_states(
    times: ArrayLike, states: Mapping[str, ArrayLike], seen: ArrayLike, fig: Figure | None = None
) -> Figure:
    """Some units of two recurrent states on their way back in time, with the moments of the observations.

    Args:
        times: (T,); states: network -> (T, units); seen: (k,) times of the observations.
    """
    fig = new_figure(fig, (9.6, 3.4))
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
        "RNN's units stand still between observations, those of the ODE-RNN move there and jump at the dotted lines.",
    )
