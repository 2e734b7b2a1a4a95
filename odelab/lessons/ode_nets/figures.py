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


@dataclass(frozen=True)
class Difference:
    """Mean of a row less that of another, in points: half of its 95 % interval, and whether the two are told apart."""

    points: float
    half: float
    told_apart: bool


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
    fig = new_figure((9.6, 5.2))
    ax = fig.subplots()
    everything = [[e for runs in ours.values() for e in runs.get(name, ())] + [paper.get(name, 0)] for name in names]
    limit = 1.15 * axis_end([max(row) for row in everything])
    label: str | None = "paper, one run ± one binomial SE"
    means = None
    for i, name in enumerate(names):
        if max(everything[i]) > limit:
            words = [f"ours {np.mean(runs[name]):.2f}" for runs in ours.values() if len(runs.get(name, ()))]
            words += [f"paper {paper[name]:.2f}"] if name in paper else []
            ax.text(limit, i, f"beyond this axis: {', '.join(words)} →", ha="right", va="center")
        elif name in paper:
            p = paper[name]
            bar = 100 * np.sqrt(p / 100 * (1 - p / 100) / images)
            ax.errorbar(p, i - 0.28, xerr=bar, color=COLORS["vermillion"], marker="D", capsize=3, label=label)
            label = None
        if not any(len(runs.get(name, ())) for runs in ours.values()):
            ax.text(0.99, i, "no full run stored yet", transform=ax.get_yaxis_transform(), ha="right", va="center")
    for (kind, runs), (color, marker, shift) in zip(
        ours.items(), (("blue", "o", 0.02), ("green", "s", 0.28)), strict=False
    ):
        label = f"ours, {kind}, one mark per seed"
        for i, name in enumerate(names):
            seeds = runs.get(name, ())
            if len(seeds) and max(everything[i]) <= limit:
                place = i + shift + 0.04 * (np.arange(len(seeds)) - (len(seeds) - 1) / 2)  # so that equal runs show
                ax.plot(seeds, place, marker, color=COLORS[color], markersize=5, label=label)
                (means,) = ax.plot(np.mean(seeds), i + shift, "|", color="black", markersize=16, markeredgewidth=2)
                label = None
    if means:
        means.set_label("mean")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="test error on MNIST in %", xlim=(0, limit), ylim=(len(names) - 0.5, -0.5))
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


