"""Figures of the adjoint's lesson: there and back, jumps, three gradients, memory, and a fit to two populations.

Every function draws the arrays it is given; none of them solves an equation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, GROUNDS, GUIDE, describe, line_style, new_figure

GRADIENTS = ("backprop", "adjoint", "checkpoint")  # one colour, dash and marker each, in every figure of the lesson
TINY = 1e-17  # stands for zero on a logarithmic axis
Measured = Mapping[int, Mapping[str, tuple[float, float]]]  # steps -> gradient -> (bytes kept, seconds)


def smooth(index: int, **more: Any) -> dict[str, Any]:
    """Style of the ``index``-th curve when it is dense: colour and dash, no markers."""
    return line_style(index) | {"marker": None} | more


def there_and_back(t: ArrayLike, forward: ArrayLike, backward: Mapping[float, ArrayLike]) -> Figure:
    """The angle of a path, the same path integrated backwards from its end, and the distance between the two.

    Args:
        t: increasing times, (n,).
        forward: the path at these times, (n, 2).
        backward: tolerance -> what solving backwards from the end gives at these times, (n, 2).
    """
    fig = new_figure((9.6, 3.9))
    angle, gap = fig.subplots(1, 2)
    there = np.asarray(forward, float)
    angle.plot(t, there[:, 0], color=COLORS["black"], linestyle="-", linewidth=3, alpha=0.75, label="there")
    for i, (tolerance, path) in enumerate(backward.items()):
        back = np.asarray(path, float)
        angle.plot(t, back[:, 0], label=f"back, {tolerance:.0e}", **smooth(i))
        gap.plot(t, np.maximum(np.linalg.norm(back - there, axis=1), TINY), label=f"{tolerance:.0e}", **smooth(i))
    angle.set(title="the path and its reconstruction", ylabel="angle", ylim=(-2.6, 2.6))
    gap.set(title="distance between the two", yscale="log", ylim=(1e-11, 1e3))
    for ax in (angle, gap):
        ax.set_xlabel("time (the way back runs from right to left)")
        ax.legend(loc="upper right")
    gap.get_legend().set_title("tolerance")
    return describe(
        fig,
        "Left, the angle of a damped pendulum swings into its rest, and three curves try to return from the end by the "
        "same equation run backwards; the loosest one flies off. Right, their distance from it, growing backwards.",
    )


def euler_limit(
    traces: Mapping[int, tuple[ArrayLike, ArrayLike]], exact: tuple[ArrayLike, ArrayLike], errors: Mapping[int, float]
) -> Figure:
    """The adjoint of N Euler steps against the continuous one, and how fast their distance falls.

    Args:
        traces: N -> (times, one component of the adjoint), each (N + 1,).
        exact: (times, the same component of the continuous adjoint).
        errors: number of steps -> distance at t0.
    """
    fig = new_figure((9.6, 3.7))
    left, right = fig.subplots(1, 2)
    left.plot(*exact, color=COLORS["black"], linewidth=2.4, label="continuous")
    for i, (steps, (t, adjoint)) in enumerate(traces.items()):
        left.plot(t, adjoint, label=f"{steps} Euler steps", **smooth(i))
    left.set(title="adjoint of the angle", xlabel="time t", ylabel="∂L/∂angle(t)", ylim=(-5, 6))
    left.legend(loc="upper center", ncols=2)
    n, error = np.array([*errors]), np.array([*errors.values()])
    right.loglog(n, error, label="distance at t₀", **line_style(0))
    right.loglog(n, error[-1] * n[-1] / n, label="slope −1", **GUIDE)
    right.set(title="it falls like 1/N", xlabel="number of steps N", ylabel="error of ∂L/∂z(t₀)")
    right.legend()
    return describe(
        fig,
        f"Left, backprop through {', '.join(map(str, traces))} Euler steps gives curves that approach the smooth "
        "adjoint. Right, their distance at the start against the number of steps falls with slope minus one.",
    )


def jumps(t: ArrayLike, path: ArrayLike, adjoint: ArrayLike, times: ArrayLike, observed: ArrayLike) -> Figure:
    """A path with observations (above) and its adjoint (below), which jumps at each of them.

    Args:
        t, path, adjoint: (n,), (n, 2) and (n, 2); each observation time twice, after and before the jump.
        times, observed: of the observed angles, (m,).
    """
    fig = new_figure((9.6, 4.6))
    above, below = fig.subplots(2, 1, sharex=True)
    above.plot(t, np.asarray(path)[:, 0], color=COLORS["blue"], label="angle of the model")
    above.plot(times, observed, "s", color=COLORS["vermillion"], label="observed")
    above.set(ylabel="angle", title="the loss looks at the path five times …")
    above.legend(loc="upper center", ncols=2)
    for i, name in enumerate(("∂L/∂angle", "∂L/∂velocity")):
        below.plot(t, np.asarray(adjoint)[:, i], label=name, **smooth(i))
    below.vlines(times, *below.get_ylim(), color=COLORS["grey"], linewidth=0.8, zorder=0)
    below.set(xlabel="time t (solved from right to left)", ylabel="adjoint", title="… and the adjoint jumps each time")
    below.legend(loc="lower right", ncols=2)
    return describe(
        fig,
        "Above, the angle of a pendulum and five observations. Below, the components of the adjoint: the one of the "
        "angle jumps at each observation, the one of the velocity only bends.",
    )


def three_gradients() -> Figure:
    """Relative error of three gradients on [0, 1] against the solver's tolerance."""
    fig = new_figure((8.0, 4.4))
    ax = fig.subplots()
    for i, name in enumerate(GRADIENTS):  # backprop and checkpoint lie on top of each other
        ax.plot([], [], label=name, **(line_style(i) | {"markersize": (10, 8, 5)[i]}))
    ax.plot([], [], label="tolerance · exp(λ)", **GUIDE)
    ax.set(xscale="log", yscale="log", xlim=(5e-9, 2e-3), ylim=(1e-10, 1e9))
    ax.set(xlabel="tolerance of the solver (rtol = atol)", ylabel="relative error of ∂A/∂λ")
    ax.axhline(1, color=COLORS["black"], linestyle="-", linewidth=0.8)
    ax.text(6e-9, 1.6, "from here on not even the sign is sure", fontsize=10)
    ax.legend(loc="upper left", ncols=2)
    return describe(
        fig,
        "Relative error of three gradients against the solver's tolerance, log-log. Backprop and checkpoint lie on one "
        "line and follow the tolerance; the adjoint lies higher by a factor that grows with the rate λ.",
    )


