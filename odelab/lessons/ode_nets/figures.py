"""Figures of the ODE-Nets' lesson: a table as a picture, differences between its rows, memory, a solver's bill, noise.

Every function draws the numbers it is given; none of them trains or solves anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.panels import few_decades
from odelab.lessons.kit.style import COLORS, GROUNDS, GUIDE, describe, line_style, new_figure

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


def learning(names: Sequence[str], iterations: int) -> Figure:
    """Test error while networks train, one curve each; empty, see :func:`update_learning`."""
    fig = new_figure((8.6, 4.2))
    ax = fig.subplots()
    for i, name in enumerate(names):
        ax.plot([], [], label=name, **(line_style(i) | {"markersize": 5}))
    ax.set(title="error on the test images, %", xlabel="iteration", xlim=(0, iterations), yscale="log", ylim=(2, 100))
    ax.set_yticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    ax.minorticks_off()
    ax.legend(loc="upper right")
    return describe(fig, f"Error on the test images, against the iterations of training: {', '.join(names)}.")


def update_learning(fig: Figure, curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """Put what was measured so far, name -> (iterations, errors in percent), into a figure of :func:`learning`."""
    lines = {line.get_label(): line for line in fig.axes[0].lines}
    for name, (iterations, errors) in curves.items():
        lines[name].set_data(iterations, np.maximum(errors, 2))


def apart(
    reference: str,
    quick: Mapping[str, tuple[float, float, float]],
    full: Mapping[str, Mapping[str, tuple[float, float]]],
) -> Figure:
    """Each row less one of them: of a quick run by its images (left), of the full runs by their seeds (right).

    Args:
        reference: the row that is subtracted.
        quick: name -> (points, their standard error by pairs of images, the one without pairing).
        full: kind of run -> name -> (points, standard error over seeds); two kinds at most, and rows may be missing.
    """
    fig = new_figure((9.8, 3.9))
    left, right = fig.subplots(1, 2, sharey=True)
    place = {name: i for i, name in enumerate(quick)}
    wide = {"color": COLORS["grey"], "linewidth": 1.5, "capsize": 4, "linestyle": "", "zorder": 2}
    narrow = {"linestyle": "", "markersize": 7, "elinewidth": 3.5, "zorder": 3}
    points, paired, unpaired = np.array([*quick.values()]).T
    rows = np.array([*place.values()], float)
    left.errorbar(points, rows + 0.14, xerr=2 * unpaired, label="± 2 SE, as on two test sets", **wide)
    left.errorbar(
        points, rows - 0.1, xerr=2 * paired, fmt="o", color=COLORS["blue"], label="± 2 SE, the same images", **narrow
    )
    for (kind, values), color, marker, shift in zip(
        full.items(), ("blue", "green"), ("o", "s"), (-0.12, 0.16), strict=False
    ):
        known = {name: value for name, value in values.items() if name in place}
        if known:
            means, errors = np.array([*known.values()]).T
            at = [place[name] + shift for name in known]
            right.errorbar(
                means,
                at,
                xerr=2 * errors,
                fmt=marker,
                color=COLORS[color],
                label=f"± 2 SE over seeds, {kind}",
                **narrow,
            )
    for ax, title in ((left, "just now: one seed, 1,000 images"), (right, "full runs: several seeds, 10,000 images")):
        ax.axvline(0, color=COLORS["black"], linestyle="-", linewidth=1.2, zorder=1)
        ax.set(title=title, xlabel=f"points of test error more than {reference}")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, -0.42))
        ax.grid(visible=False, axis="y")
    left.set_yticks(rows, [*quick])
    left.set_ylim(len(rows) - 0.5, -0.5)
    told = [name for name, (difference, error, _) in quick.items() if abs(difference) > 2 * error]
    return describe(
        fig,
        f"Test error of each row less that of {reference}, with bars of two standard errors. Left, a quick run: bars "
        f"by pairs of images are shorter than those without; zero lies outside for {', '.join(told) or 'none'}. Right, "
        "the full runs: "
        + "; ".join(
            f"{kind}: "
            + (
                ", ".join(f"{name} {f'{d:+.2f}'.replace('-', '−')} ± {e:.2f}" for name, (d, e) in rows.items())
                or "none"
            )
            for kind, rows in full.items()
        )
        + ".",
    )


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


def solver_bill(
    solvers: Mapping[str, Mapping[str, ArrayLike]], training: Mapping[str, tuple[ArrayLike, ArrayLike]]
) -> Figure:
    """A trained block under two solvers and many tolerances, and NFE while it was trained: Chen et al. (2018), Fig. 3.

    Args:
        solvers: name -> "nfe", "error", "seconds" and "backward" (NFE of the adjoint), each (tolerances,).
        training: what was counted -> (passes over the data, NFE of one forward solve), each (n,).
    """
    fig = new_figure((9.8, 6.6))
    axes = dict(zip("abcd", fig.subplots(2, 2).flat, strict=True))
    for i, (name, row) in enumerate(solvers.items()):
        for panel, what in (("a", "error"), ("b", "seconds"), ("c", "backward")):
            axes[panel].plot(row["nfe"], row[what], label=name, **line_style(i))
    counts = np.concatenate([np.asarray(row["nfe"], float) for row in solvers.values()])
    span = np.array([counts.min(), counts.max()])
    axes["c"].plot(span, span, label="as many", zorder=1, **GUIDE)
    axes["c"].plot(span, span / 2, label="half as many (paper)", zorder=1, **(GUIDE | {"linestyle": (0, (1, 2))}))
    for i, (name, (passes, nfe)) in enumerate(training.items()):
        axes["d"].plot(passes, nfe, label=name, **(line_style(i + 2) | {"markersize": 5}))
    for panel, what in {
        "a": "error of z(1), rms",
        "b": "CPU seconds, forward",
        "c": "NFE, backward",
        "d": "NFE, forward",
    }.items():
        axes[panel].set(title=f"({panel})", ylabel=what, xlabel="NFE, forward")
        if panel != "d":
            axes[panel].set(xscale="log", yscale="log")
            few_decades(axes[panel].xaxis)
        axes[panel].legend(loc="lower right" if panel == "d" else "best")
    axes["d"].set(xlabel="passes over the training images", ylim=(0, None))
    factors = ", ".join(
        f"{name} from {min(ratio):.2g} to {max(ratio):.2g} times the forward ones"
        for name, row in solvers.items()
        for ratio in [np.asarray(row["backward"], float) / np.asarray(row["nfe"], float)]
    )
    return describe(
        fig,
        "Against NFE of the forward solve: (a) the error falls, (b) the time rises, (c) evaluations of the backward "
        f"solve, {factors}. (d) NFE of the forward solve while the network trains: {', '.join(training)}.",
    )


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


@dataclass(frozen=True)
class Dial:
    """One network under solvers of several tolerances; n test images.

    Attributes:
        margin: of the most probable class over the next, in logits, nearly exact, (n,).
        off: tolerance -> largest error of an image's ten logits, (n,).
        flipped: tolerance -> whether the answer differs from the nearly exact one, (n,).
        measured: tolerance -> "nfe", "gap" (mean error of a logit), "error" (percent), "seconds".
    """

    margin: np.ndarray
    off: Mapping[float, np.ndarray]
    flipped: Mapping[float, np.ndarray]
    measured: Mapping[float, Mapping[str, float]]


@dataclass(frozen=True)
class Journeys:
    """Images on their way through an ODE block.

    Attributes:
        times: from 0 to t1, (t,).
        images, labels: (n, h, w) and (n,).
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
    picture.imshow(data.images[0], cmap="gray", vmin=data.images.min(), vmax=data.images.max(), zorder=3)
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
        f"An image, its {data.maps.shape[2]} feature maps at a time t, the path of its features in the plane of two "
        "principal components among the paths of other images, and the ten class probabilities when the head is asked "
        "at t.",
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


