"""Figures of the adjoint's lesson: a nudge and its price, a training, a way back that fails, memory, two populations.

Every function draws the arrays it is given; none of them solves an equation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, GROUNDS, GUIDE, describe, line_style, new_figure

GRADIENTS = ("backprop", "adjoint", "checkpoint")  # one colour, dash and marker each, in every figure of the lesson
ERRORS = (*GRADIENTS, "adjoint, 5 stored states")
TINY = 1e-17  # stands for zero on a logarithmic axis
Measured = Mapping[int, Mapping[str, tuple[float, float]]]  # steps -> gradient -> (bytes kept, seconds)


def smooth(index: int, **more: Any) -> dict[str, Any]:
    """Style of the ``index``-th curve when it is dense: colour and dash, no markers."""
    return line_style(index) | {"marker": None} | more


def nudge(path: ArrayLike, target: ArrayLike, times: ArrayLike) -> Figure:
    """A path with room for a nudge and the adjoint (left), and the price of a nudge over the time it is given (right).

    Args:
        path: the states, (n, 2).
        target: where the loss wants the end, (2,).
        times: of the states, (n,).
    """
    fig = new_figure((7.6, 4.6))  # no wider, so that a phone shows its letters
    plane, price = fig.subplots(1, 2, width_ratios=(1, 1.25))
    z, goal = np.asarray(path, float), np.asarray(target, float)
    around = np.linspace(0, 2 * np.pi, 121)
    circle = goal + np.linalg.norm(z[-1] - goal) * np.stack((np.cos(around), np.sin(around)), axis=1)
    plane.plot(*z.T, color=COLORS["black"], linestyle="-", linewidth=2.4, label="path z(t)")
    plane.plot(*circle.T, label="same loss", **GUIDE)
    plane.plot(*goal, "*", color=COLORS["purple"], markersize=13, label="target")
    plane.plot(*z[-1], "o", color=COLORS["black"], markersize=7)
    plane.annotate("start", z[0], xytext=(6, 4), textcoords="offset points")
    plane.annotate("end", z[-1], xytext=(6, 6), textcoords="offset points")
    plane.plot([], [], label="after the nudge", **smooth(1))
    plane.plot([], [], "o", color=COLORS["vermillion"], markerfacecolor="white", markeredgewidth=2, markersize=8)
    plane.plot([], [], color=COLORS["vermillion"], linestyle="-", linewidth=5, label="the nudge δz")
    plane.plot([], [], color=COLORS["green"], linestyle="-", linewidth=3.2, label="direction of a(t)")
    plane.plot([], [], "D", color=COLORS["green"], markersize=6)
    plane.plot([], [], color=COLORS["vermillion"], linestyle="-", linewidth=1.3, label="direction of the nudge")
    plane.set(title="nudge the state", xlabel="angle", ylabel="velocity")
    plane.set(xlim=(-1.6, 2.3), ylim=(-2.7, 2.4), aspect="equal", adjustable="box")
    price.axhline(0, color=COLORS["black"], linestyle="-", linewidth=0.8)
    price.plot([], [], label="predicted, a(t)·δz / |δz|", **smooth(0, linewidth=2.4))
    price.plot(
        [],
        [],
        label=r"measured, $\Delta\mathcal{L}$ / |δz|",
        **(line_style(1) | {"linestyle": "none"}),
    )
    price.axvline(0, color=COLORS["black"], linestyle=":", linewidth=1.4)
    clock = np.asarray(times, float)
    price.set(title="its price, per unit of its size", xlabel="time t of the nudge (← back from the end)")
    price.set(xlim=(clock[0] - 0.05, clock[-1] + 0.05), ylim=(-2.9, 2.9))
    handles, labels = (a + b for a, b in zip(*(ax.get_legend_handles_labels() for ax in (plane, price)), strict=True))
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return describe(
        fig,
        "Left, a pendulum's path in the plane of angle and velocity, a nudge to it at time t, the path that follows "
        "and the direction of the adjoint. Right, the price of the nudge over the time at which it is given, growing "
        "from the end backwards: squares measured by solving again lie near the line a(t)·δz, on it for small nudges.",
    )


def update_nudge(
    fig: Figure, nudged: ArrayLike, adjoint: ArrayLike, times: ArrayLike, predicted: ArrayLike, measured: ArrayLike
) -> None:
    """Put a nudge into a figure drawn by :func:`nudge`.

    Args:
        nudged: states from the nudge to the end, the state before it first, (m + 1, 2).
        adjoint: a(t) at the time of the nudge, (2,).
        times: from the time of the nudge to the end, (m,).
        predicted, measured: a(t)·δz and Δ𝓛 at these times, per unit of the nudge's size, (m,).
    """
    plane, price = fig.axes
    states, a = np.asarray(nudged, float), np.asarray(adjoint, float)
    arrow = states[0] + np.outer((0, 0.9), a / max(np.linalg.norm(a), TINY))
    step = states[1] - states[0]
    ray = states[0] + np.outer((0, 0.9), step / max(np.linalg.norm(step), TINY))  # seen for a small nudge, too
    plane.lines[4].set_data(*states[1:].T)
    plane.lines[5].set_data(*states[-1:].T)
    plane.lines[6].set_data(*states[:2].T)
    plane.lines[7].set_data(*arrow.T)
    plane.lines[8].set_data(*arrow[1:].T)
    plane.lines[9].set_data(*ray.T)
    now = float(np.asarray(times)[0])
    price.lines[1].set_data(times, predicted)
    price.lines[2].set_data(times, measured)
    price.lines[3].set_xdata([now, now])


def pairing(t: ArrayLike, shares: ArrayLike) -> Figure:
    """The two products whose sum is a(t)·δz(t), and their sum.

    Args:
        t: increasing times, (n,).
        shares: entry of a times entry of δz, (n, 2).
    """
    fig = new_figure((8.0, 3.3))
    ax = fig.subplots()
    for i, name in enumerate(("angle: a₁ δz₁", "velocity: a₂ δz₂")):
        ax.plot(t, np.asarray(shares)[:, i], label=name, **smooth(i))
    ax.plot(t, np.asarray(shares).sum(1), color=COLORS["black"], linewidth=2.6, label="their sum: a(t)·δz(t)")
    ax.set(xlabel="time t", ylabel="product", title="the two products change, their sum does not")
    fig.legend(loc="outside lower center", ncols=3)
    return describe(
        fig,
        "Two curves over time, the products of the entries of the adjoint with the entries of a travelling nudge; both "
        "go up and down, but their sum is a horizontal line.",
    )


def training(points: ArrayLike, true: ArrayLike, iterations: int) -> Figure:
    """The loss so far (left), and the field that is learned on top of the true one (right).

    Args:
        points: where the arrows stand, (n, 2).
        true: field to be learned, there, (n, 2).
        iterations: the training will have.
    """
    fig = new_figure((7.4, 4.4))  # no wider, so that a phone shows its letters
    curve, plane = fig.subplots(1, 2, width_ratios=(1, 1.6))
    curve.plot([], [], **smooth(0))
    curve.set(title="loss", xlabel="iteration", yscale="log", xlim=(0, iterations), ylim=(3e-3, 10))
    where, arrows = np.asarray(points, float), np.asarray(true, float)
    how: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 8.0}
    plane.quiver(
        *where.T,
        *arrows.T,
        color=COLORS["orange"],
        width=0.016,
        headwidth=1.9,
        headlength=2.2,
        headaxislength=2.2,
        label="the pendulum's field",
        **how,
    )
    plane.quiver(
        *where.T, *arrows.T, color=COLORS["black"], width=0.004, headwidth=5, label="the network's field", **how
    )
    plane.set(title="field", xlabel="angle", ylabel="velocity", xlim=(-2.9, 2.9), ylim=(-4.2, 4.2))
    fig.legend(*plane.get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return describe(
        fig,
        "Left, the loss falls with the iterations. Right, thin arrows of the network's field turn and grow until they "
        "lie on the thick arrows of the pendulum's field.",
    )


def update_training(fig: Figure, losses: ArrayLike, learned: ArrayLike) -> None:
    """Put the losses so far, (m,), and the learned field, (n, 2), into a figure drawn by :func:`training`."""
    curve, plane = fig.axes
    curve.lines[0].set_data(np.arange(len(np.asarray(losses))), losses)
    arrows = [artist for artist in plane.collections if isinstance(artist, Quiver)]
    arrows[1].set_UVC(*np.asarray(learned, float).T)


def there_and_back(t: ArrayLike, forward: ArrayLike, backward: Mapping[float, ArrayLike]) -> Figure:
    """The velocity of a path, the same path integrated backwards from its end, and the distance between the two.

    Args:
        t: increasing times, (n,).
        forward: the path at these times, (n, 2).
        backward: tolerance -> what solving backwards from the end gives at these times, (n, 2).
    """
    fig = new_figure((9.6, 3.9))
    velocity, gap = fig.subplots(1, 2)
    there = np.asarray(forward, float)
    velocity.plot(t, there[:, 1], color=COLORS["black"], linestyle="-", linewidth=3, alpha=0.75, label="forwards")
    for i, (tolerance, path) in enumerate(backward.items()):
        back = np.asarray(path, float)
        velocity.plot(t, back[:, 1], label=f"back, {tolerance:.0e}", **smooth(i))
        gap.plot(t, np.maximum(np.linalg.norm(back - there, axis=1), TINY), label=f"{tolerance:.0e}", **smooth(i))
    velocity.set(title="the path and the way back", ylabel="velocity", ylim=(-2.6, 2.6))
    gap.set(title="distance between the two", yscale="log", ylim=(1e-9, 1e3))
    for ax in (velocity, gap):
        ax.set_xlabel("time (the way back runs from right to left)")
        ax.legend(loc="upper right")
    gap.get_legend().set_title("tolerance")
    return describe(
        fig,
        "Left, the velocity of a damped pendulum comes to rest, and three curves try to return from the end by the "
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
    left.set(title="adjoint of the angle", xlabel="time t", ylim=(-5, 6))
    left.set_ylabel(r"$\partial\mathcal{L}/\partial$angle$(t)$")
    left.legend(loc="upper center", ncols=2)
    n, error = np.array([*errors]), np.array([*errors.values()])
    right.loglog(n, error, label="distance at t₀", **line_style(0))
    right.loglog(n, error[-1] * n[-1] / n, label="slope −1", **GUIDE)
    right.set(title="it falls like 1/N", xlabel="number of steps N")
    right.set_ylabel(r"error of $\partial\mathcal{L}/\partial z(t_0)$")
    right.minorticks_off()
    right.set_xticks(n, [f"{count:g}" for count in n])
    right.set_yticks((0.03, 0.1, 0.3), ("0.03", "0.1", "0.3"))
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
    for i, name in enumerate((r"$\partial\mathcal{L}/\partial$angle", r"$\partial\mathcal{L}/\partial$velocity")):
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
    """Relative error of the gradients on [0, 1] against the solver's tolerance, on one scale for all rates."""
    fig = new_figure((8.0, 4.6))
    ax = fig.subplots()
    for i, name in enumerate(ERRORS):  # backprop and checkpoint lie on top of each other
        ax.plot([], [], label=name, **(line_style(i) | {"markersize": (10, 8, 5, 7)[i]}))
    ax.axhline(1, color=COLORS["black"], linestyle="-", linewidth=0.9)
    ax.set(xscale="log", yscale="log", xlim=(7e-9, 1.4e-3), ylim=(1e-10, 1e6))
    ax.set(xlabel="tolerance of the solver (rtol = atol)", ylabel="relative error of dE/dλ")
    ax.annotate("error as large as the gradient", (7e-9, 1), xytext=(4, 4), textcoords="offset points", fontsize=10)
    fig.legend(loc="outside lower center", ncols=2)
    return describe(
        fig,
        "Relative error of gradients against the solver's tolerance, log-log. Backprop and checkpoint lie on one "
        "line and follow the tolerance; the adjoint lies higher by a factor that grows with the rate λ, and with five "
        "stored states it comes down again.",
    )