def axis_end(ends: Sequence[float]) -> float:
    """Where an axis may end: at the largest, or at the second where the largest is more than twice as far."""
    ordered = [0.0, *sorted(ends)]
    return ordered[-2] if ordered[-1] > 2 * ordered[-2] > 0 else ordered[-1]


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
    full: Mapping[str, Mapping[str, Difference]],
) -> Figure:
    """Each row less one of them: of a quick run by its images (left), of the full runs by their seeds (right).

    Args:
        reference: the row that is subtracted.
        quick: name -> (points, their standard error by pairs of images, the one without pairing).
        full: kind of run -> name -> difference over seeds; two kinds at most, and rows may be missing.
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
    known = [(name, row) for values in full.values() for name, row in values.items() if name in place]
    limit = 1.3 * axis_end([abs(row.points) + row.half for _, row in known])
    for (kind, values), color, marker, shift in zip(
        full.items(), ("blue", "green"), ("o", "s"), (-0.12, 0.16), strict=False
    ):
        for name, row in values.items():
            at = place[name] + shift
            if abs(row.points) > limit:
                ends = {"x": np.copysign(limit, row.points), "ha": "right" if row.points > 0 else "left"}
                right.text(y=at, s=f"beyond this axis: {signed(row)} →", va="center", **ends)
                continue
            filling = COLORS[color] if row.told_apart else "white"
            right.errorbar(row.points, at, xerr=row.half, fmt=marker, color=COLORS[color], mfc=filling, **narrow)
        right.plot([], [], marker, color=COLORS[color], mfc="white", linestyle="", label=f"95 % interval, {kind}")
    right.plot([], [], "o", color=COLORS["black"], linestyle="", label="filled mark: told apart (Holm)")
    if known:
        right.set_xlim(-limit, limit)
    for ax, title in ((left, "just now: one seed, 1,000 images"), (right, "full runs: several seeds, 10,000 images")):
        ax.axvline(0, color=COLORS["black"], linestyle="-", linewidth=1.2, zorder=1)
        ax.set(title=title, xlabel=f"points of test error more than {reference}")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
        ax.grid(visible=False, axis="y")
    left.set_yticks(rows, [*quick])
    left.set_ylim(len(rows) - 0.5, -0.5)
    told = [name for name, (difference, error, _) in quick.items() if abs(difference) > 2 * error]
    return describe(
        fig,
        f"Test error of each row less that of {reference}, with bars of two standard errors. Left, a quick run: bars "
        f"by pairs of images are shorter than those without; zero lies outside for {', '.join(told) or 'none'}. Right, "
        "the full runs with 95 % intervals: "
        + "; ".join(
            f"{kind}: "
            + (
                ", ".join(f"{name} {signed(row)}{', told apart' * row.told_apart}" for name, row in rows.items())
                or "none"
            )
            for kind, rows in full.items()
        )
        + ".",
    )


def signed(row: Difference) -> str:
    """The difference with its sign, ± half of its interval."""
    return f"{row.points:+.2f} ± {row.half:.2f}".replace("-", "−")


def memory(steps: Mapping[int, Mapping[str, float]], depth: Mapping[int, float]) -> Figure:
    """Bytes kept for the backward pass: of an ODE block's gradients by its steps, of a ResNet by its depth.

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
    left.set(title="ODE block", xlabel="steps of the solver", ylabel="MB kept for the backward pass", ylim=(0.03, 60))
    right.set(title="ResNet", xlabel="residual blocks")
    for ax, counts in ((left, [*steps]), (right, [*depth])):
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.minorticks_off()
    return describe(
        fig,
        "Megabytes kept for the backward pass, log-log. Left, an ODE block against solver steps: backprop and "
        "checkpoint grow in proportion, the adjoint is flat. Right, a ResNet against depth grows in proportion.",
    )


