"""Runs are done once, written as they end, and go on where they were cut off."""

import json
import shlex
import shutil
import signal
import subprocess
import threading
import time

import pytest

from odelab.__main__ import parser
from odelab.experiments import registry
from odelab.experiments.registry import EXPERIMENTS, experiment, minutes_of
from odelab.experiments.reproduce import commit, matches, reproduce
from odelab.experiments.results import Row, load_rows
from odelab.saving import BrokenCheckpoint
from odelab.training import TrainingDiverged


def go(fake, **settings):
    return load_rows(
        reproduce("fake", **({"budget": "full", "device": "cpu", "out": fake.path, "progress": False} | settings))
    )


def measured(rows):
    return [(row.key, row.seed, row.result) for row in rows]


def interrupt_in(line, seed, at):
    def on_step(key, its_seed, step):
        if (key["line"], its_seed, step) == (line, seed, at):
            time.sleep(0.3)
            signal.raise_signal(signal.SIGINT)

    return on_step


def test_every_run_leaves_a_row_and_nothing_else(fake):
    rows = go(fake)
    assert fake.done == [("up hill", 0), ("down/hill", 0), ("up hill", 1), ("down/hill", 1)]
    assert [row.name for row in rows] == [
        "down_hill-0.1-seed0",
        "down_hill-0.1-seed1",
        "up_hill-1e-05-seed0",
        "up_hill-1e-05-seed1",
    ]
    assert all(row.result["steps"] == 6 and row.budget == "full" and row.minutes >= 0 for row in rows)
    assert all(row.device.endswith("1 thread") and row.when.endswith("UTC") and row.commit for row in rows)
    assert len({json.dumps(row.result) for row in rows}) == 4
    assert not [
        file for file in fake.path.parent.rglob("*") if file.is_file() and file.suffix not in (".json", ".lock")
    ]


def test_the_command_of_a_row_selects_that_row_alone(fake):
    for row in go(fake):
        given = parser().parse_args(shlex.split(row.command)[3:])
        assert (given.name, given.budget, given.seeds) == ("fake", "full", [row.seed])
        assert [key for key in fake.KEYS if matches(key, given.only)] == [row.key]
    assert parser().parse_args(["reproduce", "fake", "--only", "a=1", "--only", "b=2"]).only == ["a=1", "b=2"]


def test_rows_that_are_there_are_neither_lost_nor_done_again_unasked(fake):
    first = go(fake, seeds=[0])
    fake.done.clear()
    with pytest.raises(
        ValueError, match=r"fake\.json has 2 of these runs; --resume keeps them, --again does them anew"
    ):
        go(fake)
    assert fake.done == []
    rows = go(fake, resume=True)
    assert fake.done == [("up hill", 1), ("down/hill", 1)]
    assert [row for row in rows if row.seed == 0] == first
    fake.done.clear()
    assert go(fake, resume=True) == rows and fake.done == []
    assert len(go(fake, again=True, seeds=[1, 1])) == 4
    assert fake.done == [("up hill", 1), ("down/hill", 1)]


def test_budgets_have_rows_of_their_own(fake):
    go(fake, budget="lecture")
    rows = go(fake, seeds=[0])
    assert sorted((row.name, row.budget) for row in rows) == [
        ("down_hill-0.1-seed0", "full"),
        ("up_hill-1e-05-seed0", "full"),
        ("up_hill-1e-05-seed0", "lecture"),
    ]


def test_only_some_runs(fake):
    go(fake, only=["line=up hill"], seeds=[2])
    assert fake.done == [("up hill", 2)]
    go(fake, only=["rate=0.1,0.2", "line=down/hill"], seeds=[3])
    assert fake.done[1:] == [("down/hill", 3)]
    for only in (["line=up"], ["colour=red"], ["line"], ["rate=0.1", "line=up hill"]):
        with pytest.raises(
            ValueError, match=f"no run of fake is {' '.join(only)}; there are: line=up hill rate=1e-05; line"
        ):
            go(fake, only=only)