def update_three_gradients(fig: Figure, tolerance: ArrayLike, errors: Mapping[str, ArrayLike]) -> None:
    """Put errors into a figure drawn by :func:`three_gradients`.

    Args:
        tolerance: rtol = atol, (n,).
        errors: name of :data:`ERRORS` -> relative error against a closed form, (n,).
    """
    ax = fig.axes[0]
    for line, name in zip(ax.lines, ERRORS, strict=False):
        line.set_data(np.asarray(tolerance, float), np.maximum(np.asarray(errors[name], float), TINY))


def reconstruction() -> Figure:
    """A decaying state on [0, 1], the way back from its end, and the gap between them on a logarithmic axis."""
    fig = new_figure((7.6, 4.0))  # no wider, so that a phone shows its letters
    path, gap = fig.subplots(1, 2)
    path.plot([], [], color=COLORS["black"], linewidth=2.6, label="forwards")
    path.plot([], [], color=COLORS["vermillion"], linestyle="--", label="on the way back")
    path.plot([], [], "o", color=COLORS["black"], markersize=8, label="stored")
    path.set(title="state", xlabel="time t", xlim=(-0.03, 1.03), ylim=(-0.15, 1.6))
    gap.plot([], [], color=COLORS["vermillion"], label="|way back − forwards|")
    gap.plot([], [], label="as (3.10) expects", **GUIDE)
    on_axis = {"transform": gap.get_xaxis_transform(), "clip_on": False, "zorder": 5}
    gap.plot([], [], "o", color=COLORS["black"], markersize=8, **on_axis)
    gap.set(title="gap", xlabel="time t (← the way back)", xlim=(-0.03, 1.03), yscale="log", ylim=(1e-9, 1))
    handles, labels = (a + b for a, b in zip(*(ax.get_legend_handles_labels() for ax in (path, gap)), strict=True))
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return describe(
        fig,
        "Left, a decaying state solved forwards and followed back from its end, which leaves the path where decay is "
        "fast unless it starts anew from stored states. Right, the gap between the two on a logarithmic axis: it grows "
        "on the way back and falls again at each stored state.",
    )


