"""Subject 35 of the CMU motion-capture database, walking, in the split and the 50 channels of the ODE²VAE paper."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from odelab.datasets.download import DownloadError
from odelab.datasets.mocap.channels import FRAMES, STEP, channels62, differences50
from odelab.datasets.mocap.files import SKELETON, TRIALS, Walks, find_walks
from odelab.datasets.mocap.formats import read_asf
from odelab.datasets.mocap.gait import synthetic_walks
from odelab.datasets.mocap.skeleton import Skeleton, standard_skeleton
from odelab.datasets.sequences import Sequences
from odelab.folders import user_folders

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
    raw = differences50(walks)
    means = raw.mean(1)
    stand_in = Walks(raw - means.unsqueeze(1), means, walks[:, 0, :3], "made up")
    return _assembled(stand_in, "a made-up gait, not recorded", complete=False)


@lru_cache  # once in a process
def _warn(reason: str) -> None:
    warnings.warn(
        f"The walks of subject 35 are a made-up gait here, because {reason}. With mocap35.mat or the recordings "
        "35_NN.amc in $ODELAB_DATA/mocap they are real.",
        stacklevel=3,
    )