SMALLEST = 1e-5  # of what a logarithmic axis of logits shows


def dial(data: Dial) -> Figure:
    """How far the logits of each image are off, against what its answer can bear; and what that costs."""
    fig = new_figure((9.8, 4.2))
    cloud, cost = fig.subplots(1, 2, width_ratios=(1.35, 1))
    ends = np.array([SMALLEST, 100])
    cloud.fill_between(ends, ends, 1e3, color=GROUNDS["pale blue"], linewidth=0)
    cloud.plot(ends, ends, zorder=1, **GUIDE)
    cloud.plot([], [], "o", color=COLORS["blue"], markersize=3.5, label="the answer stays", zorder=2)
    cloud.plot([], [], "X", color=COLORS["vermillion"], markersize=8, label="the answer differs", zorder=3)
    cloud.set(xscale="log", yscale="log", xlim=(5e-3, 30), ylim=(SMALLEST, 30))
    cloud.set(title="one mark per image", xlabel="margin of its answer, logits", ylabel="2 × error of its logits")
    cloud.legend(loc="lower left")
    nfe, gap = ([row[what] for row in data.measured.values()] for what in ("nfe", "gap"))
    cost.plot(nfe, gap, zorder=2, **line_style(2))
    cost.plot([], [], "o", color=COLORS["vermillion"], markersize=11, zorder=3)
    cost.set(title="what it costs", xlabel="NFE", ylabel="mean error of a logit", yscale="log", xlim=(0, None))
    return describe(
        fig,
        "Left, for every test image twice the error of its logits against the margin of its answer; only a mark above "
        "the diagonal, in the pale area, can be answered otherwise than by the exact solution. Right, the mean error "
        "of a logit falls as NFE rises; a disc marks the chosen tolerance.",
    )


def update_dial(fig: Figure, data: Dial, tolerance: float) -> None:
    """Choose another tolerance in a figure drawn by :func:`dial`."""
    cloud, cost = fig.axes
    flipped, height = data.flipped[tolerance], np.maximum(2 * data.off[tolerance], 1.2 * SMALLEST)
    _, stays, differs = cloud.lines
    stays.set_data(data.margin[~flipped], height[~flipped])
    differs.set_data(data.margin[flipped], height[flipped])
    row = data.measured[tolerance]
    cost.lines[1].set_data([row["nfe"]], [row["gap"]])
