"""What the explorables of the ODE-Nets' lesson draw: the way of one image through the block, and a tolerance chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure

Dial = Mapping[float, Mapping[str, float]]  # tolerance -> "nfe", "gap", "error" (percent), "seconds"


@dataclass(frozen=True)
class Journeys:
    """Images on their way through an ODE block.

    Attributes:
        times: from 0 to t1, (t,).
        images, labels: (n, h, w) in [0, 1], and (n,).
        maps: feature maps, (t, n, channels, h', w').
        plane: the features' two principal components, (t, n, 2).
        share: of the features' variance in that plane.
        probabilities: what the head says of the features at each time, (t, n, classes).
    """

    times: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    maps: np.ndarray
    plane: np.ndarray
    share: float
    probabilities: np.ndarray


def mosaic(maps: ArrayLike) -> np.ndarray:
    """Feature maps (channels, h, w) side by side in a square of tiles with gaps of NaN between them."""
    tiles = np.asarray(maps, float)
    count, h, w = tiles.shape
    side = int(np.ceil(np.sqrt(count)))
    picture = np.full((side * (h + 1) - 1, side * (w + 1) - 1), np.nan)
    for k, tile in enumerate(tiles):
        row, column = divmod(k, side)
        picture[row * (h + 1) : row * (h + 1) + h, column * (w + 1) : column * (w + 1) + w] = tile
    return picture


def journey(data: Journeys, image: int, moment: int, fig: Figure | None = None) -> Figure:
    """One image, its feature maps at one time, its way among the others, and what the head says there and then."""
    fig = new_figure(fig, (10.4, 4.3))
    grid = fig.add_gridspec(2, 3, width_ratios=(1, 1.9, 1.25))
    picture, tiles = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[1, 0])
    plane, bars = fig.add_subplot(grid[:, 1]), fig.add_subplot(grid[:, 2])
    # zorder: a blitted frame redraws the paper of a panel (1) below what moves on it
    picture.imshow(data.images[image], cmap="gray", vmin=0, vmax=1, zorder=3)
    bound = float(np.quantile(np.abs(data.maps), 0.995))
    tiles.imshow(
        mosaic(data.maps[moment, image]), cmap="cividis", vmin=-bound, vmax=bound, zorder=3
    )  # above the paper, which a blitted frame redraws
    for ax, title in ((picture, "image"), (tiles, f"feature maps, t = {data.times[moment]:.2f}")):
        ax.set_title(title, fontsize=11)
        ax.set_axis_off()
    for k in range(data.plane.shape[1]):
        plane.plot(*data.plane[:, k].T, color="#999999", linestyle="-", linewidth=0.9, zorder=1)
    for digit in np.unique(data.labels):
        ends = data.plane[-1, data.labels == digit]
        look: dict[str, Any] = {"color": COLORS["black"], "linestyle": "", "markersize": 6}
        plane.plot(*ends.T, marker=f"${digit}$", markeredgewidth=0.4, zorder=2, **look)
    way = line_style(1) | {"marker": None, "linestyle": "-"}
    plane.plot(*data.plane[:, image].T, zorder=3, linewidth=2.4, **way)
    plane.plot(*data.plane[moment, image], "o", color=COLORS["vermillion"], markersize=10, zorder=4)
    plane.set(title="the way of the features", xlabel="first component", ylabel="second component")
    bars.barh(range(data.probabilities.shape[-1]), data.probabilities[moment, image], color=COLORS["blue"])
    bars.set_yticks(range(data.probabilities.shape[-1]))
    bars.set(title="the head, asked at t", xlabel="probability", xlim=(0, 1), ylabel="digit")
    bars.invert_yaxis()
    return describe(
        fig,
        "An image, its sixteen feature maps at a time t, the path of its features in the plane of two principal "
        "components among the paths of other images, and the ten class probabilities when the head is asked at t.",
    )


def update_journey(fig: Figure, data: Journeys, image: int, moment: int) -> None:
    """Put another image or time into a figure drawn by :func:`journey`."""
    picture, tiles, plane, bars = fig.axes
    picture.images[0].set_data(data.images[image])
    tiles.images[0].set_data(mosaic(data.maps[moment, image]))
    tiles.set_title(f"feature maps, t = {data.times[moment]:.2f}", fontsize=11)
    path, point = plane.lines[-2:]
    path.set_data(*data.plane[:, image].T)
    point.set_data(*data.plane[moment, image][:, None])
    for bar, value in zip(bars.containers[0], data.probabilities[moment, image], strict=True):
        bar.set_width(value)


def dial(measured: Dial, tolerance: float, images: int, fig: Figure | None = None) -> Figure:
    """Evaluations, test error, distance to the exact solution and time, against the tolerance at test time.

    Args:
        measured: tolerance -> what was measured there.
        tolerance: the one marked.
        images: in the test set, for the band of one binomial standard error.
    """
    fig = new_figure(fig, (10.4, 3.5))
    x = np.array([*measured])
    panels = (("nfe", "NFE"), ("gap", "error of the logits"), ("error", "test error in %"), ("seconds", "seconds"))
    for i, (ax, (what, title)) in enumerate(zip(fig.subplots(1, 4), panels, strict=True)):
        y = np.array([row[what] for row in measured.values()])
        ax.plot(x, y, **line_style(i))
        ax.axvline(tolerance, color=COLORS["black"], linestyle="-", linewidth=1)
        ax.set(title=title, xlabel="tolerance", xscale="log", xlim=(x.max() * 3, x.min() / 3))
        ax.set_xticks([1e-1, 1e-3, 1e-5])
        if what == "gap":
            ax.set_yscale("log")
        else:
            ax.set_ylim(0, 1.25 * y.max())
        if what == "error":
            p = y[-1] / 100
            bar = 100 * np.sqrt(p * (1 - p) / images)
            ax.axhspan(y[-1] - bar, y[-1] + bar, color=COLORS["green"], alpha=0.15, linewidth=0)
    return describe(
        fig,
        "Four panels against the solver's tolerance at test time, tight to the right: evaluations of f rise, the "
        "error of the logits falls, the test error hardly moves, the time rises. A line marks the chosen tolerance.",
    )


def update_dial(fig: Figure, tolerance: float) -> None:
    """Mark another tolerance in a figure drawn by :func:`dial`."""
    for ax in fig.axes:
        ax.lines[1].set_xdata([tolerance, tolerance])
