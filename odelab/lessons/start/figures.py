"""Figures of the first lesson: a residual network becoming an ODE, and the map of the course."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from odelab.lessons.kit.style import COLORS, GROUNDS, describe, new_figure, polylines


@dataclass(frozen=True)
class DepthScene:
    """One rule for moving numbers, followed by residual networks of several depths and by the ODE.

    Attributes:
        networks: depth L -> states after each layer, shape (L + 1, inputs).
        t, ode: times (m,) and the solution there, shape (m, inputs).
        arrow_t, arrow_z, slope: where the rule was looked at, and dz/dt there, each of shape (arrows,).
    """

    networks: Mapping[int, np.ndarray]
    t: np.ndarray
    ode: np.ndarray
    arrow_t: np.ndarray
    arrow_z: np.ndarray
    slope: np.ndarray

    def gap(self, depth: int) -> float:
        """Largest distance between the outputs of the network and of the ODE."""
        return float(np.abs(self.networks[depth][-1] - self.ode[-1]).max())


def residual_to_ode(scene: DepthScene) -> Figure:
    """Left: the path of every input through the layers, over the ODE's. Right: how far apart the outputs are."""
    fig = new_figure((9.6, 4.0))
    left, right = fig.subplots(1, 2, width_ratios=(1.75, 1))
    low, high = scene.arrow_z.min(), scene.arrow_z.max()
    left.plot(*_dashes(scene, 6.0), color=COLORS["grey"], linestyle="-", linewidth=1)
    left.plot(
        *polylines(over_time(scene.t, scene.ode)),
        color=COLORS["blue"],
        linewidth=1.8,
        label="ODE: infinitely many layers",
    )
    left.plot([], [], "--s", color=COLORS["vermillion"], linewidth=1.4, label="residual network")
    left.set(xlim=(-0.02, 1.02), ylim=(low, high), xlabel="depth t  (input 0, output 1)", ylabel="state z")
    left.grid(visible=False)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    depths = np.array(sorted(scene.networks))
    gaps = np.array([scene.gap(int(one)) for one in depths])
    right.loglog(depths, gaps, color=COLORS["vermillion"], linestyle="--", linewidth=1.4)
    right.loglog(depths, gaps[-1] * depths[-1] / depths, color=COLORS["grey"], linestyle=":", label="falls as 1/L")
    right.loglog([], [], "s", color=COLORS["vermillion"], markersize=11, markeredgecolor="white")
    right.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    right.set_xticks([], minor=True)
    right.set(xlabel="layers L", title="largest output gap")
    right.set(xlim=(0.8, depths[-1] * 1.3), ylim=(gaps.min() / 2, gaps.max() * 2))
    right.legend(loc="lower left")
    return describe(
        fig,
        "Left: eleven inputs follow straight pieces through a residual network, over the smooth curves of the ODE. "
        "Right: the gap between their outputs against the number of layers, on logarithmic axes, falling as 1/L.",
    )


def update_residual_to_ode(fig: Figure, scene: DepthScene, depth: int) -> None:
    """Show another depth in a figure drawn by :func:`residual_to_ode`."""
    left, right = fig.axes
    network = left.lines[2]
    network.set_data(*polylines(over_time(np.linspace(0, 1, depth + 1), scene.networks[depth])))
    network.set_markersize(float(np.clip(20 / depth, 1.5, 6)))
    left.set_title(f"a residual network with {depth} layer{'s' if depth > 1 else ''}")
    right.lines[2].set_data([depth], [scene.gap(depth)])


def over_time(t: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (times, n) as paths of points (t, value), (n, times, 2)."""
    return np.stack(np.broadcast_arrays(t, values.T), axis=-1)


def _dashes(scene: DepthScene, aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """The slope field as one line: a short dash at every place, of equal length when z is ``aspect`` times t."""
    run = 0.014 / np.hypot(1, scene.slope / aspect)
    middle, half = np.stack([scene.arrow_t, scene.arrow_z], 1), np.stack([run, run * scene.slope], 1)
    return polylines(np.stack([middle - half, middle + half], 1))


BOX = (0.86, 0.76)  # of a lesson on the map, where columns and rows are one apart


def course_map(titles: Mapping[int, str], minutes: Mapping[int, int], needs: Mapping[int, Sequence[int]]) -> Figure:
    """The lessons and what each builds on, which stands to its left.

    Args:
        titles, minutes: by number.
        needs: number -> the lessons that an arrow comes from.
    """
    place = places(needs)
    rows = {row for _, row in place.values()}
    fig = new_figure((9.6, 1.25 * len(rows)))
    ax = fig.subplots()
    for number, before in needs.items():
        for need in before:
            _arrow(ax, place[need], place[number])
    for number, (x, y) in place.items():
        _box(ax, x, y, textwrap.fill(f"{number:02d} {titles[number]}", 14), f"{minutes[number]} min")
    x, y = np.array(list(place.values())).T
    ax.set(xlim=(x.min() - 0.5, x.max() + 0.5), ylim=(y.min() - 0.5, y.max() + 0.5))
    ax.axis("off")
    ways = [f"{number:02d} {titles[number]}" + _after(before) for number, before in needs.items()]
    return describe(fig, f"Map of the course. {'; '.join(ways)}.")


def _after(before: Sequence[int]) -> str:
    return " after " + " and ".join(f"{number:02d}" for number in before) if before else ""


def places(needs: Mapping[int, Sequence[int]]) -> dict[int, tuple[int, int]]:
    """Column and row of each lesson: right of all it needs, and in the row of one that no other has continued."""
    place: dict[int, tuple[int, int]] = {}
    continued: set[int] = set()
    for number, before in sorted(needs.items()):
        column = 1 + max((place[need][0] for need in before), default=-1)
        ahead = [need for need in before if need not in continued]
        row = place[ahead[-1]][1] if ahead else min((row for _, row in place.values()), default=1) - 1
        continued.update(ahead[-1:])
        place[number] = column, row
    return place


def _arrow(ax: Axes, start: tuple[int, int], end: tuple[int, int]) -> None:
    """From side to side, or from top to bottom where a lesson stands between."""
    columns, rows = end[0] - start[0], end[1] - start[1]
    if columns > 1 and rows:
        half = BOX[1] / 2 * (1 if rows > 0 else -1)
        tail, head = (start[0] + BOX[0] / 4, start[1] + half), (end[0] - BOX[0] / 4, end[1] - half)
    else:
        tail, head = (start[0] + BOX[0] / 2, start[1]), (end[0] - BOX[0] / 2, end[1])
    style = {"arrowstyle": "-|>", "color": COLORS["black"], "linewidth": 1.2, "shrinkA": 1, "shrinkB": 1}
    ax.annotate("", head, tail, arrowprops=style)


def _box(ax: Axes, x: float, y: float, title: str, foot: str) -> None:
    width, height = BOX
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=GROUNDS["pale blue"],
            edgecolor=COLORS["blue"],
            linewidth=1.6,
        )
    )
    ax.text(x, y + 0.09, title, ha="center", va="center", fontsize=10)
    ax.text(x, y - 0.29, foot, ha="center", va="center", fontsize=10)
