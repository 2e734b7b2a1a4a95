"""One file from the first of several mirrors that serves it whole: fetched by pooch, checked, put in place at once."""

import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from odelab.extras import extra

TIMEOUT = 5.0  # seconds to connect, and between two pieces
PATIENCE = 60.0  # seconds for which nothing is downloaded into a folder after a failure
_failures: dict[Path, tuple[float, str]] = {}  # folder -> when and why


class DownloadError(OSError):
    """No mirror gave the file whole and unaltered."""


def download(
    urls: Sequence[str],
    target: Path,
    sha256: str | None,
    *,
    check: Callable[[Path], object] | None = None,
    progress: bool = True,
) -> str:
    """Fetches `target` from the first URL that serves bytes of this SHA-256, which is returned.

    With None any bytes will do that `check` accepts: it is called with the file before that is put in place, and raises
    a ValueError otherwise. The hash that is returned can then be kept and be asked for the next time.

    What lies at the target afterwards is the right file, or what was there before. Several processes may do this at
    once.

    Raises:
        DownloadError: with what each mirror answered, or because `ODELAB_OFFLINE` is set to something but 0; it says
            the same again for a minute, in which no mirror is asked.
    """
    if os.environ.get("ODELAB_OFFLINE", "0") not in ("", "0"):
        raise DownloadError("ODELAB_OFFLINE is set")
    when, why = _failures.get(target.parent, (-math.inf, ""))
    if time.monotonic() - when < PATIENCE:
        raise DownloadError(why)
    with extra("train"):
        import pooch  # here, because most calls find the file

    pooch.get_logger().setLevel("WARNING")
    answers = []
    for url in urls:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                how = pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)
                path = Path(pooch.retrieve(url, sha256, target.name, folder, downloader=how))
                if check:
                    check(path)
                path.chmod(0o644)  # pooch leaves it to its owner alone, but a cache may be shared
                os.replace(path, target)
            return pooch.file_hash(str(target))
        except (OSError, ValueError) as error:  # the network's, the disk's, a wrong hash, what `check` says
            answers.append(f"{url}: {getattr(error.args[0] if error.args else None, 'reason', error)}")
    message = f"could not download {target.name}: " + "; ".join(answers)
    _failures[target.parent] = time.monotonic(), message
    raise DownloadError(message)
