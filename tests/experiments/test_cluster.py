"""Two processes of this machine do the runs of an experiment, and leave the rows of one."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dask
import pytest
import torch
from distributed import Client, LocalCluster

from odelab.__main__ import main
from odelab.experiments import cluster
from odelab.experiments.reproduce import reproduce
from odelab.experiments.results import Row, load_rows
from odelab.experiments.runs import RunFailed, claimed
from tests.experiments.fake_experiment import tell

pytestmark = pytest.mark.slow
RUNS = ["down_hill-0.1-seed0", "down_hill-0.1-seed1", "up_hill-1e-05-seed0", "up_hill-1e-05-seed1"]


@pytest.fixture(scope="module")
def know_fake() -> Iterator[None]:
    """Worker processes know the fake experiment, too."""
    try:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
    except OSError as error:
        pytest.skip(f"no port can be opened here: {error}")
    root = str(Path(__file__).resolve().parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
        settings = {"worker.preload": ["tests.experiments.register_fake"], "scheduler.allowed-failures": 0}
        with dask.config.set({f"distributed.{name}": value for name, value in settings.items()}):
            yield


@pytest.fixture(scope="module")
def scheduler(know_fake: None) -> Iterator[str]:
    """The address of a cluster of two processes, one with several threads."""
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as workers:
        yield workers.scheduler_address


def go(fake: ModuleType, out: Path | None = None, **settings: Any) -> list[Row]:
    asked = {"budget": "full", "device": "cpu", "progress": False} | settings
    return load_rows(reproduce("fake", out=out or fake.path, **asked))


def tell_workers(scheduler: str, **environment: str) -> None:
    with Client(scheduler, set_as_default=False) as client:
        client.run(tell, environment)


def same(ours: list[Row], theirs: list[Row]) -> None:
    assert [row.name for row in ours] == [row.name for row in theirs] == RUNS
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.result, their.result, rtol=1e-5, atol=1e-6)  # losses, and the weight
        assert (our.command, our.commit, our.device) == (their.command, their.commit, their.device)


def test_two_workers_leave_the_rows_of_one_process(fake: ModuleType, know_fake: None, tmp_path: Path) -> None:
    alone = go(fake)
    same(go(fake, tmp_path / "together" / "fake.json", workers=2), alone)
    assert not list((tmp_path / "together" / "runs").rglob("*"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, also in a process that a shell has put in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_after_the_step_and_resume_ends_as_if_nothing_had_been(
    fake: ModuleType, scheduler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs are cut off; then someone else is at one of the four."""
    alone, path = go(fake), tmp_path / "cut" / "fake.json"
    folder = path.parent / "runs" / "fake" / "full"
    tell_workers(scheduler, FAKE_SLEEP="1.5")

    def interrupt() -> None:
        while len(list(folder.glob("*seed0/lock"))) < 2:
            time.sleep(0.05)
        time.sleep(1)  # into the six steps
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        go(fake, path, scheduler=scheduler)
    thread.join()
    assert not path.exists()
    left = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert left == [f"{run}/{file}" for run in (RUNS[0], RUNS[2]) for file in ("minutes", "run.safetensors")]
    tell_workers(scheduler, FAKE_SLEEP="0")
    with pytest.raises(ValueError, match=r"were cut off.*--resume goes on from there"):
        go(fake, path, scheduler=scheduler)
    with claimed(folder / RUNS[3]):
        assert len(go(fake, path, scheduler=scheduler, resume=True)) == 3
    assert "up_hill-1e-05-seed1 is left to another process" in capsys.readouterr().out
    same(go(fake, path, scheduler=scheduler, resume=True), alone)


def test_a_run_that_fails_keeps_no_other_from_being_done(
    fake: ModuleType, scheduler: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_workers(scheduler, FAKE_REFUSES="13")
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed; .*-seed13 failed: seed 13 brings bad luck"):
        go(fake, scheduler=scheduler, seeds=[13, 0], only=["rate=0.1"])
    assert [row.name for row in load_rows(fake.path)] == ["down_hill-0.1-seed0"]
    assert "fake 1/2 down_hill-0.1-seed13 failed: seed 13" in capsys.readouterr().err
    monkeypatch.setattr(cluster, "commit", lambda: "another")
    with pytest.raises(ValueError, match=r"worker tcp://.* has .* for the commit, this process another"):
        go(fake, scheduler=scheduler, resume=True)


def test_a_row_that_cannot_be_written_stops_the_others_after_their_step(
    fake: ModuleType, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "fake.json")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("odelab.experiments.runs.add_row", full)
        go(fake, scheduler=scheduler, seeds=[0])
    assert len(list(fake.path.parent.rglob("run.safetensors"))) == 2
    assert len(go(fake, scheduler=scheduler, seeds=[0], resume=True)) == 2


def test_a_worker_that_dies_costs_its_run_alone(fake: ModuleType, scheduler: str) -> None:
    tell_workers(scheduler, FAKE_KILLS="17")
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed; .*-seed17 failed: its worker died"):
        go(fake, scheduler=scheduler, seeds=[17, 0], only=["rate=0.1"])
    assert [row.name for row in load_rows(fake.path)] == ["down_hill-0.1-seed0"]


def test_who_has_no_cluster_is_told(
    fake: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    monkeypatch.setattr("odelab.experiments.reproduce.result_file", lambda name, budget: fake.path)
    assert main(["reproduce", "fake", "--device", "cpu", "--scheduler", "tcp://127.0.0.1:9"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "odelab.experiments.cluster")
    assert main(["reproduce", "fake", "--device", "cpu", "--workers", "2"]) == 1
    assert "pip install 'odelab[cluster]'" in capsys.readouterr().err
