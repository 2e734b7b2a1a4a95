"""Figures of the lesson on ODE²VAE at scale: strips of video, a collapsing encoder, measured and predicted cost.

Every function draws the arrays it is given; none of them runs a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure

GAP = 0.08  # white between two frames, as a share of a frame
MISSING = np.array([0.80, 0.88, 0.95])  # the colour of a frame that nobody saw, on no grey scale
EDGE = 0.75  # grey of the line around each frame


def strip(frames: ArrayLike, seen: ArrayLike | None = None) -> np.ndarray:
    """Frames (T, H, W) in [0, 1] side by side as one RGB picture, ink dark on white; unseen ones are crossed out."""
    x = np.asarray(frames, float)
    count, height, width = x.shape
    gap = max(1, round(GAP * width))
    picture = np.ones((height + 2, count * (width + 2 + gap) - gap, 3))
    for k, frame in enumerate(x):
        tile = np.full((height + 2, width + 2, 3), EDGE)
        tile[1:-1, 1:-1] = 1 - frame[..., None] if seen is None or np.asarray(seen)[k] else crossed(height, width)
        left = k * (width + 2 + gap)
        picture[:, left : left + width + 2] = tile
    return picture


def crossed(height: int, width: int) -> np.ndarray:
    """A frame (height, width, 3) that was not observed: a colour no image has, with a cross."""
    tile = np.broadcast_to(MISSING, (height, width, 3)).copy()
    rows = np.arange(height)
    across = np.minimum(rows * width // height, width - 1)
    for columns in (across, width - 1 - across):
        tile[rows, columns] = to_rgb(COLORS["blue"])
    return tile


def show_strip(ax: Axes, picture: np.ndarray, label: str) -> None:
    """A strip with its name at its left and nothing else."""
    ax.imshow(picture, interpolation="nearest", aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def strips(groups: Mapping[str, Mapping[str, np.ndarray]], alt: str, width: float = 9.6) -> Figure:
    """Groups of strips, title -> label -> RGB picture, each group under its title, all as wide as the page."""
    pictures = [(title, label, picture) for title, group in groups.items() for label, picture in group.items()]
    heights = [picture.shape[0] / picture.shape[1] for _, _, picture in pictures]
    fig = new_figure((width, sum(heights) * width * 0.88 + 0.34 * len(groups) + 0.05 * len(pictures)))
    axes = fig.subplots(len(pictures), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    known: set[str] = set()
    for ax, (title, label, picture) in zip(axes, pictures, strict=True):
        show_strip(ax, picture, label)
        if title not in known:
            ax.set_title(title, fontsize=11)
            known.add(title)
    return describe(fig, alt)


def learning(steps: int, dull: Mapping[str, float], truth: ArrayLike, seen: ArrayLike) -> Figure:
    """A training before its first step: errors on missing frames, and strips of one sequence that it never sees.

    Args:
        dull: name of a guess without a model -> its error.
        truth: (T, H, W); seen: bool (T,).
    """
    fig = new_figure((9.6, 4.6))
    curve, *rows = fig.subplots(4, 1, gridspec_kw={"height_ratios": [3.2, 1, 1, 1]})
    curve.plot([], [], label="ODE²VAE", **line_style(0))
    for k, (name, value) in enumerate(dull.items(), 1):
        curve.axhline(value, label=name, **(line_style(k) | {"marker": None}))
    curve.set(xlim=(0, steps), ylim=(0, 1.6 * max(dull.values())))
    curve.set(xlabel="step", ylabel="mean squared error", title="error on missing frames of new digits")
    curve.legend(loc="upper right", ncols=1 + len(dull))
    for ax, name in zip(rows, ("truth", "seen", "ODE²VAE"), strict=True):
        show_strip(ax, strip(truth, seen if name == "seen" else None), name)
    return describe(
        fig,
        f"The error of ODE²VAE on missing frames falls while it trains, beside those of {' and '.join(dull)}. Below, "
        "strips of one new digit: the truth, what is seen of it, and what the model draws, grey at first.",
    )


def update_learning(fig: Figure, steps: Sequence[int], errors: Sequence[float], drawn: ArrayLike) -> None:
    """Put the errors so far and the model's strip (T, H, W) into what :func:`learning` drew."""
    curve, *_, last = fig.axes
    curve.lines[0].set_data(steps, errors)
    last.images[0].set_data(strip(drawn))


def collapse(sigma: Mapping[str, ArrayLike], exact: float) -> Figure:
    """Standard deviation of an encoder over gradient steps, by objective, and where it ought to end."""
    fig = new_figure((7.6, 3.0))
    ax = fig.subplots()
    for k, (name, values) in enumerate(sigma.items()):
        ax.plot(values, label=name, **(line_style(k) | {"marker": None}))
    ax.axhline(exact, color=COLORS["black"], linestyle=":", label=f"exact posterior: {exact:.3f}")
    ax.set(xlabel="gradient step", ylabel="σ of q(z₀ | x)", yscale="log", ylim=(0.05, 1.6))
    ax.legend(loc="lower left")
    return describe(
        fig,
        "Standard deviation of the encoder, logarithmic, against gradient steps, and that of the exact posterior as a "
        f"dotted line. Trained by: {', '.join(sigma)}. Without its logarithm sigma falls far below the dotted line.",
    )


