"""One file from the first of several mirrors that gives it whole: resumed, checked by hash, put in place at once.

What lies at the target afterwards is the right file or what was there before: bytes are collected in a partial file
beside it, which takes the target's name only when its SHA-256 is right, or, where nobody published one, when it can be
read as what it should be.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT = 5.0  # seconds to connect, and between two pieces
PIECE = 2**16
ABANDONED = 60.0  # seconds after which a partial file that nobody writes to may be taken over


class DownloadError(OSError):
    """No mirror gave the file whole and unaltered."""


def offline() -> bool:
    """Whether the user wishes no downloads: `ODELAB_OFFLINE` is set to something but 0."""
    return os.environ.get("ODELAB_OFFLINE", "0") not in ("", "0")


def download(
    urls: Sequence[str],
    target: Path,
    sha256: str | None,
    *,
    check: Callable[[Path], object] | None = None,
    progress: bool = True,
) -> str:
    """Fetches `target` from the first URL that serves bytes of this SHA-256, which is returned.

    With None any bytes will do that `check` accepts: it is called with the partial file and raises a ValueError
    otherwise. The hash that is returned can then be kept and be asked for the next time.

    A transfer that broke off, now or in an earlier call, is continued where the server allows it, by the same mirror
    or the next. Several processes may do this at once: each writes a partial file of its own.

    Raises:
        DownloadError: with what each mirror answered; a file at `target` is then as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _partial_file(target)
    complaints = []
    try:
        for url in urls:
            for _ in range(2):  # a wrong hash may be the fault of an old partial file: the second try begins afresh
                resumed = part.exists() and part.stat().st_size > 0
                try:
                    _fetch(url, part, progress)
                except (OSError, http.client.HTTPException) as error:
                    complaints.append(f"{url}: {error}")
                    break
                found = hashlib.sha256(part.read_bytes()).hexdigest()
                wrong = None if sha256 in (None, found) else f"SHA-256 {found} instead of {sha256}"
                try:
                    if check and not wrong:
                        check(part)
                except ValueError as error:
                    wrong = f"not what it should be ({error})"
                if not wrong:
                    os.replace(part, target)
                    return found
                part.unlink()
                complaints.append(f"{url}: {wrong}")
                if not resumed:
                    break
        raise DownloadError(f"could not download {target.name}: " + "; ".join(complaints))
    finally:
        if part.exists():
            os.utime(part, (0, 0))  # free to be taken over at once


def _partial_file(target: Path) -> Path:
    """A name for this call's partial file, which is what an earlier call left, if it left something."""
    mine = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    for left in target.parent.glob(f"{target.name}.*.part"):
        try:
            if time.time() - left.stat().st_mtime > ABANDONED:
                os.replace(left, mine)
                break
        except FileNotFoundError:  # another process was faster
            continue
    if mine.exists():
        os.utime(mine)
    return mine


def _fetch(url: str, part: Path, progress: bool) -> None:
    """Appends to `part` what is missing of it, or writes it anew when the server does not continue."""
    from tqdm.auto import tqdm  # here, because most calls find the file and need no bar

    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing, or the partial file is too long: its hash will tell
            return
        raise
    with answer:
        continued = answer.status == 206
        start = have if continued else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        bar = tqdm(
            total=total, initial=start, unit="B", unit_scale=True, desc=part.name.split(".")[0], disable=not progress
        )
        with part.open("ab" if continued else "wb") as file, bar:
            while piece := answer.read(PIECE):
                file.write(piece)
                bar.update(len(piece))
                start += len(piece)
    if total is not None and start < total:
        raise OSError(f"the transfer broke off after {start} of {total} bytes")
