"""The files behind `mocap35()`: where they are looked for, and how they are checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from odelab.datasets.mocap_channels import FRAMES, KEPT

MAT = "mocap35.mat"
MAT_SHA256 = "105484f138487f10209cce883d26e2e030d10a6df6f10159f4e6e253f9b03b8d"
ABSOLUTE = "mocap35_abs50.npz"
PARTS = {"train": ("Xtr", 16), "validation": ("Xval", 3), "test": ("Xtest", 4)}  # the authors' names and sizes
AGREEMENT = 2e-5  # between the authors' numbers and ours from the recordings


def read_mat(path: Path, sha256: str | None = MAT_SHA256) -> dict[str, np.ndarray]:
    """The authors' arrays by the name of the part: (16, 300, 50), (3, 300, 50), (4, 300, 50) float64.

    Raises:
        ValueError: when the file is not the authors', cannot be read, or lacks an array. It is left as it is.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{path} is truncated or altered: its SHA-256 is {found} instead of {sha256}. It was not used and not "
            "changed. Move it away and call again, which looks in the next place, or put the authors' file there."
        )
    from scipy.io import loadmat  # here, because most of the course does without
    from scipy.io.matlab import MatReadError

    try:
        arrays = loadmat(path)
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a MATLAB file that can be read ({error})") from error
    parts = {}
    for part, (key, n) in PARTS.items():
        if key not in arrays:
            names = ", ".join(sorted(name for name in arrays if not name.startswith("__")))
            raise ValueError(f"{path} has no array {key} (the {part} sequences); it has {names or 'none'}")
        if arrays[key].shape != (n, FRAMES, len(KEPT)):
            raise ValueError(f"{path}: {key} is {arrays[key].shape} instead of {(n, FRAMES, len(KEPT))}")
        parts[part] = arrays[key].astype(np.float64)
    return parts


def read_absolute(path: Path, centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was taken from each walk, (23, 50), and where its root began, (23, 3) with NaN where unknown.

    Args:
        path: the walks with their means put back: `x` (23, 300, 50) and `root_start` (23, 3).
        centred: the same walks without, (23, 300, 50), which says whether the file belongs to them.

    Raises:
        ValueError: when it cannot be read or is not of the same walks.
    """
    try:
        with np.load(path) as arrays:
            x, start = arrays["x"].astype(np.float64), arrays["root_start"].astype(np.float64)
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as walks with their means ({error})") from error
    if x.shape != centred.shape or start.shape != (len(x), 3):
        raise ValueError(f"{path}: x {x.shape} and root_start {start.shape} instead of {centred.shape} and (23, 3)")
    means = x.mean(1)
    off = float(np.abs(x - means[:, None] - centred).max())
    if not off < AGREEMENT:
        raise ValueError(f"{path} is not of the walks of {MAT}: centred, they differ by {off:.2g}")
    return means, start
