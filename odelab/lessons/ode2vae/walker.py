"""Stick figures that walk: joints in metres and bones go in, a picture that can be moved comes out.

Seen from the walker's right: forwards is to the right of the page, the far (left) limbs are paler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from odelab.lessons.kit.style import COLORS

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
