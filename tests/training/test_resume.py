"""A run that was cut off and resumed ends as one that was not, to the last bit."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from odelab.saving import load_checkpoint, save_checkpoint
from odelab.training import History, adam, constant
from tests.training.small_run import STEPS, small_fit, small_model


def interrupt_at(*steps):
    return lambda step: signal.raise_signal(signal.SIGINT) if step in steps else None


def assert_same(history: History, model, expected: History, other) -> None:
    assert model.state_dict().keys() == other.state_dict().keys()
    for name, tensor in other.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    for name in ("loss", "validation", "best", "step", "stopped"):
        assert getattr(history, name) == getattr(expected, name), name


@pytest.fixture(scope="module", params=["best", "last"])
def whole(request):
    model = small_model()
    return request.param, model, small_fit(model, keep=request.param)


def test_the_whole_run_learns(whole):
    _, model, history = whole
    assert len(history.loss) == history.step == STEPS and history.stopped == "finished"
    assert history.loss[-1] < 0.8 * history.loss[0]
    assert [entry["step"] for entry in history.validation] == [5, 10, 15, 20, 24]
    assert history.best == min(history.validation, key=lambda entry: entry["loss"])
    assert not any(entry["training"] for entry in history.validation) and not model.training


@pytest.mark.parametrize("cuts", [(0,), (9,), (3, 11, 12), (STEPS - 1,)], ids=str)
def test_interrupted_and_resumed_is_the_whole_run(whole, cuts, tmp_path):
    keep, expected_model, expected = whole
    path = tmp_path / "run.safetensors"
    before = signal.getsignal(signal.SIGINT)
    for i, cut in enumerate(cuts):
        with pytest.raises(
            KeyboardInterrupt, match=f"after step {cut + 1}; resume=True goes on from .*run.safetensors"
        ):
            small_fit(small_model(), interrupt_at(cut), keep=keep, checkpoint=path, resume=i > 0)
        assert signal.getsignal(signal.SIGINT) is before
        assert load_checkpoint(path)["history"]["step"] == cut + 1
    model = small_model()
    for tensor in model.parameters():
        torch.nn.init.constant_(tensor, 9.0)  # what the model holds when resuming does not matter
    history = small_fit(model, keep=keep, checkpoint=path, resume=True)
    assert_same(history, model, expected, expected_model)
    again = small_model()  # and a finished run is only read
    assert_same(small_fit(again, keep=keep, checkpoint=path, resume=True), again, expected, expected_model)


def test_without_average_and_validation_too(tmp_path):
    plain = {"ema": None, "validate": None, "every": None}
    expected, model, path = small_model(), small_model(), tmp_path / "run.safetensors"
    history = small_fit(expected, **plain)
    with pytest.raises(KeyboardInterrupt):
        small_fit(small_model(), interrupt_at(6), **plain, checkpoint=path)
    assert_same(small_fit(model, **plain, checkpoint=path, resume=True), model, history, expected)


def test_killed_hard_it_goes_on_from_the_last_periodic_checkpoint(tmp_path):
    expected, model, path = small_model(), small_model(), tmp_path / "run.safetensors"
    history = small_fit(expected)
    script = Path(__file__).with_name("small_run.py")
    process = subprocess.Popen([sys.executable, str(script), str(path)])
    for _ in range(3000):
        if path.is_file() or process.poll() is not None:
            break
        time.sleep(0.02)
    time.sleep(0.2)  # somewhere within a step, or a save
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 0 < load_checkpoint(path)["history"]["step"] < STEPS
    assert_same(small_fit(model, checkpoint=path, resume=True), model, history, expected)


def test_a_second_interrupt_does_not_wait_for_the_end_of_the_step(tmp_path):
    path, before = tmp_path / "run.safetensors", signal.getsignal(signal.SIGINT)

    def twice(step):
        if step == 4:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        small_fit(small_model(), twice, checkpoint=path)
    assert not path.exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_without_a_checkpoint_an_interrupt_promises_nothing():
    with pytest.raises(KeyboardInterrupt, match="without a checkpoint its steps are lost"):
        small_fit(small_model(), interrupt_at(2))


def test_outside_the_main_thread_signals_are_left_alone():
    results = []
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: results.append(small_fit(small_model())))
    thread.start()
    assert signal.getsignal(signal.SIGINT) is before
    thread.join()
    assert results[0].step == STEPS and signal.getsignal(signal.SIGINT) is before


def test_the_time_of_earlier_sittings_is_counted(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        small_fit(
            small_model(), lambda step: time.sleep(0.2 if step == 1 else 0) or interrupt_at(1)(step), checkpoint=path
        )
    assert small_fit(small_model(), checkpoint=path, resume=True).seconds > 0.2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 1}, "'seed': 0"),
        ({"steps": 30}, "'steps': 24"),
        ({"ema": None}, "an average"),
        ({"model": 1}, "parameters"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, text):
    path = tmp_path / "run.safetensors"
    small_fit(small_model(), checkpoint=path)
    model = torch.nn.Linear(3, 1) if change.pop("model", None) else small_model()
    with pytest.raises(ValueError, match=f"of another run.*{text}.*move it away"):
        small_fit(model, checkpoint=path, resume=True, **change)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"optimizer": adam(0.1, betas=(0.8, 0.99))}, r"lr = \[0\.05\], and now lr = \[0\.1\] is asked for"),
        ({"optimizer": adam(0.05)}, r"'betas': \[0\.8, 0\.99\].*and now"),
        ({"optimizer": lambda p: torch.optim.SGD(p, 0.05)}, "and now"),
        ({"schedule": constant}, "schedule = .*and now schedule = "),
        ({"clip": 2.0}, r"clip = 1\.0, and now clip = 2\.0"),
        ({"ema": 0.9}, r"ema = 0\.8, and now ema = 0\.9"),
    ],
)
def test_a_run_does_not_go_on_with_other_settings_unsaid(tmp_path, change, text):
    path = tmp_path / "run.safetensors"
    small_fit(small_model(), checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"run.safetensors is of a run with .*{text}"):
        small_fit(small_model(), checkpoint=path, resume=True, **change)
    assert path.read_bytes() == before


def test_a_checkpoint_from_before_settings_were_kept_has_its_learning_rate_all_the_same(tmp_path):
    path = tmp_path / "run.safetensors"
    expected = small_model()
    history = small_fit(expected, checkpoint=path)
    state = load_checkpoint(path)
    del state["settings"]
    save_checkpoint(path, state)
    with pytest.raises(ValueError, match=r"lr = \[0\.05\], and now lr = \[0\.1\]"):
        small_fit(small_model(), checkpoint=path, resume=True, optimizer=adam(0.1, betas=(0.8, 0.99)))
    model = small_model()
    assert_same(small_fit(model, checkpoint=path, resume=True), model, history, expected)


def test_a_checkpoint_is_not_written_over_when_resume_was_forgotten(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        small_fit(small_model(), interrupt_at(6), checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"run\.safetensors is there: resume=True goes on from it; to begin anew, del"):
        small_fit(small_model(), checkpoint=path)
    assert path.read_bytes() == before


def test_a_model_of_the_same_size_but_other_names_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    small_fit(small_model(), checkpoint=path)
    model = torch.nn.ModuleDict({"same": small_model()})
    with pytest.raises(ValueError, match="of another run"):
        small_fit(model, checkpoint=path, resume=True)


def test_resume_needs_a_file_to_resume_from(tmp_path):
    with pytest.raises(ValueError, match="say which file"):
        small_fit(small_model(), resume=True)
    path = tmp_path / "folder" / "run.safetensors"
    history = small_fit(small_model(), checkpoint=path, resume=True)  # nothing there yet: from the start
    assert history.step == STEPS and path.is_file()