def update_three_gradients(fig: Figure, tolerance: ArrayLike, errors: Mapping[str, ArrayLike], rate: float) -> None:
    """Put a rate into a figure drawn by :func:`three_gradients`.

    Args:
        tolerance: rtol = atol, (n,).
        errors: "backprop", "adjoint", "checkpoint" -> relative error against a closed form, (n,).
        rate: contraction λ of the system, for the guide tolerance · exp(λ).
    """
    tol, lines = np.asarray(tolerance, float), fig.axes[0].lines
    for line, name in zip(lines, GRADIENTS, strict=False):
        line.set_data(tol, np.maximum(np.asarray(errors[name], float), TINY))
    lines[len(GRADIENTS)].set_data(tol, tol * np.exp(rate))


def reconstruction() -> Figure:
    """A decaying state on [0, 1], its reconstruction from the end, and the gap between them on a logarithmic axis."""
    fig = new_figure((9.6, 3.9))
    path, gap = fig.subplots(1, 2)
    path.plot([], [], color=COLORS["black"], linewidth=2.6, label="forward")
    path.plot([], [], color=COLORS["vermillion"], linestyle="--", label="backward from y(1)")
    path.set(title="state", xlabel="time t", xlim=(0, 1), ylim=(-0.6, 1.6))
    gap.plot([], [], color=COLORS["vermillion"], label="|backward − forward|")
    gap.plot([], [], label="tolerance · exp(λ (1 − t))", **GUIDE)
    gap.set(title="gap", xlabel="time t (backwards: right to left)", xlim=(0, 1), yscale="log", ylim=(1e-13, 1e10))
    for ax in (path, gap):
        ax.legend(loc="upper right")
    return describe(
        fig,
        "Left, a decaying state solved forward and reconstructed from its end, which leaves the path where decay is "
        "fast. Right, the gap between the two on a logarithmic axis, growing backwards in time.",
    )


