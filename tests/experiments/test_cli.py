"""`python -m odelab`: what it prints, and with which status it ends."""

import re
import signal
import subprocess
import sys

import pytest
import torch

import odelab.experiments.reproduce as reproduce_module
from odelab.__main__ import main
from odelab.experiments.registry import EXPERIMENTS
from odelab.solvers.errors import StepSizeUnderflow
from odelab.training import TrainingDiverged
from odelab.training.devices import make_fabric, resolved


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
    [[], ["reproduce"], ["sing"], ["reproduce", "fake", "--budget", "huge"], ["reproduce", "fake", "--seeds", "x"]]
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


def test_devices():
    assert resolved("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolved("cpu") == "cpu" and resolved("cpu:0") == "cpu:0"
    assert make_fabric("cpu:0").device == torch.device("cpu")
    for name in ("", "gpu", "cpu:1", "cpu:", "cuda:-1", "cuda:x", "cuda:99", "cpu 0"):
        with pytest.raises(ValueError, match=f"device '{name}' is not there; this machine has cpu"):
            resolved(name)
