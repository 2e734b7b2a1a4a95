"""Sequences with gaps, and the files a user may bring: what is read, and what is refused with which words."""

import numpy as np
import pytest
import torch
from scipy.io import savemat

from odelab.datasets import Sequences, load_sequences


def some(n=3, frames=4, shape=(2,)):
    x = torch.arange(float(n * frames * int(np.prod(shape)))).reshape(n, frames, *shape)
    return Sequences(x, torch.arange(float(frames)), torch.ones(n, frames, dtype=torch.bool), "counted")


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (1, [1]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        ([2, 0], [2, 0]),
        (torch.tensor([2]), [2]),
        (torch.tensor([True, False, True]), [0, 2]),
    ],
)
def test_some_of_the_sequences(index, rows):
    whole = some()
    clocks = Sequences(whole.x, torch.arange(12.0).reshape(3, 4), whole.mask, "")
    assert torch.equal(whole[index].x, whole.x[rows]) and whole[index].source == "counted"
    assert torch.equal(whole[index].times, whole.times) and torch.equal(clocks[index].times, clocks.times[rows])
    assert len(whole[index]) == len(rows)


def test_observed_means_at_least_in_part():
    mask = torch.tensor([[[True, False], [False, False]]])
    assert Sequences(torch.zeros(1, 2, 2), torch.arange(2.0), mask, "").observed.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": torch.zeros(3, 4)}, r"x is \(3, 4\).*x\[\.\.\., None\]"),
        ({"times": torch.arange(3.0)}, r"times are \(3,\).*\(4,\).*\(3, 4\)"),
        ({"times": torch.tensor([0.0, 1, 1, 2])}, r"must increase: after frame 1 at 1 comes one at 1 \(row 0\)"),
        ({"mask": torch.ones(3, 4)}, r"mask is \(3, 4\) torch.float32"),
        ({"mask": torch.ones(3, 1, dtype=torch.bool)}, r"mask is \(3, 1\)"),
    ],
)
def test_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Sequences(**vars(some()) | change)


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_arrays(tmp_path, kind):
    values = np.random.default_rng(0).normal(size=(3, 5, 2))
    values[1, 2] = np.nan
    values[2, 4] = np.nan
    times = np.array([0.0, 0.5, 1.5, 2, 4])
    path = tmp_path / f"mine.{kind}"
    np.savez(path, x=values, times=times) if kind == "npz" else savemat(path, {"x": values, "times": times})
    read = load_sequences(path)
    assert read.x.dtype == torch.float32 and read.times.tolist() == times.tolist() and read.source == path.name
    assert read.mask.shape == (3, 5) and (~read.mask).nonzero().tolist() == [[1, 2], [2, 4]]
    assert np.allclose(read.x.numpy(), np.nan_to_num(values), atol=1e-6)
    assert torch.equal(load_sequences(str(path), key="x").x, read.x)


def test_a_single_channel_may_be_missing(tmp_path):
    values = np.ones((2, 3, 2))
    values[0, 1, 1] = np.nan
    np.savez(tmp_path / "a.npz", walk=values)
    read = load_sequences(tmp_path / "a.npz")
    assert read.mask.shape == (2, 3, 2) and (~read.mask).nonzero().tolist() == [[0, 1, 1]]
    assert read.times.tolist() == [0, 1, 2] and read.observed.all()


def test_video_frames_and_clocks_of_their_own(tmp_path):
    times = np.array([[0.0, 1, 2], [0, 2, 5]])
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 1, 4, 4), dtype=np.uint8), times=times)
    read = load_sequences(tmp_path / "a.npz")
    assert read.x.shape == (2, 3, 1, 4, 4) and read.times.tolist() == times.tolist()


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_table(tmp_path):
    text = "sequence,time,a,b\none,0,1,2\ntwo,0.5,5,\none,1,3,NaN\none,1.5,,\ntwo,1.0,7,8\n"
    read = load_sequences(write(tmp_path / "a.csv", text))
    assert read.x.tolist() == [[[1, 2], [3, 0], [0, 0]], [[5, 0], [7, 8], [0, 0]]]
    assert read.times.tolist() == [[0, 1, 1.5], [0.5, 1, 1.5]]
    assert read.mask.tolist() == [[[True] * 2, [True, False], [False] * 2], [[True, False], [True] * 2, [False] * 2]]


