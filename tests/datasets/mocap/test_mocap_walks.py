"""Walks of several people from a file, and one walk cut in time without looking ahead."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from odelab.datasets import synthetic_walks, walk_split, walks62
from odelab.datasets.mocap.channels import COLUMNS50, differences50

DATA = Path(os.environ.get("ODELAB_DATA", "nowhere")) / "mocap"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ODELAB_DATA", str(tmp_path))
    monkeypatch.setenv("ODELAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mocap").mkdir()
    return tmp_path / "mocap"


def test_walks_from_a_file(folder):
    walks = synthetic_walks(2, 20).float().numpy()
    np.savez(folder / "cmu_walks62_raw.npz", **{"07_01": walks[0], "39_12": walks[1, :15]})
    found = walks62()
    assert list(found) == ["07_01", "39_12"] and found["39_12"].shape == (15, 62)
    assert found["07_01"].dtype == torch.float64 and torch.equal(found["07_01"].float(), torch.from_numpy(walks[0]))


def test_no_file(folder):
    with pytest.warns(UserWarning, match=r"cmu_walks62_raw.npz is not in \$ODELAB_DATA/mocap"):
        assert walks62() == {}


@pytest.mark.parametrize("shape", [(20, 50), (62,)])
def test_other_walks(folder, shape):
    np.savez(folder / "cmu_walks62_raw.npz", walk=np.zeros(shape))
    with pytest.raises(ValueError, match=r"walk is \(.*\); a walk is \(frames, 62\)"):
        walks62()


def test_a_truncated_file(folder):
    np.savez(folder / "cmu_walks62_raw.npz", walk=np.zeros((20, 62)))
    path = folder / "cmu_walks62_raw.npz"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cmu_walks62_raw.npz cannot be read: it is truncated or altered"):
        walks62()


def test_a_walk_in_three(folder):
    walk = synthetic_walks(1, 121)[0]
    split = walk_split(walk, source="a walk")
    assert [len(part.x[0]) for part in (split.train, split.validation, split.test)] == [60, 20, 40]
    together = torch.cat([split.train.x, split.validation.x, split.test.x], dim=1)
    assert torch.equal(together, split.whole.x) and split.whole.x.shape == (1, 120, 50)
    times = torch.cat([split.train.times, split.validation.times, split.test.times])
    torch.testing.assert_close(times, 0.1 * torch.arange(120))
    raw = differences50(walk)
    torch.testing.assert_close(split.means, raw[:60].mean(0).float())
    torch.testing.assert_close(split.whole.x[0], (raw - raw[:60].mean(0)).float())
    torch.testing.assert_close(split.channels(), walk[:-1].float(), atol=1e-4, rtol=0)
    drawn = split.channels(split.whole.x.expand(3, 120, 50)[:, :9])
    assert drawn.shape == (3, 9, 62)
    assert "test frames" in split.test.source


def test_what_follows_does_not_centre():
    walk = synthetic_walks(1, 121)[0]
    other = torch.cat([walk[:61], walk[61:] + 50])
    assert torch.equal(walk_split(walk).train.x, walk_split(other).train.x)


def test_fewer_frames_and_other_parts():
    walk = synthetic_walks(1, 121)[0]
    split = walk_split(walk, (0.25, 0.25), every=2)
    assert [part.x.shape[1] for part in (split.train, split.validation, split.test)] == [15, 15, 30]
    torch.testing.assert_close(split.whole.times, 0.2 * torch.arange(60))
    step = split.whole.x[0, 7, :3] + split.means[:3]
    torch.testing.assert_close(step, (walk[16, :3] - walk[14, :3]).float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: walk_split(torch.zeros(30, 50)), r"a walk is \(frames, 62\), got \(30, 50\)"),
        (lambda: walk_split(torch.zeros(30, 62), every=0), r"every = 0 of 30 frames"),
        (lambda: walk_split(torch.zeros(30, 62), every=30), r"every = 30 of 30 frames"),
        (lambda: walk_split(torch.zeros(30, 62), (0.9, 0.1)), r"parts \(0.9, 0.1\) of 29 frames cut at 26 and 29"),
        (lambda: walk_split(torch.zeros(30, 62), (0.0, 0.5)), r"each part needs two frames"),
    ],
)
def test_walks_that_cannot_be_cut(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not (DATA / "cmu_walks62_raw.npz").is_file(), reason="needs the walks in $ODELAB_DATA/mocap")
def test_the_real_walks():
    walks = walks62()
    assert len(walks) == 69 and len({name[:2] for name in walks}) == 14
    assert all(len(walk) > 250 for walk in walks.values())
    split = walk_split(walks["35_07"])
    assert split.whole.x.shape == (1, 359, len(COLUMNS50)) and split.test.x.shape[1] == 120
