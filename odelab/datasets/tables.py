"""Tables of observations: a .csv with the columns `sequence` and `time`, and one for each channel.

A cell is read in one way only, or refused with its column and line: a number that was taken for another, and a column
that was none, would pass unseen through everything that follows.
"""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from odelab.warning import warn

BLANKS = {"", "nan", "na", "n/a", "null", "none", "."}
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
NAMELESS = re.compile(r"(unnamed: \d+)?", re.IGNORECASE)  # as pandas reads and writes an index
ELAPSED = re.compile(r"(\d+ days? )?\d+:[0-5]\d(:[0-5]\d(\.\d+)?)?")
YEAR_FIRST = re.compile(r"\d{4}([-/]\d|\.\d+\.\d)")  # 2021.5 is a number
ZONE = re.compile(r":\d\d(\.\d+)? ?(Z|[+-]\d\d:?(\d\d)?)$")


class Readings(NamedTuple):
    """What a file holds.

    Attributes:
        values: (n, T, channels), NaN where nothing was observed.
        times: (T,) where all sequences share them, else (n, T), float64; after a sequence's end its clock stands still.
        unit: of the times where they were dates, e.g. "hours since 2021-03-01 06:30"; empty for numbers.
        channels: their names.
    """

    values: np.ndarray
    times: np.ndarray
    unit: str
    channels: list[str]


class Cell(NamedTuple):
    """A time as it was written, and where."""

    text: str
    line: int


@dataclass
class Numbers:
    """Reads cells as numbers; in a table whose cells no comma parts, a comma can be the decimal one."""

    comma: bool
    point_at: str = ""
    comma_at: str = ""

    def read(self, cell: str, where: str) -> float:
        """The cell's number, NaN where it says that there is none.

        Raises:
            ValueError: for a cell that is no number, and for decimal commas beside decimal points.
        """
        text = cell.strip()
        if text.lower() in BLANKS:
            return math.nan
        try:
            number = float(text.replace("_", "?").replace(",", ".") if self.comma else text.replace("_", "?"))
        except ValueError:
            hint = "write one, or leave the cell empty where nothing was observed"
            if "_" in text:
                hint = "write numbers without _, or leave the cell empty where nothing was observed"
            if re.fullmatch(r"[+-]?[\d.]+,[\d,.]+", text):
                hint = "leave thousands unmarked"
                hint += "" if self.comma else ", write decimals with a point, or part the cells by semicolons"
            raise ValueError(f"{where}: {text!r} is not a number; {hint}") from None
        if self.comma and "," in text:
            self.comma_at = self.comma_at or f"{where}: {text!r}"
        if self.comma and "." in text:
            self.point_at = self.point_at or f"{where}: {text!r}"
        if self.comma_at and self.point_at:
            raise ValueError(f"{self.comma_at} has a decimal comma, but {self.point_at} a point; write one of the two")
        return number


def read_table(path: Path) -> Readings:
    """The table of a .csv file, its cells parted by commas, semicolons or tabs.

    Raises:
        ValueError: when it is not like that; with the column and the line.
        ImportError: for dates, without pandas.
    """
    with path.open(newline="", encoding="utf-8-sig") as lines:
        first = lines.readline()
        lines.seek(0)
        headers = {d: [name.strip() for name in next(csv.reader([first], delimiter=d), [])] for d in DELIMITERS}
        fits = [d for d, names in headers.items() if {"sequence", "time"} <= {name.lower() for name in names}]
        delimiter = fits[0] if fits else ","
        header, numbers = headers[delimiter], Numbers(comma=delimiter != ",")
        reader = csv.reader(lines, delimiter=delimiter)
        next(reader, None)
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    label, clock, channels = _columns(path.name, header, rows)
    table: dict[str, list[tuple[Cell, list[float]]]] = {}
    for line, row in rows:
        where = f"{path.name}, line {line}"
        if row[clock].strip().lower() in BLANKS:
            raise ValueError(f"{where}: the time is missing")
        if not row[label].strip():
            raise ValueError(f"{where}: the sequence is missing; write in every row which one it belongs to")
        values = [numbers.read(row[i], f"{where}, {header[i]}") for i in channels]
        for i, value in zip(channels, values, strict=True):
            if math.isinf(value):
                raise ValueError(
                    f"{where}, {header[i]}: {row[i].strip()!r} is infinite; leave the cell empty for missing"
                )
        table.setdefault(row[label].strip(), []).append((Cell(row[clock].strip(), line), values))
    if not rows:
        raise ValueError(f"{path.name} has a header and no rows")
    instants, unit = _clock(path.name, [cell for sequence in table.values() for cell, _ in sequence], numbers)
    if numbers.comma_at:
        _tell_of_thousands(path.name, header, channels, rows)
    return Readings(*_padded(path.name, table, instants), unit, [header[i] for i in channels])


