"""Figures of the lesson on ODE²VAE at scale: strips of video, a collapsing encoder, measured and predicted cost.

Every function draws the arrays it is given; none of them runs a model.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def strips(
    groups: Mapping[str, Mapping[str, np.ndarray]], alt: str, width: float = 9.6, fig: Figure | None = None
) -> Figure:
    """Groups of strips, title -> label -> RGB picture, each group under its title, all as wide as the page."""
    pictures = [(title, label, picture) for title, group in groups.items() for label, picture in group.items()]
    heights = [picture.shape[0] / picture.shape[1] for _, _, picture in pictures]
    fig = new_figure(fig, (width, sum(heights) * width * 0.88 + 0.34 * len(groups) + 0.05 * len(pictures)))
    axes = fig.subplots(len(pictures), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    known: set[str] = set()
    for ax, (title, label, picture) in zip(axes, pictures, strict=True):
        show_strip(ax, picture, label)
        if title not in known:
            ax.set_title(title, fontsize=11)
            known.add(title)
    return describe(fig, alt)


def training(
    loss: ArrayLike, validation: Mapping[str, tuple[ArrayLike, ArrayLike]], fig: Figure | None = None
) -> Figure:
    """The loss of every step, and errors on frames nobody showed to the model: name -> (steps, values)."""
    fig = new_figure(fig, (9.6, 3.2))
    left, right = fig.subplots(1, 2)
    y = np.asarray(loss, float)
    left.plot(np.arange(1, len(y) + 1), y, color=COLORS["blue"], linewidth=1.0)
    left.set(xlabel="step", ylabel="nats for each frame", title="loss of each batch")
    left.set_ylim(np.percentile(y, 1) * 0.95, np.percentile(y, 97) * 1.05)
    for k, (name, (steps, values)) in enumerate(validation.items()):
        right.plot(steps, values, label=name, **line_style(k))
    right.set(xlabel="step", ylabel="mean squared error", title="on missing frames")
    right.set_ylim(0, 1.15 * max(float(np.max(values)) for _, values in validation.values()))
    right.legend(loc="lower left")
    return describe(
        fig,
        "Left, the training loss falls and flattens. Right, the error on missing frames of new digits falls with it: "
        + ", ".join(validation)
        + ".",
    )


def collapse(sigma: Mapping[str, ArrayLike], exact: float, fig: Figure | None = None) -> Figure:
    """Standard deviation of an encoder over gradient steps, by objective, and where it ought to end."""
    fig = new_figure(fig, (7.6, 3.0))
    ax = fig.subplots()
    for k, (name, values) in enumerate(sigma.items()):
        ax.plot(values, label=name, **(line_style(k) | {"marker": None}))
    ax.axhline(exact, color=COLORS["black"], linestyle=":", label=f"exact posterior: {exact:.3f}")
    ax.set(xlabel="gradient step", ylabel="σ of q(z₀ | x)", yscale="log")
    ax.legend(loc="lower left")
    return describe(
        fig,
        "Standard deviation of the encoder, logarithmic, against gradient steps. With the complete log-density it "
        "settles on the exact posterior's; without the logarithm of sigma it falls towards zero.",
    )


def predicted_against_measured(
    measured: Mapping[str, ArrayLike], predicted: Mapping[str, ArrayLike], fig: Figure | None = None
) -> Figure:
    """A panel for each quantity, name with its unit -> values in the same order; the diagonal is a perfect model."""
    fig = new_figure(fig, (7.6, 3.4))
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
