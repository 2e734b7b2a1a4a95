"""Labelled curves on plain or logarithmic axes, side by side: the plot that most measurements need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure

Curve = tuple[ArrayLike, ArrayLike]  # x and y, one shape


def power_law(x: ArrayLike, error: ArrayLike, *, floor: float = 1e-12, points: int = 6) -> tuple[float, float]:
    """(slope, factor) of error ≈ factor · x^slope, fitted where it is clean.

    Uses the ``points`` smallest x whose error lies between ``floor`` (rounding) and 1 (not converging yet).
    Both are NaN when fewer than three points are left: two points always lie on a line.
    """
    x, error = np.asarray(x, float), np.asarray(error, float)
    kept = np.flatnonzero(np.isfinite(error) & (error > floor) & (error < 1))
    kept = kept[np.argsort(x[kept])][:points]
    if len(kept) < 3:
        return float("nan"), float("nan")
    slope, offset = np.polyfit(np.log(x[kept]), np.log(error[kept]), 1)
    return float(slope), float(np.exp(offset))


@dataclass(frozen=True)
class Panel:
    """One set of axes: labelled curves on linear or logarithmic scales.

    Attributes:
        title, x, y: texts.
        curves: name -> (x, y), drawn with colour, dash and marker; names appear in the legend.
        log: which axes are logarithmic: "", "x", "y" or "xy".
        guides: name -> (x, y), drawn thin and grey without markers.
        marks: "both" lines and markers, "line" for dense curves, "points" for scattered ones.
        ylim: limits, or None.
        legend: False where a neighbour's legend says it all.
    """

    title: str
    x: str
    y: str
    curves: Mapping[str, Curve]
    log: str = ""
    guides: Mapping[str, Curve] = field(default_factory=dict)
    marks: str = "both"
    ylim: tuple[float, float] | None = None
    legend: bool = True


MARKS: dict[str, dict[str, Any]] = {
    "both": {},
    "line": {"marker": None},
    "points": {"linestyle": "none", "markersize": 3},
}


def panels(*specs: Panel, alt: str, size: tuple[float, float] | None = None) -> Figure:
    """The panels side by side."""
    fig = new_figure(size or (max(4.6 * len(specs) + 0.4, 8.0), 3.6))
    for ax, spec in zip(np.atleast_1d(fig.subplots(1, len(specs))), specs, strict=True):
        for name, (x, y) in spec.guides.items():
            ax.plot(x, y, color=COLORS["grey"], linestyle=(0, (6, 3)), linewidth=1.2, label=name, zorder=1)
        for i, (name, (x, y)) in enumerate(spec.curves.items()):
            ax.plot(x, y, label=name, **(line_style(i) | MARKS[spec.marks]))
        axis_texts(ax, spec.title, spec.x, spec.y, spec.log)
        ax.set_ylim(spec.ylim)
        for axis in (ax.xaxis, ax.yaxis):
            few_decades(axis)
        if spec.legend:
            ax.legend()
    return describe(fig, alt)


def few_decades(axis: Axis) -> None:
    """Label 1, 2 and 5 on a logarithmic axis of less than two decades, where matplotlib's labels overlap."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log":
        axis.set_minor_formatter(NullFormatter())
        if high < 100 * low:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")


def axis_texts(ax: Axes, title: str, x: str, y: str, log: str = "") -> None:
    ax.set(title=title, xlabel=x, ylabel=y)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
