"""The 62 channels of a CMU recording, the 50 that are modelled, and the way from one to the other and back."""

import torch
from torch import Tensor

FPS = 120  # frames a second
FRAMES = 300  # of each trial that are used; one more is needed for the last difference
ROOT_START = (0.0, 17.9, 0.0)  # where a walker is put of whom it is not known, in the skeleton's units

# What one frame of an AMC file of CMU says, in its order: bone and degrees of freedom.
LAYOUT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("root", ("tx", "ty", "tz", "rx", "ry", "rz")),
    ("lowerback", ("rx", "ry", "rz")),
    ("upperback", ("rx", "ry", "rz")),
    ("thorax", ("rx", "ry", "rz")),
    ("lowerneck", ("rx", "ry", "rz")),
    ("upperneck", ("rx", "ry", "rz")),
    ("head", ("rx", "ry", "rz")),
    *(
        (side + bone, dof)
        for side in "rl"
        for bone, dof in (
            ("clavicle", ("ry", "rz")),
            ("humerus", ("rx", "ry", "rz")),
            ("radius", ("rx",)),
            ("wrist", ("ry",)),
            ("hand", ("rx", "rz")),
            ("fingers", ("rx",)),
            ("thumb", ("rx", "rz")),
        )
    ),
    *(
        (side + bone, dof)
        for side in "rl"
        for bone, dof in (("femur", ("rx", "ry", "rz")), ("tibia", ("rx",)), ("foot", ("rx", "rz")), ("toes", ("rx",)))
    ),
)
CHANNELS: tuple[str, ...] = tuple(f"{bone} {dof}" for bone, dofs in LAYOUT for dof in dofs)
STEP = 0.1  # time between two frames in the ODE²VAE paper's unit; by the clock it is 1/120 s
DROPPED = ("hand", "fingers", "thumb", "toes")  # the bones whose channels are not modelled
COLUMNS50: tuple[int, ...] = tuple(k for k, name in enumerate(CHANNELS) if not name.split()[0].endswith(DROPPED))


def differences50(channels: Tensor) -> Tensor:
    """What a model sees of a recording: 50 of the 62 channels, the root's three positions as forward differences.

    Args:
        channels: (…, T + 1, 62), angles in degrees, positions in the skeleton's units.

    Returns:
        (…, T, 50): one frame less, for the last difference needs the frame after.

    Raises:
        ValueError: for another number of channels, or fewer than two frames.
    """
    if channels.ndim < 2 or channels.shape[-1] != len(CHANNELS) or channels.shape[-2] < 2:
        raise ValueError(
            f"channels must be (…, frames, {len(CHANNELS)}) with at least 2 frames, got {tuple(channels.shape)}"
        )
    steps = channels[..., 1:, :3] - channels[..., :-1, :3]
    return torch.cat([steps, channels[..., :-1, list(COLUMNS50[3:])]], dim=-1)


def channels62(x50: Tensor, means: Tensor | None = None, start: Tensor | None = None) -> Tensor:
    """The way back: zeros in the channels that were dropped, and the root's differences added up from where it began.

    Args:
        x50: (…, T, 50), centred, or not when `means` is None.
        means: what was taken away, (…, 50).
        start: the root at the first frame, (…, 3); None, or NaN in it, stands for `ROOT_START`.

    Returns:
        (…, T, 62), as an AMC file has them.

    Raises:
        ValueError: when the last dimensions are not 50, 50 and 3.
    """
    for name, given, size in (("x50", x50, len(COLUMNS50)), ("means", means, len(COLUMNS50)), ("start", start, 3)):
        if given is not None and (given.ndim < 1 or given.shape[-1] != size):
            raise ValueError(f"{name} must have {size} in its last dimension, got {tuple(given.shape)}")
    if x50.ndim < 2:
        raise ValueError(f"x50 must be (…, frames, {len(COLUMNS50)}), got {tuple(x50.shape)}")
    x = x50 if means is None else x50 + means.to(x50).unsqueeze(-2)
    begin = x.new_tensor(ROOT_START)
    if start is not None:
        begin = torch.where(start.isnan(), begin, start.to(x))
    gone = x[..., :3].cumsum(-2) - x[..., :3]  # the first frame is where it began
    out = x.new_zeros(*x.shape[:-1], len(CHANNELS))
    out[..., list(COLUMNS50[3:])] = x[..., 3:]
    out[..., :3] = gone + begin.unsqueeze(-2)
    return out
