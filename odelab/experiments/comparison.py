"""Whether two rows of a table differ by more than chance: Welch's test over seeds, corrected for how many were made."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TypeVar

import numpy as np
from scipy.stats import ttest_ind

Name = TypeVar("Name", bound=Hashable)
LEVEL = 0.05  # of p, below which two rows count as told apart


@dataclass(frozen=True)
class Comparison:
    """Two rows over their seeds.

    Attributes:
        ours, theirs: one number per seed.
        p: of equal means, corrected for all comparisons made together; None for fewer than two seeds.
    """

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    p: float | None

    @property
    def difference(self) -> float:
        """Mean of ours less mean of theirs."""
        return fmean(self.ours) - fmean(self.theirs)

    @property
    def lower(self) -> int:
        """-1 where the mean of ours is lower, 1 where it is higher, 0 where the test does not tell them apart."""
        told_apart = self.p is not None and self.p < LEVEL
        return int(np.sign(self.difference)) if told_apart else 0


def compare(pairs: Mapping[Name, tuple[Sequence[float], Sequence[float]]]) -> dict[Name, Comparison]:
    """All pairs (ours, theirs) of a table, by Welch's test, corrected after Holm for their number."""
    tests = holm([welch(ours, theirs) for ours, theirs in pairs.values()])
    return {
        name: Comparison(tuple(ours), tuple(theirs), p)
        for (name, (ours, theirs)), p in zip(pairs.items(), tests, strict=True)
    }


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean over seeds; None for fewer than two."""
    return (variance(values) / len(values)) ** 0.5 if len(values) > 1 else None


def welch(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """p of equal means over seeds, whose scatter may differ; None for fewer than two seeds."""
    if min(len(ours), len(theirs)) < 2:
        return None
    if np.ptp(ours) == np.ptp(theirs) == 0:  # SciPy divides by the scatter
        return float(ours[0] == theirs[0])
    return float(ttest_ind(ours, theirs, equal_var=False).pvalue)


def holm(tests: Sequence[float | None]) -> list[float | None]:
    """p-values of tests made together, corrected: the least of n times n, the next times n − 1, none below the last.

    Holm (1979). With chance alone at work, one of them falls below 0.05 in 5 % of all tables at most.
    """
    made = sorted((p, i) for i, p in enumerate(tests) if p is not None)
    corrected: list[float | None] = [None] * len(tests)
    least = 0.0
    for rank, (p, i) in enumerate(made):
        least = max(least, min(1.0, p * (len(made) - rank)))
        corrected[i] = least
    return corrected
