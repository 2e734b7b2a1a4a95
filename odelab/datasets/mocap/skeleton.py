"""A skeleton: bones that hang on each other, and where the joints are when the channels of a recording are given.

Axes of the CMU recordings: y points up, x to the left of a person who looks along z. Where the recorded person's own is
not there, one of average proportions stands in.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from odelab.datasets.mocap.channels import CHANNELS, LAYOUT

INCH = 0.0254  # metres


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Joints in an order in which every parent comes before its children; a bone has the name of the joint it ends in.

    Attributes:
        names: of the J joints, the root first.
        parents: index of each joint's parent; −1 for the root.
        offsets: the bone from the parent to the joint at rest, (J, 3) float64, in the files' units; for the root its
            position.
        axes: the frame in which each bone turns, by its angles about x, y, z in degrees, (J, 3) float64.
        metres: metres in one unit.
        source: where the proportions come from.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Tensor
    axes: Tensor
    metres: float
    source: str

    def __post_init__(self) -> None:
        n = len(self.names)
        if len(self.parents) != n or self.offsets.shape != (n, 3) or self.axes.shape != (n, 3):
            raise ValueError(
                f"{n} joints need {n} parents, offsets and axes ({n}, 3), got {len(self.parents)}, "
                f"{tuple(self.offsets.shape)} and {tuple(self.axes.shape)}"
            )
        for k, (name, parent) in enumerate(zip(self.names, self.parents, strict=True)):
            if not (parent == -1 if k == 0 else 0 <= parent < k):
                raise ValueError(
                    f"joint {k}, {name}, has parent {parent}; it must come before, and only the first has none"
                )
        if missing := [name for name, _ in LAYOUT if name not in self.names]:
            raise ValueError(f"the skeleton has no bone {', '.join(missing)}, which the recordings move")

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Joints to draw a line between: (parent, child), J − 1 pairs of indices into `names`."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def lengths(self) -> Tensor:
        """Length of each of the `bones` in metres, (J − 1,) float64."""
        return self.offsets[1:].norm(dim=-1) * self.metres

    def index(self, name: str) -> int:
        """Which joint has that name.

        Raises:
            ValueError: when none has.
        """
        if name not in self.names:
            raise ValueError(f"no joint {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)

    @cached_property
    def _angle_channels(self) -> Tensor:
        """Which channel is each joint's angle about x, y, z: (J, 3); 62, one too many, where it does not turn."""
        where = {name: k for k, name in enumerate(CHANNELS)}
        return torch.tensor([[where.get(f"{name} r{axis}", len(CHANNELS)) for axis in "xyz"] for name in self.names])

    def joints(self, channels: Tensor) -> Tensor:
        """Where the joints are, (…, J, 3), in metres, for channels (…, 62) in degrees and units; differentiable.

        A bone turns in its own frame C, by its angles, after all that its parents turn: with R the rotation about x,
        then y, then z, R_bone = R_parent · C R(angles) Cᵀ, and its end is its parent's end + R_bone · offset.

        Raises:
            ValueError: for another number of channels.
            TypeError: for integers.
        """
        if channels.ndim < 1 or channels.shape[-1] != len(CHANNELS):
            raise ValueError(f"channels must have {len(CHANNELS)} in the last dimension, got {tuple(channels.shape)}")
        if not channels.is_floating_point():
            raise TypeError(f"channels must be floating-point numbers, got {channels.dtype}")
        offsets, frames = self.offsets.to(channels), rotations(self.axes.to(channels))
        padded = torch.cat([channels, torch.zeros_like(channels[..., :1])], dim=-1)
        turns = frames @ rotations(padded[..., self._angle_channels.to(channels.device)]) @ frames.mT
        turned = [turns[..., 0, :, :]]
        ends = [channels[..., :3] + offsets[0]]
        for parent, child in self.bones:
            turned.append(turned[parent] @ turns[..., child, :, :])
            ends.append(ends[parent] + turned[child] @ offsets[child])
        return torch.stack(ends, dim=-2) * self.metres


def rotations(angles: Tensor) -> Tensor:
    """Rotation about x, then y, then z, by angles (…, 3) in degrees: R_z R_y R_x, (…, 3, 3)."""
    cx, cy, cz = torch.deg2rad(angles).cos().unbind(-1)
    sx, sy, sz = torch.deg2rad(angles).sin().unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


UNIT = 0.0254 / 0.45  # metres: that of CMU's files
SPREAD = 20.0  # degrees by which the legs are spread at rest

