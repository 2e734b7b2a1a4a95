"""Claims that can fail, and the numbered equations they stand behind.

A claim compares two independent routes to one value. It prints what was measured, and it stops the
cell when it does not hold, so that a lesson that ran to its end is a lesson whose numbers are true:

    claim("distance of the two gradients", gap, below(1e-6))

A bound knows by how much it holds, its margin. A claim must hold on another processor too, so a margin is at
least 3: a factor between what was measured and the bound, or that many standard deviations.
"""

import html
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

NUMBER = re.compile(r"\d+\.\d+")
SOURCE = re.compile(r"(notes|slides|intro slides|seminar|poster)( \S.*)?|\S.*\(\d{4}\).*")


class ClaimFailed(AssertionError):
    """A statement of the lesson is not what was measured; ``number`` is its equation's, if it has one."""

    number: str = ""


@dataclass(frozen=True)
class Claim:
    """One statement that held: its text, the formatted measured value, its bounds, and its equation if any."""

    text: str
    measured: str
    number: str = ""
    source: str = ""
    bound: str = ""
    margin: float | None = None  # None where only a truth value was given


@dataclass(frozen=True)
class Bound:
    """What a claim asks of a measured value; made by :func:`below`, :func:`above`, :func:`near` and :func:`exactly`.

    Attributes:
        text: in words, for the table of what was verified.
        judge: numbers (n,) -> (whether all of them hold, the smallest margin).
        of: the value that is judged; None stands for what the claim measured.
    """

    text: str
    judge: Callable[[np.ndarray], tuple[bool, float]]
    of: Any = None


def below(bound: float, *, of: Any = None, scatter: float | None = None) -> Bound:
    """Every number is less than ``bound``.

    Args:
        bound: not reached by any of the numbers.
        of: what is compared, when it is not all that the claim measured.
        scatter: standard deviation over seeds, or error, of the distance between number and bound. The margin is
            then that distance in units of it; without it, the factor between the two.

    Raises:
        ValueError: for a bound of 0 without ``scatter``, since nothing is a multiple of 0.
    """
    _needs_scatter(bound, scatter)
    return Bound(f"below {format_value(bound)}", lambda x: _one_sided(x, bound, 1, scatter), of)


def above(bound: float, *, of: Any = None, scatter: float | None = None) -> Bound:
    """Every number is greater than ``bound``; see :func:`below`."""
    _needs_scatter(bound, scatter)
    return Bound(f"above {format_value(bound)}", lambda x: _one_sided(x, bound, -1, scatter), of)


def near(target: float, *, within: float, of: Any = None) -> Bound:
    """Every number differs from ``target`` by less than ``within``."""

    def judge(x: np.ndarray) -> tuple[bool, float]:
        off = np.abs(x - target).max()
        return bool(off < within), _ratio(within, off)

    return Bound(f"{format_value(target)} ± {format_value(within)}", judge, of)


def exactly(target: float, *, of: Any = None) -> Bound:
    """Every number is ``target``: for what is counted or decided, never for computed fractions."""

    def judge(x: np.ndarray) -> tuple[bool, float]:
        return bool((x == target).all()), math.inf

    return Bound(f"exactly {format_value(target)}", judge, of)


def _needs_scatter(bound: float, scatter: float | None) -> None:
    if bound == 0 and scatter is None:
        raise ValueError("a bound of 0 has no factor to a number; say how much the number scatters: scatter=…")


def _one_sided(x: np.ndarray, bound: float, side: int, scatter: float | None) -> tuple[bool, float]:
    """Whether side · x < side · bound for all x, and the margin."""
    distance = float((side * (bound - x)).min())
    if scatter is not None:
        margin = _ratio(distance, scatter)
    elif side * bound > 0:  # below 2, or above −2: how often the number goes into the bound
        margin = _ratio(side * bound, float(max((side * x).max(), 0.0)))
    else:  # below −2, or above 2: how often the bound goes into the number
        margin = _ratio(float((-side * x).min()), -side * bound)
    return distance > 0, margin


def _ratio(large: float, small: float) -> float:
    return math.inf if small == 0 else float(large / small)


@dataclass(frozen=True)
class Equation:
    """A numbered equation of a lesson; its claims are the ones that check it.

    Args:
        number: lesson and counter, as in ``\\tag{3.4}``: ``"3.4"``.
        source: where it comes from, with the source's own number: ``"notes 24.6"``.
    """

    number: str
    source: str

    def claim(self, text: str, measured: Any, *bounds: Any) -> None:
        """A :func:`claim` that counts as the check of this equation."""
        _state(Claim(text, format_value(measured), self.number, self.source), measured, bounds)

    def __str__(self) -> str:
        return f"({self.number} · {self.source})"


@dataclass
class Record:
    """What the running notebook has registered so far; one per kernel."""

    equations: dict[str, Equation] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)

    def reset(self) -> None:
        """Forget everything, as a new kernel would."""
        self.equations.clear()
        self.claims.clear()


record = Record()


def claim(text: str, measured: Any, *bounds: Any) -> None:
    """State something, print the measured value, and fail the cell when it does not hold.

    Args:
        text: names what was measured, readable on its own before "= 3e-8".
        measured: a number, tensor, string, or a tuple, list or dict of these.
        bounds: what must hold of it: :func:`below`, :func:`above`, :func:`near`, :func:`exactly`, or the truth value
            of something that is no comparison of numbers (``bool``, ``numpy.bool_``, a boolean tensor without
            dimensions).

    Raises:
        ClaimFailed: when one of them does not hold, or a measured number is NaN.
        TypeError: when there is no bound, one is not a single truth value, or nothing was measured.

    Example:
        >>> from odelab.lessons.kit import below, claim
        >>> claim("distance of √2 squared from 2", abs(2**0.5 * 2**0.5 - 2), below(1e-12))  # doctest: +ELLIPSIS
        checked: distance of √2 squared from 2 = ... ✓
        >>> claim("a dozen, less than ten", 12, below(10))
        Traceback (most recent call last):
            ...
        odelab.lessons.kit.claims.ClaimFailed: ✗ a dozen, less than ten = 12 (below 10)
    """
    _state(Claim(text, format_value(measured)), measured, bounds)


