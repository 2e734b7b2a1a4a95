"""Do the runs of an experiment that are still missing, one after the other, and write down each as it ends."""

import datetime
import os
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from odelab.experiments.context import Context
from odelab.experiments.registry import Experiment, experiment
from odelab.experiments.results import Key, Row, add_row, load_rows, result_file, run_name
from odelab.folders import FOLDERS
from odelab.training.devices import first_process, make_fabric, resolved

LOCK = "lock"  # in the folder of a run, held by the process that is at it


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


def chosen_device(what: Experiment, device: str) -> str:
    """The device that a text stands for, which is a CPU for an experiment that runs alone.

    Raises:
        ValueError: for a device that is not there, or one device or process too many for the experiment.
    """
    if not what.alone:
        return resolved(device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError(f"{what.name} runs in one process; start it without torchrun")
    if resolved("cpu" if device == "auto" else device).partition(":")[0] != "cpu":
        raise ValueError(f"{what.name} runs on a CPU, not on {device}; leave --device away")
    return "cpu"


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
    return f"{cpu_name()}, " + ("GPU" if device == "mps" else f"{threads} thread{'s' * (threads > 1)}")


def matches(key: Key, only: Sequence[str]) -> bool:
    """Whether the key fits every text of ``only``: "name=value", or "name=one,another"."""
    return all(str(key.get(name)) in values.split(",") for name, _, values in (text.partition("=") for text in only))


def reproduce(
    name: str,
    *,
    budget: str = "lecture",
    seeds: Sequence[int] | None = None,
    device: str = "auto",
    resume: bool = False,
    again: bool = False,
    only: Sequence[str] = (),
    out: Path | None = None,
    progress: bool = True,
) -> Path:
    """Do the runs and return the file with their rows. Under torchrun all processes train, and the first one writes.

    Args:
        budget: "lecture" or "full".
        seeds: in place of the experiment's own.
        resume: rows that are there stay, a run that was cut off goes on from its checkpoint.
        again: rows that are there are done anew.
        only: "name=value" or "name=one,another" texts; keys that fit them all are run, others not.
        out: the file, in place of the usual one.

    Two commands at once share the runs: what one is at, or has done meanwhile, the other leaves to it.

    Raises:
        ValueError: for a name, budget, key or device that is not there, when rows or runs that were cut off are there
            and it is not said whether to resume or to begin again, and for a result that cannot be stored.
    """
    what = experiment(name)
    if budget not in ("lecture", "full"):
        raise ValueError(f"budget is {budget!r}; it can be 'lecture' or 'full'")
    device, writes = chosen_device(what, device), first_process()
    seeds = tuple(dict.fromkeys(what.seeds[budget] if seeds is None else seeds))
    keys = [key for key in what.keys(budget) if matches(key, only)]
    if not keys:
        known = "; ".join(" ".join(f"{k}={v}" for k, v in key.items()) for key in what.keys(budget))
        raise ValueError(f"no run of {name} is {' '.join(only)}; there are: {known}")
    path = out or result_file(name, budget)
    done = {(row.name, row.budget) for row in load_rows(path)}
    todo = [(key, seed) for seed in seeds for key in keys if again or (run_name(key, seed), budget) not in done]
    if len(todo) < len(keys) * len(seeds) and not (resume or again):
        there = len(keys) * len(seeds) - len(todo)
        raise ValueError(f"{path} has {there} of these runs; --resume keeps them, --again does them anew")
    ours = path == result_file(name, budget) and path.is_absolute()  # relative where there is no checkout
    scratch = (FOLDERS[1].parent / "build" if ours else path.parent) / "runs" / name / budget
    cut = [] if resume or again else [run_name(*run) for run in todo if cut_off(scratch / run_name(*run))]
    if cut:
        raise ValueError(
            f"{', '.join(cut)} of {name} {'was' if len(cut) == 1 else 'were'} cut off, and {scratch} holds how far: "
            "--resume goes on from there, --again begins anew"
        )
    weights = path.parent.parent / "checkpoints"
    source = commit()  # of the code that runs, which files changed later do not change
    fabric = make_fabric(device)
    fabric.barrier()  # no row is written before all processes have read which are missing
    for number, (key, seed) in enumerate(todo, 1):
        label = f"{name} {number}/{len(todo)} {run_name(key, seed)}"
        folder = scratch / run_name(key, seed)
        with claimed(folder) as free:
            there = not again and (run_name(key, seed), budget) in {(row.name, row.budget) for row in load_rows(path)}
            free = fabric.broadcast(free and not there)  # as the process sees it that holds the lock
            if writes and (progress or not free):
                tqdm.write(label if free else f"{label} is left to another process")
            if not free:
                continue
            if writes and not resume:
                _empty(folder)
            start, before = time.perf_counter(), _minutes(folder)
            minutes = before
            try:
                shown = label if progress else False
                context = Context(seed, budget, folder, weights, resume, shown, partial(make_fabric, device))
                measured = what.run(key, context)
            finally:
                minutes += (time.perf_counter() - start) / 60
                if writes and _files(folder):
                    (folder / "minutes").write_text(f"{minutes}")
            fabric.barrier()  # no folder is emptied before all have read what they need
            if not writes:
                continue
            command = f"python -m odelab reproduce {name} --budget {budget} --seeds {seed}"
            command += " --only" * bool(key) + "".join(f" {shlex.quote(f'{k}={v}')}" for k, v in key.items())
            when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
            row = Row(key, seed, budget, measured, round(minutes, 2), command, source, device_name(device), when)
            add_row(path, name, row)
            _empty(folder)
    return path


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
        for empty in (folder, *folder.parents[:3]):  # of this run, its budget, the experiment, all runs
            try:
                empty.rmdir()
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


def _give_up(lock: FileLock) -> None:
    with suppress(OSError):  # a file that is open cannot be removed on Windows
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _files(folder: Path) -> list[Path]:
    """What a run has left in its folder; none where there is no such folder."""
    return [file for file in folder.glob("*") if file.name != LOCK]


def _empty(folder: Path) -> None:
    for file in _files(folder):
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)


def _minutes(folder: Path) -> float:
    """What earlier sittings spent on the run of this folder."""
    try:
        return float((folder / "minutes").read_text())
    except (OSError, ValueError):
        return 0.0