def update_reconstruction(
    fig: Figure,
    t: ArrayLike,
    forward: ArrayLike,
    spans: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike]],
    expected: Sequence[ArrayLike],
    limits: tuple[float, float],
) -> None:
    """Put a rate, a tolerance and stored states into a figure drawn by :func:`reconstruction`.

    Args:
        t, forward: times and the state there, solved from the left, (n,) each.
        spans: between two stored states, first to last: times, the state there, and the way back from the right end.
        expected: how large the gap should be on each of them.
        limits: smallest and largest gap expected whatever is stored, so that stored states leave the axis as it is.
    """
    path, gap = fig.axes
    pause = np.array([np.nan])  # no line from one span to the next

    def joined(pieces: Sequence[ArrayLike]) -> np.ndarray:
        return np.concatenate([part for piece in pieces for part in (np.asarray(piece, float), pause)])

    times = joined([span[0] for span in spans])
    off = [np.abs(np.asarray(back, float) - np.asarray(there, float)) for _, there, back in spans]
    path.lines[0].set_data(t, forward)
    path.lines[1].set_data(times, joined([span[2] for span in spans]))
    stored = [(np.asarray(clock)[-1], np.asarray(there)[-1]) for clock, there, _ in spans]
    stored.append((np.asarray(t)[0], np.asarray(forward)[0]))
    path.lines[2].set_data(*np.array(stored, float).T)
    gap.lines[2].set_data([time for time, _ in stored], [0.0] * len(stored))
    gap.lines[0].set_data(times, joined([np.maximum(each, TINY) for each in off]))
    gap.lines[1].set_data(times, joined(expected))
    low, high = np.log10(limits)
    ends = (10 ** np.floor(low - 1), 10 ** np.ceil(high + 0.5))
    if gap.get_ylim() != ends:  # setting them draws the whole figure anew
        gap.set_ylim(*ends)


def memory(measured: Measured) -> Figure:
    """What each gradient keeps for its way back, and how long it takes, against the number of steps; one is marked."""
    fig = new_figure((9.6, 3.9))
    for k, (ax, unit) in enumerate(zip(fig.subplots(1, 2), ("bytes kept", "seconds, both ways"), strict=True)):
        for i, name in enumerate(GRADIENTS):
            ax.plot(list(measured), [row[name][k] for row in measured.values()], label=name, **line_style(i))
        ax.axvline(min(measured), color=COLORS["black"], linestyle="-", linewidth=0.9)
        ax.set(title=("memory", "time")[k], xlabel="steps of the solver", ylabel=unit, xscale="log", yscale="log")
        ax.minorticks_off()
        ax.set_xticks(list(measured), [str(steps) for steps in measured])
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
            thin = {"linewidth": 1.0} if family.shape[1] > 1 else {}
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
