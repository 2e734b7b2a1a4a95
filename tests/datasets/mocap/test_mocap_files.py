"""The files behind mocap35: places in their order, hashes, the download, refusals that leave files as they are."""

import hashlib
import os

import numpy as np
import pytest
import torch
from scipy.io import savemat

from odelab.datasets import download, mocap35, standard_skeleton, synthetic_walks
from odelab.datasets.mocap import subject35
from odelab.datasets.mocap.subject35 import HASHES, MAT, RECORDINGS, TRIALS, read_absolute, read_mat
from tests.datasets.mocap.mocap_text import amc_text, asf_text

FRAMES = 12  # of each walk here, so that 23 recordings are small


@pytest.fixture(scope="module")
def recordings():
    """23 made-up recordings: the channels (23, 14, 62) and the files' bytes by name."""
    walks = synthetic_walks(23, FRAMES + 2, seed=5)
    files = {name: amc_text(walk).encode() for name, walk in zip(RECORDINGS, walks, strict=True)}
    return walks, files | {"35.asf": asf_text(standard_skeleton()).encode()}


@pytest.fixture
def fifty(recordings):
    """What the recordings are in the 50 channels, computed here anew: (23, 12, 50)."""
    walks = recordings[0]
    kept = [*range(31), *range(36, 43), *range(48, 54), *range(55, 61)]
    x = walks[:, :FRAMES, kept].clone()
    x[..., :3] = walks[:, 1 : FRAMES + 1, :3] - walks[:, :FRAMES, :3]
    return x