def _columns(name: str, header: list[str], rows: list[tuple[int, list[str]]]) -> tuple[int, int, list[int]]:
    """Which column says the sequence and which the time, and which are channels."""
    lower = [title.lower() for title in header]
    if not {"sequence", "time"} <= set(lower) or len(header) < 3:
        raise ValueError(
            f"{name} has the columns {', '.join(header) or '(none)'}; it must have sequence, time and at least one "
            f"channel, parted by {', '.join(DELIMITERS.values())}; a single series has one name all down `sequence`"
        )
    for line, row in rows:
        if len(row) != len(header):
            raise ValueError(f"{name}, line {line} has {len(row)} cells; the header has {len(header)}")
    same = [title if title.lower() not in ("sequence", "time") else title.lower() for title in header]
    twice = next((title for title in same if title and same.count(title) > 1), None)
    if twice is not None:
        raise ValueError(f"{name} has two columns that are called {twice}; rename one, or leave it out")
    channels = []
    for i, title in enumerate(header):
        if not NAMELESS.fullmatch(title):
            channels.append(i)
            continue
        cells = {row[i].strip(): line for line, row in reversed(rows)}
        index = i == 0 and cells.keys() == set(map(str, range(len(rows))))  # of pandas
        cells.pop("", None)
        if cells and not index:
            text, line = cells.popitem()
            raise ValueError(
                f"{name}: column {i + 1} has no name, but cells such as {text!r} in line {line}; give it one, or leave "
                "it out (pandas: to_csv(…, index=False))"
            )
    label, clock = lower.index("sequence"), lower.index("time")
    channels = [i for i in channels if i not in (label, clock)]
    if not channels:
        raise ValueError(f"{name} has the columns sequence and time, and no channel with a name")
    return label, clock, channels


