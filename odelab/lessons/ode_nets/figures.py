"""Figures of the ODE-Nets' lesson: a table as a picture, differences between its rows, memory, evaluations, noise.

Every function draws the numbers it is given; none of them trains or solves anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure

GRADIENTS = ("backprop", "checkpoint", "adjoint")


def table(
    names: Sequence[str],
    ours: Mapping[str, Mapping[str, Sequence[float]]],
    paper: Mapping[str, float],
    images: int = 10_000,
) -> Figure:
    """Test errors, one line per row of the table: every run, their means, and the paper's number.

    Args:
        names: of the rows, from top to bottom.
        ours: kind of run -> name -> test error in percent, one per seed; two kinds at most, and a row may be missing.
        paper: name -> test error in percent; a row may be missing.
        images: size of the test set, for the bars of one standard error around the paper's single runs.
    """
    fig = new_figure((9.6, 4.4))
    ax = fig.subplots()
    for i, name in enumerate(names):
        if name in paper:
            p = paper[name]
            bar = 100 * np.sqrt(p / 100 * (1 - p / 100) / images)
            label = "paper, one run ± binomial error" if name == next(iter(paper)) else None
            ax.errorbar(p, i - 0.24, xerr=bar, color=COLORS["vermillion"], marker="D", capsize=3, label=label)
        if not any(len(runs.get(name, ())) for runs in ours.values()):
            ax.text(0.99, i, "no full run stored yet", transform=ax.get_yaxis_transform(), ha="right", va="center")
    means = None
    for (kind, runs), (color, marker, shift) in zip(
        ours.items(), (("blue", "o", 0.02), ("green", "s", 0.28)), strict=False
    ):
        label = f"ours, {kind}, one mark per seed"
        for i, name in enumerate(names):
            if len(seeds := runs.get(name, ())):
                place = np.full(len(seeds), i + shift)
                ax.plot(seeds, place, marker, color=COLORS[color], alpha=0.55, markersize=5, label=label)
                (means,) = ax.plot(np.mean(seeds), place[0], "|", color="black", markersize=12, markeredgewidth=2)
                label = None
    if means:
        means.set_label("mean")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="test error on MNIST in %", xlim=(0, None), ylim=(len(names) - 0.5, -0.5))
    fig.legend(loc="outside lower center", ncols=2)
    listed = "; ".join(
        f"{kind}: "
        + (", ".join(f"{name} {np.mean(e):.2f} %" for name, e in runs.items() if len(e)) or "none stored yet")
        for kind, runs in ours.items()
    )
    return describe(
        fig,
        f"Test errors of six networks on MNIST. Mean of our full runs, {listed}. Paper: "
        + ", ".join(f"{name} {value:.2f} %" for name, value in paper.items())
        + ".",
    )


def differences(names: Sequence[str], points: ArrayLike, errors: ArrayLike, alt: str) -> Figure:
    """Which rows can be told apart: differences in test error and their standard errors, pair by pair.

    Args:
        names: of n rows.
        points, errors: row minus column in percentage points, and the standard error of that, (n, n) each.
    """
    fig = new_figure((7.6, 4.4))
    ax = fig.subplots()
    difference, error = np.asarray(points, float), np.asarray(errors, float)
    score = np.divide(difference, error, out=np.zeros_like(difference), where=error > 0)
    below = np.tril(np.ones_like(score), -1).astype(bool)
    shown = np.where(below, np.abs(score), np.nan)[1:, :-1]
    picture = ax.imshow(shown, vmin=0, vmax=4, cmap="cividis", aspect="auto")
    for i, j in zip(*np.nonzero(below), strict=True):
        dark = abs(score[i, j]) < 2.2
        text = f"{difference[i, j]:+.1f}\n± {error[i, j]:.1f}".replace("-", "−")
        ax.text(j, i - 1, text, ha="center", va="center", color="white" if dark else "black", fontsize=10)
    ax.set_xticks(range(len(names) - 1), [name.replace(" ", "\n", 1) for name in names[:-1]])
    ax.set_yticks(range(len(names) - 1), names[1:])
    ax.grid(visible=False)
    ax.set_title("row minus column, points of test error")
    fig.colorbar(picture, ax=ax, label="standard errors apart")
    return describe(fig, alt)


def memory(steps: Mapping[int, Mapping[str, float]], depth: Mapping[int, float]) -> Figure:
    """Bytes kept for the way back: by the gradients of an ODE block against its steps, by a ResNet against its depth.

    Args:
        steps: number of solver steps -> "backprop", "checkpoint", "adjoint" -> bytes.
        depth: number of residual blocks -> bytes.
    """
    fig = new_figure((9.6, 3.9))
    left, right = fig.subplots(1, 2, sharey=True)
    for i, name in enumerate(GRADIENTS):
        left.plot([*steps], [row[name] / 1e6 for row in steps.values()], label=name, **line_style(i))
    right.plot([*depth], [kept / 1e6 for kept in depth.values()], label="ResNet, backprop", **line_style(3))
    for ax in (left, right):
        ax.set(xscale="log", yscale="log")
        ax.legend(loc="upper left")
    left.set(title="ODE block", xlabel="steps of the solver", ylabel="MB kept for the way back", ylim=(0.03, 60))
    right.set(title="ResNet", xlabel="residual blocks")
    for ax, counts in ((left, [*steps]), (right, [*depth])):
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.minorticks_off()
    return describe(
        fig,
        "Megabytes kept for the backward pass, log-log. Left, an ODE block against solver steps: backprop and "
        "checkpoint grow in proportion, the adjoint is flat. Right, a ResNet against depth grows in proportion.",
    )


def evaluations(panels: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """NFE forward and backward while a network trains; one panel per training run.

    Args:
        panels: what was trained and by what it is counted -> (NFE forward, NFE backward), each (n,).
    """
    fig = new_figure((9.6, 3.4))
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, pair) in zip(axes, panels.items(), strict=True):
        for i, (name, counts) in enumerate(zip(("forward", "backward"), pair, strict=True)):
            y = np.asarray(counts, float)
            many = {"marker": None, "drawstyle": "steps-mid"} if len(y) > 40 else {}
            ax.plot(np.arange(len(y)) + 1, y, label=name, **(line_style(i) | many))
        ax.set(title=title, ylim=(0, 1.1 * max(np.max(counts) for pair in panels.values() for counts in pair)))
        ax.legend(loc="lower right")
    axes[0].set_ylabel("evaluations of f (NFE)")
    return describe(fig, f"Evaluations of f, forward and backward, while training proceeds: {', '.join(panels)}.")


def noise(levels: ArrayLike, errors: Mapping[str, ArrayLike], examples: ArrayLike) -> Figure:
    """Test error under Gaussian noise, one thin line per seed and a thick one for their mean; above, what is seen.

    Args:
        levels: standard deviations of the noise, (n,), of grey levels in [0, 1].
        errors: body -> test error in percent, (seeds, n).
        examples: one image under each noise, (n, h, w).
    """
    fig = new_figure((9.6, 4.6))
    sigma, images = np.asarray(levels, float), np.asarray(examples)
    grid = fig.add_gridspec(2, len(sigma), height_ratios=(1, 2.6))
    for k, image in enumerate(images):
        ax = fig.add_subplot(grid[0, k])
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(f"σ = {sigma[k]:g}", loc="center", fontsize=10)
        ax.set_axis_off()
    ax = fig.add_subplot(grid[1, :])
    for i, (name, values) in enumerate(errors.items()):
        family = np.asarray(values, float)
        ax.plot(sigma, family.T, **(line_style(i) | {"marker": None, "linewidth": 0.9, "alpha": 0.55}))
        ax.plot(sigma, family.mean(0), label=f"{name}, mean of {len(family)}", **line_style(i))
    ax.set(xlabel="standard deviation σ of the noise", ylabel="test error in %", ylim=(0, 100))
    ax.legend(loc="upper left")
    return describe(
        fig,
        f"A digit under growing noise, and the test error of {', '.join(errors)} against it, several seeds each.",
    )


def solvers_matrix(trained: Sequence[str], tested: Sequence[str], errors: ArrayLike) -> Figure:
    """Test error in percent of networks trained with one solver (rows) and tested with another (columns)."""
    fig = new_figure((8.6, 1.2 + 0.62 * len(trained)))
    ax = fig.subplots()
    values = np.asarray(errors, float)
    picture: Any = ax.imshow(np.log10(values), cmap="cividis", aspect="auto", vmin=0.5, vmax=1.7)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:.1f}", ha="center", va="center", color="white" if value < 12 else "black", fontsize=10)
    ax.set_xticks(range(len(tested)), tested)
    ax.set_yticks(range(len(trained)), trained)
    ax.set(xlabel="tested with", title="test error in %")
    ax.set_ylabel("trained with")
    ax.grid(visible=False)
    bar = fig.colorbar(picture, ax=ax, ticks=np.log10([4, 8, 16, 32]))
    bar.ax.set_yticklabels(["4", "8", "16", "32"])
    listed = "; ".join(
        f"trained with {row}: "
        + ", ".join(f"{value:.1f} with {name}" for name, value in zip(tested, line, strict=True))
        for row, line in zip(trained, values, strict=True)
    )
    return describe(fig, f"Test error in percent by solver. {listed}.")


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


def journey(data: Journeys) -> Figure:
    """One image, its feature maps at one time, its way among the others, and what the head says there and then."""
    fig = new_figure((10.4, 4.3))
    grid = fig.add_gridspec(2, 3, width_ratios=(1, 1.9, 1.25))
    picture, tiles = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[1, 0])
    plane, bars = fig.add_subplot(grid[:, 1]), fig.add_subplot(grid[:, 2])
    # zorder: a blitted frame redraws the paper of a panel (1) below what moves on it
    picture.imshow(data.images[0], cmap="gray", vmin=0, vmax=1, zorder=3)
    picture.set_title("image", fontsize=11)
    bound = float(np.quantile(np.abs(data.maps), 0.995))
    tiles.imshow(mosaic(data.maps[0, 0]), cmap="cividis", vmin=-bound, vmax=bound, zorder=3)
    for ax in (picture, tiles):
        ax.set_axis_off()
    for k in range(data.plane.shape[1]):
        plane.plot(*data.plane[:, k].T, color=COLORS["grey"], linestyle="-", linewidth=0.9, zorder=1)
    for digit in np.unique(data.labels):
        ends = data.plane[-1, data.labels == digit]
        look: dict[str, Any] = {"color": COLORS["black"], "linestyle": "", "markersize": 6}
        plane.plot(*ends.T, marker=f"${digit}$", markeredgewidth=0.4, zorder=2, **look)
    way = line_style(1) | {"marker": None, "linestyle": "-"}
    plane.plot([], [], zorder=3, linewidth=2.4, **way)
    plane.plot([], [], "o", color=COLORS["vermillion"], markersize=10, zorder=4)
    plane.set(title="the way of the features", xlabel="first component", ylabel="second component")
    classes = range(data.probabilities.shape[-1])
    bars.barh(classes, np.zeros(len(classes)), color=COLORS["blue"])
    bars.set_yticks(classes)
    bars.set(title="the head, asked at t", xlabel="probability", xlim=(0, 1), ylabel="digit")
    bars.invert_yaxis()
    return describe(
        fig,
        "An image, its sixteen feature maps at a time t, the path of its features in the plane of two principal "
        "components among the paths of other images, and the ten class probabilities when the head is asked at t.",
    )


def update_journey(fig: Figure, data: Journeys, image: int, moment: int) -> None:
    """Put an image and a time into a figure drawn by :func:`journey`."""
    picture, tiles, plane, bars = fig.axes
    picture.images[0].set_data(data.images[image])
    tiles.images[0].set_data(mosaic(data.maps[moment, image]))
    tiles.set_title(f"feature maps, t = {data.times[moment]:.2f}", fontsize=11)
    path, point = plane.lines[-2:]
    path.set_data(*data.plane[:, image].T)
    point.set_data(*data.plane[moment, image][:, None])
    for bar, value in zip(bars.containers[0], data.probabilities[moment, image], strict=True):
        bar.set_width(value)


def dial(measured: Dial, images: int) -> Figure:
    """Evaluations, test error, distance to the exact solution and time, against the tolerance at test time.

    Args:
        measured: tolerance -> what was measured there.
        images: in the test set, for the band of one binomial standard error.
    """
    fig = new_figure((10.4, 3.5))
    x = np.array([*measured])
    panels = (("nfe", "NFE"), ("gap", "error of the logits"), ("error", "test error in %"), ("seconds", "seconds"))
    for i, (ax, (what, title)) in enumerate(zip(fig.subplots(1, 4), panels, strict=True)):
        y = np.array([row[what] for row in measured.values()])
        ax.plot(x, y, **line_style(i))
        ax.axvline(x[0], color=COLORS["black"], linestyle="-", linewidth=1)
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
