"""The file of a run: whole or not there, tensors and JSON, never a pickle."""

import math
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

import odelab
from odelab.saving import BrokenCheckpoint, load_checkpoint, save_checkpoint
from tests.training.small_run import small_fit, small_model

STATE = {
    "weights": {"a.b": torch.arange(6.0).view(2, 3).t(), "half": torch.ones(2, dtype=torch.bfloat16)},
    "count": torch.tensor(3),
    "empty": torch.empty(0, 4),
    "flags": [torch.tensor([True, False]), None, {"nested": [1.5, "text", {}]}],
    "optimizer": {0: {"step": 1}, 7: {}},
    "not a number": math.nan,
}


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def test_what_was_saved_comes_back(tmp_path):
    path = tmp_path / "new" / "folder" / "run.safetensors"
    save_checkpoint(path, STATE)
    assert same(STATE, load_checkpoint(path))
    assert os.listdir(path.parent) == [path.name]


def test_the_format_of_older_files_is_read(tmp_path):
    path = tmp_path / "run.safetensors"
    tree = '{"dict": [["a", {"tensor": "run.a"}], [0, {"list": [{"value": null}]}]]}'
    save_file({"run.a": torch.ones(2)}, path, {"odelab": tree})
    assert same({"a": torch.ones(2), 0: [None]}, load_checkpoint(path))


def test_names_that_look_alike_stay_apart(tmp_path):
    path = tmp_path / "run.safetensors"
    state = {"a.b": 1.0, "a": {"b": 2.0, "": 3.0}, "a.": 4.0, 0: 5.0, "0": 6.0, "x": [7.0], "x.0": 8.0, "a.b'": 9.0}
    state = {k: v if isinstance(v, (dict, list)) else torch.tensor(v) for k, v in state.items()}
    state["a"], state["x"] = {k: torch.tensor(v) for k, v in state["a"].items()}, [torch.tensor(7.0)]
    save_checkpoint(path, state)
    assert same(state, load_checkpoint(path))


def test_tensors_that_share_memory_are_saved_each_for_itself(tmp_path):
    path, base = tmp_path / "run.safetensors", torch.arange(4.0)
    save_checkpoint(path, {"all": base, "part": base[1:3], "again": base})
    loaded = load_checkpoint(path)
    loaded["all"].zero_()
    assert loaded["part"].tolist() == [1.0, 2.0] and loaded["again"].tolist() == base.tolist()


def fail_while_writing(*args):
    Path(args[1]).write_bytes(b"half a file")
    raise OSError("No space left on device")


def fail_before(*args):
    raise KeyboardInterrupt


def fail_as_safetensors_does(*args):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("what", "error"),
    [(fail_while_writing, OSError), (fail_before, KeyboardInterrupt), (fail_as_safetensors_does, OSError)],
)
def test_an_error_while_writing_leaves_the_old_file(tmp_path, monkeypatch, what, error):
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, STATE)
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", what)
        with pytest.raises(error):
            save_checkpoint(path, {"other": torch.zeros(3)})
    with pytest.raises(TypeError):
        save_checkpoint(path, {"no JSON": object()})
    assert same(STATE, load_checkpoint(path))
    assert os.listdir(tmp_path) == [path.name]


def test_a_truncated_file_is_named_with_advice(tmp_path):
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    for length in {0, 1, 7, 8, 9, len(whole) // 4, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(BrokenCheckpoint, match=f"{re.escape(str(path))} is not a whole checkpoint.*delete it"):
            load_checkpoint(path)
    with pytest.raises(BrokenCheckpoint):
        small_fit(small_model(), checkpoint=path, resume=True)
    assert path.read_bytes() == whole[: path.stat().st_size]  # and is not written over


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(BrokenCheckpoint, match=r"model\.safetensors is a safetensors file, but no checkpoint"):
        load_checkpoint(path)
    for header in ('{"dict": 3}', "[]", "{", '{"tensor": "gone"}', "3", '{"dict": [], "list": []}'):
        save_file({"weight": torch.ones(2)}, path, {"odelab": header})
        with pytest.raises(BrokenCheckpoint, match="not a whole checkpoint"):
            load_checkpoint(path)
    save_checkpoint(path, {"weight": torch.ones(2)})
    with pytest.raises(ValueError, match="of another run"):
        small_fit(small_model(), checkpoint=path, resume=True)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path)


def test_there_is_no_pickle_anywhere(tmp_path):
    path = tmp_path / "run.safetensors"
    small_fit(small_model(), checkpoint=path, steps=3)
    assert path.read_bytes()[8:9] == b"{"  # length, then JSON
    for source in Path(odelab.__file__).parent.rglob("*.py"):
        assert not re.search(r"\b(torch\.(save|load)\(|import pickle|joblib|cloudpickle|shelve)", source.read_text()), (
            source
        )
