"""Subject 35's walks, or the made-up ones in their place: shapes, poses, centring that does not look ahead."""

import math
import os
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from odelab.datasets import channels62, mocap35, read_amc, read_asf, standard_skeleton
from odelab.datasets.mocap import subject35

DATA = Path(os.environ.get("ODELAB_DATA", "nowhere")) / "mocap"
real = pytest.mark.skipif(not (DATA / "mocap35.mat").is_file(), reason="needs mocap35.mat in $ODELAB_DATA/mocap")
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def made_up():
    return subject35._made_up()


@pytest.fixture(scope="module")
def recorded():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return mocap35(download=False)


def everything(walks):
    return torch.cat([getattr(walks, part).x for part in PARTS])


def test_without_anything_a_gait_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("ODELAB_CACHE", str(tmp_path))
    monkeypatch.delenv("ODELAB_DATA", raising=False)
    subject35._warn.cache_clear()
    with pytest.warns(UserWarning, match=r"made-up gait here, because a download was not asked for.*mocap35.mat"):
        walks = mocap35(download=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = mocap35(download=False)  # said once
    assert torch.equal(everything(walks), everything(again))
    assert not walks.complete and "made-up" in walks.source and "made-up" in walks.test.source
    assert not walks.test.complete and walks.skeleton().source == standard_skeleton().source


def shapes(walks):
    for part, n in zip(PARTS, (16, 3, 4), strict=True):
        sequences = getattr(walks, part)
        assert sequences.x.shape == (n, 300, 50) and sequences.x.dtype == torch.float32 and part in sequences.source
        assert sequences.mask.shape == (n, 300) and bool(sequences.mask.all()) and sequences.complete == walks.complete
        torch.testing.assert_close(sequences.times, 0.1 * torch.arange(300))
        assert sequences.x.mean(1).abs().max() < 1e-4
        assert walks.channels(part).shape == (n, 300, 62)
    assert walks.means.shape == (23, 50) and walks.starts.shape == (23, 3)
    assert [walks.rows(part) for part in PARTS] == [slice(0, 16), slice(16, 19), slice(19, 23)]


def test_shapes_of_the_made_up(made_up):
    shapes(made_up)


def test_channels_of_recordings_and_forecasts(made_up):
    whole = made_up.channels("validation")
    torch.testing.assert_close(
        whole, channels62(made_up.validation.x, made_up.means[16:19], made_up.starts[16:19]), rtol=0, atol=0
    )
    torch.testing.assert_close(whole[:, 0, :3], made_up.starts[16:19])
    draws = made_up.channels("test", made_up.test.x[:, :40].expand(5, 4, 40, 50))
    assert draws.shape == (5, 4, 40, 62)
    torch.testing.assert_close(draws[2], made_up.channels("test")[:, :40])
    joints = made_up.skeleton().joints(draws)
    assert joints.shape == (5, 4, 40, 31, 3)


def test_the_first_frames_centre(made_up):
    causal = made_up.recentred(3)
    assert causal.test.x[:, :3].mean(1).abs().max() < 1e-5 and causal.test.x.mean(1).abs().max() > 1
    torch.testing.assert_close(causal.channels("test"), made_up.channels("test"), atol=1e-4, rtol=0)
    assert "first 3 frames" in causal.source and "first 3 frames" in causal.test.source and not causal.complete
    # What comes after the first frames has no say in the first: the leak of the protocol is gone.
    later = replace(made_up, test=replace(made_up.test, x=made_up.test.x + 9 * (torch.arange(300) >= 3)[:, None]))
    torch.testing.assert_close(later.recentred(3).test.x[:, :3], causal.test.x[:, :3])
    torch.testing.assert_close(made_up.recentred(300).train.x, made_up.train.x, atol=1e-4, rtol=0)


def test_the_training_mean_centres(made_up):
    common = made_up.recentred("training")
    assert common.train.x.mean((0, 1)).abs().max() < 1e-4
    spread = common.means - common.means[0]
    assert spread.abs().max() < 1e-5  # one for all walks
    torch.testing.assert_close(common.channels("test"), made_up.channels("test"), atol=1e-4, rtol=0)
    assert (common.test.x - made_up.test.x).abs().max() > 1 and "training mean" in common.source
    twice = common.recentred(3).recentred("training")
    torch.testing.assert_close(twice.test.x, common.test.x, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda walks: walks.recentred(0), r"frames must be from 1 to 300 or 'training', got 0"),
        (lambda walks: walks.recentred(301), r"got 301"),
        (lambda walks: walks.recentred("test"), r"got 'test'"),
        (lambda walks: replace(walks, means=None).recentred("training"), r"means of these walks are not known"),
        (lambda walks: replace(walks, means=None).channels("test"), r"cannot be drawn: .*Put the recordings"),
        (lambda walks: walks.channels("dev"), r"one of train, validation, test, got 'dev'"),
        (lambda walks: walks.channels("test", torch.zeros(4, 9, 62)), r"x50 must have 50"),
    ],
)
def test_what_cannot_be(made_up, call, message):
    with pytest.raises(ValueError, match=message):
        call(made_up)


def test_first_frames_need_no_means(made_up):
    bare = replace(made_up, means=None)
    assert bare.recentred(3).means is None
    torch.testing.assert_close(bare.recentred(3).test.x, made_up.recentred(3).test.x)


@real
def test_the_real_one(recorded):
    shapes_but_for_the_means = replace(recorded, means=torch.zeros(23, 50), starts=torch.zeros(23, 3))
    shapes(shapes_but_for_the_means)
    assert recorded.complete and "mocap35.mat from $ODELAB_DATA" in recorded.source
    # Errors on frames 3 to 299 of the test walks that are known of this file, by simple means.
    test, train = recorded.test.x.double(), recorded.train.x.double()
    last = (test - test[:, 2:3])[:, 3:].pow(2).mean()
    mean = (test - train.mean((0, 1)))[:, 3:].pow(2).mean()
    assert last == pytest.approx(61.33, abs=0.01) and mean == pytest.approx(33.67, abs=0.01)


@real
def test_the_real_one_walks(recorded):
    if recorded.means is None:
        pytest.skip("needs mocap35_abs50.npz beside mocap35.mat")
    skeleton = recorded.skeleton()
    joints = skeleton.joints(recorded.channels("train"))
    feet = [skeleton.index(name) for name in ("lfoot", "ltoes", "rfoot", "rtoes")]
    lowest = joints[..., feet, 1].amin(-1)
    assert (lowest.amax(1) - lowest.amin(1)).median() < 0.1  # one foot is always down
    speed = (joints[:, -1, 0, 2] - joints[:, 0, 0, 2]) / (299 / 120)
    assert bool(((speed > 0.8) & (speed < 1.8)).all())
    if (DATA / "35_01.amc").is_file() and (DATA / "35.asf").is_file():
        raw = read_amc(DATA / "35_01.amc")[:300]
        truth = read_asf(DATA / "35.asf").joints(raw)
        body = [skeleton.index(name) for name in ("root", "head", "lradius", "rradius", "ltibia", "rfoot", "lwrist")]
        assert (joints[0][:, body] - truth[:, body]).norm(dim=-1).max() < 2e-3  # hands and toes are dropped
        assert math.isclose(recorded.starts[0, 1], 17.8934, rel_tol=1e-6)
