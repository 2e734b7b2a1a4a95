"""Sequences of observations with gaps: what latent models are trained on, and a user's own from .npz, .mat or .csv."""

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from odelab.datasets.sentinels import as_written, complaints
from odelab.datasets.tables import read_table
from odelab.warning import warn


@dataclass(frozen=True, eq=False)
class Sequences:
    """n sequences of T frames, some of them, or some of their channels, not observed.

    Attributes:
        x: frames, (n, T, *shape), float32; 0 where nothing was observed.
        times: when they were, (T,) for all, or (n, T) with a clock for each; increasing, but that the clock of a
            sequence may stand still where a frame was not observed, as it does after the end of a shorter one.
        mask: what was observed, bool: whole frames (n, T), or channels, as x.
        source: where the data came from.
        complete: whether this is the whole data set, not a stated stand-in for it.
        time_unit: of `times`, where it is known, e.g. "hours since 2021-03-01 06:30:00".
    """

    x: Tensor
    times: Tensor
    mask: Tensor
    source: str
    complete: bool = True
    time_unit: str = ""

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
        if self.mask.dtype != torch.bool or self.mask.shape not in ((n, frames), self.x.shape):
            raise ValueError(
                f"mask is {tuple(self.mask.shape)} {self.mask.dtype}; for x {tuple(self.x.shape)} it can be bool "
                f"({n}, {frames}), whole frames, or shaped as x"
            )

        gaps = self.times.diff(dim=-1)
        good = gaps > 0
        if self.times.ndim == 2:
            good |= (gaps == 0) & ~self.observed[:, 1:]
        if not bool(self.times.isfinite().all()):
            raise ValueError("times must be finite; repeat a sequence's last time where it is padded")
        if not bool(good.all()):
            row, place = (~good).reshape(-1, frames - 1).nonzero()[0].tolist()
            early, late = self.times.reshape(-1, frames)[row, place : place + 2].tolist()
            hint = "leave one of the two out" if early == late else "sort the frames"
            raise ValueError(
                f"times must increase: after frame {place} at {early:g} comes one at {late:g} (row {row}); {hint}"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def observed(self) -> Tensor:
        """Which frames were observed, at least in part: bool (n, T)."""
        return self.mask if self.mask.ndim == 2 else self.mask.flatten(2).any(2)

    @property
    def last_times(self) -> Tensor:
        """When something was observed for the last time in each sequence, (n,): where a forecast begins.

        Raises:
            ValueError: for a sequence of which nothing was observed.
        """
        if not bool(self.observed.any(1).all()):
            raise ValueError(
                f"nothing was observed in sequence {int(self.observed.any(1).byte().argmin())}; leave it out"
            )
        last = self.observed.shape[1] - 1 - self.observed.flip(1).byte().argmax(1)
        return self.times.expand(self.observed.shape).take_along_dim(last[:, None], 1).squeeze(1)

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> Self:
        """Some of the sequences; a number gives one sequence, still with its first dimension."""
        rows = torch.arange(len(self), device=self.x.device)[index].reshape(-1)
        parts = {name: tensor[rows] for name, tensor in self._tensors().items() if name != "times" or tensor.ndim == 2}
        return replace(self, **parts)  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Self:
        if torch.device(device).type == "mps" and self.times.dtype == torch.float64:  # which it does not have
            return replace(self, times=_single(self.times)).to(device)
        return replace(self, **{name: tensor.to(device) for name, tensor in self._tensors().items()})  # type: ignore[arg-type]

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


def _single(times: Tensor) -> Tensor:
    """Times in float32; ValueError where gaps between them would be off by more than a thousandth."""
    gaps, rounded = times.diff(dim=-1), times.float().double().diff(dim=-1)
    if bool(((rounded - gaps).abs() > 1e-3 * gaps).any()):
        raise ValueError(
            f"times such as {float(times.flatten()[0]):.10g} differ too little for float32; count from the first"
        )
    return times.float()


FRAME = 0.1  # time from one frame of a video to the next, as in the reference implementation of ODE²VAE
TIMES = ("times", "time", "t", "ts")  # what times are called beside an array


def load_sequences(
    path: str | Path, *, key: str | None = None, missing: float | Sequence[float] | None = None
) -> Sequences:
    """Sequences from a file; NaN, or in a .csv an empty cell too, is a value that was not observed.

    - ``.npz``, ``.mat`` (up to version 7): an array (sequence, time, channel), or (sequence, time, …) such as frames
      of a video. Beside it `times` (or `time`, `t`, `ts`), (T,) or (n, T), else the frames are counted 0, 1, 2, …; and
      `mask`, (n, T) or shaped as the array, True or 1 where observed.
    - ``.csv``: a header with `sequence`, `time` and the channels' names, a row for each observation. Sequences may have
      different times and lengths; a shorter one is filled up with frames that were not observed, at its last time.
      Times are numbers, or dates such as 2021-03-01 or 2021-03-01 13:30 and times of a day such as 13:30, which become
      days or hours since the first of the file: `time_unit` says which, and so does a line that is printed.

    Times are float64: seconds since 1970 have no room for a minute in float32.

    Args:
        key: the array's name in a .npz or .mat; by default `x`, or the only array beside times and mask. With a key,
            further arrays are left alone; without one they are refused.
        missing: numbers that stand, in every channel, for values that were not observed, e.g. -999. By default a
            warning names what looks like one; () says that there are none. A warning names, too, what is never observed
            or always the same.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is not like that; it says what is wrong and where.
        ImportError: for dates, without pandas.

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
            values, times, unit, channels = read_table(path)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path.name} cannot be read as a table ({error}); save it as CSV in UTF-8") from error
        if unit:
            print(f"{path.name}: times are {unit}")
        return _sequences(values, times, None, path.name, missing, channels, unit)
    return _sequences(*_arrays(path, key), path.name, missing)


def _sequences(
    values: np.ndarray,
    times: np.ndarray,
    mask: np.ndarray | None,
    name: str,
    missing: float | Sequence[float] | None,
    channels: Sequence[str] = (),
    unit: str = "",
) -> Sequences:
    """Values (n, T, …) with NaN where missing, their times and what else says that something is missing, checked."""
    if values.dtype.kind not in "fiub":
        what = "objects or cells" if values.dtype.kind == "O" else str(values.dtype)
        raise ValueError(
            f"{name}: the array holds {what}; it must hold numbers, in one block (sequence, time, channel)"
        )
    if values.ndim < 3 or 0 in values.shape:
        hint = "; a single series is x[None], a single channel x[..., None]" if values.ndim == 2 else ""
        raise ValueError(f"{name}: the array is {values.shape}; it must be (sequence, time, channel){hint}")
    if mask is not None:
        values = np.where(_as_bool(mask, values.shape, name), values.astype(np.result_type(values, np.float32)), np.nan)
    if missing is not None:
        values = _without(values, missing, name)
    odd = list[str]()
    if values.ndim == 3:
        channels = channels or [f"channel {i}" for i in range(values.shape[2])]
        odd = complaints(values, channels, search=missing is None)
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
        what = f"{times.dtype}"
        if times.dtype.kind in "fiu":
            what = f"{times[~np.isfinite(times)][0]} at {tuple(np.argwhere(~np.isfinite(times))[0].tolist())}"
        hint = (
            "; (times - times.min()) / np.timedelta64(1, 'h') makes hours of dates" if times.dtype.kind == "M" else ""
        )
        raise ValueError(f"{name}: times must be finite numbers, got {what}{hint}")
    if times.dtype.kind == "f":
        rounding, gaps = np.spacing(np.abs(times).max()), np.diff(times)
        if (rounding > 1e-3 * gaps[gaps > 0]).any():
            warn(
                f"{name}: times are {times.dtype}, rounded to {rounding:.2g} there, and some lie only "
                f"{gaps[gaps > 0].min():.3g} apart: save them as float64, or counted from the first"
            )
    if odd:
        warn(f"{name}: {'; '.join(odd)}")
    clock = torch.from_numpy(np.ascontiguousarray(times, dtype=np.float64))
    whole = observed.flatten(2)
    frames = whole.any(2) if torch.equal(whole.any(2), whole.all(2)) else observed
    try:
        return Sequences(x.nan_to_num(), clock, frames, name, time_unit=unit)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _without(values: np.ndarray, missing: float | Sequence[float], name: str) -> np.ndarray:
    """NaN in place of the numbers that stand for missing values; a warning names those that do not occur."""
    try:
        numbers = np.atleast_1d(np.asarray(missing, dtype=np.float64))
    except (TypeError, ValueError):
        raise TypeError(f"missing must be a number such as -999, or several, got {missing!r}") from None
    numbers = numbers[~np.isnan(numbers)]  # which is missing anyhow
    values = values.astype(np.result_type(values, np.float32))
    with np.errstate(over="ignore"):
        marks = numbers.astype(values.dtype)  # as the file has them: -999.9 is another number in float32
    absent = [as_written(number) for number, mark in zip(numbers, marks, strict=True) if not (values == mark).any()]
    if absent:
        warn(f"{name}: missing={', '.join(absent)} stands nowhere in the file: is the number right?")
    return np.where(np.isin(values, marks), values.dtype.type(np.nan), values)


def _as_bool(mask: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """A mask (n, T) or (n, T, …) as bool, so that it broadcasts to the shape."""
    if mask.shape not in (shape, shape[:2]):
        raise ValueError(f"{name}: the mask is {mask.shape}; for the array {shape} it can be {shape[:2]} or {shape}")
    if mask.dtype.kind not in "fiub" or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{name}: the mask holds {mask.dtype} other than 0 and 1; it is True or 1 where observed")
    return mask.astype(bool).reshape(*mask.shape, *[1] * (len(shape) - mask.ndim))


def _arrays(path: Path, key: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The array of that name, its times and, if there is one, its mask, from a .npz or .mat."""
    everything = _npz(path) if path.suffix.lower() == ".npz" else _mat(path)
    names = [name for name in everything if name not in (*TIMES, "mask")]
    others = names if key is None else []
    if key is None:
        key = "x" if "x" in names else names[0] if len(names) == 1 else None
    if key not in everything:
        wanted = "say which with key=" if key is None else f"none is called {key!r}"
        raise ValueError(f"{path.name} has the arrays {', '.join(everything) or '(none)'}; {wanted}")
    others = [name for name in others if name != key]
    if others:
        raise ValueError(
            f"{path.name} has {', '.join(others)} beside {key}, which would not be used: times are called "
            f"{', '.join(TIMES)}, what was observed mask; key={key!r} leaves other arrays alone"
        )
    values = everything[key]
    frames = values.shape[1] if values.ndim > 1 else 0
    clocks = [name for name in TIMES if name in everything and name != key]
    if len(clocks) > 1:
        raise ValueError(f"{path.name} has the times {' and '.join(clocks)}; leave one of them")
    times = np.asarray(everything[clocks[0]] if clocks else np.arange(frames))
    if times.ndim == 2 and 1 in times.shape and times.size == frames:  # MATLAB's vectors are matrices
        times = times.reshape(-1)
    return values, times, everything.get("mask")


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
