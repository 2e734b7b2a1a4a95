"""The downloader against a mirror on this machine: whole or not at all, and never over a good file."""

import hashlib
import os

import pytest

from odelab.datasets.download import DownloadError, _failures, download

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
    assert mirrors[0].asked == ["file"] and mirrors[1].asked == []
    assert os.listdir(fetch.target.parent) == ["file"] and fetch.target.stat().st_mode & 0o444 == 0o444


def test_a_missing_or_wrong_file_sends_it_to_the_second_mirror(fetch, mirrors):
    mirrors[0].files = {}
    assert fetch().read_bytes() == CONTENT
    fetch.target.unlink()
    mirrors[0].files = {"file": b"<html>log in first</html>"}
    assert fetch().read_bytes() == CONTENT


def test_a_broken_transfer_is_begun_anew_by_the_second_mirror(fetch, mirrors):
    mirrors[0].stop_after = 100_000
    assert fetch().read_bytes() == CONTENT
    assert mirrors[1].asked == ["file"] and os.listdir(fetch.target.parent) == ["file"]


def test_broken_transfers_leave_nothing_and_are_not_tried_again_at_once(fetch, mirrors):
    for mirror in mirrors:
        mirror.stop_after = 100_000
    for _ in range(2):
        with pytest.raises(DownloadError, match=r"could not download file: http.*100000 bytes read.*; http.*100000"):
            fetch()
    assert os.listdir(fetch.target.parent) == [] and len(mirrors[0].asked) == 1
    mirrors[0].stop_after = None
    _failures.clear()
    assert fetch().read_bytes() == CONTENT


def test_without_a_hash_the_check_decides(fetch, mirrors):
    def check(path):
        if b"html" in path.read_bytes():
            raise ValueError("a page")

    urls = [mirror.url + "file" for mirror in mirrors]
    mirrors[0].files = {"file": b"<html>log in first</html>"}
    assert download(urls, fetch.target, None, check=check, progress=False) == SHA256
    with pytest.raises(DownloadError, match="file: a page"):
        download(urls[:1], fetch.target, None, check=check, progress=False)
    assert fetch.target.read_bytes() == CONTENT


def test_an_interruption_leaves_nothing(fetch, mirrors):
    def interrupted(path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([mirrors[0].url + "file"], fetch.target, SHA256, check=interrupted, progress=False)
    assert os.listdir(fetch.target.parent) == []


def test_a_folder_that_cannot_be_made(mirrors, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="could not download target"):
        download([mirrors[0].url + "file"], tmp_path / "file" / "target", SHA256, progress=False)


def test_wrong_bytes_never_replace_a_good_file(fetch, mirrors):
    good = fetch().read_bytes()
    for mirror in mirrors:
        mirror.files["file"] = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=rf"expected {SHA256} but got [0-9a-f]{{64}}.*expected {SHA256} but"):
        fetch()
    assert fetch.target.read_bytes() == good and os.listdir(fetch.target.parent) == ["file"]


def test_a_refused_connection(fetch, mirrors):
    for mirror in mirrors:
        mirror.close()
    with pytest.raises(DownloadError, match=r"could not download file: http.*refused"):
        fetch()
    assert os.listdir(fetch.target.parent) == []