def solver_bill(solvers: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """A trained block under two solvers and many tolerances: Chen et al. (2018), Figure 3a and c.

    Args:
        solvers: name -> "nfe", "error" and "backward" (NFE of the adjoint), each (tolerances,).
    """
    fig = new_figure((9.8, 3.9))
    error, backward = fig.subplots(1, 2)
    ratios = {name: np.divide(row["backward"], row["nfe"]) for name, row in solvers.items()}
    for i, (name, row) in enumerate(solvers.items()):
        error.plot(row["nfe"], row["error"], label=name, **line_style(i))
        backward.plot(row["nfe"], ratios[name], label=name, **line_style(i))
    backward.axhline(1, label="as many as forward", zorder=1, **GUIDE)
    backward.axhline(0.5, label="half as many (paper)", zorder=1, **(GUIDE | {"linestyle": (0, (1, 2))}))
    error.set(title="(a) error of z(1), rms", yscale="log")
    backward.set(title="(c) NFE backward over NFE forward", ylim=(0, 1.3))
    for ax in (error, backward):
        ax.set(xlabel="NFE, forward", xscale="log")
        few_decades(ax.xaxis)
    error.legend(loc="upper right")
    backward.legend(loc="lower right", ncols=2)
    factors = ", ".join(f"{name} from {min(ratio):.2g} to {max(ratio):.2g}" for name, ratio in ratios.items())
    return describe(
        fig, f"Against NFE of the forward solve: (a) the error falls; (c) NFE of the backward over it, {factors}."
    )


def solver_time(
    solvers: Mapping[str, Mapping[str, ArrayLike]], training: Mapping[str, tuple[ArrayLike, ArrayLike]]
) -> Figure:
    """CPU time of a solve, and NFE while networks are trained: Chen et al. (2018), Figure 3b and d.

    Args:
        solvers: name -> "nfe" and "seconds", each (tolerances,).
        training: what was counted -> (passes over the data, NFE of one forward solve), each (n,).
    """
    fig = new_figure((9.8, 3.9))
    seconds, counts = fig.subplots(1, 2)
    for i, (name, row) in enumerate(solvers.items()):
        seconds.plot(row["nfe"], row["seconds"], label=name, **line_style(i))
    for i, (name, (passes, nfe)) in enumerate(training.items()):
        look = {"markersize": 11 - 3 * i, "linewidth": 4.5 - 1.5 * i}  # so that curves on one another can be told apart
        counts.plot(passes, nfe, label=name, **(line_style(i + 2) | look))
    seconds.set(title="(b) CPU seconds, forward", xlabel="NFE, forward", xscale="log", yscale="log")
    few_decades(seconds.xaxis)
    seconds.legend(loc="upper left")
    counts.set(title="(d) NFE, forward", xlabel="passes over the training images", ylim=(0, None))
    counts.legend(loc="lower right")
    return describe(
        fig,
        "(b) CPU seconds of the forward solve rise with its NFE. (d) NFE of the forward solve during training: "
        + ", ".join(f"{name} from {np.min(nfe):.0f} to {np.max(nfe):.0f}" for name, (_, nfe) in training.items())
        + ".",
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
    ax.imshow(np.log10(values), cmap="cividis", aspect="auto", vmin=0.5, vmax=1.7)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:.1f}", ha="center", va="center", color="white" if value < 12 else "black", fontsize=12)
    ax.set_xticks(range(len(tested)), tested)
    ax.set_yticks(range(len(trained)), trained)
    ax.set(xlabel="tested with", title="test error in %")
    ax.set_ylabel("trained with")
    ax.grid(visible=False)
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


def apart_enough(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Which of the points (n, 2) can carry a label: those that lie this far (2,) from every one chosen before."""
    chosen = np.zeros(len(points), bool)
    for k, point in enumerate(points):
        chosen[k] = not (np.abs(points[chosen] - point) < distance).all(1).any()
    return chosen


SHOWN_MAPS = 16  # of the feature maps of an image, so that one can see them


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
    tiles.imshow(mosaic(data.maps[0, 0, :SHOWN_MAPS]), cmap="cividis", vmin=-bound, vmax=bound, zorder=3)
    for ax in (picture, tiles):
        ax.set_axis_off()
    for k in range(data.plane.shape[1]):
        plane.plot(*data.plane[:, k].T, color=COLORS["grey"], linestyle="-", linewidth=0.9, zorder=1)
    legible = apart_enough(data.plane[-1], 0.045 * np.ptp(data.plane[-1], axis=0))
    for digit in np.unique(data.labels):
        ends = data.plane[-1, legible & (data.labels == digit)]
        look: dict[str, Any] = {"color": COLORS["black"], "linestyle": "", "markersize": 8}
        plane.plot(*ends.T, marker=f"${digit}$", markeredgewidth=0.4, zorder=2, **look)
    way = line_style(1) | {"marker": None, "linestyle": "-"}
    plane.plot([], [], zorder=3, linewidth=2.4, **way)
    plane.plot([], [], "o", color=COLORS["vermillion"], markersize=10, zorder=4)
    plane.set(title="paths of the features", xlabel="first component", ylabel="second component")
    classes = range(data.probabilities.shape[-1])
    bars.barh(classes, np.zeros(len(classes)), color=COLORS["blue"])
    bars.set_yticks(classes)
    bars.set(title="the head, asked at t", xlabel="probability", xlim=(0, 1), ylabel="digit")
    bars.invert_yaxis()
    return describe(
        fig,
        f"An image, some of its {data.maps.shape[2]} feature maps at a time t, the path of its features in the plane "
        "of two principal components among the paths of other images, and the ten class probabilities when the head is "
        "asked at t.",
    )


def update_journey(fig: Figure, data: Journeys, image: int, moment: int) -> None:
    """Put an image and a time into a figure drawn by :func:`journey`."""
    picture, tiles, plane, bars = fig.axes
    picture.images[0].set_data(data.images[image])
    tiles.images[0].set_data(mosaic(data.maps[moment, image, :SHOWN_MAPS]))
    shown = min(SHOWN_MAPS, data.maps.shape[2])
    tiles.set_title(f"{shown} of {data.maps.shape[2]} maps, t = {data.times[moment]:.2f}", fontsize=11)
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
        f"of a logit against NFE, from {gap[0]:.1g} at {nfe[0]:.0f} to {gap[-1]:.1g} at {nfe[-1]:.0f} evaluations; a "
        "disc marks the chosen tolerance.",
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
