"""Figures of the solvers' lesson: error and order, step control, stability, energy, events.

Every function draws the arrays it is given; none of them solves an equation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from odelab.figures.style import COLORS, describe, line_style, new_figure

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


def panels(*specs: Panel, alt: str, size: tuple[float, float] | None = None, fig: Figure | None = None) -> Figure:
    """The panels side by side."""
    fig = new_figure(fig, size or (max(4.6 * len(specs) + 0.4, 8.0), 3.6))
    for ax, spec in zip(np.atleast_1d(fig.subplots(1, len(specs))), specs, strict=True):
        for name, (x, y) in spec.guides.items():
            ax.plot(x, y, color=COLORS["grey"], linestyle=(0, (6, 3)), linewidth=1.2, label=name, zorder=1)
        for i, (name, (x, y)) in enumerate(spec.curves.items()):
            ax.plot(x, y, label=name, **(line_style(i) | MARKS[spec.marks]))
        _axis_texts(ax, spec.title, spec.x, spec.y, spec.log)
        ax.set_ylim(spec.ylim)
        for axis in (ax.xaxis, ax.yaxis):
            _few_decades(axis)
        if spec.legend:
            ax.legend()
    return describe(fig, alt)


def _few_decades(axis: Axis) -> None:
    """Label 1, 2 and 5 on a logarithmic axis of less than two decades, where matplotlib's labels overlap."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log":
        axis.set_minor_formatter(NullFormatter())
        if high < 100 * low:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")


def _axis_texts(ax: Axes, title: str, x: str, y: str, log: str = "") -> None:
    ax.set(title=title, xlabel=x, ylabel=y)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")


def orbits(paths: Mapping[str, tuple[np.ndarray, np.ndarray]], bodies: np.ndarray, fig: Figure | None = None) -> Figure:
    """Trajectories in the plane, each with the points where its solver stopped.

    Args:
        paths: title -> (curve of shape (n, d), knots of shape (m, d)); the first two columns are the place.
        bodies: positions of the fixed bodies, shape (k, 2).
    """
    fig = new_figure(fig, (4.6 * len(paths), 4.2))
    for i, (ax, (title, (path, knots))) in enumerate(zip(fig.subplots(1, len(paths)), paths.items(), strict=True)):
        style = line_style(i)
        ax.plot(*path[:, :2].T, color=style["color"], linewidth=1.2)
        ax.plot(*knots[:, :2].T, ".", color=style["color"], markersize=4)
        ax.plot(*bodies.T, "o", color=COLORS["black"], markersize=7)
        for name, (x, y) in zip(("Earth", "Moon"), bodies, strict=True):
            ax.annotate(name, (x, y), xytext=(-6, -16), textcoords="offset points")
        ax.set(title=title, xlim=(-1.45, 1.35), ylim=(-1.3, 1.3), aspect="equal", xlabel="x", ylabel="y")
    return describe(fig, f"Orbits of a spacecraft between Earth and Moon: {'; '.join(paths)}.".replace("\n", ", "))


Measured = Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # method -> (step, nfe, error)


def convergence(curves: Measured, chosen: str, floor: float = 1e-12, fig: Figure | None = None) -> Figure:
    """Error against step and against evaluations for every method, one of them in bold with its fitted slope.

    Args:
        curves: method -> (step sizes, evaluations of f, errors), each of shape (n,).
        chosen: the method in bold.
        floor: errors below it are rounding and not fitted.
    """
    fig = new_figure(fig, (9.6, 4.2))
    left, right = fig.subplots(1, 2, sharey=True)
    _axis_texts(left, "error against step", "step h", "error at the end", "xy")
    _axis_texts(right, "error against work", "evaluations of f", "", "xy")
    for ax, limits in ((left, (0.012, 1.2)), (right, (3, 1.5e3))):
        ax.set(xlim=limits, ylim=(1e-13, 1e4))
        for i, name in enumerate(curves):
            ax.plot([], [], label=name, markersize=5, **line_style(i))
        ax.plot([], [], color=COLORS["black"], linewidth=1, zorder=5)
        ax.text(0.04, 0.94, "", transform=ax.transAxes, va="top", fontsize=12)
    right.legend(loc="upper right")
    update_convergence(fig, curves, chosen, floor)
    return describe(
        fig,
        "Error at the end of the interval against step size and against evaluations of f, log-log, one curve per "
        "method; a line through the chosen method's last points shows its order as a slope.",
    )


