"""Figures behind the sliders of the FFJORD lesson: a trace estimated with K probes, a density on its way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.ffjord.figures import bare, heat
from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure

NOISES = ("gaussian", "rademacher")  # one colour, dash and marker each
BINS = 61


@dataclass(frozen=True)
class Estimates:
    """Estimates of one trace.

    Attributes:
        trace: the exact value.
        probes: numbers K of probes, increasing.
        values: noise -> estimates with each K, (len(probes), n).
        predicted: noise -> standard deviation of one estimate with K = 1, by formula.
        reach: the histograms show errors up to this size; the same for figures that a slider changes in place.
    """

    trace: float
    probes: tuple[int, ...]
    values: dict[str, np.ndarray]
    predicted: dict[str, float]
    reach: float

    def edges(self) -> np.ndarray:
        """Bins of the error, (BINS + 1,)."""
        return np.linspace(-self.reach, self.reach, BINS + 1)


def estimates(data: Estimates, k: int, fig: Figure | None = None) -> Figure:
    """Histograms of the estimates with K probes, and their standard deviation against K with the predicted line."""
    fig = new_figure(fig, (9.6, 3.8))
    histogram, spread = fig.subplots(1, 2)
    for i, noise in enumerate(NOISES):
        style = line_style(i)
        histogram.plot([], [], drawstyle="steps-mid", label=noise, **(style | {"marker": None}))
        spread.plot([], [], label=f"{noise}: measured", **(style | {"linestyle": ""}))
    for i in range(len(NOISES)):
        spread.plot([], [], **(line_style(i) | {"marker": None, "linewidth": 1.2}))
    histogram.axvline(0, color=COLORS["black"], linestyle="-", linewidth=1)
    spread.axvline(1, color=COLORS["black"], linestyle="-", linewidth=1)
    histogram.set(
        xlabel="estimate − trace", ylabel="height, tallest bin 1", ylim=(0, 1.08), xlim=(-data.reach, data.reach)
    )
    spread.set(
        xscale="log",
        yscale="log",
        xlabel="probes K",
        ylabel="standard deviation",
        ylim=(0.02, 60),
        xlim=(data.probes[0] / 1.4, data.probes[-1] * 1.4),
    )
    spread.set(title="lines: formula; marks: measured")
    histogram.legend(loc="upper right")
    spread.legend(loc="lower left")
    update_estimates(fig, data, k)
    return describe(
        fig,
        "Left, histograms of a trace estimated with Gaussian and with Rademacher probes, around zero error. Right, "
        "their standard deviations against the number of probes, log-log, on lines of slope minus one half.",
    )


def update_estimates(fig: Figure, data: Estimates, k: int) -> None:
    """Put another matrix or K into a figure drawn by :func:`estimates`."""
    (histogram, spread), edges = fig.axes, data.edges()
    at, probes = data.probes.index(k), np.array(data.probes)
    for i, noise in enumerate(NOISES):
        count, _ = np.histogram(data.values[noise][at] - data.trace, edges)
        histogram.lines[i].set_data((edges[1:] + edges[:-1]) / 2, count / max(count.max(), 1))
        spread.lines[i].set_data(probes, np.maximum(data.values[noise].std(1), 1e-9))
        spread.lines[len(NOISES) + i].set_data(probes, np.maximum(data.predicted[noise] / np.sqrt(probes), 1e-9))
    spread.lines[2 * len(NOISES)].set_xdata([k] * 2)
    histogram.set_title(f"{data.values['gaussian'].shape[1]} estimates with K = {k}")


def movie(points: ArrayLike, density: ArrayLike, t: float, half_width: float, fig: Figure | None = None) -> Figure:
    """Particles of a flow at time t, (n, 2), beside its density there on a grid, (m, m)."""
    fig = new_figure(fig, (7.6, 3.9))
    left, right = fig.subplots(1, 2)
    left.plot([], [], "o", color=COLORS["blue"], markersize=2.2, alpha=0.75)
    heat(right, np.zeros_like(np.asarray(density, float)), half_width)
    right.images[0].set_clim(0, 1)
    bare(left, half_width)
    right.set_title("density, its peak bright")
    update_movie(fig, points, density, t, half_width)
    return describe(
        fig,
        "Left, a few hundred particles; right, the density they are distributed by. At t = 1 both are a Gaussian, at "
        "t = 0 the shape of the data; in between one becomes the other.",
    )


def update_movie(fig: Figure, points: ArrayLike, density: ArrayLike, t: float, half_width: float) -> None:
    """Another time, or another flow, in a figure drawn by :func:`movie`."""
    left, right = fig.axes
    left.lines[0].set_data(*np.asarray(points, float).T)
    p = np.asarray(density, float)
    right.images[0].set_data(p / p.max())
    right.images[0].set_extent((-half_width, half_width, -half_width, half_width))
    for ax in (left, right):
        ax.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width))
    end = {0.0: " (data)", 1.0: " (base)"}.get(t, "")
    left.set_title(f"particles at t = {t:.2f}{end}")