def predicted_against_measured(measured: Mapping[str, ArrayLike], predicted: Mapping[str, ArrayLike]) -> Figure:
    """A panel for each quantity, name with its unit -> values in the same order; the diagonal is a perfect model."""
    fig = new_figure((7.6, 3.4))
    for k, (ax, (name, values)) in enumerate(
        zip(fig.subplots(1, len(measured), squeeze=False)[0], measured.items(), strict=True)
    ):
        x, y = np.asarray(values, float), np.asarray(predicted[name], float)
        ends = [min(x.min(), y.min()) / 1.4, max(x.max(), y.max()) * 1.4]
        ax.plot(ends, ends, color=COLORS["black"], linestyle=":", linewidth=1.2)
        ax.plot(x, y, **(line_style(k) | {"linestyle": "", "markersize": 7}))
        ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured", ylabel="predicted", title=name)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 1e6:g} M" if v >= 1e5 else f"{v:g}"))
            axis.set_minor_formatter(NullFormatter())  # labels of small ticks would run into each other
    return describe(
        fig,
        "Predicted against measured cost of a training step, one dot a setting, double logarithmic; the dots lie close "
        f"to the diagonal for {' and for '.join(measured)}.",
    )


@dataclass(frozen=True)
class Filled:
    """One sequence, what was seen of it, and how it was filled in.

    Attributes:
        truth: (T, H, W) in [0, 1].
        seen: bool (T,).
        guesses: method -> (T, H, W).
    """

    truth: np.ndarray
    seen: np.ndarray
    guesses: Mapping[str, np.ndarray]

    def errors(self) -> dict[str, np.ndarray]:
        """Mean squared error of every frame that was not seen, by method; NaN where it was, (T,)."""
        return {
            name: np.where(self.seen, np.nan, ((guess - self.truth) ** 2).mean((1, 2)))
            for name, guess in self.guesses.items()
        }


def filled(data: Filled, top: float) -> Figure:
    """Strips of a sequence, what is seen of it and every guess; below, the errors on the frames not seen.

    Args:
        top: of the error axis, the same for all positions of a slider.
    """
    fig = new_figure((9.6, 1.9 + 0.58 * (2 + len(data.guesses))))
    names = ["truth", "seen", *data.guesses]
    axes = fig.subplots(len(names) + 1, 1, gridspec_kw={"height_ratios": [1] * len(names) + [2.6]})
    for ax, name in zip(axes, names, strict=False):
        show_strip(ax, strip(data.truth), name)
    frames = np.arange(len(data.truth))
    for k, name in enumerate(data.guesses):
        axes[-1].plot(frames, np.full(len(frames), np.nan), label=name, **line_style(k) | {"linestyle": ""})
    axes[-1].set(xlabel="frame", ylabel="error where\nnot seen", xlim=(-0.5, len(frames) - 0.5), ylim=(0, top))
    axes[-1].legend(loc="upper center", ncols=len(data.guesses))
    return describe(
        fig,
        "Rows of video frames: the truth, what is seen of it with crosses for missing frames, and the guesses of "
        + ", ".join(data.guesses)
        + "; below, the error of each guess on every missing frame.",
    )


def update_filled(fig: Figure, data: Filled) -> None:
    """Put a sequence and a mask into a figure drawn by :func:`filled`."""
    *rows, errors = fig.axes
    pictures = [strip(data.truth), strip(data.truth, data.seen), *map(strip, data.guesses.values())]
    for ax, picture in zip(rows, pictures, strict=True):
        ax.images[0].set_data(picture)
    for line, values in zip(errors.lines, data.errors().values(), strict=True):
        line.set_ydata(values)


@dataclass(frozen=True)
class Horizon:
    """Forecasts of one video.

    Attributes:
        truth: (T, H, W) in [0, 1].
        forecasts: model -> (T, H, W).
        errors: model -> mean squared error of each frame, mean over many videos, (T,).
        seen: m, frames the models are given; trained: frames of a training sequence.
    """

    truth: np.ndarray
    forecasts: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    seen: int
    trained: int


DARKER = {"mean frame": 4}  # ink of a panel times this: a palette of few greys would not show so faint a picture


