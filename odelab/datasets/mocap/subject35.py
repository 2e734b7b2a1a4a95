"""Subject 35 of the CMU motion-capture database, walking, in the split and the 50 channels of the ODE²VAE paper.

The walks are looked for in files, which are read and checked, and else downloaded or made up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from odelab.datasets.download import DownloadError, download
from odelab.datasets.mocap.channels import COLUMNS50, FRAMES, STEP, channels62, differences50
from odelab.datasets.mocap.formats import read_amc, read_asf
from odelab.datasets.mocap.gait import synthetic_walks
from odelab.datasets.mocap.skeleton import Skeleton, standard_skeleton
from odelab.datasets.sequences import Sequences
from odelab.folders import cache_folder, user_folders
from odelab.warning import warn

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
    return _centred(raw, torch.stack([recording[0, :3] for recording in recordings]), f"the recordings from {place}")


def _centred(raw: Tensor, starts: Tensor, source: str) -> Walks:
    means = raw.mean(1)
    return Walks(raw - means.unsqueeze(1), means, starts, source)


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


Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, eq=False)
class Mocap:
    """23 walks of one person, 300 frames of 50 channels: degrees, and the root's three steps from frame to frame.

    Attributes:
        train, validation, test: 16, 3 and 4 walks, each centred by its own mean over all its frames, as in the paper.
        means: what was taken from each walk, (23, 50), in the order train, validation, test; None when unknown.
        starts: where the root is at each first frame, (23, 3), NaN where unknown; None when means is.
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

    def rows(self, part: Part) -> slice:
        """Which rows of `means` and `starts` belong to the part.

        Raises:
            ValueError: for another name than train, validation, test.
        """
        if part not in TRIALS:
            raise ValueError(f"part must be one of {', '.join(TRIALS)}, got {part!r}")
        sizes = [len(getattr(self, name)) for name in TRIALS]
        place = list(TRIALS).index(part)
        return slice(sum(sizes[:place]), sum(sizes[: place + 1]))

    def channels(self, part: Part, x: Tensor | None = None) -> Tensor:
        """All 62 channels of the walks of a part, (n, 300, 62), to draw them; or of forecasts of them.

        Args:
            part: "train", "validation" or "test".
            x: instead of the recordings, what a model says of these walks from their first frame on, (…, n, T, 50).

        Raises:
            ValueError: when what was taken from the walks is not known, or x has other shapes.
        """
        rows = self.rows(part)
        if self.means is None:
            raise ValueError(
                "the means of these walks are not known, so they cannot be drawn: the authors' file lacks them. Put "
                "the recordings 35_NN.amc, or mocap35_abs50.npz, beside it."
            )
        starts = None if self.starts is None else self.starts[rows]
        return channels62(getattr(self, part).x if x is None else x, self.means[rows], starts)

    def skeleton(self) -> Skeleton:
        """The walker's own, where 35.asf lies in `$ODELAB_DATA/mocap` or the cache; the standard one else."""
        paths = (folder / SKELETON for _, folder in user_folders("mocap") if self.complete)
        file = next((path for path in paths if path.is_file()), None)
        return read_asf(file) if file else standard_skeleton()

    def recentred(self, frames: int | Literal["training"]) -> Mocap:
        """The same walks centred without looking ahead.

        The paper's file takes from each walk the mean over all its frames, those to be forecast among them. Here it is
        the mean of its own first `frames` frames, or, with "training", the mean over all frames of the training walks.

        Raises:
            ValueError: unless 1 ≤ frames ≤ 300; or with "training" when the walks' means are not known.
        """
        parts: dict[str, Sequences] = {name: getattr(self, name) for name in TRIALS}
        x = torch.cat([part.x for part in parts.values()])
        if frames == "training":
            if self.means is None:
                raise ValueError("the means of these walks are not known, so they have no common one; use first frames")
            level = self.means + x.mean(1)
            shift = level[self.rows("train")].mean(0) - self.means
            how = "centred by the training mean"
        elif isinstance(frames, int) and 1 <= frames <= x.shape[1]:
            shift, how = x[:, :frames].mean(1), f"centred by the mean of the first {frames} frames"
        else:
            raise ValueError(f"frames must be from 1 to {x.shape[1]} or 'training', got {frames!r}")
        moved = x - shift.unsqueeze(1)
        new = {
            name: replace(part, x=moved[self.rows(name)], source=f"{part.source}, {how}")  # type: ignore[arg-type]
            for name, part in parts.items()
        }
        means = None if self.means is None else self.means + shift
        return replace(self, **new, means=means, source=f"{self.source}, {how}")  # type: ignore[arg-type]


def mocap35(*, download: bool = True, progress: bool = True) -> Mocap:
    """Subject 35's walks as the ODE²VAE paper has them: 16 to train on, 3 to validate, 4 to test; times 0.1 · frame.

    Looked for in this order: the authors' `mocap35.mat` in `$ODELAB_DATA/mocap` and in the cache; the recordings
    35_NN.amc there; the recordings at mocap.cs.cmu.edu, which are kept in the cache with their hashes, unless
    `ODELAB_OFFLINE` is set. Without any of them it is a made-up gait of the same shapes; `complete` is then False, and
    a warning says so.

    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF
    EIA-0196217."

    Args:
        download: whether the recordings may be downloaded (7 MB).
        progress: whether a download shows a bar.

    Raises:
        ValueError: when a file that was found is truncated or altered; it is neither used nor changed.
    """
    try:
        walks = find_walks(download, progress)
    except DownloadError as error:
        _warn(str(error))
        return _made_up()
    return _assembled(walks, f"CMU subject 35, {walks.source}", complete=True)


def _assembled(walks: Walks, source: str, complete: bool) -> Mocap:
    frames = walks.x.shape[1]
    parts, first = {}, 0
    for name, trials in TRIALS.items():
        x = walks.x[first : first + len(trials)].float()
        mask = torch.ones(len(x), frames, dtype=torch.bool)
        parts[name] = Sequences(x, STEP * torch.arange(frames), mask, f"{source}, {name}", complete)
        first += len(trials)
    means, starts = (None if given is None else given.float() for given in (walks.means, walks.starts))
    return Mocap(**parts, means=means, starts=starts, source=source, complete=complete)


def _made_up() -> Mocap:
    walks = synthetic_walks(sum(map(len, TRIALS.values())), FRAMES + 1)
    stand_in = _centred(differences50(walks), walks[:, 0, :3], "made up")
    return _assembled(stand_in, "a made-up gait, not recorded", complete=False)


@lru_cache  # once in a process
def _warn(reason: str) -> None:
    warn(
        f"The walks of subject 35 are a made-up gait here, because {reason}. With mocap35.mat or the recordings "
        "35_NN.amc in $ODELAB_DATA/mocap they are real."
    )
