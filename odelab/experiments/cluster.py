"""Many runs at once: dask.distributed hands them to processes of this machine or of a cluster.

A worker does one run at a time, with one thread: runs draw from torch's global generator, which threads would share.
Rows are written, and runs claimed, by the process that was started; workers keep checkpoints in the runs' folders, so
they need the same file system. Whoever starts a cluster of several machines does so by dask's own means
(`dask scheduler`, `dask worker`, dask-jobqueue, dask-kubernetes) and passes the scheduler's address.
"""

import logging
import signal
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import odelab
from odelab.experiments.results import Key, run_name
from odelab.experiments.runs import FAILURES, Outcome, Place, RunFailed, claimed, commit, empty
from odelab.extras import extra
from odelab.training.fit import stop_asked

with extra("cluster"):
    from distributed import Client, Future, LocalCluster
    from distributed.scheduler import KilledWorker

    with extra("train"):
        from tqdm.auto import tqdm

PATIENCE = 10.0  # seconds for a scheduler to answer
SECONDS = 60.0  # for a worker to join, and for a run to come to the end of its step
_alone = threading.Lock()  # in a worker
_stopped: set[str] = set()  # in a worker: the commands that were interrupted


def perform_all(
    place: Place,
    runs: Sequence[tuple[Key, int]],
    workers: int | None,
    scheduler: str | None,
    *,
    resume: bool,
    again: bool,
    progress: bool,
) -> None:
    """Do the runs and store their rows as they end. One that fails does not keep the others from being done.

    Raises:
        ValueError: for workers that have other code than this process, or do not see its files.
        KeyboardInterrupt: on Ctrl-C, when the runs have come to the end of their step; on a second one at once.
        RunFailed: after the last run, where one or more have failed.
        OSError: when a row cannot be written; the other runs have stopped after their step.
    """
    if not runs:
        return
    place = replace(place, rows=place.rows.absolute(), scratch=place.scratch.absolute())  # wherever workers stand
    with _connected(len(runs), workers, scheduler) as client:
        _check(client, place)
        command, source = uuid.uuid4().hex, commit()
        waiting, failures = deque(enumerate(runs, 1)), list[str]()
        busy: dict[Future, tuple[str, str, Key, int, ExitStack]] = {}

        def say(text: str) -> None:
            if progress:
                tqdm.write(text)

        def hand_out(address: str) -> None:
            number, (key, seed) = waiting.popleft()
            label, claim = f"{place.name} {number}/{len(runs)} {run_name(key, seed)}", ExitStack()
            free = claim.enter_context(claimed(place.folder(key, seed)))
            if not free or (not again and (run_name(key, seed), place.budget) in place.done()):
                claim.close()
                tqdm.write(f"{label} is left to another process")
                return
            if not resume:
                empty(place.folder(key, seed))
            say(f"{label} on {address}")
            future = client.submit(
                _perform, place, key, seed, command, workers=[address], allow_other_workers=True, pure=False, retries=0
            )
            busy[future] = (address, label, key, seed, claim)

        def take_in(future: Future) -> None:
            _, label, key, seed, claim = busy.pop(future)
            with claim:
                try:
                    outcome = future.result()
                except KilledWorker:
                    outcome = "its worker died, perhaps of too little memory"
                if isinstance(outcome, Outcome):
                    place.store(key, seed, outcome, source)
                    say(f"{label} done in {outcome.minutes:.1f} minutes")
                elif outcome:
                    failures.append(f"{label} failed: {outcome}")
                    tqdm.write(failures[-1], file=sys.stderr)

        try:
            while waiting or busy:
                at_work = {address for address, *_ in busy.values()}
                for address in [address for address in client.nthreads() if address not in at_work]:
                    if waiting:
                        hand_out(address)
                for future in _ended(busy, any, 2.0):
                    take_in(future)
        except KeyboardInterrupt:
            tqdm.write("Stopping after the steps that are under way; Ctrl-C again stops at once.", file=sys.stderr)
            client.run(_stop, command)
            for future in _ended(busy, all, SECONDS):
                take_in(future)
            raise
        except Exception:  # a row that cannot be written: the other runs keep how far they are
            client.run(_stop, command)
            _ended(busy, all, SECONDS)
            raise
        finally:
            for *_, claim in busy.values():
                claim.close()
    if failures:
        raise RunFailed(f"{len(failures)} of {len(runs)} runs failed; {failures[0]}")


def _perform(place: Place, key: Key, seed: int, command: str) -> Outcome | str:
    """In a worker: do a run, going on from what its folder holds; why it failed, "" where it was interrupted."""
    torch.set_num_threads(1)
    stop_asked.set(lambda: command in _stopped)
    with _alone:
        try:
            return place.perform(key, seed, resume=True, progress=False)
        except KeyboardInterrupt:
            return ""
        except FAILURES as error:  # as text: not all of them survive being sent
            return str(error) or type(error).__name__


def _stop(command: str) -> None:
    """In a worker: every run of the command stops after its step."""
    _stopped.add(command)


def _facts(folder: str) -> dict[str, Any]:
    """In a worker: what it has to have in common with the process that was started."""
    versions = {"odelab": odelab.__version__, "torch": torch.__version__, "the commit": commit()}
    return versions | {f"the folder {folder}": Path(folder).is_dir()}


def _check(client: Client, place: Place) -> None:
    with claimed(place.scratch / "seen-by-workers"):  # there while they look
        folder = str(place.scratch.absolute())
        here = _facts(folder)
        for address, there in client.run(_facts, folder).items():
            for name, value in here.items():
                if there[name] != value:
                    raise ValueError(
                        f"worker {address} has {there[name]} for {name}, this process {value}: workers need the same "
                        "code and the same file system"
                    )


def _ended(futures: Iterable[Future], enough: Callable[[Iterable[bool]], bool], seconds: float) -> list[Future]:
    """Those of the futures that are done: when any or all are, and at latest after so many seconds."""
    end = time.monotonic() + seconds
    while not enough(future.done() for future in futures) and time.monotonic() < end:
        time.sleep(0.05)
    return [future for future in futures if future.done()]


@contextmanager
def _connected(runs: int, workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """A client of the scheduler at an address, or of processes of this machine, no more than there are runs."""
    with ExitStack() as stack:
        if scheduler is None:
            with _deaf():  # workers inherit it: a Ctrl-C is ours to hand on
                count = min(workers or 1, runs)
                cluster = LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    memory_limit=0,  # runs share what there is, as they would without dask
                    dashboard_address=":0",
                    silence_logs=logging.ERROR,
                )
            stack.enter_context(cluster)
            scheduler = cluster.scheduler_address
        client = stack.enter_context(Client(scheduler, timeout=PATIENCE, set_as_default=False))
        try:
            client.wait_for_workers(1, timeout=SECONDS)
        except TimeoutError as error:
            what = f"no worker has joined {scheduler} within {SECONDS:.0f} seconds; start one: dask worker {scheduler}"
            raise TimeoutError(what) from error
        yield client


@contextmanager
def _deaf() -> Iterator[None]:
    """SIGINT is ignored, where this thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