def horizon(data: Horizon, top: float) -> Figure:
    """The frame in question side by side, and below the errors of all frames with a line at this one.

    Args:
        top: of the error axis, two decades high, the same for all positions of a slider.
    """
    fig = new_figure((7.8, 4.5))
    names = ["truth", *data.forecasts]
    grid = fig.add_gridspec(2, len(names), height_ratios=[0.8, 1])
    for k, name in enumerate(names):
        ax = fig.add_subplot(grid[0, k])
        darker = DARKER.get(name, 1)
        ax.imshow(np.zeros_like(data.truth[0]), cmap="gray_r", vmin=0, vmax=1 / darker, interpolation="nearest")
        frame_only(ax, name if darker == 1 else f"{name.removesuffix(' frame')} × {darker}")
    below = fig.add_subplot(grid[1, :])
    for k, name in enumerate(data.forecasts):
        below.plot([], [], label=name, **line_style(k) | {"marker": None})
    below.plot([], [], color=COLORS["black"], linestyle="-", linewidth=1.2)  # where the slider stands
    below.axvspan(-0.5, data.seen - 0.5, color=COLORS["sky"], alpha=0.35, linewidth=0)
    below.axvline(data.trained - 0.5, color=COLORS["grey"], linestyle="--", linewidth=1.2)
    below.set(xlim=(-0.5, len(data.truth) - 0.5), xlabel="frame", ylabel="mean squared error")
    below.set(yscale="log", ylim=(top / 100, top))  # one ball covers a third of what three cover
    below.text(data.trained - 0.3, top * 0.93, "beyond training", va="top", fontsize=10, color=COLORS["dark grey"])
    below.legend(loc="lower right", ncols=2)
    return describe(
        fig,
        f"One frame of a video side by side: {', '.join(names)}. Below, the error of every frame, mean over many "
        "videos; a shaded part marks the frames that were seen, a dashed line the length of the training videos.",
    )


def update_horizon(fig: Figure, data: Horizon, frame: int) -> None:
    """Put a frame and a video into a figure drawn by :func:`horizon`."""
    *pictures, below = fig.axes
    for ax, video in zip(pictures, [data.truth, *data.forecasts.values()], strict=True):
        ax.images[0].set_data(video[frame])
    for line, values in zip(below.lines, data.errors.values(), strict=False):
        line.set_data(np.arange(len(values)), values)
    below.lines[len(data.errors)].set_data([frame, frame], below.get_ylim())


def frame_only(ax: Axes, title: str) -> None:
    """A picture with a frame and a name."""
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=11)
    ax.grid(visible=False)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(COLORS["grey"])


GIGABYTE = 1e9
CARDS = {"8 GB": 8.0, "80 GB": 80.0}  # a laptop's memory, a large GPU's


def cost(frames: np.ndarray, parts: Sequence[str], limits: Sequence[tuple[float, float]]) -> Figure:
    """Seconds and gigabytes of a step against its frames, and what the parts of the model have in both.

    Args:
        frames: the axis, (n,).
        limits: of the seconds and of the gigabytes, so that a slider does not move the axes.
    """
    fig = new_figure((8.0, 3.6))
    left, middle, right = fig.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 0.9]})
    for ax, name, color, ends in zip(
        (left, middle), ("seconds of a step", "gigabytes kept"), ("blue", "vermillion"), limits, strict=True
    ):
        ax.plot(frames, np.full(len(frames), np.nan), color=COLORS[color], linestyle="-")
        ax.plot([], [], "o", color=COLORS[color], markersize=9)
        ax.set(xscale="log", yscale="log", xlabel="frames T", title=name, ylim=ends)
        ax.set_xlim(frames[0] / 1.3, frames[-1] * 1.3)
    for label, size in CARDS.items():
        middle.axhline(size, color=COLORS["grey"], linestyle=":", linewidth=1.2)
        middle.text(frames[0], size, label, va="bottom", fontsize=10, color=COLORS["dark grey"])
    places = np.arange(len(parts))
    right.barh(places - 0.19, np.zeros(len(places)), 0.36, color=COLORS["blue"], label="time")
    right.barh(places + 0.19, np.zeros(len(places)), 0.36, color=COLORS["vermillion"], hatch="//", label="memory")
    right.set(xlim=(0, 100), xlabel="share, %", yticks=places, yticklabels=parts)
    right.invert_yaxis()
    right.grid(axis="y", visible=False)
    right.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, frameon=False)
    return describe(
        fig,
        "Predicted seconds and gigabytes of a training step against the frames of a sequence, double logarithmic, a "
        "dot at the chosen setting; and bars with the shares of overhead, stages, field, decoder and encoder in both.",
    )


def update_cost(fig: Figure, at: int, costs: Sequence[ArrayLike], shares: Sequence[Mapping[str, float]]) -> None:
    """Put a setting into a figure drawn by :func:`cost`.

    Args:
        at: where on the axis of frames the step is, an index.
        costs: seconds and gigabytes along the axis, (n,) each.
        shares: what each part has of the seconds and of the memory.
    """
    *curves, right = fig.axes
    for ax, cost in zip(curves, costs, strict=True):
        line, dot = ax.lines[:2]
        line.set_ydata(cost)
        dot.set_data(np.asarray(line.get_xydata())[[at]].T)
    for bars, parts in zip(right.containers, shares, strict=True):
        for bar, share in zip(bars, parts.values(), strict=True):
            bar.set_width(100 * share)
