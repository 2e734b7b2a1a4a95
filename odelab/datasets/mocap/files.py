"""The files behind `mocap35()`: where they are looked for, how they are read and checked, the download."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from odelab.datasets.download import DownloadError, download
from odelab.datasets.mocap.channels import COLUMNS50, FRAMES, differences50
from odelab.datasets.mocap.formats import read_amc, read_asf
from odelab.folders import cache_folder, user_folders

SITE = "http://mocap.cs.cmu.edu/subjects/35/"
MAT = "mocap35.mat"
MAT_SHA256 = "105484f138487f10209cce883d26e2e030d10a6df6f10159f4e6e253f9b03b8d"
ABSOLUTE = "mocap35_abs50.npz"
SKELETON = "35.asf"
HASHES = "SHA256SUMS"  # of the downloads, written down when they come, for nobody published them
TRIALS = {"train": tuple(range(1, 17)), "validation": (28, 29, 30), "test": (31, 32, 33, 34)}
KEYS = {"train": "Xtr", "validation": "Xval", "test": "Xtest"}  # the authors' names
RECORDINGS = tuple(f"35_{trial:02d}.amc" for trials in TRIALS.values() for trial in trials)
AGREEMENT = 2e-5  # between the authors' numbers and those from the recordings: theirs are off by 1e-5


@dataclass(frozen=True, eq=False)
class Walks:
    """All 23 in the order of TRIALS: x (23, 300, 50) centred, means (23, 50), starts (23, 3) NaN where unknown."""

    x: Tensor
    means: Tensor | None
    starts: Tensor | None
    source: str


def find_walks(allowed: bool, progress: bool) -> Walks:
    """The walks from disk, or else downloaded.

    Raises:
        DownloadError: when they are not on disk, and a download is not allowed or fails.
        ValueError: when a file is truncated or altered.
    """
    for place, folder in user_folders("mocap"):
        if (folder / MAT).is_file():
            return _authors(folder, place)
    for place, folder in user_folders("mocap"):
        if all((folder / name).is_file() for name in RECORDINGS):
            return _recorded(folder, place)
    fetch_recordings(allowed, progress)
    return _recorded(cache_folder("mocap"), "a download")


def read_mat(path: Path, sha256: str | None = None) -> Tensor:
    """The authors' walks, (23, 300, 50) float64, centred, in the order of TRIALS; any file's with None.

    Raises:
        ValueError: when the file is not the authors', cannot be read, or lacks an array. It is left as it is.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if sha256 not in (None, digest):
        raise ValueError(
            f"{path} is truncated or altered: its SHA-256 is {digest} instead of {sha256}. It was not used and not "
            "changed. Move it away and call again, which looks in the next place, or put the authors' file there."
        )
    from scipy.io import loadmat  # here, because most of the course does without

    try:
        arrays = loadmat(path)
    except Exception as error:  # SciPy raises its own, NumPy's, zlib's and Python's, depending on where a file is bad
        raise ValueError(
            f"{path} is not a MATLAB file that can be read: it is truncated or altered ({error})"
        ) from error
    walks = []
    for part, key in KEYS.items():
        if key not in arrays:
            names = ", ".join(sorted(name for name in arrays if not name.startswith("__")))
            raise ValueError(f"{path} has no array {key}, the walks to {part}; it has {names or 'none'}")
        expected = (len(TRIALS[part]), FRAMES, len(COLUMNS50))
        if arrays[key].shape != expected:
            raise ValueError(f"{path}: {key} is {arrays[key].shape} instead of {expected}")
        walks.append(torch.from_numpy(arrays[key].astype(np.float64)))
    return torch.cat(walks)


