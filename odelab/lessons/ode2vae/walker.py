"""Stick figures that walk: joints in metres and bones go in, a picture that can be moved comes out.

Seen from the walker's right: forwards is to the right of the page, the far (left) limbs are paler.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS, GROUNDS, describe, new_figure

HEAD = 0.105  # metres, radius
SOLE = 0.02  # metres, from the lowest joint to the ground
FORWARDS, UP, ASIDE = 2, 1, 0  # coordinates of a joint in the recordings
OBLIQUE = 0.12  # how far aside moves the picture: both shoulders and both hips show
#: Points of thickness by what a bone's end is called; what is not named here is thin.
THICK = {"femur": 8, "tibia": 6.5, "foot": 5, "toes": 4.5, "humerus": 6, "radius": 5, "wrist": 4.5, "clavicle": 8}
TRUNK = 12
ROUND = np.stack([np.cos(np.linspace(0, 2 * np.pi, 17)), np.sin(np.linspace(0, 2 * np.pi, 17))], -1)


@dataclass(frozen=True)
class Body:
    """Which joints make a walker.

    Attributes:
        names: of the joints, left and right ones as ``"lfemur"`` and ``"rfemur"``.
        bones: pairs (parent, child) of joint numbers.
    """

    names: Sequence[str]
    bones: Sequence[tuple[int, int]]
    layers: tuple[list[int], list[int], list[int]] = field(init=False)

    def __post_init__(self) -> None:
        if any(max(bone) >= len(self.names) for bone in self.bones):
            raise ValueError(f"a bone ends in joint {max(map(max, self.bones))}, but there are {len(self.names)} names")
        layers: tuple[list[int], list[int], list[int]] = ([], [], [])
        for k, (_, child) in enumerate(self.bones):
            layers[1 + self._side(self.names[child])].append(k)
        object.__setattr__(self, "layers", layers)

    def _side(self, name: str) -> int:
        """−1 for the walker's left, which is far, 1 for the right, 0 in the middle."""
        twin = {"l": "r", "r": "l"}.get(name[:1], "") + name[1:]
        return 0 if twin == name[1:] or twin not in self.names else {"l": -1, "r": 1}[name[0]]

    def middle_of_head(self, at: np.ndarray) -> np.ndarray:
        """Where its circle goes, (…, 2), for joints on the page (…, J, 2)."""
        head = list(self.names).index("head")
        neck = next(parent for parent, child in self.bones if child == head)
        return at[..., neck, :] + 0.95 * (at[..., head, :] - at[..., neck, :])

    def widths(self, layer: int) -> list[float]:
        """Points of thickness of the bones in one layer: far, middle, near."""
        if layer == 1:
            return [TRUNK if "neck" not in self.names[self.bones[k][1]] else 6 for k in self.layers[1]]
        return [THICK.get(self.names[self.bones[k][1]][1:], 4) for k in self.layers[layer]]


def on_the_ground(joints: ArrayLike) -> np.ndarray:
    """Every pose (…, J, 3) lifted or lowered until its lowest joint is just above the ground.

    A model says by how much the root rises from frame to frame; added up, small errors would carry a walker away.
    """
    x = np.asarray(joints, float).copy()
    x[..., UP] -= x[..., UP].min(-1, keepdims=True) - SOLE
    return x


def project(joints: ArrayLike) -> np.ndarray:
    """Where joints (…, J, 3) in metres appear on the page, (…, J, 2).

    Aside counts from the root (joint 0): a walker that drifts off the line must not leave the ground on the page.
    """
    x = np.asarray(joints, float)
    aside = OBLIQUE * (x[..., ASIDE] - x[..., :1, ASIDE])
    return np.stack([x[..., FORWARDS] - aside, x[..., UP] - 0.4 * aside], -1)


def paler(color: str, share: float) -> tuple[float, ...]:
    """A colour mixed with white; opaque, so that limbs that cross do not darken."""
    return tuple(share + (1 - share) * part for part in to_rgb(COLORS.get(color, color)))


class Walker:
    """One stick figure in a panel, drawn with body; ``move`` takes it to another pose. ``color``: of the course."""

    def __init__(self, ax: Axes, body: Body, color: str, zorder: float = 3.0) -> None:
        self.body = body
        self.limbs = []
        for layer, share in enumerate((0.5, 0.15, 0.0)):  # far, middle, near
            limb = _lines(ax, paler(color, share), body.widths(layer), zorder + layer / 10)
            self.limbs.append(limb)
        shade = paler(color, 0.15)
        self.head = Circle((0, 0), HEAD, facecolor=shade, edgecolor=shade, linewidth=1.1, zorder=zorder + 0.15)
        ax.add_patch(self.head)

    def move(self, joints: ArrayLike) -> None:
        """To a pose (J, 3), metres."""
        at = project(joints)
        for limb, bones in zip(self.limbs, self.body.layers, strict=True):
            limb.set_segments([at[list(self.body.bones[k])] for k in bones])
        self.head.set_center(tuple(self.body.middle_of_head(at)))


class Ghosts:
    """Many stick figures, thin and pale: one artist for all, so that they move quickly."""

    def __init__(self, ax: Axes, body: Body, color: str, zorder: float = 3.0) -> None:
        self.body = body
        self.lines = _lines(ax, paler(color, 0.45), [1.1], zorder)

    def move(self, joints: ArrayLike) -> None:
        """To poses (K, J, 3), metres."""
        at = project(joints)
        bones = at[:, np.array(self.body.bones)].reshape(-1, 2, 2)
        heads = self.body.middle_of_head(at)[:, None] + HEAD * ROUND
        self.lines.set_segments([*bones, *heads])