def test_suffixes_in_capitals(tmp_path):
    assert load_sequences(write(tmp_path / "A.CSV", "sequence,time,a\n1,0,1\n")).x.item() == 1
    with (tmp_path / "A.NPZ").open("wb") as file:
        np.savez(file, x=np.ones((1, 1, 1)))
    assert load_sequences(tmp_path / "A.NPZ").x.item() == 1


def test_table_with_shared_times(tmp_path):
    read = load_sequences(write(tmp_path / "a.csv", "Time, Sequence, a\n0,1,1\n1,1,\n0,2,3\n1,2,4\n"))
    assert read.times.tolist() == [0, 1] and read.mask.tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"a\.csv has the columns \(none\); it must have sequence, time and at least one channel"),
        ("when,a\n0,1\n", r"has the columns when, a"),
        ("sequence,time,a\n", "a header and no rows"),
        ("sequence,time,a\n1,0,1\n1,0,2\n", r"line 3: times must increase within a sequence, but 0 comes after 0"),
        ("sequence,time,a\n1,0,1\n1,,2\n", r"line 3: the time is missing"),
        ("sequence,time,a\n1,0,1\n1,1,x\n", r"line 3, a: 'x' is not a number"),
        ("sequence,time,a\n1,0,1\n1,1\n", r"line 3 has 2 cells; the header has 3"),
        ("sequence,time,a\nb,0,\nb,1,\n", r"nothing was observed in sequence b"),
        ("sequence,time,a\n1,0,inf\n", r"infinite values; write NaN"),
        ("sequence,time,a\n1,0,1\n2,0,-1e300\n", r"sequence 1 has values such as -1e\+300, but float32 ends"),
        ("sequence,time,a\n1,0,1\n ,1,2\n", r"a\.csv, line 3: the sequence is missing"),
        ("sequence,time,a\n1,0," + "9" * 200_000, r"a\.csv cannot be read as a table .*UTF-8"),
    ],
)
def test_bad_table(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        load_sequences(write(tmp_path / "a.csv", text))


class Trap:
    """Unpickling it would show."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


good = np.zeros((2, 3, 1))


@pytest.mark.parametrize(
    ("arrays", "key", "words"),
    [
        ({"x": np.zeros((2, 3))}, None, r"the array is \(2, 3\).*x\[\.\.\., None\]"),
        ({"x": np.zeros((0, 3, 1))}, None, r"the array is \(0, 3, 1\)"),
        ({"x": good, "times": np.array([0.0, 2, 1])}, None, r"bad\.npz: times must increase: after frame 1 at 2"),
        ({"x": good, "times": np.arange(4.0)}, None, r"times are \(4,\)"),
        ({"x": good, "times": np.array([0, 1, np.nan])}, None, "times must be finite"),
        ({"x": good, "times": 1.7e9 + np.arange(3.0)}, None, "differ too little for float32; count from the first"),
        ({"x": np.where([[[True]], [[False]]], np.nan, good)}, None, "nothing was observed in sequence 0"),
        ({"a": good, "b": good}, None, r"the arrays a, b; say which with key="),
        ({"a": good, "b": good}, "c", r"the arrays a, b; none is called 'c'"),
        ({"x": np.array([Trap(), 1])}, None, "objects are refused"),
        ({"x": good.astype(complex)}, None, "holds complex128; it must hold numbers"),
    ],
)
def test_bad_arrays(tmp_path, arrays, key, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        load_sequences(tmp_path / "bad.npz", key=key)
    assert not Trap.sprung


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_sequences(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"read from \.npz, \.mat and \.csv, not \.pkl"):
        load_sequences(write(tmp_path / "a.pkl", "x"))
    for name in ("a.npz", "a.mat"):
        for content in ("", "no such thing"):
            with pytest.raises(ValueError, match=f"{name} cannot be read") as refusal:
                load_sequences(write(tmp_path / name, content))
            assert "objects" not in str(refusal.value)
    for encoding in ("latin-1", "utf-16"):
        (tmp_path / "a.csv").write_bytes("sequence,time,größe\n1,0,1\n".encode(encoding))
        with pytest.raises(ValueError, match=r"a\.csv cannot be read as a table .*in UTF-8"):
            load_sequences(tmp_path / "a.csv")
    savemat(tmp_path / "cells.mat", {"x": np.array([np.zeros(2), np.zeros(3)], dtype=object)})
    with pytest.raises(ValueError, match="holds objects or cells"):
        load_sequences(tmp_path / "cells.mat")
    with pytest.raises(ValueError, match="key='x' names an array"):
        load_sequences(write(tmp_path / "a.csv", "sequence,time,a\n1,0,1\n"), key="x")