def read_absolute(path: Path, centred: Tensor) -> tuple[Tensor, Tensor]:
    """What was taken from each walk, (23, 50), and where its root began, (23, 3) with NaN where unknown.

    Args:
        path: the walks with their means put back: arrays `x` (23, 300, 50) and `root_start` (23, 3).
        centred: the same walks without, (23, 300, 50), which says whether the file belongs to them.

    Raises:
        ValueError: when it cannot be read or is not of the same walks.
    """
    try:
        with np.load(path) as arrays:
            x, starts = (torch.from_numpy(arrays[key].astype(np.float64)) for key in ("x", "root_start"))
    except Exception as error:  # as above
        raise ValueError(f"{path} cannot be read as walks with their means ({error})") from error
    if x.shape != centred.shape or starts.shape != (len(x), 3):
        raise ValueError(f"{path}: x and root_start are {tuple(x.shape)} and {tuple(starts.shape)}")
    means = x.mean(1)
    off = (x - means.unsqueeze(1) - centred).abs().max().item()
    if not off < AGREEMENT:
        raise ValueError(f"{path} is not of the walks of {MAT}: centred, they differ by {off:.2g}")
    return means, starts


def fifty(recording: Tensor, name: str) -> Tensor:
    """The first 300 frames of a recording (T, 62) in the 50 channels, not yet centred: (300, 50).

    Raises:
        ValueError: when there are not 301 frames, of which the last difference needs the last.
    """
    if len(recording) <= FRAMES:
        raise ValueError(f"{name} has {len(recording)} frames; {FRAMES + 1} are needed")
    return differences50(recording[: FRAMES + 1])


def _authors(folder: Path, place: str) -> Walks:
    x = read_mat(folder / MAT, MAT_SHA256)
    means = starts = None
    if (folder / ABSOLUTE).is_file():
        means, starts = read_absolute(folder / ABSOLUTE, x)
    elif all((folder / name).is_file() for name in RECORDINGS):
        raw = _recorded(folder, place)
        off = (raw.x - x).abs().max().item()
        if not off < AGREEMENT:
            raise ValueError(f"the recordings beside {folder / MAT} are not its walks: they differ by {off:.2g}")
        means, starts = raw.means, raw.starts
    return Walks(x, means, starts, f"the ODE²VAE authors' {MAT} from {place}")


def _recorded(folder: Path, place: str) -> Walks:
    known = recorded_hashes(folder)
    recordings = []
    for name in RECORDINGS:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if known.get(name, digest) != digest:
            raise ValueError(
                f"{folder / name} was altered since its download: its SHA-256 is {digest}, that in {HASHES} is "
                f"{known[name]}. It was not used and not changed. Delete it and call again, which downloads it."
            )
        recordings.append(read_amc(folder / name))
    raw = torch.stack([fifty(recording, name) for recording, name in zip(recordings, RECORDINGS, strict=True)])
    means = raw.mean(1)
    starts = torch.stack([recording[0, :3] for recording in recordings])
    return Walks(raw - means.unsqueeze(1), means, starts, f"the recordings from {place}")


def recorded_hashes(folder: Path) -> dict[str, str]:
    """Which SHA-256 each downloaded file had when it came, as `sha256sum` writes them."""
    path = folder / HASHES
    rows = [line.split() for line in path.read_text().splitlines()] if path.is_file() else []
    return {row[1].lstrip("*"): row[0] for row in rows if len(row) == 2}


def fetch_recordings(allowed: bool = True, progress: bool = True) -> Path:
    """The folder in the cache with the recordings and the skeleton, each fetched where missing.

    A file that was here before must come again with the hash that was then written down.

    Raises:
        DownloadError: when it is not allowed, or `ODELAB_OFFLINE` is set, or it fails, now or in the last minute.
    """
    if not allowed:
        raise DownloadError("a download was not asked for")
    folder = cache_folder("mocap")
    for name in (SKELETON, *RECORDINGS):
        if not (folder / name).is_file():
            known = recorded_hashes(folder).get(name)
            check = read_asf if name == SKELETON else read_amc
            sha256 = download([SITE + name], folder / name, known, check=check, progress=progress)
            if known is None:
                with (folder / HASHES).open("a") as file:
                    file.write(f"{sha256}  {name}\n")
    return folder
