"""One run of an experiment: whose it is among several processes, how it is done, and the row that it leaves."""

import datetime
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from odelab.choices import resolved
from odelab.experiments.context import Context
from odelab.experiments.registry import experiment
from odelab.experiments.results import Key, Row, add_row, load_rows, run_name
from odelab.extras import extra
from odelab.folders import FOLDERS
from odelab.solvers.errors import SolverError
from odelab.training import TrainingDiverged
from odelab.training.devices import first_process, make_fabric

with extra("train"):
    from filelock import FileLock, Timeout

LOCK = "lock"  # in the folder of a run, held by the process that is at it
#: What can go wrong in a run without a fault of the code.
FAILURES = (TrainingDiverged, SolverError, OSError, ValueError, torch.OutOfMemoryError)


class RunFailed(RuntimeError):
    """Of several runs, one or more failed; the others are done."""


@dataclass(frozen=True)
class Outcome:
    """What a run measured, its minutes in all sittings, and the device in words."""

    measured: dict[str, Any]
    minutes: float
    device: str


@dataclass(frozen=True)
class Place:
    """Where the runs of one experiment and budget keep what they have, and on what they compute.

    Attributes:
        rows: the file of their rows.
        scratch: has a folder for each run, see `Context.folder`.
    """

    name: str
    budget: str
    device: str
    rows: Path
    scratch: Path

    def folder(self, key: Key, seed: int) -> Path:
        return self.scratch / run_name(key, seed)

    def done(self) -> set[tuple[str, str]]:
        """Name and budget of the runs that have a row."""
        return {(row.name, row.budget) for row in load_rows(self.rows)}

    def perform(self, key: Key, seed: int, *, resume: bool, progress: str | bool) -> Outcome:
        """Do a run, in its folder, which keeps how long it took when it does not come to its end."""
        folder = self.folder(key, seed)
        start, minutes = time.perf_counter(), _minutes(folder)
        try:
            weights = self.rows.parent.parent / "checkpoints"
            fabric = partial(make_fabric, self.device)
            context = Context(seed, self.budget, folder, weights, resume, progress, fabric)
            measured = experiment(self.name).run(key, context)
        finally:
            minutes += (time.perf_counter() - start) / 60
            if first_process() and _files(folder):
                (folder / "minutes").write_text(f"{minutes}")
        return Outcome(measured, minutes, device_name(resolved(self.device)))

    def store(self, key: Key, seed: int, outcome: Outcome, source: str) -> None:
        """Write the row of a run, and remove what it needed on the way."""
        command = f"python -m odelab reproduce {self.name} --budget {self.budget} --seeds {seed}"
        command += " --only" * bool(key) + "".join(f" {shlex.quote(f'{k}={v}')}" for k, v in key.items())
        when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        minutes = round(outcome.minutes, 2)
        row = Row(key, seed, self.budget, outcome.measured, minutes, command, source, outcome.device, when)
        add_row(self.rows, self.name, row)
        empty(self.folder(key, seed))


def matches(key: Key, only: Sequence[str]) -> bool:
    """Whether the key fits every text of ``only``: "name=value", or "name=one,another"."""
    return all(str(key.get(name)) in values.split(",") for name, _, values in (text.partition("=") for text in only))


def commit(root: Path = FOLDERS[1].parent) -> str:
    """The checkout's commit, with + where its code or its list of packages differs; "unknown" without git."""

    def git(*say: str) -> str:
        command = ["git", "-C", str(root), *say]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "odelab", "pyproject.toml", "constraints.txt")
        return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """The device in words, with the threads where it is a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{cpu_name()}, " + ("GPU" if device.startswith("mps") else f"{threads} thread{'s' * (threads > 1)}")


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether the run of this folder is ours to do; if so, no other process gets it meanwhile.

    Of the processes of torchrun the first one claims. A folder that holds nothing at the end is removed, and those
    above it, as far as they are empty.
    """
    if not first_process():
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=1)  # longer than `cut_off` holds it
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        _give_up(lock)
        for parent in (folder, *folder.parents[:3]):  # of this run, its budget, the experiment, all runs
            try:
                parent.rmdir()
            except OSError:  # something is left to go on from, or others are at work there
                break


def cut_off(folder: Path) -> bool:
    """Whether the folder holds a run that was begun and that no process is at."""
    if not _files(folder):
        return False
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return False
    _give_up(lock)
    return True


def empty(folder: Path) -> None:
    """Remove what a run has left in its folder, not the folder."""
    for file in _files(folder):
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)


def _give_up(lock: FileLock) -> None:
    with suppress(OSError):  # a file that is open cannot be removed on Windows
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _files(folder: Path) -> list[Path]:
    """What a run has left in its folder; none where there is no such folder."""
    return [file for file in folder.glob("*") if file.name != LOCK]


def _minutes(folder: Path) -> float:
    """What earlier sittings spent on the run of this folder."""
    try:
        return float((folder / "minutes").read_text())
    except (OSError, ValueError):
        return 0.0
