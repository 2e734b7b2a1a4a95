"""`python -m odelab`: what it prints, and with which status it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import odelab.experiments.reproduce as reproduce_module
from odelab.__main__ import main
from odelab.experiments import report, results
from odelab.experiments.registry import EXPERIMENTS
from odelab.experiments.results import Row, add_row, load_rows
from odelab.solvers.errors import StepSizeUnderflow
from odelab.training import TrainingDiverged
from odelab.training.devices import make_fabric, resolved

ROOT = Path(__file__).resolve().parents[2]


def test_list_from_a_shell():
    done = subprocess.run([sys.executable, "-m", "odelab", "list"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in EXPERIMENTS:
        assert f"{name}: " in done.stdout
    times = re.findall(r"(about \d+ minutes?) on one CPU thread -> |not timed yet -> ", done.stdout)
    assert len(times) == 2 * len(EXPERIMENTS)
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["list"], ["--help"]])
def test_what_only_tells_needs_no_torch(arguments):
    script = f"import sys; sys.modules['torch'] = None; from odelab.__main__ import main; main({arguments})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("arguments", [["list"], ["results"]])
def test_a_reader_who_has_read_enough_ends_it_quietly(arguments):
    """As in `list | head`: what is printed later finds no reader."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-m", "odelab", *arguments], stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_without_a_letter_shows_another():
    done = subprocess.run(
        [sys.executable, "-m", "odelab", "list"],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0 and b"runs ? " in done.stdout


@pytest.mark.parametrize("verb", ["list", "results"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "does not hold results"),
        ('{"rows": [{"key": 1}]}', "does not hold results"),
        ("ROW 3", "does not hold results"),
        ("ROW {}", "has a row that lacks what the tables of mnist show"),
    ],
)
def test_stored_rows_that_cannot_be_read_are_one_line(tmp_path, monkeypatch, capsys, verb, text, why):
    (tmp_path / "results").mkdir()
    rest = {"key": {"body": "mlp"}, "seed": 0, "budget": "full", "minutes": 1.0, "device": "1 thread"}
    row = json.dumps(rest | dict.fromkeys(("command", "commit", "when"), ""))[:-1]
    whole = f'{{"rows": [{row}, "result": {text[4:]}}}]}}' if text.startswith("ROW") else text
    (tmp_path / "results" / "mnist.json").write_text(whole)
    monkeypatch.setattr(results, "FOLDERS", (tmp_path, results.FOLDERS[1]))
    if (verb, text) == ("list", "ROW {}"):
        assert main([verb]) == 0  # which only asks how long it took
        return
    assert main([verb]) == 2
    err = capsys.readouterr().err
    assert "mnist.json" in err and why in err and err.count("\n") == 1


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_results_are_written_into_a_checkout_alone(tmp_path, monkeypatch, capsys, kind):
    place = tmp_path / "place"
    if kind == "a file":
        place.touch()
    monkeypatch.setattr(report.write, "__defaults__", (place,))
    assert main(["results", "--write"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("odelab: No") and str(place / "README.md") in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["minst"], "odelab: no experiment is called 'minst'; there are mnist, "),
        (["fake", "--device", "tpu"], "odelab: device 'tpu' is not there; this machine has cpu"),
        (["fake", "--device", "cuda:99"], "odelab: device 'cuda:99' is not there; this machine has cpu"),
        (["fake", "--only", "line=flat"], "odelab: no run of fake is line=flat; there are: line=up hill rate=1e-05"),
    ],
)
def test_a_wrong_command_is_status_2_and_one_line(fake, capsys, arguments, text):
    assert main(["reproduce", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(text) and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["reproduce"], ["sing"], ["reproduce", "fake", "--budget", "huge"], ["reproduce", "fake", "--seeds", "x"]]
    + [["reproduce", "fake", "--seeds", seed] for seed in ("-1", "0.5", "²")],
)
def test_what_the_parser_refuses_is_status_2_too(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "usage: python -m odelab" in capsys.readouterr().err


@pytest.fixture
def into_tmp(fake, monkeypatch):
    monkeypatch.setattr(reproduce_module, "result_file", lambda name, budget: fake.path)
    monkeypatch.setattr(reproduce_module, "FOLDERS", (None, fake.path.parent / "data"))
    return fake


def test_without_a_verb_all_of_them_are_told(capsys):
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(verb in out for verb in ("copy", "doctor", "list", "results", "reproduce"))


def test_a_good_command_says_where_its_results_are(into_tmp, capsys):
    assert main(["reproduce", "fake", "--device", "cpu", "--seeds", "3", "4"]) == 0
    assert capsys.readouterr().out.endswith(f"results: {into_tmp.path}\n")
    assert into_tmp.done == [("up hill", 3), ("up hill", 4)]
    assert main(["reproduce", "fake", "--device", "cpu", "--seeds", "3"]) == 2
    assert "--resume keeps them, --again does them anew" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(into_tmp, capsys):
    into_tmp.on_step = lambda key, seed, step: step == 2 and signal.raise_signal(signal.SIGINT)
    assert main(["reproduce", "fake", "--device", "cpu"]) == 130
    assert "--resume goes on from here" in capsys.readouterr().err
    steps = []
    into_tmp.on_step = lambda key, seed, step: steps.append(step)
    assert main(["reproduce", "fake", "--device", "cpu", "--resume"]) == 0
    assert steps == [3, 4, 5]


@pytest.mark.parametrize(
    "error",
    [
        TrainingDiverged("the loss is nan at step 2", 2),
        OSError(28, "No space left on device"),
        FileNotFoundError("MNIST is not here; set ODELAB_DATA"),
        StepSizeUnderflow.__new__(StepSizeUnderflow),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_run_that_fails_is_status_1_and_one_line(into_tmp, capsys, error):
    def fail(key, seed, step):
        raise error

    into_tmp.on_step = fail
    assert main(["reproduce", "fake", "--device", "cpu"]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("odelab: ") and "Traceback" not in err


@pytest.mark.parametrize("where", ["results", "runs", "folder of a file", "a file"])
def test_places_that_cannot_be_written_are_one_line(into_tmp, monkeypatch, tmp_path, capsys, where):
    """A file where a folder should be, and a folder where a file should be."""
    spoiled = into_tmp.path.parent if where == "results" else into_tmp.path.parent / "build" / "runs"
    if where == "a file":
        into_tmp.path.mkdir(parents=True)
    elif where == "folder of a file":
        monkeypatch.setattr(reproduce_module, "result_file", lambda name, budget: spoiled / "fake.json" / "fake.json")
        (spoiled / "fake.json").parent.mkdir(parents=True)
        (spoiled / "fake.json").touch()
    else:
        spoiled.parent.mkdir(parents=True, exist_ok=True)
        spoiled.touch()
    assert main(["reproduce", "fake", "--device", "cpu"]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("odelab: ") and "Traceback" not in err


FULL = """
import resource, sys
from tests.experiments import register_fake
from odelab.experiments import reproduce
from odelab.__main__ import main
from pathlib import Path
reproduce.FOLDERS = (None, Path(sys.argv[1]).parent / "data")
reproduce.result_file = lambda name, budget: Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
sys.exit(main(["reproduce", "fake", "--device", "cpu", *sys.argv[3:]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file")
def test_a_disk_that_is_full_is_one_line_and_what_was_measured_is_not_lost(into_tmp):
    """The kernel refuses to write more than so many bytes: first of the checkpoint, then of the rows."""
    rows = into_tmp.path
    add_row(rows, "fake", Row({"line": "long"}, 0, "lecture", {"text": "…" * 9000}, 0.1, "", "", "", ""))
    for limit, name in ((100, "run.safetensors"), (6000, "fake.json")):
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(rows), str(limit), "--resume"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 1 and last.startswith("odelab: ") and name in last and "large" in last, done.stderr
        assert "Traceback" not in done.stderr and not list(rows.parent.rglob("*.part"))
    assert list(rows.parent.rglob("run.safetensors"))
    into_tmp.on_step = lambda *_: pytest.fail("trained again")
    assert main(["reproduce", "fake", "--device", "cpu", "--resume"]) == 0
    assert len(load_rows(rows)) == 2 and not list(rows.parent.rglob("run.safetensors"))


def test_devices():
    assert resolved("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolved("cpu") == "cpu" and resolved("cpu:0") == "cpu:0"
    assert make_fabric("cpu:0").device == torch.device("cpu")
    for name in ("", "gpu", "cpu:1", "cpu:", "cuda:-1", "cuda:x", "cuda:99", "cpu 0"):
        with pytest.raises(ValueError, match=f"device '{name}' is not there; this machine has cpu"):
            resolved(name)