# Heights of joints and lengths of segments as fractions of a person's height: Winter, Biomechanics and Motor Control of
# Human Movement, the figure of segment lengths after Drillis and Contini (1966).
HIP, KNEE, ANKLE, SHOULDER, CHIN = 0.530, 0.285, 0.039, 0.818, 0.870
HALF_SHOULDERS, UPPER_ARM, FOREARM, HAND, FOOT = 0.129, 0.186, 0.146, 0.108, 0.152
# What that figure does not say, chosen by eye.
HALF_HIPS = 0.052
ROOT_ABOVE_HIPS = 0.055
ANKLE_TO_BALL = 0.5 * FOOT  # the heel reaches back a quarter of the foot's length, the toes are the last quarter
BALL = 0.012  # height of the ball of the foot, and of the toes


def standard_skeleton(height: float = 1.75) -> Skeleton:
    """A person of average proportions, `height` in metres, with the joints, axes and 62 channels of CMU's recordings.

    Standing at rest with the arms stretched out sideways and the legs spread, as the skeletons of CMU do, so that its
    joints turn by the same channels. Proportions: Winter, after Drillis and Contini (1966). The root's height is among
    the channels: subject 35 and the made-up walkers have their feet on the ground with about 1.75 m.

    Raises:
        ValueError: unless the height is from 0.4 to 3 m.
    """
    if not 0.4 <= height <= 3:
        raise ValueError(f"height is in metres and must be from 0.4 to 3, got {height}")
    trunk = SHOULDER - HIP - ROOT_ABOVE_HIPS
    up = (0.0, 0.0, 0.0)
    # (joint, parent, rest offset in heights, axes in degrees)
    middle: list[tuple[str, str, tuple[float, float, float], tuple[float, float, float]]] = [
        ("root", "", (0.0, 0.0, 0.0), up),
        ("lowerback", "root", (0.0, trunk / 3, -0.008), up),
        ("upperback", "lowerback", (0.0, trunk / 3, 0.0), up),
        ("thorax", "upperback", (0.0, trunk / 3, 0.006), up),
        ("lowerneck", "thorax", (0.0, (CHIN - SHOULDER) * 0.6, 0.004), up),
        ("upperneck", "lowerneck", (0.0, (CHIN - SHOULDER) * 0.4, -0.004), up),
        ("head", "upperneck", (0.0, 1 - CHIN, -0.018), up),
    ]
    rows = middle + _side("l", 1.0) + _side("r", -1.0)
    names = [name for name, *_ in rows]
    return Skeleton(
        tuple(names),
        (-1, *(names.index(parent) for _, parent, *_ in rows[1:])),
        torch.tensor([offset for *_, offset, _ in rows], dtype=torch.float64) * height / UNIT,
        torch.tensor([axes for *_, axes in rows], dtype=torch.float64),
        UNIT,
        f"a standard skeleton of {height:g} m (proportions: Winter, after Drillis and Contini)",
    )


def _side(letter: str, sign: float) -> list[tuple[str, str, tuple[float, float, float], tuple[float, float, float]]]:
    """One leg and one arm; `sign` is +1 on the left, where x points."""
    sine, cosine = math.sin(math.radians(SPREAD)), math.cos(math.radians(SPREAD))

    def leg(down: float, forward: float = 0.0) -> tuple[float, float, float]:
        return (sign * sine * down, -cosine * down, forward)

    thigh, foot, arm = (0.0, 0.0, sign * SPREAD), (-90.0, 0.0, sign * SPREAD), (180.0, -30.0 * sign, -90.0 * sign)
    hand = (0.0, 90.0 * sign, 90.0 * sign)
    rows = [
        ("hipjoint", "root", (sign * HALF_HIPS, -ROOT_ABOVE_HIPS, 0.0), (0.0, 0.0, 0.0)),
        ("femur", "hipjoint", leg(HIP - KNEE), thigh),
        ("tibia", "femur", leg(KNEE - ANKLE), thigh),
        ("foot", "tibia", leg(ANKLE - BALL, ANKLE_TO_BALL), foot),
        ("toes", "foot", leg(0.0, FOOT / 4), foot),
        ("clavicle", "thorax", (sign * HALF_SHOULDERS, 0.0, -0.006), (0.0, 0.0, 0.0)),
        ("humerus", "clavicle", (sign * UPPER_ARM, 0.0, 0.0), arm),
        ("radius", "humerus", (sign * FOREARM * 2 / 3, 0.0, 0.0), arm),
        ("wrist", "radius", (sign * FOREARM / 3, 0.0, 0.0), hand),
        ("hand", "wrist", (sign * HAND / 2, 0.0, 0.0), hand),
        ("fingers", "hand", (sign * HAND / 2, 0.0, 0.0), hand),
        ("thumb", "wrist", (sign * HAND * 0.4, 0.0, HAND * 0.4), (-90.0, 45.0 * sign, 0.0)),
    ]
    return [(letter + n, p if p in ("root", "thorax") else letter + p, offset, axes) for n, p, offset, axes in rows]
