"""Values that stand for "not observed" in many files, and read as numbers all the same: -999, 9999, 1e20.

They are looked for, not removed: 99 may be an age. Whoever knows better says so by `load_sequences(…, missing=…)`.
"""

import re
from collections.abc import Sequence

import numpy as np

# All nines, eights or sevens; powers of ten and fill values of netCDF; the least number of 16 and of 32 bits.
USUAL = re.compile(r"-?(([789])\2+(\.9*)?0?|9+\.9+|1e\+[1-3]\d|9\.969209\d*e\+36|32768(\.0)?|2147483648(\.0)?)")
MINUS_ONE = re.compile(r"-1(\.0)?")
TOLD = 5  # channels that a warning names


def sentinels(values: np.ndarray) -> list[tuple[np.generic, int]]:
    """The values that look like sentinels, each with its count: extreme, apart from all others, and of a usual kind.

    Args:
        values: (n,), numbers without NaN.
    """
    found: list[tuple[np.generic, int]] = []
    while values.size:
        for extreme in (values.min(), values.max()):
            rest = values[values != extreme]
            if _stands_for_missing(extreme, values.size - rest.size, rest):
                found.append((extreme, values.size - rest.size))
                values = rest
                break
        else:
            break
    return found


def _stands_for_missing(extreme: np.generic, count: int, rest: np.ndarray) -> bool:
    text = str(extreme)
    usual = USUAL.fullmatch(text) is not None
    if not rest.size:
        return usual and count > 2 and abs(float(extreme)) > 100
    spread = float(rest.max()) - float(rest.min())
    gap = float(np.abs(rest.astype(np.float64) - float(extreme)).min())
    apart = gap > (spread if count > 1 else 10 * spread)
    if abs(float(extreme)) < 100 and (count == 1 or spread == 0):  # 77 beside 73 is a pulse
        return False
    several = usual or (MINUS_ONE.fullmatch(text) is not None and count > 1 and np.unique(rest).size > 2)
    return apart and several


def complaints(values: np.ndarray, names: Sequence[str]) -> list[str]:
    """What is odd about channels, a sentence each: sentinels, and that a channel is never observed or always the same.

    Args:
        values: (n, T, channels), NaN where nothing was observed.
        names: of the channels.
    """
    told = []
    for name, channel in zip(names, np.moveaxis(values, 2, 0), strict=True):
        observed = channel[~np.isnan(channel)]
        marks = sentinels(observed)
        for mark, count in marks:
            others = observed[~np.isin(observed, [each for each, _ in marks])]
            rest = f"its other values lie in [{others.min():g}, {others.max():g}]" if others.size else "and no other"
            number = str(mark).removesuffix(".0")
            told.append(
                f"{name} holds {number} {count} time{'s' if count > 1 else ''}, {rest}: where that stands for missing, "
                f"read the file with missing={number}; where it does not, with missing=()"
            )
        if not observed.size:
            told.append(f"{name} is never observed, so that nothing can be learnt of it: leave it out")
        elif observed.size > 2 and not marks and observed.min() == observed.max():
            told.append(
                f"{name} is {observed[0]:g} wherever it is observed: to divide by its standard deviation, 0, gives NaN"
            )
    return told[:TOLD] + ([f"and so on, {len(told) - TOLD} more"] if len(told) > TOLD else [])
