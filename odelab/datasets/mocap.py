"""Subject 35 of the CMU motion-capture database, walking, in the split and the 50 channels of the ODE²VAE paper."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from odelab.datasets.mocap_channels import FRAMES, KEPT
from odelab.datasets.mocap_files import ABSOLUTE, MAT, read_absolute, read_mat
from odelab.datasets.sequences import Sequences

TRIALS = {"train": tuple(range(1, 17)), "validation": (28, 29, 30), "test": (31, 32, 33, 34)}
STEP = 0.1  # time between two frames in the paper's unit; a frame is 1/120 s


@dataclass(frozen=True, eq=False)
class Mocap:
    """23 walks of one person, 300 frames of 50 channels, each walk centred by its own mean.

    Attributes:
        train, validation, test: 16, 3 and 4 sequences; x (n, 300, 50), degrees but for the root's three steps.
        means: what was taken from each walk, (23, 50), in the order train, validation, test; None when unknown.
        starts: the root at each first frame, (23, 3), NaN where unknown; None when no start is known.
        source: where the recordings came from.
        complete: whether these are the recordings, not a stand-in.
    """

    train: Sequences
    validation: Sequences
    test: Sequences
    means: Tensor | None
    starts: Tensor | None
    source: str
    complete: bool


def mocap35() -> Mocap:
    """Subject 35's walks as the ODE²VAE paper has them: 16 to train on, 3 to validate, 4 to test."""
    folder = Path(os.environ.get("ODELAB_DATA", "")) / "mocap"
    if not (folder / MAT).is_file():
        raise FileNotFoundError(f"no {MAT} in $ODELAB_DATA/mocap")
    parts = read_mat(folder / MAT)
    centred = np.concatenate(list(parts.values()))
    means = start = None
    if (folder / ABSOLUTE).is_file():
        means, start = read_absolute(folder / ABSOLUTE, centred)
    return _assembled(centred, means, start, f"CMU subject 35, the ODE²VAE authors' {MAT}, from $ODELAB_DATA", True)


def _assembled(
    centred: np.ndarray, means: np.ndarray | None, starts: np.ndarray | None, source: str, complete: bool
) -> Mocap:
    """Walks in the order train, validation, test, (23, 300, 50), as three `Sequences` and what was taken away."""
    x = torch.from_numpy(centred).float()
    if x.shape != (23, FRAMES, len(KEPT)):
        raise ValueError(f"expected 23 walks of {FRAMES} frames and {len(KEPT)} channels, got {tuple(x.shape)}")
    times = STEP * torch.arange(FRAMES)
    parts, first = {}, 0
    for name, trials in TRIALS.items():
        here = x[first : first + len(trials)]
        mask = torch.ones(here.shape[:2], dtype=torch.bool)
        parts[name] = Sequences(here, times, mask, f"{source}, {name}", complete)
        first += len(trials)
    kept = [None if part is None else torch.from_numpy(part).float() for part in (means, starts)]
    return Mocap(**parts, means=kept[0], starts=kept[1], source=source, complete=complete)
