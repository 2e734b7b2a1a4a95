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
        ({"times": torch.tensor([[0.0, 1, 2, 2]] * 3)}, r"must increase: after frame 2 at 2 comes one at 2 \(row 0\)"),
        ({"times": torch.tensor([0.0, 1, 2, torch.nan])}, "times must be finite"),
        ({"times": torch.tensor([0.0, 1, 2, torch.inf])}, "times must be finite"),
        ({"mask": torch.ones(3, 4)}, r"mask is \(3, 4\) torch.float32"),
        ({"mask": torch.ones(3, 1, dtype=torch.bool)}, r"mask is \(3, 1\)"),
    ],
)
def test_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Sequences(**vars(some()) | change)


def test_the_clock_of_a_sequence_may_stand_still_where_nothing_was_observed():
    whole, mask = some(), torch.ones(3, 4, dtype=torch.bool)
    mask[1, 2:] = False
    times = torch.tensor([[0.0, 1, 2, 3], [0.0, 5, 5, 5], [0.0, 1, 2, 9]])
    data = Sequences(whole.x, times, mask, "")
    assert data.last_times.tolist() == [3, 5, 9] and data[1].last_times.tolist() == [5]
    assert Sequences(whole.x, times[0], mask, "").last_times.tolist() == [3, 1, 3]
    with pytest.raises(ValueError, match=r"after frame 2 at 5 comes one at 4 \(row 1\)"):
        Sequences(whole.x, torch.tensor([[0.0, 1, 2, 3], [0.0, 5, 5, 4], [0.0, 1, 2, 9]]), mask, "")
    mask[0] = False
    with pytest.raises(ValueError, match="nothing was observed in sequence 0"):
        _ = Sequences(whole.x, times, mask, "").last_times


def test_a_device_without_float64_gets_no_clock_that_is_off(monkeypatch):
    whole = some()
    moved = []
    monkeypatch.setattr(Sequences, "_tensors", lambda self: moved.append(self.times.dtype) or {})
    Sequences(whole.x, whole.times.double() / 7, whole.mask, "").to("mps")
    assert moved == [torch.float32]
    with pytest.raises(ValueError, match=r"times such as 44256 differ too little for float32; count from the first"):
        Sequences(whole.x, 44256 + whole.times.double() / 144, whole.mask, "").to("mps")


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


@pytest.mark.parametrize("name", ["times", "time", "t", "ts"])
def test_times_beside_an_array_are_used_whatever_they_are_called(tmp_path, name):
    np.savez(tmp_path / "a.npz", **{"x": np.zeros((2, 3, 1)), name: np.array([0.0, 2, 7])})
    assert load_sequences(tmp_path / "a.npz").times.tolist() == [0, 2, 7]


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_a_mask_beside_an_array_is_used(tmp_path, kind):
    values, frames = np.arange(1.0, 13).reshape(2, 3, 2), np.array([[True, True, False], [True, False, True]])
    channels = np.ones((2, 3, 2), dtype=np.uint8)
    channels[0, 1, 1] = 0
    values[1, 0] = np.nan  # not observed, whatever the mask says
    for mask in (frames, channels):
        arrays = {"x": values, "mask": mask, "times": np.arange(3.0)}
        path = tmp_path / f"a.{kind}"
        np.savez(path, **arrays) if kind == "npz" else savemat(path, arrays)
        read = load_sequences(path)
        observed = mask.astype(bool).reshape(2, 3, -1) & ~np.isnan(values)
        whole = read.mask if read.mask.ndim == 3 else read.mask[..., None].expand(2, 3, 2)
        assert whole.numpy().tolist() == observed.tolist()
        assert np.array_equal(read.x.numpy(), np.where(observed, values, 0))


def test_with_a_key_other_arrays_are_left_alone(tmp_path):
    np.savez(tmp_path / "a.npz", train=np.ones((2, 3, 1)), test=np.zeros((1, 3, 1)), t=np.array([0.0, 2, 7]))
    read = load_sequences(tmp_path / "a.npz", key="train")
    assert read.x.shape == (2, 3, 1) and read.times.tolist() == [0, 2, 7]


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
    assert read.times.tolist() == [[0, 1, 1.5], [0.5, 1, 1]]  # nothing was observed after 1
    assert read.mask.tolist() == [[[True] * 2, [True, False], [False] * 2], [[True, False], [True] * 2, [False] * 2]]


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
        ({"x": good, "times": np.array(["2021-03-01"] * 3, "datetime64[D]")}, None, "datetime64.*makes hours of dates"),
        ({"x": np.where([[[True]], [[False]]], np.nan, good)}, None, "nothing was observed in sequence 0"),
        ({"a": good, "b": good}, None, r"the arrays a, b; say which with key="),
        ({"x": good, "dt": good}, None, r"has dt beside x, which would not be used.*key='x' leaves other arrays alone"),
        ({"x": good, "time": np.arange(3), "ts": np.arange(3)}, None, "has the times time and ts; leave one"),
        ({"x": good, "mask": np.ones((3, 2))}, None, r"mask is \(3, 2\); for the array \(2, 3, 1\) it can be \(2, 3\)"),
        ({"x": good, "mask": np.full((2, 3), 0.5)}, None, "mask holds float64 other than 0 and 1"),
        ({"x": good, "mask": np.array([[1, 1, 1], [0, 0, 0]])}, None, "nothing was observed in sequence 1"),
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


def test_times_that_a_file_holds_with_too_few_digits_are_told_of(tmp_path):
    """Ten minutes after 1.6e9 seconds became 640 and 512 seconds when the file was written."""
    seconds = np.array([1614556800.0, 1614557400, 1614558000])
    np.savez(tmp_path / "a.npz", x=good, times=seconds.astype(np.float32))
    with pytest.warns(UserWarning, match=r"a\.npz: times are float32, rounded to 1.3e\+02 .* only 512 apart"):
        load_sequences(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=good, times=seconds)
    assert load_sequences(tmp_path / "a.npz").times.diff().tolist() == [600.0, 600.0]


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
