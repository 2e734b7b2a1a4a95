"""Figures of the ODE-Nets' lesson: a table as a picture, differences between its rows, memory, evaluations, noise.

Every function draws the numbers it is given; none of them trains or solves anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    fig: Figure | None = None,
) -> Figure:
    """Test errors, one line per row of the table: every run, their means, and the paper's number.

    Args:
        names: of the rows, from top to bottom.
        ours: kind of run -> name -> test error in percent, one per seed; two kinds at most, and a row may be missing.
        paper: name -> test error in percent; a row may be missing.
        images: size of the test set, for the bars of one standard error around the paper's single runs.
    """
    fig = new_figure(fig, (9.6, 4.4))
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


def differences(
    names: Sequence[str], points: ArrayLike, errors: ArrayLike, alt: str, fig: Figure | None = None
) -> Figure:
    """Which rows can be told apart: differences in test error and their standard errors, pair by pair.

    Args:
        names: of n rows.
        points, errors: row minus column in percentage points, and the standard error of that, (n, n) each.
    """
    fig = new_figure(fig, (7.6, 4.4))
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


def memory(steps: Mapping[int, Mapping[str, float]], depth: Mapping[int, float], fig: Figure | None = None) -> Figure:
    """Bytes kept for the way back: by the gradients of an ODE block against its steps, by a ResNet against its depth.

    Args:
        steps: number of solver steps -> "backprop", "checkpoint", "adjoint" -> bytes.
        depth: number of residual blocks -> bytes.
    """
    fig = new_figure(fig, (9.6, 3.9))
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


def evaluations(panels: Mapping[str, tuple[ArrayLike, ArrayLike]], fig: Figure | None = None) -> Figure:
    """NFE forward and backward while a network trains; one panel per training run.

    Args:
        panels: what was trained and by what it is counted -> (NFE forward, NFE backward), each (n,).
    """
    fig = new_figure(fig, (9.6, 3.4))
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


def noise(levels: ArrayLike, errors: Mapping[str, ArrayLike], examples: ArrayLike, fig: Figure | None = None) -> Figure:
    """Test error under Gaussian noise, one thin line per seed and a thick one for their mean; above, what is seen.

    Args:
        levels: standard deviations of the noise, (n,), of grey levels in [0, 1].
        errors: body -> test error in percent, (seeds, n).
        examples: one image under each noise, (n, h, w).
    """
    fig = new_figure(fig, (9.6, 4.6))
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


def solvers_matrix(
    trained: Sequence[str], tested: Sequence[str], errors: ArrayLike, fig: Figure | None = None
) -> Figure:
    """Test error in percent of networks trained with one solver (rows) and tested with another (columns)."""
    fig = new_figure(fig, (8.6, 1.2 + 0.62 * len(trained)))
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