@pytest.fixture
def places(tmp_path, monkeypatch, mirrors, recordings):
    """A data folder and a cache that do not exist yet, and a site that serves the recordings."""
    monkeypatch.setenv("ODELAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ODELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("ODELAB_OFFLINE", raising=False)
    monkeypatch.setattr(subject35, "FRAMES", FRAMES)
    monkeypatch.setattr(subject35, "SITE", mirrors[0].url)
    subject35._warn.cache_clear()
    mirrors[0].files = dict(recordings[1])
    return tmp_path / "data" / "mocap", tmp_path / "cache" / "mocap"


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def put_mat(folder, x, monkeypatch, **other):
    """The walks, centred, as the authors' file has them, and its hash as the one that is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    centred = (x - x.mean(1, keepdim=True)).numpy()
    savemat(folder / MAT, {"Xtr": centred[:16], "Xval": centred[16:19], "Xtest": centred[19:]} | other)
    monkeypatch.setattr(subject35, "MAT_SHA256", hashlib.sha256((folder / MAT).read_bytes()).hexdigest())


def agree(walks, x):
    """A Mocap's three parts against the walks in the 50 channels."""
    found = torch.cat([walks.train.x, walks.validation.x, walks.test.x])
    torch.testing.assert_close(found, (x - x.mean(1, keepdim=True)).float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("place", "name"), [(0, "$ODELAB_DATA"), (1, "the cache")])
def test_recordings_on_disk(places, mirrors, recordings, fifty, place, name):
    put(places[place], recordings[1])
    walks = mocap35()
    agree(walks, fifty)
    torch.testing.assert_close(walks.means, fifty.mean(1).float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(walks.starts, recordings[0][:, 0, :3].float())
    assert walks.complete and name in walks.source and str(places[0].parent) not in walks.source
    assert mirrors[0].asked == [] and walks.skeleton().source == "CMU's 35.asf"


def test_downloaded_once_with_their_hashes(places, mirrors, recordings, fifty):
    walks = mocap35(progress=False)
    agree(walks, fifty)
    assert "download" in walks.source and walks.complete and len(mirrors[0].asked) == 24
    hashes = dict(reversed(line.split()) for line in (places[1] / HASHES).read_text().splitlines())
    assert hashes == {name: hashlib.sha256(content).hexdigest() for name, content in recordings[1].items()}
    again = mocap35()
    assert "the cache" in again.source and len(mirrors[0].asked) == 24


def test_a_recording_that_changed_is_refused(places, mirrors, recordings):
    mocap35(progress=False)
    path = places[1] / "35_31.amc"
    altered = path.read_bytes().replace(b"root 0", b"root 1", 1) + b"\n"
    path.write_bytes(altered)
    with pytest.raises(ValueError, match=r"35_31.amc was altered since its download.*Delete it"):
        mocap35()
    assert path.read_bytes() == altered
    path.unlink()
    mirrors[0].files["35_31.amc"] = altered  # neither is it taken from the site
    with pytest.warns(UserWarning, match=r"35_31.amc: SHA256 hash.*expected [0-9a-f]{64} but got"):
        assert not mocap35(progress=False).complete
    assert not path.exists()


def test_a_page_is_not_a_recording(places, mirrors):
    mirrors[0].files["35_05.amc"] = b"<html>log in first</html>"
    with pytest.warns(UserWarning, match=r"made-up gait.*35_05.amc: .*FULLY-SPECIFIED"):
        walks = mocap35(progress=False)
    assert not walks.complete and "made-up" in walks.source
    assert "35_05.amc" not in os.listdir(places[1]) and "35_05" not in (places[1] / HASHES).read_text()
    assert "35_04.amc" in os.listdir(places[1])
    asked = len(mirrors[0].asked)
    assert not mocap35().complete and len(mirrors[0].asked) == asked  # a failure is not tried again at once


def test_a_broken_transfer_leaves_nothing(places, mirrors, fifty):
    mirrors[0].stop_after = 5000
    with pytest.warns(UserWarning, match=r"35.asf: .*5000 bytes read"):
        mocap35(progress=False)
    assert os.listdir(places[1]) == []
    mirrors[0].stop_after = None
    download._failures.clear()
    agree(mocap35(progress=False), fifty)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_no_attempt_without_leave(places, mirrors, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("ODELAB_OFFLINE", "1")
    with pytest.warns(UserWarning, match="not asked for" if how == "argument" else "ODELAB_OFFLINE is set"):
        walks = mocap35(download=how == "environment")
    assert mirrors[0].asked == [] and not places[1].exists() and not walks.complete


def test_the_authors_file_comes_first(places, recordings, fifty, monkeypatch):
    put(places[0], recordings[1])
    put_mat(places[1], fifty, monkeypatch)
    walks = mocap35()
    agree(walks, fifty)
    assert MAT in walks.source and "the cache" in walks.source and walks.means is None
    put(places[1], recordings[1])  # beside it, they say what was taken away
    assert torch.allclose(mocap35().means, fifty.mean(1).float(), atol=1e-5)
    put(places[1], {"35_01.amc": recordings[1]["35_02.amc"]})
    with pytest.raises(ValueError, match=r"the recordings beside .* are not its walks: they differ by"):
        mocap35()


@pytest.mark.parametrize("damage", [lambda b: b[:-500], lambda b: b[:900] + b"?" + b[901:], lambda b: b""])
def test_an_altered_file_is_neither_used_nor_changed(places, mirrors, fifty, monkeypatch, damage):
    put_mat(places[0], fifty, monkeypatch)
    path = places[0] / MAT
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"mocap35.mat is truncated or altered: its SHA-256 is .* instead of"):
        mocap35()
    assert path.read_bytes() == damaged and mirrors[0].asked == []
    path.write_bytes(damaged[:2000])
    with pytest.raises(ValueError, match=r"mocap35.mat is not a MATLAB file that can be read"):
        read_mat(path)  # whatever its hash


def test_other_arrays(places, tmp_path, fifty, monkeypatch):
    path = tmp_path / "other.mat"
    savemat(path, {"Xtr": np.zeros((16, FRAMES, 50)), "X_val": np.zeros((3, FRAMES, 50))})
    with pytest.raises(ValueError, match=r"no array Xval, the walks to validation; it has X_val, Xtr"):
        read_mat(path)
    savemat(path, {"Xtr": np.zeros((16, FRAMES, 62))})
    with pytest.raises(ValueError, match=r"Xtr is \(16, 12, 62\) instead of \(16, 12, 50\)"):
        read_mat(path)


def test_means_put_back_by_a_file(places, fifty, monkeypatch, tmp_path):
    put_mat(places[0], fifty, monkeypatch)
    starts = np.full((23, 3), np.nan)
    np.savez(places[0] / subject35.ABSOLUTE, x=fifty.numpy(), root_start=starts)
    walks = mocap35()
    torch.testing.assert_close(walks.means, fifty.mean(1).float())
    assert walks.channels("test")[:, 0, :3].tolist() == [pytest.approx([0, 17.9, 0])] * 4
    centred = fifty - fifty.mean(1, keepdim=True)
    for x, message in ((fifty + torch.arange(FRAMES)[:, None], "differ by"), (fifty[:5], r"x and root_start are \(5,")):
        np.savez(tmp_path / "bad.npz", x=x.numpy(), root_start=starts)
        with pytest.raises(ValueError, match=message):
            read_absolute(tmp_path / "bad.npz", centred)
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"bad.npz cannot be read as walks with their means"):
        read_absolute(tmp_path / "bad.npz", centred)


def test_a_short_recording(places, recordings):
    put(places[0], recordings[1] | {"35_33.amc": amc_text(recordings[0][0, :FRAMES]).encode()})
    with pytest.raises(ValueError, match=r"35_33.amc has 12 frames; 13 are needed"):
        mocap35()
    assert sum(map(len, TRIALS.values())) == 23 and len(set(RECORDINGS)) == 23
