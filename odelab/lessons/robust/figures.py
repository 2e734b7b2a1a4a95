"""Figures of lesson 11: interventions, slopes off the path, attacks, and boxes that grow along a flow.

Every function draws the arrays it is given; none of them solves an equation.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, GUIDE, describe, line_style, new_figure

MODELS = ("right", "wrong")


def smooth(index: int, **more: object) -> dict[str, object]:
    """Style of the ``index``-th curve when it is dense: colour and dash, no markers."""
    return line_style(index) | {"marker": None} | more


def intervention(times: ArrayLike, samples: ArrayLike, observed: Mapping[str, ArrayLike]) -> Figure:
    """Left what was observed and how two equations fit it, right what they say after an intervention (missing yet).

    Args:
        times: (n,); samples: (n,) of S; observed: name -> S (n,) of each equation.
    """
    fig = new_figure((9.6, 4.0))
    before, after = fig.subplots(1, 2, sharey=True)
    x = np.asarray(times, float)
    before.plot(x, samples, "o", color=COLORS["black"], markersize=4, label="measured")
    for i, (name, path) in enumerate(observed.items()):
        before.plot(x, path, label=name, **smooth(i, linewidth=2.6 - 0.8 * i))
        after.plot([], [], label=name, **smooth(i, linewidth=2.6 - 0.8 * i))
    after.plot([], [], "o", color=COLORS["black"], markersize=4, label="what happens")
    before.set(title="observed: both fit", xlabel="time", ylabel="stock S")
    after.set(title="after the intervention", xlabel="time", xlim=(x[0], x[-1]), ylim=(-1.5, 4.2))
    before.legend(loc="upper right")
    after.legend(loc="upper left")
    return describe(
        fig,
        """Left, measured points of a stock over time and two equations that both run through them. Right, after an
        intervention: one equation follows what happens, the other goes its own way.""",
    )


def update_intervention(fig: Figure, times: ArrayLike, paths: Sequence[ArrayLike], happens: ArrayLike) -> None:
    """Put the paths (n,) of the two equations and what really happens into the right panel."""
    after = fig.axes[1]
    for line, path in zip(after.lines, paths, strict=False):
        line.set_data(times, path)
    few = slice(None, None, 4)
    after.lines[-1].set_data(np.asarray(times)[few], np.asarray(happens)[few])


def two_nets(measured: ArrayLike, happens: ArrayLike, names: Sequence[str], steps: int) -> Figure:
    """The losses of two nets in training, their fits, and what they say when Q is held; empty yet.

    Args:
        measured, happens: (n, 2) of time and S, in the experiment and while Q is held; steps: of the optimizer.
    """
    fig = new_figure((9.6, 3.6))
    loss, fit, held = fig.subplots(1, 3)
    fit.plot(*np.asarray(measured).T, "o", color=COLORS["black"], markersize=3, label="measured")
    held.plot(*np.asarray(happens).T, "o", color=COLORS["black"], markersize=3, label="what happens")
    for ax in (loss, fit, held):
        for i, name in enumerate(names):
            ax.plot([], [], label=name, **smooth(i, linewidth=2.4 - 0.8 * i))
    loss.set(title="training loss", xlabel="iteration", yscale="log", xlim=(0, steps), ylim=(1e-5, 1))
    fit.set(title="the experiment", xlabel="time", ylabel="stock S", ylim=(-0.1, 1.1))
    held.set(title="Q is held at 1.5", xlabel="time", ylim=(-0.5, 4))
    fig.legend(*fit.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return describe(
        fig,
        """Three panels: the losses of two nets fall together, both nets fit the measured stock, and while Q is held
        only one of them stays near what happens.""",
    )


def update_two_nets(
    fig: Figure,
    losses: Sequence[Sequence[tuple[int, float]]],
    times: ArrayLike,
    fits: Sequence[ArrayLike],
    held: Sequence[ArrayLike],
) -> None:
    """For each net its losses (iteration, value), and S (n,) in the experiment and while Q is held."""
    for i in range(len(losses)):
        fig.axes[0].lines[i].set_data(*np.asarray(losses[i]).T)
        fig.axes[1].lines[i + 1].set_data(times, fits[i])
        fig.axes[2].lines[i + 1].set_data(times, held[i])


def slopes_off_the_path(grid: tuple[ArrayLike, ArrayLike], errors: Mapping[str, ArrayLike], path: ArrayLike) -> Figure:
    """The error of dS/dt over the plane of Q and S, model by model, with the path that was observed.

    Args:
        grid: values of Q (n,) and S (m,); errors: name -> (m, n); path: (k, 2).
    """
    fig = new_figure((9.6, 3.5))
    axes = np.atleast_1d(fig.subplots(1, len(errors), sharey=True))
    for ax, (name, error) in zip(axes, errors.items(), strict=True):
        ax.pcolormesh(*grid, error, vmin=0, vmax=1.5, shading="gouraud", rasterized=True)
        lines = ax.contour(*grid, error, levels=(0.1, 0.2, 0.4), colors="white", linewidths=1.2)
        ax.clabel(lines, fmt="%g", fontsize=11)
        ax.plot(*np.asarray(path).T, color="white", linewidth=4, linestyle="-")
        ax.plot(*np.asarray(path).T, color=COLORS["vermillion"], linewidth=2, linestyle="-")
        ax.set(title=name, xlabel="supply Q")
        ax.grid(False)
    axes[0].set_ylabel("stock S")
    fig.colorbar(axes[0].collections[0], ax=axes, label="error of dS/dt", extend="max")
    return describe(
        fig,
        """The plane of supply and stock, a panel for each model, coloured by the error of the slope of S, with lines
        at 0.1, 0.2 and 0.4: small along the observed path in every panel, and of very different size away from it.""",
    )


def when_right(samples: Sequence[int], noises: Sequence[float]) -> Figure:
    """A map of how often SINDy is right, by noise and samples, and what one of its answers predicts; empty yet."""
    fig = new_figure((9.6, 4.2))
    chart, paths = fig.subplots(1, 2, width_ratios=(1.1, 1))
    rows, columns = len(samples), len(noises)
    chart.imshow(np.zeros((rows, columns)), vmin=0, vmax=1, origin="lower", aspect="auto")
    chart.set_xticks(range(columns), [f"{100 * noise:g} %" for noise in noises])
    chart.set_yticks(range(rows), [str(count) for count in samples])
    chart.set(title="share of draws with the right terms", xlabel="noise", ylabel="samples of each experiment")
    chart.grid(False)
    for k in range(rows):
        for j in range(columns):
            chart.text(j, k, "", ha="center", va="center", fontsize=13)
    chart.plot(
        [], [], "s", markersize=34, markerfacecolor="none", markeredgecolor=COLORS["vermillion"], markeredgewidth=3
    )
    paths.plot([], [], "o", color=COLORS["grey"], markersize=3, label="samples")
    paths.plot([], [], label="true path", color=COLORS["black"], linestyle="-", linewidth=2.4)
    paths.plot([], [], label="path of the equations found", **smooth(1))
    paths.plot([], [], "o", color=COLORS["black"], markersize=9, markerfacecolor="none", label="start")
    paths.legend(loc="upper right")
    paths.set(title="from a start that was not observed")
    return describe(
        fig,
        """Left, a chart of shares between zero and one by noise and number of samples, with the chosen cell framed.
        Right, the samples in the plane of the two states, a true path from a new start, and the path that the
        discovered equations predict, both from a circle.""",
    )


def update_when_right(
    fig: Figure,
    shares: ArrayLike,
    cell: tuple[int, int],
    clouds: ArrayLike,
    truth: ArrayLike,
    predicted: ArrayLike,
    names: tuple[str, str],
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    """Shares (rows, columns), the chosen (row, column), samples (n, 2), and two paths (m, 2) within limits."""
    chart, paths = fig.axes
    values = np.asarray(shares, float)
    chart.images[0].set_data(values)
    for text, value in zip(chart.texts, values.ravel(), strict=True):
        text.set_text(f"{value:.2f}")
        text.set_color("black" if value > 0.55 else "white")
    chart.lines[0].set_data([cell[1]], [cell[0]])
    first = np.asarray(truth, float)[:1]
    for line, points in zip(paths.lines, (clouds, truth, predicted, first), strict=True):
        line.set_data(*np.asarray(points, float).T)
    paths.set(xlabel=names[0], ylabel=names[1], xlim=limits[0], ylim=limits[1])


# Disturbed images


def disturbed(images: Mapping[str, ArrayLike], answers: Mapping[str, str]) -> Figure:
    """One digit, undisturbed and disturbed: name -> image (h, w), and what a net says of it."""
    fig = new_figure((9.6, 2.5))
    for ax, (name, image) in zip(fig.subplots(1, len(images)), images.items(), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set(title=name, xticks=[], yticks=[], xlabel=answers[name])
        ax.title.set_fontsize(10)
    return describe(
        fig, "One handwritten digit, clean, with noise, blurred, rotated and attacked; below each what the net says."
    )


def disturbance_curves(
    levels: Mapping[str, ArrayLike], curves: Mapping[str, Mapping[str, ArrayLike]], units: Mapping[str, str]
) -> Figure:
    """Accuracy against the size of each disturbance: the mean over seeds, and a band from the least to the greatest.

    Args:
        levels: disturbance -> (n,); curves: net -> disturbance -> (seeds, n), percent; units: of the levels.
    """
    fig = new_figure((9.6, 5.6))
    axes = fig.subplots(2, 2, sharey=True).ravel()
    for ax, (disturbance, values) in zip(axes, levels.items(), strict=True):
        for i, (name, of) in enumerate(curves.items()):
            seeds = np.asarray(of[disturbance], float)
            style = line_style(i)
            ax.fill_between(values, seeds.min(0), seeds.max(0), color=style["color"], alpha=0.2, linewidth=0)
            ax.plot(values, seeds.mean(0), label=name, **style)
        ax.set(title=disturbance, xlabel=units[disturbance], ylim=(0, 102))
    for ax in axes[::2]:
        ax.set_ylabel("accuracy, %")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=13)
    return describe(
        fig,
        """Four panels, noise, blur, rotation and PGD: the accuracy of four nets falls as the disturbance grows; bands
        over seeds overlap where nets do not differ.""",
    )


def masked(velocities: ArrayLike, ends: Mapping[str, ArrayLike], evaluations: ArrayLike) -> Figure:
    """Where a swing ends over the velocity of its push, by two solvers, and what the adaptive one spends.

    Args:
        velocities: (n,); ends: solver -> angle (n,); evaluations: (n,).
    """
    fig = new_figure((9.6, 3.8))
    end, count = fig.subplots(1, 2, width_ratios=(1.6, 1))
    for i, (name, values) in enumerate(ends.items()):
        end.plot(velocities, values, label=name, **smooth(i))
    end.axhline(np.pi, label="border of the two answers", **GUIDE)
    end.set(title="where the swing is after 5", xlabel="velocity of the push", ylabel="angle")
    end.legend()
    count.plot(velocities, evaluations, color=COLORS["vermillion"], linestyle="-", drawstyle="steps-mid")
    count.set(title="evaluations of the adaptive solver", xlabel="velocity of the push")
    return describe(
        fig,
        """Left, the angle at the end against the velocity at the start: smooth with fixed steps and below the border;
        with jumps for the adaptive solver, and mostly above it. Right, the number of its evaluations, which changes by
        whole steps.""",
    )


# Boxes


def flow_boxes(points: ArrayLike, labels: ArrayLike) -> Figure:
    """Two moons, room for boxes and paths among them, and for the sizes of the boxes over time.

    Args:
        points: (n, 2); labels: (n,) of 0 and 1.
    """
    fig = new_figure((9.6, 4.8))
    plane, size = fig.subplots(1, 2, width_ratios=(1.4, 1))
    x, y = np.asarray(points, float), np.asarray(labels)
    for label, color, marker in ((0, COLORS["sky"], "o"), (1, COLORS["orange"], "s")):
        plane.plot(*x[y == label].T, marker, color=color, markersize=3, label=f"moon {label + 1}, before the flow")
    plane.plot([], [], color=COLORS["black"], linestyle="--", linewidth=1.4, label="where the head changes its answer")
    plane.plot([], [], color=COLORS["vermillion"], linestyle="-", linewidth=1.8, label="boxes")
    plane.plot([], [], color=COLORS["black"], linestyle="-", linewidth=0.6, label="paths of points of the first box")
    plane.plot([], [], color=COLORS["vermillion"], linestyle="-", linewidth=3.5, label="last box")
    plane.set(title="boxes along the flow", xlabel="z₁", ylabel="z₂", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    fig.legend(*plane.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=11)
    size.plot([], [], label="box", **line_style(1))
    size.plot([], [], label="cloud of 200 points", **line_style(0))
    size.set(title="largest radius", xlabel="time", yscale="log", xlim=(0, 1), ylim=(5e-3, 20))
    size.legend(loc="upper left")
    return describe(
        fig,
        """Left, two moons in the plane, a box around one point and the boxes that follow it along a flow, with paths of
        points inside. Right, the largest radius of the boxes over time on a logarithmic axis, above that of the
        points.""",
    )


def update_flow_boxes(
    fig: Figure,
    lows: ArrayLike,
    highs: ArrayLike,
    paths: ArrayLike,
    boundary: tuple[ArrayLike, float],
    limits: tuple[ArrayLike, ArrayLike],
) -> None:
    """Boxes (k, 2) by their corners, paths (k, n, 2), the line normal · z + offset = 0, within corners (2,)."""
    plane, size = fig.axes
    low, high, z = (np.asarray(part, float) for part in (lows, highs, paths))
    corners = [np.array([[a, c], [b, c], [b, d], [a, d], [a, c]]) for (a, c), (b, d) in zip(low, high, strict=True)]
    gap = np.full((1, 2), np.nan)
    plane.lines[3].set_data(*np.concatenate([part for corner in corners for part in (corner, gap)]).T)
    plane.lines[5].set_data(*corners[-1].T)
    some = z[:, :40].transpose(1, 0, 2)
    plane.lines[4].set_data(*np.concatenate([part for path in some for part in (path, gap)]).T)
    normal, offset = np.asarray(boundary[0], float), boundary[1]
    foot = -offset * normal / (normal @ normal)
    along = np.array([-normal[1], normal[0]]) / np.linalg.norm(normal)
    plane.lines[2].set_data(*np.stack([foot - 50 * along, foot + 50 * along]).T)
    left_right, down_up = np.stack(limits, axis=1)
    plane.set(xlim=left_right, ylim=down_up)
    times = np.linspace(0, 1, len(low))
    size.lines[0].set_data(times, ((high - low) / 2).max(1))
    size.lines[1].set_data(times, ((z.max(1) - z.min(1)) / 2).max(1))


def certified_curves(epsilons: ArrayLike, curves: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Attacked and certified accuracy against ε, a panel for each training, with bands over seeds.

    Args:
        curves: training -> "attacked" and "certified" -> (seeds, n), percent.
    """
    fig = new_figure((9.6, 3.6))
    for ax, (training, of) in zip(
        np.atleast_1d(fig.subplots(1, len(curves), sharey=True)), curves.items(), strict=True
    ):
        for i, name in enumerate(("attacked", "certified")):
            seeds = np.asarray(of[name], float)
            style = line_style(i)
            ax.fill_between(epsilons, seeds.min(0), seeds.max(0), color=style["color"], alpha=0.2, linewidth=0)
            ax.plot(epsilons, seeds.mean(0), label=name, **style)
        ax.set(title=training, xlabel="ε", ylim=(-2, 102))
        ax.title.set_fontsize(13)
    fig.axes[0].set_ylabel("accuracy, %")
    fig.axes[0].legend(loc="lower left")
    return describe(
        fig,
        """Three panels, one for each training: accuracy under attack and certified accuracy against ε. The certified
        curve lies below the other; the gap is wide except in the panel of the net trained with boxes.""",
    )


def box_growth(paths: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """The largest radius of boxes over time: name -> times and radii."""
    fig = new_figure((8.0, 3.8))
    ax = fig.subplots()
    for i, (name, (times, sizes)) in enumerate(paths.items()):
        ax.plot(times, sizes, label=name, **line_style(i))
    ax.set(title="boxes through three solvers", xlabel="time", ylabel="largest radius", yscale="log")
    ax.legend()
    return describe(
        fig,
        """The largest radius of boxes over time, logarithmic: with fixed steps and with a finite set of steps it grows
        little, through a naive adaptive solver it explodes before half of the time has passed.""",
    )
