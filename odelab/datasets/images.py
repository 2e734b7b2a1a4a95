"""Small images with labels: MNIST and the 8×8 digits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
    from sklearn.datasets import load_digits  # here, because it takes a second to load

    digits = load_digits()
    x = torch.from_numpy(digits.images).to(torch.uint8).unsqueeze(1)
    return Images(x, torch.from_numpy(digits.target).long(), "scikit-learn's 8×8 digits", True, 17)