def update_reconstruction(fig: Figure, t: ArrayLike, forward: ArrayLike, backward: ArrayLike, guide: ArrayLike) -> None:
    """Put a rate and a tolerance into a figure drawn by :func:`reconstruction`.

    Args:
        t, forward, backward: times and the state there, solved from the left and back from the right, (n,) each.
        guide: how large the gap is expected to be, (n,).
    """
    (path, gap), there, back = fig.axes, np.asarray(forward, float), np.asarray(backward, float)
    path.lines[0].set_data(t, there)
    path.lines[1].set_data(t, back)
    gap.lines[0].set_data(t, np.maximum(np.abs(back - there), TINY))
    gap.lines[1].set_data(t, guide)


def memory(measured: Measured) -> Figure:
    """What each gradient keeps for its way back, and how long it takes, against the number of steps; one is marked."""
    fig = new_figure((9.6, 3.9))
    for k, (ax, unit) in enumerate(zip(fig.subplots(1, 2), ("bytes kept", "seconds, both ways"), strict=True)):
        for i, name in enumerate(GRADIENTS):
            ax.plot(list(measured), [row[name][k] for row in measured.values()], label=name, **line_style(i))
        ax.axvline(min(measured), color=COLORS["black"], linestyle="-", linewidth=0.9)
        ax.set(title=("memory", "time")[k], xlabel="steps of the solver", ylabel=unit, xscale="log", yscale="log")
    fig.axes[0].legend(loc="upper left")  # wherever the mark stands
    return describe(
        fig,
        "Left, bytes kept for the backward pass against solver steps, log-log: backprop grows in proportion, "
        "checkpoint too but far below it, the adjoint is flat. Right, the seconds each needs, all growing.",
    )


def update_memory(fig: Figure, steps: int) -> None:
    """Move the marker of a figure drawn by :func:`memory`."""
    for ax in fig.axes:
        ax.lines[len(GRADIENTS)].set_xdata([steps, steps])


def populations(
    years: ArrayLike, pelts: ArrayLike, times: ArrayLike, models: Mapping[str, ArrayLike], held_out: float = np.inf
) -> Figure:
    """Hares and lynxes: observed pelts and models, one panel per animal.

    Args:
        years, pelts: observations, (n,) and (n, 2), thousands.
        times: of the models, (m,).
        models: name -> log-populations, (m, 2), or (m, k, 2) of k models, drawn thin in one style.
        held_out: first year the models have not seen.
    """
    fig = new_figure((9.6, 3.9))
    t, seen = np.asarray(years), np.asarray(years) < held_out
    dots: dict[str, Any] = {"linestyle": "", "marker": "o", "color": COLORS["black"], "markersize": 5}
    panels = fig.subplots(1, 2, sharey=True)
    for k, (ax, animal) in enumerate(zip(panels, ("hare", "lynx"), strict=True)):
        for i, (name, logs) in enumerate(models.items()):
            family = np.exp(np.asarray(logs)).reshape(len(np.asarray(times)), -1, 2)[..., k]
            thin = {"linewidth": 1.0, "alpha": 0.7} if family.shape[1] > 1 else {}
            ax.plot(times, family, label=[name] + [""] * (family.shape[1] - 1), **smooth(i, **thin))
        ax.plot(t[seen], np.asarray(pelts)[seen, k], label="observed", **dots)
        if not seen.all():
            ax.plot(t[~seen], np.asarray(pelts)[~seen, k], label="held out", **dots, markerfacecolor="white")
            ax.axvspan(held_out - 0.5, ax.get_xlim()[1], color=GROUNDS["yellow"], alpha=0.25, linewidth=0, zorder=0)
        ax.set(title=animal, xlabel="year", yscale="log", ylim=(1.5, 200))
        ax.set_xticks(np.arange(1900, np.asarray(times).max() + 1, 10))
        ax.set_yticks((3, 10, 30, 100), ("3", "10", "30", "100"))
    panels[0].set_ylabel("thousand pelts")
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(models) + 2)
    end = "" if seen.all() else f" The shaded years from {held_out:g} on were not seen in training."
    return describe(
        fig, f"Pelts of hares and lynxes by year on a logarithmic axis, observed and by {' and '.join(models)}.{end}"
    )