def _clock(name: str, cells: list[Cell], numbers: Numbers) -> tuple[np.ndarray, str]:
    """Times in float64 and their unit: numbers as they are, dates counted from the first of the file.

    Raises:
        ValueError: with the line of the time that cannot be read, or that is written in another way than the first.
    """
    if ELAPSED.fullmatch(cells[0].text) or YEAR_FIRST.match(cells[0].text):
        return _dates(name, cells)
    instants = []
    for text, line in cells:
        where = f"{name}, line {line}, time"
        try:
            instants.append(numbers.read(text, where))
        except ValueError as error:
            if "decimal comma" in str(error):
                raise
            raise ValueError(
                f"{where}: {text!r} is neither a number nor a date that can be read in one way only; write dates as "
                "2021-03-01 or 2021-03-01 13:30, times of a day as 13:30"
            ) from None
        if not math.isfinite(instants[-1]):
            raise ValueError(f"{where}: {text!r} is no time; it must be finite")
    if all(re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", text) for text, _ in cells):
        raise ValueError(
            f"{name}, line {cells[0].line}, time: {cells[0].text} and all others look like dates; write them as "
            f"{cells[0].text[:4]}-{cells[0].text[4:6]}-{cells[0].text[6:]}, or take other numbers"
        )
    return np.array(instants), ""


def _dates(name: str, cells: list[Cell]) -> tuple[np.ndarray, str]:
    """Days since the first where all are whole days, else hours."""
    try:
        import pandas as pd  # here, because numbers do without
    except ImportError as error:
        raise ImportError(
            f"{name} has dates as times, such as {cells[0].text!r} in line {cells[0].line}; they are read with pandas: "
            "pip install 'odelab[train]', or write numbers"
        ) from error
    elapsed = bool(ELAPSED.fullmatch(cells[0].text))
    stamps: Any
    if elapsed:
        whole = [text if text.count(":") == 2 else f"{text}:00" for text, _ in cells]
        good = np.array([bool(ELAPSED.fullmatch(text)) for text, _ in cells])
        stamps = pd.to_timedelta(pd.Series(whole).where(good), errors="coerce")
    else:
        good = np.array([bool(YEAR_FIRST.match(text)) for text, _ in cells])
        stamps = pd.to_datetime(
            pd.Series([text for text, _ in cells]).where(good), format="ISO8601", utc=True, errors="coerce"
        )
        zones = [bool(ZONE.search(text)) for text, _ in cells]
        if any(zones) and not all(zones):
            text, line = cells[zones.index(not zones[0])]
            has = "has no" if zones[0] else "has a"
            raise ValueError(
                f"{name}, line {line}, time: {text!r} {has} time zone, unlike the first: write it everywhere or not"
            )
    if stamps.isna().any():
        text, line = cells[int(stamps.isna().to_numpy().argmax())]
        kind = "time of the kind 13:30" if elapsed else "date of the kind 2021-03-01 13:30"
        raise ValueError(f"{name}, line {line}, time: {text!r} is no {kind}, as the first one is")
    first = stamps.min()
    hours = ((stamps - first) / pd.Timedelta(hours=1)).to_numpy(dtype=np.float64)
    if elapsed:
        return hours, f"hours since {cells[int(hours.argmin())].text}"
    if (stamps == stamps.dt.normalize()).all():
        return hours / 24, f"days since {first:%Y-%m-%d}"
    return hours, f"hours since {first:%Y-%m-%d %H:%M:%S}"


def _tell_of_thousands(name: str, header: list[str], channels: list[int], rows: list[tuple[int, list[str]]]) -> None:
    """Warn where every comma of a column could mark thousands: 1,050 beside 950."""
    for i in channels:
        cells = {row[i].strip(): line for line, row in reversed(rows) if row[i].strip().lower() not in BLANKS}
        commas = [text for text in cells if "," in text]
        if commas and len(commas) < len(cells) and all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", x) for x in commas):
            text = commas[-1]
            warn(
                f"{name}, line {cells[text]}, {header[i]}: {text} was read as {text.replace(',', '.')}. If the comma "
                "marks thousands, take it out of the file; if it marks decimals, all is well"
            )


def _padded(
    name: str, table: dict[str, list[tuple[Cell, list[float]]]], instants: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values and times of all sequences, each in one array. What follows the end of a shorter one was not observed, and
    its clock stands still: a time that is made up would be solved for, and forecast from."""
    longest = max(map(len, table.values()))
    channels = len(next(iter(table.values()))[0][1])
    values, times = np.full((len(table), longest, channels), np.nan), np.empty((len(table), longest))
    begin = 0
    for i, (label, sequence) in enumerate(table.items()):
        own = instants[begin : begin + len(sequence)]
        begin += len(sequence)
        if not (np.diff(own) > 0).all():
            k = int((np.diff(own) <= 0).argmax())
            before, after = sequence[k][0], sequence[k + 1][0]
            hint = "leave one of the two out" if own[k] == own[k + 1] else "sort the rows"
            if own[k] > own[k + 1] and ELAPSED.fullmatch(after.text):
                hint += "; after midnight go on with 24:10, or write dates"
            raise ValueError(
                f"{name}, line {after.line}: times must increase within a sequence, but {after.text} comes after "
                f"{before.text}; {hint}"
            )
        times[i, : len(own)], times[i, len(own) :] = own, own[-1]
        values[i, : len(own)] = [row for _, row in sequence]
        if np.isnan(values[i]).all():
            raise ValueError(f"{name}: nothing was observed in sequence {label}; leave it out")
    shared = all(len(sequence) == longest for sequence in table.values()) and bool((times == times[0]).all())
    return values, times[0] if shared else times