def update_convergence(fig: Figure, curves: Measured, chosen: str, floor: float = 1e-12) -> None:
    """Put other data into a figure drawn by :func:`convergence` (the same methods in the same order)."""
    step, _, error = curves[chosen]
    slope, factor = power_law(step, error, floor=floor)
    for column, ax in enumerate(fig.axes):
        for line, (name, data) in zip(ax.lines, curves.items(), strict=False):
            line.set_data(data[column], data[2])
            line.set(alpha=1.0 if name == chosen else 0.3, linewidth=2.6 if name == chosen else 1.2)
        ax.lines[-1].set_data(
            curves[chosen][column], np.where((error > floor) & (error < 1), factor * step**slope, np.nan)
        )
        fitted = f"slope {slope if column == 0 else -slope:.2f}" if np.isfinite(slope) else "no clean slope"
        ax.texts[0].set_text(f"{chosen}: {fitted}")


@dataclass(frozen=True)
class StepLog:
    """One adaptive solve: a dense curve and every step tried.

    Attributes:
        t, y: the solution for drawing, shapes (n,) and (n,).
        start, dt: where each tried step began and how long it was, shape (steps,).
        accepted: whether it was accepted, boolean, shape (steps,).
        state: the drawn component at each start, shape (steps,).
    """

    t: np.ndarray
    y: np.ndarray
    start: np.ndarray
    dt: np.ndarray
    accepted: np.ndarray
    state: np.ndarray


def step_control(log: StepLog, fig: Figure | None = None) -> Figure:
    """Where an adaptive solver stepped (above) and how far (below): accepted ticks, rejected crosses."""
    fig = new_figure(fig, (9.6, 4.8))
    above, below = fig.subplots(2, 1, sharex=True)
    above.plot([], [], color=COLORS["grey"], linewidth=1.5)
    above.plot([], [], "|", color=COLORS["blue"], markersize=11, markeredgewidth=0.9)
    rug = above.get_xaxis_transform()
    above.plot([], [], "x", color=COLORS["vermillion"], markersize=6, markeredgewidth=1.4, transform=rug)
    below.plot([], [], ".-", color=COLORS["blue"], linewidth=1, markersize=4, label="accepted")
    below.plot([], [], "x", color=COLORS["vermillion"], markersize=6, markeredgewidth=1.4, label="rejected")
    above.set(ylabel="solution y(t)", xlim=(log.t[0], log.t[-1]), ylim=(-3.6, 3.6))
    _axis_texts(below, "", "time t", "step size h", "y")
    below.set_ylim(1e-3, 20)
    below.legend(loc="upper right", ncols=2)
    update_step_control(fig, log)
    return describe(
        fig,
        "Above, the solution of an ODE with a tick at each accepted step and a cross at each rejected one; below, the "
        "size of these steps on a logarithmic axis: small where the solution bends, large where it is smooth.",
    )


def update_step_control(fig: Figure, log: StepLog) -> None:
    """Put another solve into a figure drawn by :func:`step_control`."""
    above, below = fig.axes
    yes, no = log.accepted, ~log.accepted
    above.lines[0].set_data(log.t, log.y)
    above.lines[1].set_data(log.start[yes], log.state[yes])
    above.lines[2].set_data(log.start[no], np.full(no.sum(), 0.05))
    below.lines[0].set_data(log.start[yes], log.dt[yes])
    below.lines[1].set_data(log.start[no], log.dt[no])


def stability_regions(
    factors: Mapping[str, np.ndarray], real: np.ndarray, imag: np.ndarray, fig: Figure | None = None
) -> Figure:
    """Where |R(z)| ≤ 1, one panel per method.

    Args:
        factors: method -> R on the grid, complex, shape (len(imag), len(real)).
    """
    fig = new_figure(fig, (2.5 * len(factors) + 0.4, 3.4))
    fig.subplots(1, len(factors), sharey=True)
    for i, (name, factor) in enumerate(factors.items()):
        ax, color = fig.axes[i], line_style(i)["color"]
        size = np.abs(np.asarray(factor))
        ax.contourf(real, imag, size, levels=[0, 1], colors=[color], alpha=0.35)
        ax.contour(real, imag, size, levels=[1], colors=[color], linewidths=1.8)
        ax.axvline(0, color=COLORS["grey"], linewidth=0.8)
        ax.axhline(0, color=COLORS["grey"], linewidth=0.8)
        ax.set(title=name, xlabel="Re z", aspect="equal")
    fig.axes[0].set_ylabel("Im z")
    names = ", ".join(factors)
    return describe(fig, f"Stability regions in the complex plane z = h λ, shaded where |R(z)| ≤ 1: {names}.")
