"""Sequences of observations with gaps: what latent models are trained on, and a user's own from .npz, .mat or .csv."""

from __future__ import annotations

import csv
import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sequences:
    """n sequences of T frames, some of them, or some of their channels, not observed.

    Attributes:
        x: frames, (n, T, *shape), float32; 0 where nothing was observed.
        times: when they were, (T,) for all, or (n, T) with a clock for each; increasing.
        mask: what was observed, bool: whole frames (n, T), or channels, as x.
        source: where the data came from.
        complete: whether this is the whole data set, not a stated stand-in for it.
    """

    x: Tensor
    times: Tensor
    mask: Tensor
    source: str
    complete: bool = True

    def __post_init__(self) -> None:
        if self.x.ndim < 3:
            raise ValueError(
                f"x is {tuple(self.x.shape)}; sequences are (sequence, time, channel): a single series is x[None], "
                "a single channel x[..., None]"
            )
        n, frames = self.x.shape[:2]
        if self.times.shape not in ((frames,), (n, frames)):
            raise ValueError(
                f"times are {tuple(self.times.shape)}; for x {tuple(self.x.shape)} they can be "
                f"({frames},), for all sequences, or ({n}, {frames})"
            )
        if not bool((self.times.diff(dim=-1) > 0).all()):
            row, place = (self.times.reshape(-1, frames).diff(dim=-1) <= 0).nonzero()[0].tolist()
            early, late = self.times.reshape(-1, frames)[row, place : place + 2].tolist()
            raise ValueError(f"times must increase: after frame {place} at {early:g} comes one at {late:g} (row {row})")
        if self.mask.dtype != torch.bool or self.mask.shape not in ((n, frames), self.x.shape):
            raise ValueError(
                f"mask is {tuple(self.mask.shape)} {self.mask.dtype}; for x {tuple(self.x.shape)} it can be bool "
                f"({n}, {frames}), whole frames, or shaped as x"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def observed(self) -> Tensor:
        """Which frames were observed, at least in part: bool (n, T)."""
        return self.mask if self.mask.ndim == 2 else self.mask.flatten(2).any(2)

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> Self:
        """Some of the sequences; a number gives one sequence, still with its first dimension."""
        rows = torch.arange(len(self), device=self.x.device)[index].reshape(-1)
        parts = {name: tensor[rows] for name, tensor in self._tensors().items() if name != "times" or tensor.ndim == 2}
        return replace(self, **parts)  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Self:
        return replace(self, **{name: tensor.to(device) for name, tensor in self._tensors().items()})  # type: ignore[arg-type]

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


FRAME = 0.1  # time from one frame of a video to the next, as in the reference implementation of ODE²VAE
BLANKS = {"", "nan", "na", "n/a", "null", "none", "."}


def load_sequences(path: str | Path, *, key: str | None = None) -> Sequences:
    """Sequences from a file; NaN, or in a .csv an empty cell too, is a value that was not observed.

    - ``.npz``, ``.mat`` (up to version 7): an array (sequence, time, channel), or (sequence, time, …) such as frames
      of a video; `times` beside it, (T,) or (n, T), else the frames are counted 0, 1, 2, …
    - ``.csv``: a header with `sequence`, `time` and the channels' names, a row for each observation. Sequences may have
      different times and lengths; a shorter one is filled up with frames that were not observed.

    Args:
        key: the array's name in a .npz or .mat; by default `x`, or the only array beside `times`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is not like that; it says what is wrong and where.

    Example:
        >>> from pathlib import Path
        >>> from odelab.datasets import load_sequences
        >>> size = Path("walks.csv").write_text("sequence,time,x\\na,0,1.5\\na,1,\\nb,0,2.5\\nb,1,3.5\\n")
        >>> walks = load_sequences("walks.csv")
        >>> walks.x.shape  # sequence, time, channel
        torch.Size([2, 2, 1])
        >>> walks.mask.flatten().tolist()  # the empty cell was not observed
        [True, False, True, True]
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    kind = path.suffix.lower()
    if kind not in (".npz", ".mat", ".csv"):
        raise ValueError(f"{path.name}: sequences are read from .npz, .mat and .csv, not {path.suffix or 'no suffix'}")
    if kind == ".csv":
        if key is not None:
            raise ValueError(f"key={key!r} names an array of a .npz or .mat; {path.name} is a table")
        try:
            values, times = _table(path)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path.name} cannot be read as a table ({error}); save it as CSV in UTF-8") from error
    else:
        values, times = _arrays(path, key)
    return _sequences(values, times, path.name)


def _sequences(values: np.ndarray, times: np.ndarray, name: str) -> Sequences:
    """Values (n, T, …) with NaN where missing, and their times, checked."""
    if values.dtype.kind not in "fiub":
        what = "objects or cells" if values.dtype.kind == "O" else str(values.dtype)
        raise ValueError(
            f"{name}: the array holds {what}; it must hold numbers, in one block (sequence, time, channel)"
        )
    if values.ndim < 3 or 0 in values.shape:
        hint = "; a single series is x[None], a single channel x[..., None]" if values.ndim == 2 else ""
        raise ValueError(f"{name}: the array is {values.shape}; it must be (sequence, time, channel){hint}")
    with np.errstate(over="ignore"):  # said below, with where
        x = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    if bool(x.isinf().any()):
        place = tuple(x.isinf().nonzero()[0].tolist())
        beyond = f"values such as {values[place]:g}, but float32 ends at 3.4e38; take other units"
        what = "infinite values; write NaN for missing" if np.isinf(values[place]) else beyond
        raise ValueError(f"{name}: sequence {place[0]} has {what}")
    observed = ~x.isnan()
    empty = (~observed.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"{name}: nothing was observed in sequence {', '.join(map(str, empty[:10]))}; leave it out")
    if times.dtype.kind not in "fiu" or not np.isfinite(times).all():
        raise ValueError(f"{name}: times must be finite numbers, got {times.dtype}, {np.size(times)} of them")
    clock = torch.from_numpy(np.ascontiguousarray(times, dtype=np.float64)).float()
    if (np.diff(times) > 0).all() and not (clock.diff(dim=-1) > 0).all():
        raise ValueError(
            f"{name}: times such as {times.flat[0]:.10g} differ too little for float32; count from the first"
        )
    whole = observed.flatten(2)
    mask = whole.any(2) if torch.equal(whole.any(2), whole.all(2)) else observed
    try:
        return Sequences(x.nan_to_num(), clock, mask, name)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _arrays(path: Path, key: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The array of that name and its times, from a .npz or .mat."""
    everything = _npz(path) if path.suffix.lower() == ".npz" else _mat(path)
    names = [name for name in everything if name not in ("times", "t")]
    if key is None:
        key = "x" if "x" in names else names[0] if len(names) == 1 else None
    if key not in everything:
        wanted = "say which with key=" if key is None else f"none is called {key!r}"
        raise ValueError(f"{path.name} has the arrays {', '.join(everything) or '(none)'}; {wanted}")
    values = everything[key]
    frames = values.shape[1] if values.ndim > 1 else 0
    times = np.asarray(everything.get("times", everything.get("t", np.arange(frames))))
    if times.ndim == 2 and 1 in times.shape and times.size == frames:  # MATLAB's vectors are matrices
        times = times.reshape(-1)
    return values, times


def _npz(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path.name} cannot be read: it is empty, cut short or no .npz; write it with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # numpy has a new kind for every way in which a file can be broken
        raise ValueError(
            f"{path.name} cannot be read ({error}). Arrays of objects are refused, because reading them runs code that "
            "is in the file: save numbers, in one block (sequence, time, channel)"
        ) from error


def _mat(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat  # here, because it takes a moment to load

    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(f"{path.name} is of MATLAB's version 7.3; save it with -v7, or as .npz") from error
    except Exception as error:
        raise ValueError(f"{path.name} cannot be read ({error}); save it again, with -v7 or as .npz") from error
    return {name: value for name, value in content.items() if isinstance(value, np.ndarray) and name[:2] != "__"}


def _table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, T, channel) and times, (T,) where all sequences share them, else (n, T)."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines)
        header = [name.strip() for name in next(reader, [])]
        lower = [name.lower() for name in header]
        if "sequence" not in lower or "time" not in lower or len(header) < 3:
            raise ValueError(
                f"{path.name} has the columns {', '.join(header) or '(none)'}; it must have sequence, time and at "
                "least one channel"
            )
        label, clock = lower.index("sequence"), lower.index("time")
        channels = [i for i in range(len(header)) if i not in (label, clock)]
        rows: dict[str, list[tuple[float, list[float]]]] = {}
        for row in reader:
            where = f"{path.name}, line {reader.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(f"{where} has {len(row)} cells; the header has {len(header)}")
            time = _number(row[clock], f"{where}, time")
            if not math.isfinite(time):
                raise ValueError(f"{where}: the time is missing")
            if not row[label].strip():
                raise ValueError(f"{where}: the sequence is missing; write in every row which one it belongs to")
            before = rows.setdefault(row[label].strip(), [])
            if before and time <= before[-1][0]:
                raise ValueError(
                    f"{where}: times must increase within a sequence, but {time:g} comes after {before[-1][0]:g}"
                )
            before.append((time, [_number(row[i], f"{where}, {header[i]}") for i in channels]))
    if not rows:
        raise ValueError(f"{path.name} has a header and no rows")
    longest = max(map(len, rows.values()))
    values = np.full((len(rows), longest, len(channels)), np.nan)
    times = np.empty((len(rows), longest))
    for i, (name, sequence) in enumerate(rows.items()):
        instants = np.array([time for time, _ in sequence])
        step = instants[-1] - instants[-2] if len(instants) > 1 else 1.0
        times[i] = np.concatenate([instants, instants[-1] + step * np.arange(1, longest - len(instants) + 1)])
        values[i, : len(instants)] = [row for _, row in sequence]
        if np.isnan(values[i]).all():
            raise ValueError(f"{path.name}: nothing was observed in sequence {name}; leave it out")
    return values, times[0] if (times == times[0]).all() else times


def _number(cell: str, where: str) -> float:
    """The cell's number, NaN where it says that there is none."""
    if cell.strip().lower() in BLANKS:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise ValueError(
            f"{where}: {cell!r} is not a number; leave the cell empty where nothing was observed"
        ) from None