def test_an_interrupted_run_goes_on_and_its_minutes_add_up(fake):
    expected = measured(go(fake))
    fake.path.unlink()
    fake.done.clear()
    fake.on_step = interrupt_in("down/hill", 0, 3)
    with pytest.raises(KeyboardInterrupt):
        go(fake)
    assert [row.name for row in load_rows(fake.path)] == ["up_hill-1e-05-seed0"]
    folder = fake.path.parent / "runs" / "fake" / "full" / "down_hill-0.1-seed0"
    assert sorted(file.name for file in folder.iterdir()) == ["minutes", "run.safetensors"]
    first = float((folder / "minutes").read_text())
    assert first > 0.3 / 60
    steps = []
    fake.on_step = lambda key, seed, step: steps.append(step) if (key["line"], seed) == ("down/hill", 0) else None
    rows = go(fake, resume=True)
    assert steps == [4, 5]
    assert measured(rows) == expected
    assert next(row for row in rows if row.name == "down_hill-0.1-seed0").minutes >= round(first, 2)
    assert not folder.exists()


def test_a_cut_off_run_is_not_thrown_away_unasked(fake):
    fake.on_step = interrupt_in("up hill", 0, 3)
    with pytest.raises(KeyboardInterrupt):
        go(fake, seeds=[0])
    kept = sorted((fake.path.parent / "runs").rglob("*"))
    steps = []
    fake.on_step = lambda key, seed, step: steps.append(step)
    with pytest.raises(ValueError, match=r"up_hill-1e-05-seed0 of fake was cut off.*--resume goes on.*--again begins"):
        go(fake, seeds=[0])
    assert steps == [] and sorted((fake.path.parent / "runs").rglob("*")) == kept
    go(fake, seeds=[0], again=True)
    assert steps == [*range(6), *range(6)]


def test_the_same_command_twice_at_once_shares_the_runs(fake):
    """The second one starts while the first is in the middle of a run, and does the other three."""
    first = []

    def on_step(key, seed, step):
        if not first and step == 2:
            first.append((key["line"], seed))
            second.start()
            second.join()

    def command():
        rows.extend(go(fake))

    rows, second = [], threading.Thread(target=command)
    fake.on_step = on_step
    both = go(fake)
    assert first == [("up hill", 0)] and len(rows) == 3
    assert sorted(fake.done) == [("down/hill", 0), ("down/hill", 1), ("up hill", 0), ("up hill", 1)]
    assert len(both) == 4 and [row for row in both if row.name != "up_hill-1e-05-seed0"] == rows
    assert not (fake.path.parent / "runs").exists()


def test_a_run_that_fails_leaves_the_rows_before_it_and_its_checkpoint(fake):
    def on_step(key, seed, step):
        if key["line"] == "down/hill" and step == 2:
            raise TrainingDiverged("the loss is nan", step)

    fake.on_step = on_step
    with pytest.raises(TrainingDiverged):
        go(fake, seeds=[0])
    assert [row.key["line"] for row in load_rows(fake.path)] == ["up hill"]


def test_a_result_that_is_nan_is_not_written_and_not_lost(fake, monkeypatch):
    good = fake.run
    with monkeypatch.context() as patch:
        patch.setattr(fake, "run", lambda k, c: good(k, c) | {"nll": [0.0, float("nan")]})
        with pytest.raises(ValueError, match=r"up_hill-1e-05-seed0 cannot be stored.*result\.nll\[1\] is nan"):
            go(fake, seeds=[0])
    assert not fake.path.exists()
    fake.on_step = lambda *_: pytest.fail("trained again")
    rows = go(fake, seeds=[0], only=["line=up hill"], resume=True)
    assert rows[0].result["steps"] == 6


