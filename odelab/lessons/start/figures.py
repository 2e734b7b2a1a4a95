"""Figures of the first lesson: a residual network becoming an ODE, and the map of the course."""

from collections.abc import Iterable, Mapping
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


@dataclass(frozen=True)
class Stop:
    """One lesson on the map: number, title of at most two lines, where it stands, and what it builds on."""

    number: int
    title: str
    place: tuple[float, float]
    needs: tuple[int, ...] = ()


BOX = (1.74, 0.9)


def course_map(stops: Iterable[Stop], minutes: Mapping[int, int]) -> Figure:
    """The lessons and what each builds on.

    Args:
        stops: all lessons.
        minutes: number -> minutes of reading, for the lessons that exist; the others are drawn as planned.
    """
    known = {stop.number: stop for stop in stops}
    fig = new_figure((9.6, 4.4))
    ax = fig.subplots()
    for stop in known.values():
        for number in stop.needs:
            _arrow(ax, known[number].place, stop.place, solid=stop.number in minutes)
        _box(ax, stop, minutes.get(stop.number))
    x, y = np.array([stop.place for stop in known.values()]).T
    ax.set(xlim=(x.min() - 1, x.max() + 1), ylim=(y.min() - 0.6, y.max() + 0.6))
    ax.axis("off")
    built = ", ".join(f"{number:02d} {known[number].title}" for number in sorted(minutes))
    planned = ", ".join(f"{number:02d} {stop.title}" for number, stop in known.items() if number not in minutes)
    text = f"Map of the course, each lesson after those it builds on. Ready: {built}. Planned: {planned or 'nothing'}."
    return describe(fig, text.replace("\n", " "))


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], solid: bool) -> None:
    sideways = end[0] > start[0]
    tail = (start[0] + BOX[0] / 2, start[1]) if sideways else (start[0], start[1] - BOX[1] / 2)
    head = (end[0] - BOX[0] / 2, end[1]) if sideways else (end[0], end[1] + BOX[1] / 2)
    style = {"arrowstyle": "-|>", "color": COLORS["black"] if solid else COLORS["grey"], "shrinkA": 1, "shrinkB": 1}
    ax.annotate("", head, tail, arrowprops=style | {"linestyle": "-" if solid else (0, (4, 3)), "linewidth": 1.2})


def _box(ax: Axes, stop: Stop, minutes: int | None) -> None:
    (x, y), (width, height) = stop.place, BOX
    ready = minutes is not None
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=GROUNDS["pale blue"] if ready else "white",
        edgecolor=COLORS["blue"] if ready else COLORS["grey"],
        linestyle="-" if ready else (0, (4, 3)),
        linewidth=1.6 if ready else 1.1,
    )
    ax.add_patch(patch)
    ink = COLORS["black"] if ready else COLORS["dark grey"]
    foot = f"{minutes} min" if ready else "planned"
    ax.text(x, y + 0.05, f"{stop.number:02d} · {stop.title}", ha="center", va="center", fontsize=10.5, color=ink)
    ax.text(x, y - 0.31, foot, ha="center", va="center", fontsize=10, color=ink, style="normal" if ready else "italic")
