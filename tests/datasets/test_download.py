"""The downloader against a mirror on this machine: whole or not at all, continued, and never over a good file."""

import hashlib
import os

import pytest

from odelab.datasets.download import DownloadError, download

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def fetch(tmp_path, mirrors, monkeypatch):
    """Downloads FILE from both mirrors, which have it, into a folder that does not exist yet; its path."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for mirror in mirrors:
        mirror.files["file"] = CONTENT
    target = tmp_path / "new" / "file"

    def call():
        download([mirror.url + "file" for mirror in mirrors], target, SHA256, progress=False)
        return target

    call.target = target
    return call


def test_a_good_mirror_suffices(fetch, mirrors):
    assert fetch().read_bytes() == CONTENT
    assert mirrors[0].asked == [("file", None)] and mirrors[1].asked == []
    assert os.listdir(fetch.target.parent) == ["file"]


def test_a_missing_or_wrong_file_sends_it_to_the_second_mirror(fetch, mirrors):
    mirrors[0].files = {}
    assert fetch().read_bytes() == CONTENT
    fetch.target.unlink()
    mirrors[0].files = {"file": b"<html>log in first</html>"}
    assert fetch().read_bytes() == CONTENT


def test_a_broken_transfer_is_continued_by_the_second_mirror(fetch, mirrors):
    mirrors[0].stop_after = 100_000
    assert fetch().read_bytes() == CONTENT
    assert mirrors[1].asked == [("file", "bytes=100000-")]


def test_a_later_call_continues(fetch, mirrors):
    for mirror in mirrors:
        mirror.stop_after = 100_000
    with pytest.raises(DownloadError, match=r"file: http.*broke off after 100000 of 512000 bytes.*after 200000 of"):
        fetch()
    assert not fetch.target.exists()
    mirrors[0].stop_after = None
    assert fetch().read_bytes() == CONTENT
    assert mirrors[0].asked[-1] == ("file", "bytes=200000-")
    assert os.listdir(fetch.target.parent) == ["file"]


def test_a_server_that_does_not_continue_begins_again(fetch, mirrors):
    mirrors[0].stop_after, mirrors[1].ranges = 100_000, False
    assert fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"not what the server has", CONTENT + b"too much", CONTENT])
def test_a_partial_file_of_other_bytes_is_dropped(fetch, mirrors, left):
    fetch.target.parent.mkdir()
    part = fetch.target.with_name("file.0123abcd.part")
    part.write_bytes(left)
    os.utime(part, (0, 0))
    assert fetch().read_bytes() == CONTENT
    assert mirrors[1].asked == [] and os.listdir(fetch.target.parent) == ["file"]


def test_somebody_elses_partial_file_is_left_alone(fetch):
    fetch.target.parent.mkdir()
    part = fetch.target.with_name("file.0123abcd.part")
    part.write_bytes(CONTENT[:1000])  # written to a moment ago
    assert fetch().read_bytes() == CONTENT
    assert part.read_bytes() == CONTENT[:1000]


def test_wrong_bytes_never_replace_a_good_file(fetch, mirrors):
    good = fetch().read_bytes()
    for mirror in mirrors:
        mirror.files["file"] = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=rf"SHA-256 [0-9a-f]{{64}} instead of {SHA256}.*instead of"):
        fetch()
    assert fetch.target.read_bytes() == good and os.listdir(fetch.target.parent) == ["file"]


def test_a_refused_connection(fetch, mirrors):
    for mirror in mirrors:
        mirror.close()
    with pytest.raises(DownloadError, match=r"could not download file"):
        fetch()
    assert os.listdir(fetch.target.parent) == []