def test_a_run_that_is_refused_leaves_no_folder_and_one_that_was_cut_off_keeps_its_own(fake):
    fake.on_step = interrupt_in("up hill", 0, 3)
    with pytest.raises(KeyboardInterrupt):
        go(fake, seeds=[0])
    kept = sorted((fake.path.parent / "runs").rglob("*"))

    def refuse(key, seed, step):
        raise ValueError("no data")

    fake.on_step = refuse
    with pytest.raises(ValueError, match="no data"):
        go(fake, seeds=[0], only=["line=down/hill"])
    assert sorted((fake.path.parent / "runs").rglob("*")) == kept
    shutil.rmtree(fake.path.parent)
    with pytest.raises(ValueError, match="no data"):
        go(fake, seeds=[0])
    assert not list(fake.path.parent.rglob("*"))


def test_minutes_are_those_of_stored_rows(fake, monkeypatch):
    what, (up, down) = experiment("fake"), fake.KEYS

    def row(key, seed, minutes, result, device="a processor, 1 thread"):
        return Row(key, seed, "full", result, minutes, "", "", device, "")

    rows = [row(up, 0, 9.0, {"cpu_seconds": 60.0}), row(up, 1, 9.0, {"cpu_seconds": 180.0})]
    monkeypatch.setattr(registry, "stored_rows", lambda name, budget: rows if budget == "full" else [])
    assert minutes_of(what, "full") == pytest.approx(2 * (2 + 2))  # two seeds; the other key as long as this one
    rows.append(row(down, 0, 5.0, {}))
    assert minutes_of(what, "full") == pytest.approx(2 * (2 + 5))
    rows.append(row(down, 1, 0.1, {}, "a GPU"))
    assert minutes_of(what, "full") == pytest.approx(2 * (2 + 5))
    rows[:] = [row({"line": "of old"}, 0, 1.0, {})]
    assert minutes_of(what, "full") == what.minutes["full"] == minutes_of(what, "lecture")


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_a_commit_is_marked_where_its_code_has_changed(tmp_path):
    def git(*say):
        who = ("-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false")
        command = ["git", "-C", tmp_path, *who, *say]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    for name in ("odelab/code.py", "pyproject.toml", "data/results/rows.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    assert commit(tmp_path / "odelab" / "none") == "unknown"
    git("init", "-q"), git("add", "."), git("commit", "-qm", "first")
    clean = git("rev-parse", "--short", "HEAD")
    (tmp_path / "data/results/rows.json").write_text("2")
    assert commit(tmp_path) == clean
    for name in ("odelab/code.py", "pyproject.toml", "odelab/new.py"):
        (tmp_path / name).write_text("2")
        assert commit(tmp_path) == clean + "+"
        git("stash", "-qu", "--", name)
    assert commit(tmp_path) == clean


def test_a_broken_checkpoint_says_which_file_to_delete(fake):
    fake.on_step = interrupt_in("up hill", 0, 3)
    with pytest.raises(KeyboardInterrupt):
        go(fake)
    file = next(fake.path.parent.rglob("run.safetensors"))
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(BrokenCheckpoint, match=r"seed0/run\.safetensors is not a whole checkpoint.*delete it"):
        go(fake, resume=True)


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"budget": "huge"}, "budget is 'huge'"), ({"device": "tpu"}, "device 'tpu' is not there; this machine has cpu")],
)
def test_wrong_settings_stop_before_anything_is_run(fake, settings, text):
    with pytest.raises(ValueError, match=text):
        go(fake, **settings)
    assert fake.done == [] and not fake.path.parent.exists()


def test_the_experiments_that_are_there():
    with pytest.raises(ValueError, match="no experiment is called 'minst'; there are mnist, "):
        experiment("minst")
    for what in map(experiment, EXPERIMENTS):
        for budget in ("lecture", "full"):
            keys = what.keys(budget)
            assert keys and what.seeds[budget] and what.minutes.get(budget, 1) > 0
            assert len({json.dumps(key) for key in keys}) == len(keys)
            assert all(json.loads(json.dumps(key)) == key for key in keys)
