"""Recordings from text: as written, whole, and with complaints that say where; the 50 channels and the way back."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from odelab.datasets import channels62, read_amc, synthetic_walks, walks62
from odelab.datasets.mocap.channels import CHANNELS, COLUMNS50, FRAMES, LAYOUT, ROOT_START, differences50
from odelab.datasets.mocap.subject35 import MAT, MAT_SHA256, fifty, read_mat
from tests.datasets.mocap.mocap_text import amc_text

DATA = Path(os.environ.get("ODELAB_DATA", "nowhere")) / "mocap"
real = pytest.mark.skipif(not (DATA / "35_01.amc").is_file(), reason="needs 35_01.amc in $ODELAB_DATA/mocap")


@pytest.fixture(scope="module")
def walk():
    return synthetic_walks(1, 4)[0] + torch.linspace(0, 1, 62, dtype=torch.float64)  # no channel without a number


@pytest.fixture(scope="module")
def text(walk):
    return amc_text(walk)


def test_the_channels_are_cmus():
    assert len(CHANNELS) == 62 and len(LAYOUT) == 29
    expected = [*range(31), *range(36, 43), *range(48, 54), *range(55, 61)]
    assert list(COLUMNS50) == expected and len(COLUMNS50) == 50


def test_what_was_written_is_read(tmp_path, walk, text):
    path = tmp_path / "walk.amc"
    path.write_text(text)
    found = read_amc(path)
    assert found.shape == (4, 62) and found.dtype == torch.float64
    torch.testing.assert_close(found, walk, rtol=3e-8, atol=3e-8)
    path.write_text(text.replace("\n", "  # remark\r\n\r\n"))
    torch.testing.assert_close(read_amc(str(path)), walk, rtol=3e-8, atol=3e-8)


def shuffled(text):
    """The bones of each frame in the opposite order, which the format allows."""
    lines = text.splitlines()
    frames = [lines[3 + 30 * k : 33 + 30 * k] for k in range(4)]
    return "\n".join(lines[:3] + [line for frame in frames for line in (frame[0], *frame[:0:-1])])


def test_the_order_of_bones_does_not_matter(tmp_path, walk, text):
    (tmp_path / "walk.amc").write_text(shuffled(text))
    torch.testing.assert_close(read_amc(tmp_path / "walk.amc"), walk, rtol=3e-8, atol=3e-8)


def line(number, new):
    def change(text):
        lines = text.splitlines()
        lines[number - 1 : number] = [new.format(lines[number - 1])] if new is not None else []
        return "\n".join(lines)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", r"does not say :FULLY-SPECIFIED"),
        (lambda text: "<html>log in first</html>", r"does not say :FULLY-SPECIFIED"),
        (line(3, ":RADIANS"), r"does not say :DEGREES"),
        (line(4, None), r"line 4: 'root' before the first frame's number"),
        (line(4, "2"), r"line 4: frame 2 where frame 1 should be"),
        (line(34, "3"), r"line 34: frame 3 where frame 2 should be"),
        (line(5, None), r"line 33: frame 2 begins, but the one before has no root"),
        (line(5, "root 1 2 3 4 5"), r"line 5: expected 6 finite numbers, found '1 2 3 4 5'"),
        (line(6, "lowerback 1 2 3 4"), r"line 6: expected 3 finite numbers"),
        (line(6, "lowerback 1 2 nan"), r"line 6: expected 3 finite numbers, found '1 2 nan'"),
        (line(6, "lowerback 1 2 x"), r"line 6: expected 3 finite numbers, found '1 2 x'"),
        (line(6, "tail 1 2 3"), r"line 6: CMU's recordings have no bone 'tail'"),
        (line(6, "{0}\n{0}"), r"line 7: lowerback twice in frame 1"),
        (lambda text: "\n".join(text.splitlines()[:-12]), r"ends in frame 4, without its .*ltoes: it is truncated"),
        (lambda text: "\n".join(text.splitlines()[:3]), r"ends before the first frame: it is truncated"),
    ],
)
def test_a_bad_recording_says_where(tmp_path, text, change, message):
    path = tmp_path / "bad.amc"
    path.write_text(change(text))
    with pytest.raises(ValueError, match=message) as error:
        read_amc(path)
    assert str(path) in str(error.value)


def test_fifty_channels_and_the_way_back():
    walk = synthetic_walks(3, 40)
    x = differences50(walk)
    assert x.shape == (3, 39, 50)
    torch.testing.assert_close(x[..., 3:], walk[:, :-1, list(COLUMNS50[3:])])
    assert torch.equal(x[1, 7, :3], walk[1, 8, :3] - walk[1, 7, :3])
    means = x.mean(1)
    back = channels62(x - means.unsqueeze(1), means, walk[:, 0, :3])
    torch.testing.assert_close(back, walk[:, :-1])  # what was dropped is zero in the made-up walk
    many = channels62((x - means.unsqueeze(1)).expand(5, 3, 39, 50), means, walk[:, 0, :3])
    torch.testing.assert_close(many[4], back)


def test_an_unknown_start_is_the_standard_one():
    x = torch.zeros(2, 5, 50)
    start = torch.tensor([[1.0, 2.0, 3.0], [torch.nan] * 3])
    assert channels62(x, start=start)[:, 0, :3].tolist() == [[1, 2, 3], list(torch.tensor(ROOT_START).tolist())]
    assert torch.equal(channels62(x)[1], channels62(x, start=start)[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: differences50(torch.zeros(5, 50)), r"\(…, frames, 62\) with at least 2 frames, got \(5, 50\)"),
        (lambda: differences50(torch.zeros(1, 62)), r"at least 2 frames"),
        (lambda: channels62(torch.zeros(5, 62)), r"x50 must have 50 .* got \(5, 62\)"),
        (lambda: channels62(torch.zeros(50)), r"x50 must be \(…, frames, 50\)"),
        (lambda: channels62(torch.zeros(5, 50), torch.zeros(62)), r"means must have 50"),
        (lambda: channels62(torch.zeros(5, 50), start=torch.zeros(2)), r"start must have 3"),
        (lambda: fifty(torch.zeros(FRAMES, 62), "short"), r"short has 300 frames; 301 are needed"),
    ],
)
def test_wrong_shapes(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@real
def test_the_real_recording_is_the_authors_first_walk():
    walk = read_amc(DATA / "35_01.amc")
    assert walk.shape == (358, 62)
    ours = fifty(walk, "35_01")
    ours = ours - ours.mean(0)
    if (DATA / MAT).is_file():
        authors = read_mat(DATA / MAT, MAT_SHA256)[0]
        assert (ours - authors).abs().max() < 5e-5
        assert (ours[:, 3] - authors[:, 4]).abs().max() > 1  # another channel is not it
    if "35_01" in (others := walks62()):
        np.testing.assert_allclose(walk, others["35_01"], rtol=0, atol=3e-5)
