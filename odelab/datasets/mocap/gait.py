"""A made-up walk in the channels of the motion-capture recordings, for when those are not there.

The angles of hip, knee and ankle at a few moments of a stride are ours, after the shape of textbooks' curves (Winter,
Biomechanics and Motor Control of Human Movement, level walking), joined by a few harmonics. The root follows from them:
as high as the lower foot needs it, and forward as fast as the foot on the ground goes back.
"""

import math
from functools import cache

import torch
from torch import Tensor

from odelab.datasets.mocap.channels import CHANNELS, FPS, FRAMES
from odelab.datasets.mocap.skeleton import ANKLE, BALL, SPREAD, standard_skeleton

HEIGHT = 1.75  # metres
HARMONICS = 5
MOMENTS = 128  # at which a stride is laid on the ground

# Degrees at fractions of a stride, which begins when the heel touches the ground and leaves it at 0.6.
STRIDE = {
    "hip flexion": ((0.0, 24), (0.12, 17), (0.3, 2), (0.48, -13), (0.58, -9), (0.7, 9), (0.84, 25), (0.93, 27)),
    "knee flexion": (
        (0.0, 6),
        (0.14, 15),
        (0.3, 11),
        (0.42, 10),
        (0.52, 20),
        (0.62, 45),
        (0.72, 61),
        (0.84, 36),
        (0.95, 6),
    ),
    "ankle down": ((0.0, 0), (0.07, 6), (0.2, -3), (0.44, -11), (0.53, -2), (0.62, 18), (0.72, 7), (0.85, -2)),
}
POSTURE = {  # what a stride goes around, degrees
    "lowerback rx": 5.0,
    "thorax rx": -3.0,
    "lowerneck rx": 3.0,
    "upperneck rx": 2.0,
    "head rx": 4.0,
    "wrist ry": 5.0,
    "humerus rx": -32.0,
    "humerus rz": 80.0,  # mirrored: arms down
    "radius rx": 25.0,
}


def synthetic_walks(n: int, frames: int = FRAMES + 1, *, seed: int = 0) -> Tensor:
    """n walks along z by people of one skeleton and various paces: (n, frames, 62) float64, 120 frames a second.

    They differ in pace, phase, length of step, swing of arms, posture and wandering. Channels that are not modelled
    (hands, fingers, thumbs, toes) are 0. Draw them with `standard_skeleton()`; the ground is y = 0.

    Raises:
        ValueError: unless n ≥ 1 and frames ≥ 1.
    """
    if n < 1 or frames < 1:
        raise ValueError(f"walks and frames must be at least 1, got n = {n}, frames = {frames}")
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=draw, dtype=torch.float64)

    def uniform() -> Tensor:
        return torch.rand(n, 1, generator=draw, dtype=torch.float64)

    style = {
        name: 1 + spread * normal(1) for name, spread in (("step", 0.05), ("knee", 0.05), ("arms", 0.15), ("sway", 0.2))
    }
    period = 1.12 + 0.05 * normal(1)  # seconds for two steps
    seconds = torch.arange(frames, dtype=torch.float64) / FPS
    phase = uniform() + seconds / period + 0.012 * torch.sin(2 * math.pi * (seconds / (2 + uniform()) + uniform()))
    walks = _angles(phase, style)
    cycle = torch.arange(MOMENTS, dtype=torch.float64) / MOMENTS
    height, pace = _on_the_ground(_angles(cycle.expand(n, -1), style))
    walks[..., CHANNELS.index("root ty")] = _evaluate(height, phase)
    forward = _integral(pace, phase)
    walks[..., CHANNELS.index("root tz")] = forward - forward[:, :1]
    turning = [k for k, name in enumerate(CHANNELS) if " r" in name and bool((walks[..., k] != 0).any())]
    walks[..., turning] += 1.5 * normal(1, len(turning)) + 0.5 * _wandering(normal(12, len(turning)), seconds)
    return walks