def _lines(ax: Axes, color: tuple[float, ...], widths: Sequence[float], zorder: float) -> LineCollection:
    lines = LineCollection([], linewidths=widths, colors=[color], capstyle="round", linestyles="solid", zorder=zorder)
    ax.add_collection(lines, autolim=False)
    return lines


def ground(ax: Axes, left: float, right: float, height: float = 1.95) -> None:
    """A panel to walk in: metres along a line, nothing else."""
    ax.set(xlim=(left, right), ylim=(-0.06, height), aspect="equal", yticks=[])
    ax.axhline(0, color=COLORS["grey"], linestyle="-", linewidth=1)
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    ax.set_xticks(np.arange(np.ceil(left), right + 1e-9) + 0.0)  # no "−0 m"
    ax.xaxis.set_major_formatter("{x:.0f} m")


FPS = 120  # frames a second in the recordings


@dataclass(frozen=True)
class Scene:
    """What was imagined of one walk, and the walk itself where it is known.

    Attributes:
        body: of all walkers.
        draws: joints of some imagined walkers in metres, (K, T, J, 3).
        fan: one channel of all draws, (N, T), with its name, in degrees.
        truth: joints (T, J, 3) and the channel (T,), or None.
        seen: how many frames the model was given; 0 for walkers from the prior.
        name: the title where nobody real is among them.
    """

    body: Body
    draws: np.ndarray
    fan: np.ndarray
    channel: str
    truth: tuple[np.ndarray, np.ndarray] | None = None
    seen: int = 0
    name: str = "walkers from the prior: no frame was given"

    @property
    def frames(self) -> int:
        """T, of how many frames it consists."""
        return self.draws.shape[1]

    @property
    def solid(self) -> list[np.ndarray]:
        """Joints (T, J, 3) of those drawn with body: the real walker, or where there is none the imagined ones."""
        return [*self.draws] if self.truth is None else [self.truth[0]]

    def title(self) -> str:
        """Who is orange-red, who is blue."""
        if self.truth is None:
            return self.name
        return f"orange-red: recorded; blue: {len(self.draws)} of {len(self.fan)} draws after {self.seen} frames"

    def alt(self) -> str:
        """What can be seen, for those who cannot."""
        who = "Stick figures imagined by a model walk to the right"
        if self.truth is not None:
            who = "An orange-red stick figure, the recorded walk, walks right among thin blue ones imagined by a model"
        return f"{who}; below, {len(self.fan)} draws of the {self.channel} angle swing with the steps and fan out."


class Player:
    """Draws scenes and moves through them: imagined walkers thin and blue (solid where nobody real is with them), the
    real one orange-red, and a cursor in the panel beneath.

    Args:
        scenes: of equally many walkers and frames, all with a real one or all without; they share their window.
        cursor: whether there is one. What does not move costs no bytes in an animation.
    """

    def __init__(self, *scenes: Scene, cursor: bool = True) -> None:
        self.scenes, self.cursor = scenes, cursor
        self._now = -1

    def draw(self, size: tuple[float, float] = (9.6, 4.6)) -> Figure:
        """The first scene at its first frame; `move` takes the figure to others."""
        scene, fig = self.scenes[0], new_figure(size)
        stage, panel = fig.subplots(2, 1, height_ratios=(5, 3))
        along = np.concatenate([walk[:, 0, FORWARDS] for each in self.scenes for walk in (*each.draws, *each.solid)])
        ground(stage, along.min() - 0.75, along.max() + 0.75)
        stage.set_title(scene.title())
        real = scene.truth is not None
        self._ghosts = Ghosts(stage, scene.body, "blue") if real else None
        solid = [("vermillion", 5.0)] if real else [("blue", 3.0 + k) for k in range(len(scene.draws))]
        self._actors = [Walker(stage, scene.body, color, zorder) for color, zorder in solid]
        self._fan = LineCollection([], colors=[COLORS["blue"]], linewidths=0.6, alpha=0.35, linestyles="solid")
        panel.add_collection(self._fan, autolim=False)
        if real:
            (self._real,) = panel.plot([], [], "--", color=COLORS["vermillion"], linewidth=2)
        if scene.seen:
            panel.axvspan(0, scene.seen / FPS, color=GROUNDS["yellow"], zorder=0)
        self._cursor = panel.axvline(0, color=COLORS["black"], linestyle="-", linewidth=1.4, visible=self.cursor)
        panel.set(xlabel="seconds", ylabel=f"{scene.channel}, °", xlim=(0, (scene.frames - 1) / FPS))
        angles = [each.fan for each in self.scenes] + [each.truth[1] for each in self.scenes if each.truth is not None]
        panel.set_ylim(min(a.min() for a in angles) - 3, max(a.max() for a in angles) + 3)
        self._now = -1
        self.move(fig, 0)
        return describe(fig, scene.alt())

    def move(self, fig: Figure, frame: int, which: int = 0) -> None:
        """Another frame, or another scene, in the figure drawn last."""
        scene = self.scenes[which]
        if self._ghosts is not None:
            self._ghosts.move(scene.draws[:, frame])
        for walker, joints in zip(self._actors, scene.solid, strict=True):
            walker.move(joints[frame])
        if self.cursor:
            self._cursor.set_xdata([frame / FPS] * 2)
        if which == self._now:
            return
        self._now, t = which, np.arange(scene.frames) / FPS
        self._fan.set_segments([np.column_stack((t, draw))[::3] for draw in scene.fan])
        if scene.truth is not None:
            self._real.set_data(t, scene.truth[1])
