"""Figures of the solvers' lesson: the slopes inside a step, error and order, step control, stability.

Every function draws the arrays it is given; none of them solves an equation.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odelab.lessons.kit.panels import Panel, axis_texts, panels, power_law
from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure


def orbits(paths: Mapping[str, tuple[np.ndarray, np.ndarray]], bodies: np.ndarray) -> Figure:
    """Trajectories in the plane, each with the points where its solver stopped.

    Args:
        paths: title -> (curve of shape (n, d), knots of shape (m, d)); the first two columns are the place.
        bodies: positions of the fixed bodies, shape (k, 2).
    """
    fig = new_figure((4.6 * len(paths), 4.2))
    for i, (ax, (title, (path, knots))) in enumerate(zip(fig.subplots(1, len(paths)), paths.items(), strict=True)):
        style = line_style(i)
        ax.plot(*path[:, :2].T, color=style["color"], linewidth=1.2)
        ax.plot(*knots[:, :2].T, ".", color=style["color"], markersize=4)
        ax.plot(*bodies.T, "o", color=COLORS["black"], markersize=7)
        for name, (x, y) in zip(("Earth", "Moon"), bodies, strict=True):
            ax.annotate(name, (x, y), xytext=(-6, -16), textcoords="offset points")
        ax.set(title=title, xlim=(-1.45, 1.35), ylim=(-1.3, 1.3), aspect="equal", xlabel="x", ylabel="y")
    return describe(fig, f"Orbits of a spacecraft between Earth and Moon: {'; '.join(paths)}.".replace("\n", " "))


STAGES = 4


def slopes(end: float, top: float) -> Figure:
    """One step of a Runge–Kutta method in the plane of t and y: where its slopes are read, and where it ends."""
    fig = new_figure((9.6, 4.4))
    ax = fig.subplots()
    ax.plot([], [], color=COLORS["black"], linewidth=1.4, label="the solution")
    ax.plot([], [], color=COLORS["black"], linestyle=(0, (1, 2)), linewidth=2, label="the step")
    ax.plot([], [], color=COLORS["orange"], linewidth=2, linestyle="--", label="error of the step")
    for i in range(STAGES):
        style = line_style(i) | {"linestyle": "-"}
        ax.plot([], [], color=COLORS["grey"], linewidth=1, linestyle=(0, (4, 3)))
        ax.plot([], [], linewidth=4, solid_capstyle="butt", markersize=8, markevery=[1], **style)
        ax.text(0, 0, "", fontsize=14, color=style["color"], va="bottom", ha="center")
    ax.set(xlim=(-0.15, end), ylim=(0, top), xlabel="time t", ylabel="state y")
    ax.legend(loc="lower right")
    return describe(
        fig,
        "One step of a Runge–Kutta method under the curve of the solution: a short bar at each place where a slope is "
        "read, dashed lines from the start to these places, and a dotted line with the average slope to the end.",
    )


def update_slopes(
    fig: Figure,
    t: np.ndarray,
    y: np.ndarray,
    places: np.ndarray,
    k: np.ndarray,
    end: tuple[float, float] | None,
    bar: float,
) -> None:
    """Put a step into a figure drawn by :func:`slopes`.

    Args:
        t, y: the solution from the start to the end of the step, (n,) each.
        places: where each slope is read, as (t, y), shape (stages, 2); k: the slopes, (stages,).
        end: where the step ends, or None to leave it out.
        bar: length in t of the bars that show the slopes.
    """
    (ax,) = fig.axes
    solution, step, gap, *stages = ax.lines
    solution.set_data(t, y)
    start = places[0]
    step.set_data(*(zip(start, end, strict=True) if end else ([], [])))
    gap.set_data(*(([end[0], end[0]], [end[1], y[-1]]) if end else ([], [])))
    for i in range(STAGES):
        route, line, name = stages[2 * i], stages[2 * i + 1], ax.texts[i]
        if i >= len(k):
            route.set_data([], [])
            line.set_data([], [])
            name.set_text("")
            continue
        place = places[i]
        route.set_data([start[0], place[0]], [start[1], place[1]])
        reach = np.array([-bar, 0, bar]) / 2
        line.set_data(place[0] + reach, place[1] + reach * k[i])
        name.set_text(f"k{'₁₂₃₄'[i]}")
        name.set_position((place[0], place[1] + (-0.9 if i == 1 else 0.3)))  # k₂ and k₃ often lie close


Measured = Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # method -> (step, nfe, error), (n,) each


def convergence(methods: Iterable[str]) -> Figure:
    """Error against step and against evaluations for every method, one of them in bold with its fitted slope."""
    fig = new_figure((9.6, 4.2))
    left, right = fig.subplots(1, 2, sharey=True)
    axis_texts(left, "error against step", "step h", "error at the end", "xy")
    axis_texts(right, "error against work", "evaluations of f", "", "xy")
    for ax, limits in ((left, (0.012, 1.2)), (right, (3, 1.5e3))):
        ax.set(xlim=limits, ylim=(1e-13, 1e2))
        for i, name in enumerate(methods):
            ax.plot([], [], label=name, markersize=5, **line_style(i))
        ax.plot([], [], color=COLORS["black"], linewidth=1, zorder=5)
        ax.text(0.04, 0.94, "", transform=ax.transAxes, va="top", fontsize=12)
    right.legend(loc="upper right")
    return describe(
        fig,
        "Error at the end of the interval against step size and against evaluations of f, log-log, one curve per "
        "method; a line through the chosen method's last points shows its order as a slope.",
    )


def update_convergence(fig: Figure, curves: Measured, chosen: str, floor: float) -> None:
    """Put measurements into a figure drawn by :func:`convergence` (the same methods in the same order).

    Args:
        chosen: the method in bold; floor: errors below it are rounding and not fitted.
    """
    step, _, error = curves[chosen]
    slope, factor = power_law(step, error, floor=floor)
    for column, ax in enumerate(fig.axes):
        for line, (name, data) in zip(ax.lines, curves.items(), strict=False):
            line.set_data(data[column], data[2])
            line.set(linewidth=3 if name == chosen else 1, markersize=6 if name == chosen else 4)
        ax.lines[-1].set_data(
            curves[chosen][column], np.where((error > floor) & (error < 1), factor * step**slope, np.nan)
        )
        fitted = f"slope {slope if column == 0 else -slope:.2f}" if np.isfinite(slope) else "no clean slope"
        ax.texts[0].set_text(f"{chosen}: {fitted}")


def step_control(end: float) -> Figure:
    """Where an adaptive solver stepped on [0, end] (above) and how far (below): accepted ticks, rejected crosses."""
    fig = new_figure((9.6, 4.8))
    above, below = fig.subplots(2, 1, sharex=True)
    above.plot([], [], color=COLORS["grey"], linewidth=1.5)
    above.plot([], [], "|", color=COLORS["blue"], markersize=11, markeredgewidth=0.9)
    rug = above.get_xaxis_transform()
    above.plot([], [], "x", color=COLORS["vermillion"], markersize=6, markeredgewidth=1.4, transform=rug)
    below.plot([], [], ".-", color=COLORS["blue"], linewidth=1, markersize=4, label="accepted")
    below.plot([], [], "x", color=COLORS["vermillion"], markersize=6, markeredgewidth=1.4, label="rejected")
    above.set(ylabel="solution y(t)", xlim=(0, end), ylim=(-3.6, 3.6))
    axis_texts(below, "", "time t", "step size h", "y")
    below.set_ylim(3e-3, 10)
    below.legend(loc="upper right", ncols=2)
    return describe(
        fig,
        "Above, the solution of an ODE with a tick at each accepted step and a cross at each rejected one; below, the "
        "size of these steps on a logarithmic axis: small where the solution bends, large where it is smooth.",
    )


def update_step_control(
    fig: Figure, t: np.ndarray, y: np.ndarray, start: np.ndarray, dt: np.ndarray, accepted: np.ndarray
) -> None:
    """Put a solve into a figure drawn by :func:`step_control`.

    Args:
        t, y: the solution for drawing, (n,) each.
        start, dt, accepted: where each tried step began, how long it was, and whether it was accepted, (steps,) each.
    """
    above, below = fig.axes
    tried, refused = start[accepted], start[~accepted]
    above.lines[0].set_data(t, y)
    above.lines[1].set_data(tried, np.interp(tried, t, y))
    above.lines[2].set_data(refused, np.full(len(refused), 0.05))
    below.lines[0].set_data(tried, dt[accepted])
    below.lines[1].set_data(refused, dt[~accepted])


def stability_regions(factors: Mapping[str, np.ndarray], real: np.ndarray, imag: np.ndarray) -> Figure:
    """Where |R(z)| ≤ 1, one panel per method.

    Args:
        factors: method -> R on the grid, complex, shape (len(imag), len(real)).
    """
    fig = new_figure((2.5 * len(factors) + 0.4, 3.4))
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


Tree = tuple["Tree", ...]  # a node, by the trees that hang from it


def cost_by_batch(costs: Mapping[str, Mapping[int, float]]) -> Figure:
    """Lines of µs by batch, one for each program."""
    curves = {name: (np.array([*cost]), np.array([*cost.values()])) for name, cost in costs.items()}
    alt = f"Time of an attempted step against the batch, two logarithmic axes, a line each for {', '.join(costs)}"
    panel = Panel("One attempted step of dopri5 on a spiral", "batch", "CPU time / µs", curves, "xy")
    return panels(panel, alt=alt, size=(8.0, 4.0))


def rooted_trees(trees: Mapping[str, Tree]) -> Figure:
    """Rooted trees side by side, the root of each at the bottom and its equation below.

    Args:
        trees: equation -> tree; () is a single node.
    """
    fig = new_figure((9.6, 2.6))
    ax = fig.subplots()
    for i, (label, tree) in enumerate(trees.items()):
        _branch(ax, tree, 2.6 * i, 0.0, 1.0)
        ax.text(2.6 * i, -0.7, label, ha="center", va="top", fontsize=12)
    ax.set(xlim=(-1.4, 2.6 * len(trees) - 1.2), ylim=(-1.6, 3.4))
    ax.set_axis_off()
    return describe(fig, f"The {len(trees)} rooted trees with one to four nodes, each above its equation.")


def _branch(ax: Axes, tree: Tree, x: float, y: float, width: float) -> None:
    for i, subtree in enumerate(tree):
        above = x + width * (i - (len(tree) - 1) / 2) * 0.8
        ax.plot([x, above], [y, y + 1], "-", color=COLORS["black"], linewidth=1.2, zorder=1)
        _branch(ax, subtree, above, y + 1, width * 0.9)
    ax.plot([x], [y], "o", color=COLORS["blue"], markersize=8, zorder=2)
