"""A skeleton of average proportions with CMU's joints and channels, for when the recorded person's is not there."""

from __future__ import annotations

import math

import torch

from odelab.datasets.mocap.skeleton import Skeleton

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
