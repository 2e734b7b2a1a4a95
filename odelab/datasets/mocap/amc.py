"""CMU's recordings (AMC): one frame after the other, each with the angles of every bone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from odelab.datasets.mocap.channels import CHANNELS, LAYOUT
from odelab.datasets.mocap.text import Text

DOFS = dict(LAYOUT)
FIRST = {bone: CHANNELS.index(f"{bone} {dofs[0]}") for bone, dofs in LAYOUT}  # channel of each bone's first number


def read_amc(path: str | Path) -> Tensor:
    """A recording in CMU's 62 channels: (T, 62) float64, degrees, the root's position in the skeleton's units.

    The file must be fully specified and in degrees, its frames numbered from 1 without a gap, each with all 29 bones.

    Raises:
        ValueError: with the line, when it is not.
        FileNotFoundError: when there is no such file.
    """
    text = Text(path)
    flags = {words[0].upper() for _, words in text.lines if words[0].startswith(":")}
    for flag in (":FULLY-SPECIFIED", ":DEGREES"):
        if flag not in flags:
            raise ValueError(f"{path} does not say {flag}; other recordings are not read")
    frames: list[list[float]] = []
    missing: set[str] = set()
    for n, (bone, *values) in text.lines:
        if bone.startswith(":"):
            continue
        if not values and bone.isdigit():
            if missing:
                raise text.complaint(n, f"frame {bone} begins, but the one before has no {_listed(missing)}")
            if int(bone) != len(frames) + 1:
                raise text.complaint(n, f"frame {bone} where frame {len(frames) + 1} should be")
            frames.append([0.0] * len(CHANNELS))
            missing = set(DOFS)
        elif not frames:
            raise text.complaint(n, f"{bone!r} before the first frame's number")
        elif bone not in DOFS:
            raise text.complaint(n, f"CMU's recordings have no bone {bone!r}")
        elif bone not in missing:
            raise text.complaint(n, f"{bone} twice in frame {len(frames)}")
        else:
            missing.remove(bone)
            count = len(DOFS[bone])
            frames[-1][FIRST[bone] : FIRST[bone] + count] = text.numbers(n, values, count)
    if missing or not frames:
        where = f"in frame {len(frames)}, without its {_listed(missing)}" if frames else "before the first frame"
        raise ValueError(f"{path} ends {where}: it is truncated")
    return torch.tensor(frames, dtype=torch.float64)


def _listed(bones: set[str]) -> str:
    return ", ".join(bone for bone in DOFS if bone in bones)
