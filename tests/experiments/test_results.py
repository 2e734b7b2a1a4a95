"""Rows in a file: whole, sorted, of everyone who writes."""

import json
import math
import multiprocessing
import re
from pathlib import Path

import pytest
import torch

from odelab.experiments import results
from odelab.experiments.results import Row, add_row, by_key, load_rows, result_file, run_name, stored_rows


def row(seed=0, result=None, budget="full", **key) -> Row:
    return Row(key or {"body": "mlp"}, seed, budget, result or {"error": 1.5}, 0.1, "command", "abc", "CPU", "now")


def test_a_row_replaces_the_one_of_its_key_seed_and_budget(tmp_path):
    path = tmp_path / "new" / "x.json"
    for each in (row(1), row(0), row(0, budget="lecture"), row(0, body="resnet"), row(0, {"error": 2.0})):
        add_row(path, "x", each)
    rows = load_rows(path)
    assert [(r.name, r.budget, r.result["error"]) for r in rows] == [
        ("mlp-seed0", "lecture", 1.5),
        ("mlp-seed0", "full", 2.0),
        ("mlp-seed1", "full", 1.5),
        ("resnet-seed0", "full", 1.5),
    ]
    assert json.loads(path.read_text())["name"] == "x"
    assert len(path.read_text().splitlines()) == 2 + len(rows)  # a line each, so that a diff can be read
    assert not list(path.parent.glob("*.part"))


def write_many(path: Path, writer: int) -> None:
    for seed in range(12):
        add_row(path, "x", row(seed, {"writer": writer}, writer=writer))


def test_two_processes_writing_at_once_lose_nothing(tmp_path):
    path, fork = tmp_path / "x.json", multiprocessing.get_context("fork")
    writers = [fork.Process(target=write_many, args=(path, writer)) for writer in range(2)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
    assert [process.exitcode for process in writers] == [0, 0]
    assert {(r.key["writer"], r.seed) for r in load_rows(path)} == {(w, s) for w in range(2) for s in range(12)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "3",
        '{"rows": 3}',
        '{"rows": [1]}',
        '{"rows": [{"key": {}}]}',
        '{"rows": null}',
        b"\xff\xfe{",
    ],
)
def test_a_broken_file_is_named_and_never_written_over(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    for reads in (lambda: load_rows(path), lambda: add_row(path, "x", row())):
        with pytest.raises(ValueError, match=f"{re.escape(str(path))} does not hold results.*move it away"):
            reads()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"nll": math.nan}, "result.nll is nan"),
        ({"epochs": [{"loss": 1.0}, {"loss": math.inf}]}, "result.epochs[1].loss is inf"),
        ({"weight": torch.ones(2)}, "result.weight is a Tensor"),
        ({"dial": {1e-3: 2.0}}, "the key 0.001 in result.dial"),
        ({"ok": 1, "a": -math.inf, "b": {2}}, "result.a is -inf, result.b is a set"),
    ],
)
def test_what_json_has_no_word_for_is_named(tmp_path, result, text):
    path = tmp_path / "x.json"
    add_row(path, "x", row(1))
    before = path.read_text()
    with pytest.raises(ValueError, match=re.escape(f"mlp-seed0 cannot be stored, nor could be read by others: {text}")):
        add_row(path, "x", row(0, result))
    assert path.read_text() == before


def test_numbers_texts_and_lists_come_back_as_they_were(tmp_path):
    result = {"error": 0.1 + 0.2, "name": "ε ≤ 1", "none": None, "list": [1, [2.5, True]], "dict": {"a": []}}
    add_row(tmp_path / "x.json", "x", row(0, result, rate=1e-5))
    (back,) = load_rows(tmp_path / "x.json")
    assert back.result == result and back.key == {"rate": 1e-5}


def test_stored_rows_are_those_of_the_budget_in_the_first_folder_that_has_them(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDERS", (tmp_path / "wheel", tmp_path / "checkout"))
    assert stored_rows("some-thing") == []
    add_row(tmp_path / "checkout" / "results" / "some_thing.json", "some-thing", row(0))
    add_row(tmp_path / "checkout" / "results" / "some_thing.json", "some-thing", row(1, budget="lecture"))
    assert [r.seed for r in stored_rows("some-thing")] == [0]
    assert [r.seed for r in stored_rows("some-thing", "lecture")] == [1]
    add_row(tmp_path / "wheel" / "results" / "some_thing.json", "some-thing", row(5))
    assert [r.seed for r in stored_rows("some-thing")] == [5]


def test_where_results_go(tmp_path, monkeypatch):
    root = Path(results.__file__).parents[2]
    assert result_file("ffjord-toy") == root / "data" / "results" / "ffjord_toy.json"
    assert result_file("mnist", "lecture") == root / "build" / "results" / "mnist.json"
    monkeypatch.setattr(results, "FOLDERS", (tmp_path / "odelab" / "data", tmp_path / "data"))  # site-packages
    assert result_file("mnist") == Path("odelab-results/full/mnist.json")


def test_run_names_can_be_names_of_files():
    assert run_name({"body": "ode-net", "set": "8 gaussians", "part": "a/b"}, 3) == "ode-net-8_gaussians-a_b-seed3"
    assert run_name({}, 0) == "seed0"


def test_rows_by_key():
    rows = [row(0, body="b", rate=1), row(0, body="a", rate=1), row(1, body="b", rate=2)]
    assert {k: [r.seed for r in v] for k, v in by_key(rows, "body").items()} == {"b": [0, 1], "a": [0]}
    assert list(by_key(rows, "body")) == ["b", "a"]
    assert list(by_key(rows, "body", "rate")) == [("b", 1), ("a", 1), ("b", 2)]
    assert list(by_key(rows, "colour")) == [None]