def equation(number: str, source: str) -> Equation:
    """Register equation ``number`` of this lesson, which ``source`` prints under its own number.

    Raises:
        ValueError: when the number or the source is malformed, or the number is taken by another source.
    """
    if not NUMBER.fullmatch(number):
        raise ValueError(f"equation number {number!r}: write lesson.counter, for example '3.4'")
    if not SOURCE.fullmatch(source):
        raise ValueError(f"source {source!r}: name it like 'notes 24.6', 'slides 4b' or 'Pontryagin (1962)'")
    known = record.equations.get(number)
    if known is not None and known.source != source:
        raise ValueError(f"equation {number} is already registered with source {known.source!r}, not {source!r}")
    return record.equations.setdefault(number, Equation(number, source))


def _state(entry: Claim, measured: Any, bounds: Sequence[Any]) -> None:
    if measured is None:
        raise TypeError(f"claim {entry.text!r}: nothing was measured; pass the value the claim rests on")
    if not bounds:
        raise TypeError(f"claim {entry.text!r}: nothing is asked of the measured value; add a bound: below(1e-6)")
    holds = not any(math.isnan(value) for value in _numbers(measured))
    margins = []
    for bound in bounds:
        if not isinstance(bound, Bound):
            holds &= _truth(bound)
            continue
        numbers = np.array([*_numbers(measured if bound.of is None else bound.of)], dtype=float)
        if numbers.size == 0:
            raise TypeError(f"claim {entry.text!r}: no number to hold against {bound.text!r}")
        right, margin = bound.judge(numbers)
        holds &= right and not np.isnan(numbers).any()
        margins.append(margin)
    words = ", ".join(bound.text for bound in bounds if isinstance(bound, Bound))
    entry = replace(entry, bound=words, margin=min(margins, default=None))
    where = f"({entry.number}) " if entry.number else ""
    line = f"{where}{entry.text} = {entry.measured}"
    if not holds:
        failure = ClaimFailed(f"✗ {line}" + f" ({words})" * bool(words))
        failure.number = entry.number
        raise failure
    record.claims[f"{entry.number} {entry.text}"] = entry  # a re-run cell replaces its claim
    print(f"checked: {line} ✓")


def _truth(holds: Any) -> bool:
    if isinstance(holds, bool):
        return holds
    boolean = "bool" in str(getattr(holds, "dtype", ""))  # numpy and torch alike, neither imported here
    if not boolean or getattr(holds, "ndim", 0) != 0:
        shape = tuple(getattr(holds, "shape", ()))
        kind = f"{type(holds).__name__} of shape {shape}" if shape else type(holds).__name__
        raise TypeError(f"holds must be one truth value, got {kind}; compare first, then use .all() or .any()")
    return bool(holds)


def _numbers(value: Any) -> Iterator[float]:
    """Every number inside a measured value."""
    if isinstance(value, str):
        return
    if isinstance(value, Mapping):
        value = list(value.values())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, complex):
        yield from (value.real, value.imag)
    else:
        yield float(value)


def format_value(value: Any) -> str:
    """A measured value as a reader wants it: three digits, powers of ten where they help."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {format_value(item)}" for key, item in value.items())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence):
        return "(" + ", ".join(format_value(item) for item in value) + ")"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _format_float(value)
    return str(value)


def _format_float(value: float) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    size = abs(value)
    if size < 1e-3 or size >= 1e6:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.0f}" if size >= 1000 else f"{value:.3g}"


def format_margin(margin: float | None) -> str:
    """Two digits; "exact" where nothing is off, no text where no number was compared."""
    if margin is None:
        return ""
    if math.isinf(margin):
        return "exact"
    return f"{margin:.2g}" if margin < 10 else f"{margin:.0f}" if margin < 1000 else "over 1000"


class Verified:
    """The table of all claims that held in this notebook, as HTML and as plain text."""

    header = ("equation", "source", "claim", "measured", "bound", "margin")

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.claims = tuple(claims)
        self.rows = [
            (entry.number, entry.source, entry.text, entry.measured, entry.bound, format_margin(entry.margin))
            for entry in claims
        ]

    def __len__(self) -> int:
        return len(self.claims)

    def _repr_html_(self) -> str:
        def cells(row: Sequence[str], tag: str) -> str:
            style = ' style="text-align:left"'
            return "<tr>" + "".join(f"<{tag}{style}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

        body = "".join(cells(row, "td") for row in self.rows)
        return f"<table><thead>{cells(self.header, 'th')}</thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        lines = [f"{len(self)} claims verified"]
        lines += [
            f"✓ {number:>5} {source:<18} {text} — {measured}" + f" ({bound}; margin {margin})" * bool(bound)
            for number, source, text, measured, bound, margin in self.rows
        ]
        return "\n".join(lines)


def verified() -> Verified:
    """All claims of this notebook so far, numbered equations first, for the closing section."""
    claims = list(record.claims.values())

    def order(entry: Claim) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", entry.number)) or (10**6,)

    return Verified(sorted(claims, key=order))
