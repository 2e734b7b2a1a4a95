"""Walks of several people in all 62 channels, and one walk cut in time, to forecast its end."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odelab.datasets.mocap.channels import CHANNELS, FPS, STEP, channels62, differences50
from odelab.datasets.sequences import Sequences
from odelab.folders import user_folders
from odelab.warning import warn

CMU_WALKS = "cmu_walks62_raw.npz"


def walks62() -> dict[str, Tensor]:
    """Walks as recorded, by subject and trial ("35_07"): (T, 62) float64, 120 frames a second, beginnings often cut.

    From `cmu_walks62_raw.npz` in `$ODELAB_DATA/mocap` or the cache. Without it the dictionary is empty, and a warning
    says so: walks of several people are not made up.

    Raises:
        ValueError: when the file cannot be read or a walk is not (T, 62).
    """
    path = next((folder / CMU_WALKS for _, folder in user_folders("mocap") if (folder / CMU_WALKS).is_file()), None)
    if path is None:
        warn(f"no walks of several people: {CMU_WALKS} is not in $ODELAB_DATA/mocap")
        return {}
    try:
        with np.load(path) as arrays:
            walks = {name: torch.from_numpy(arrays[name].astype(np.float64)) for name in arrays.files}
    except Exception as error:  # NumPy's, zipfile's, zlib's or Python's, depending on where a file is bad
        raise ValueError(f"{path} cannot be read: it is truncated or altered ({error})") from error
    for name, walk in walks.items():
        if walk.ndim != 2 or walk.shape[1] != len(CHANNELS) or not bool(walk.isfinite().all()):
            raise ValueError(f"{path}: {name} is {tuple(walk.shape)}; a walk is (frames, {len(CHANNELS)}), finite")
    return walks


@dataclass(frozen=True, eq=False)
class WalkSplit:
    """One walk, its frames in order: to train on, to validate, to test. Centred by the mean of the frames to train on.

    Attributes:
        whole: all frames as one sequence, x (1, T − 1, 50), times 0.1 · frame.
        train, validation, test: its parts, each (1, frames, 50), on the clock of the whole.
        means: what was taken away, (50,).
        start: where the root is at the first frame, (3,).
    """

    whole: Sequences
    train: Sequences
    validation: Sequences
    test: Sequences
    means: Tensor
    start: Tensor

    def channels(self, x: Tensor | None = None) -> Tensor:
        """All 62 channels of the whole walk, (T − 1, 62), or of forecasts from its first frame on, (…, frames, 50)."""
        return channels62(self.whole.x[0] if x is None else x, self.means, self.start)


def walk_split(
    walk: Tensor, parts: tuple[float, float] = (1 / 2, 1 / 6), *, every: int = 1, source: str = "a walk"
) -> WalkSplit:
    """A walk (T, 62) cut in time: by default half to train on, a sixth to validate, the last third to test.

    The kind of protocol of the ODE²VAE paper's first motion-capture experiment, one model for each walk: the first two
    thirds to train and validate, the rest to be forecast. Nothing that follows the training frames is used to centre.

    Args:
        walk: as recorded, (T, 62).
        parts: fractions of the frames to train on and to validate.
        every: keeps every so manieth frame.
        source: what the walk is.

    Raises:
        ValueError: for another shape, fractions that leave a part without two frames, or every < 1.
    """
    if walk.ndim != 2 or walk.shape[1] != len(CHANNELS):
        raise ValueError(f"a walk is (frames, {len(CHANNELS)}), got {tuple(walk.shape)}")
    if every < 1 or len(walk[::every]) < 2:
        raise ValueError(f"every = {every} of {len(walk)} frames leaves no difference; it must be from 1 to T − 1")
    raw = differences50(walk[::every])
    first, second = round(parts[0] * len(raw)), round((parts[0] + parts[1]) * len(raw))
    if not 2 <= first <= second - 2 <= len(raw) - 4:
        raise ValueError(f"parts {parts} of {len(raw)} frames cut at {first} and {second}; each part needs two frames")
    means = raw[:first].mean(0)
    x = (raw - means).float().unsqueeze(0)
    times = STEP * every * torch.arange(len(raw))
    seconds = f"{len(raw) * every / FPS:.2g} s"

    def part(begin: int, end: int, name: str) -> Sequences:
        mask = torch.ones(1, end - begin, dtype=torch.bool)
        return Sequences(x[:, begin:end], times[begin:end], mask, f"{source}, {seconds}, {name}")

    return WalkSplit(
        whole=part(0, len(raw), "whole"),
        train=part(0, first, "training frames"),
        validation=part(first, second, "validation frames"),
        test=part(second, len(raw), "test frames"),
        means=means.float(),
        start=walk[0, :3].float(),
    )
