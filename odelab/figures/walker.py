"""Stick figures that walk: joints in metres and bones go in, a picture that can be moved comes out.

Seen from the walker's right: forwards is to the right of the page, the far (left) limbs are paler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from odelab.figures.style import COLORS, describe, new_figure

HEAD = 0.105  # metres, radius
FORWARDS, UP, ASIDE = 2, 1, 0  # coordinates of a joint in the recordings
OBLIQUE = 0.12  # how far aside moves the picture: both shoulders and both hips show
#: Points of thickness by what a bone's end is called; what is not named here is thin.
THICK = {"femur": 8, "tibia": 6.5, "foot": 5, "toes": 4.5, "humerus": 6, "radius": 5, "wrist": 4.5, "clavicle": 8}
TRUNK = 12


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

    @property
    def head(self) -> int:
        """Number of the joint the head is drawn around."""
        return list(self.names).index("head")

    def widths(self, layer: int) -> list[float]:
        """Points of thickness of the bones in one layer: far, middle, near."""
        if layer == 1:
            return [TRUNK if "neck" not in self.names[self.bones[k][1]] else 6 for k in self.layers[1]]
        return [THICK.get(self.names[self.bones[k][1]][1:], 4) for k in self.layers[layer]]


def project(joints: ArrayLike) -> np.ndarray:
    """Where joints (…, J, 3) in metres appear on the page, (…, J, 2)."""
    x = np.asarray(joints, float)
    return np.stack([x[..., FORWARDS] - OBLIQUE * x[..., ASIDE], x[..., UP] - 0.4 * OBLIQUE * x[..., ASIDE]], -1)


def paler(color: str, share: float) -> tuple[float, ...]:
    """A colour mixed with white; opaque, so that limbs that cross do not darken."""
    return tuple(share + (1 - share) * part for part in to_rgb(COLORS.get(color, color)))


class Walker:
    """One stick figure in a panel; ``move`` takes it to another pose.

    Args:
        color: name of a colour of the course.
        ghost: thin and pale, one of many.
    """

    def __init__(self, ax: Axes, body: Body, color: str, *, ghost: bool = False, zorder: float = 3.0) -> None:
        self.body, self.ghost = body, ghost
        shades = [paler(color, 0.6)] * 3 if ghost else [paler(color, 0.5), paler(color, 0.12), paler(color, 0.0)]
        self.limbs = []
        for layer, shade in enumerate(shades):
            widths = [1.1] if ghost else body.widths(layer)
            limb = LineCollection([], linewidths=widths, colors=[shade], capstyle="round", linestyles="solid")
            limb.set_zorder(zorder + layer / 10)
            ax.add_collection(limb, autolim=False)
            self.limbs.append(limb)
        face = "none" if ghost else shades[1]
        self.head = Circle((0, 0), HEAD, facecolor=face, edgecolor=shades[1], linewidth=1.1, zorder=zorder + 0.15)
        ax.add_patch(self.head)

    def move(self, joints: ArrayLike) -> None:
        """To a pose (J, 3), metres."""
        at = project(joints)
        for limb, bones in zip(self.limbs, self.body.layers, strict=True):
            limb.set_segments([at[list(self.body.bones[k])] for k in bones])
        top, neck = at[self.body.head], at[self.body.bones[self._neck()][0]]
        self.head.set_center(tuple(neck + (top - neck) * 0.95))

    def _neck(self) -> int:
        return next(k for k, (_, child) in enumerate(self.body.bones) if child == self.body.head)


def ground(ax: Axes, left: float, right: float, height: float = 1.95) -> None:
    """A panel to walk in: metres along a line, nothing else."""
    ax.set(xlim=(left, right), ylim=(-0.06, height), aspect="equal", yticks=[], xlabel="metres")
    ax.axhline(0, color=COLORS["grey"], linestyle="-", linewidth=1)
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    ax.set_xticks(np.arange(np.ceil(left), right + 1e-9))


def poses(walks: Mapping[str, ArrayLike], body: Body, frames: Sequence[int], fig: Figure | None = None) -> Figure:
    """A row of poses for each walk (T, J, 3), one behind the other as they were walked."""
    fig = new_figure(fig, (9.6, 2.9 * len(walks)))
    for ax, (name, walk) in zip(fig.subplots(len(walks), 1, squeeze=False)[:, 0], walks.items(), strict=True):
        joints = np.asarray(walk)
        along = project(joints[list(frames)])[..., 0]
        ground(ax, along.min() - 0.3, along.max() + 0.3)
        for k, frame in enumerate(frames):
            Walker(ax, body, "blue", zorder=3 + k).move(joints[frame])
        ax.set_title(name)
    return describe(fig, f"Stick figures walking to the right, {len(frames)} poses each: {', '.join(walks)}.")