def _angles(phase: Tensor, style: dict[str, Tensor]) -> Tensor:
    """Channels (n, T, 62) of people at a phase of their left leg's stride (n, T); the root stays where it is."""
    out = phase.new_zeros(*phase.shape, len(CHANNELS))

    def put(name: str, value: Tensor | float) -> None:
        out[..., CHANNELS.index(name)] = value + (POSTURE.get(name, 0.0))

    def wave(delay: float, cycles: int = 1) -> Tensor:
        return torch.cos(2 * math.pi * cycles * (phase - delay))

    lean, turn = 2.0 * style["sway"] * wave(0.15), -4.0 * style["step"] * wave(0.0)  # of the pelvis
    shift = 1.5 * style["sway"] * wave(0.3)  # degrees by which the legs lean as the weight goes to the standing foot
    put("root tx", 16.0 * torch.deg2rad(shift))
    put("root rx", -1.0 + 0.8 * wave(0.1, 2))
    put("root ry", turn)
    put("root rz", lean)
    for name, part in (("lowerback", 0.5), ("upperback", 0.3), ("thorax", 0.2)):
        put(f"{name} rx", part * wave(0.05, 2))
        put(f"{name} ry", -2.0 * part * turn)
        put(f"{name} rz", -part * lean)
    put("lowerneck rx", -0.6 * wave(0.1, 2))
    put("upperneck rx", 0.8 * wave(0.15, 2))
    put("head rx", -0.5 * wave(0.2, 2))
    for name, part in (("lowerneck", 0.4), ("upperneck", 0.3), ("head", 0.3)):
        put(f"{name} ry", part * turn)  # looks ahead whatever the shoulders do
        put(f"{name} rz", 0.3 * part * lean)
    for side, sign, own in (("l", 1.0, phase), ("r", -1.0, phase + 0.5)):
        curve = {name: _evaluate(coefficients, own) for name, coefficients in _strides().items()}
        swing = style["arms"] * torch.cos(2 * math.pi * (own - 0.53))  # with the other leg
        put(f"{side}femur rx", -style["step"] * curve["hip flexion"])
        put(f"{side}femur ry", -turn + 2 * sign)
        put(f"{side}femur rz", -sign * SPREAD - lean - shift)
        put(f"{side}tibia rx", style["knee"] * curve["knee flexion"])
        put(f"{side}foot rx", style["step"] * curve["ankle down"])
        put(f"{side}foot rz", 1.5 * torch.cos(2 * math.pi * (own - 0.7)))
        put(f"{side}humerus rx", POSTURE["humerus rx"] + 16 * swing)
        put(f"{side}humerus ry", -3 * swing)
        put(f"{side}humerus rz", sign * POSTURE["humerus rz"] + 2 * swing)
        put(f"{side}radius rx", POSTURE["radius rx"] + 8 * swing)
        put(f"{side}wrist ry", POSTURE["wrist ry"] + 3 * swing)
    return out


def _on_the_ground(cycle: Tensor) -> tuple[Tensor, Tensor]:
    """Height of the root and its advance per stride, harmonics (n, HARMONICS + 1), over a stride (n, MOMENTS, 62)."""
    skeleton = standard_skeleton(HEIGHT)
    joints = skeleton.joints(cycle) / skeleton.metres
    soles, advance = [], []
    for side in "lr":
        for bone, above in (("tibia", ANKLE), ("foot", BALL), ("toes", BALL)):
            soles.append(joints[..., skeleton.index(side + bone), 1] - above * HEIGHT / skeleton.metres)
        ball = joints[..., skeleton.index(f"{side}foot"), 2]
        advance.append((ball.roll(1, -1) - ball.roll(-1, -1)) * MOMENTS / 2)
    left = torch.arange(MOMENTS) < MOMENTS / 2  # the half of the stride for which the left foot stands
    pace = _harmonics(torch.where(left, advance[0], advance[1]))
    # Twice a stride it is faster and slower, by half of what the foot asks for: a body is heavier than a foot.
    return _harmonics(-torch.stack(soles).amin(0)), pace * torch.tensor([1, 0, 0.5, 0, 0, 0])


def _harmonics(samples: Tensor) -> Tensor:
    """The first Fourier coefficients, (…, HARMONICS + 1) complex, of one period sampled evenly (…, P)."""
    return torch.fft.rfft(samples, norm="forward")[..., : HARMONICS + 1]


def _waves(phase: Tensor) -> Tensor:
    """e^{2πi k phase} for k = 0, …, HARMONICS: (…, HARMONICS + 1)."""
    turns = phase.unsqueeze(-1) * torch.arange(HARMONICS + 1, dtype=phase.dtype)
    return torch.polar(torch.ones_like(turns), 2 * math.pi * turns)


def _evaluate(harmonics: Tensor, phase: Tensor) -> Tensor:
    """The function with those harmonics, (n, K) or (K,), at phases (n, T)."""
    twice = torch.tensor([1.0] + [2.0] * HARMONICS, dtype=phase.dtype)
    return (_waves(phase) * (harmonics * twice).unsqueeze(-2)).sum(-1).real


def _integral(harmonics: Tensor, phase: Tensor) -> Tensor:
    """An antiderivative of that function."""
    orders = torch.arange(1, HARMONICS + 1, dtype=phase.dtype)
    rising = torch.cat([torch.zeros_like(harmonics[..., :1]), harmonics[..., 1:] / (2j * math.pi * orders)], dim=-1)
    return harmonics[..., :1].real * phase + _evaluate(rising, phase)


def _wandering(amplitudes: Tensor, seconds: Tensor) -> Tensor:
    """Slow waves of up to 2 Hz with standard-normal amplitudes (n, 2 K, C): (n, T, C), of standard deviation 1."""
    waves = amplitudes.shape[1] // 2
    turns = 2 * math.pi * seconds.unsqueeze(-1) * torch.linspace(0.3, 2.0, waves, dtype=seconds.dtype)
    return torch.cat([turns.cos(), turns.sin()], dim=-1) @ amplitudes / math.sqrt(waves)


@cache
def _strides() -> dict[str, Tensor]:
    """The harmonics of each curve of STRIDE."""
    from scipy.interpolate import CubicSpline  # here, because it takes long to load

    curves = {}
    for name, points in STRIDE.items():
        at, degrees = zip(*points, (1.0, points[0][1]), strict=True)
        spline = CubicSpline(at, degrees, bc_type="periodic")
        curves[name] = _harmonics(torch.from_numpy(spline(torch.arange(MOMENTS) / MOMENTS)))
    return curves
