"""Values that stand for "not observed" in many files, and read as numbers all the same: -999, 9999, 1e20.

They are looked for, not removed: 99 may be an age. Whoever knows better says so by `load_sequences(…, missing=…)`.
"""

import re
from collections.abc import Sequence

import numpy as np

# All nines, eights or sevens; powers of ten and fill values of netCDF; the least number of 16 and of 32 bits.
USUAL = re.compile(r"-?(([789])\2+(\.9*)?0?|9+\.9+|1e\+[1-3]\d|9\.9692\d*e\+36|32768(\.0)?|2147483648(\.0)?)")
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
    if usual and abs(float(extreme)) < min(100.0, 2 * float(np.abs(rest).max())):  # 88 beside 97 is a percentage
        return False
    if MINUS_ONE.fullmatch(text):  # which may be a temperature
        return count > 1 and np.unique(rest).size > 2 and gap > 2 * spread
    return apart and usual


def complaints(values: np.ndarray, names: Sequence[str], *, search: bool = True) -> list[str]:
    """What is odd about channels: sentinels with what to do, and that a channel is never observed or always the same.

    Args:
        values: (n, T, channels), NaN where nothing was observed.
        names: of the channels.
        search: look for sentinels, too.
    """
    told, constant = list[str](), False
    numbers = dict[str, list[str]]()  # sentinels, and the channels in which they may be values
    channels = dict(zip(names, np.moveaxis(values, 2, 0), strict=True))
    for name, channel in channels.items():
        observed = channel[~np.isnan(channel)]
        marks = sentinels(observed) if search else []
        others = observed[~np.isin(observed, [mark for mark, _ in marks])]
        rest = f"its other values lie in [{others.min():g}, {others.max():g}]" if others.size else "and no other value"
        for mark, count in marks:
            told.append(f"{name} holds {as_written(mark)} {count} time{'s' if count > 1 else ''}, {rest}")
            holders = [other for other, column in channels.items() if (column == mark).any()]
            numbers.setdefault(as_written(mark), holders).remove(name)
        if not observed.size:
            told.append(f"{name} is never observed, so that nothing can be learned about it: leave it out")
        elif observed.size > 2 and not marks and observed.min() == observed.max():
            told.append(f"{name} is {observed[0]:g} wherever it is observed")
            constant = True
    told = told[:TOLD] + ([f"and so on, {len(told) - TOLD} more"] if len(told) > TOLD else [])
    if constant:
        told.append("what never changes has the standard deviation 0, and dividing by it gives NaN: do not divide it")
    if numbers:
        several = f"[{', '.join(numbers)}]" if len(numbers) > 1 else next(iter(numbers))
        it, does = ("they stand", "they do") if len(numbers) > 1 else ("it stands", "it does")
        told.append(f"if {it} for missing, read the file with missing={several}; if {does} not, with missing=()")
        told += [
            f"missing={number} takes {number} out of {', '.join(elsewhere[:TOLD])}, too"
            for number, elsewhere in numbers.items()
            if elsewhere
        ]
    return told


def as_written(number: np.generic | float) -> str:
    """-999 for -999.0."""
    return str(number).removesuffix(".0")
