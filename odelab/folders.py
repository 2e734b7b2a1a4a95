"""Where files lie: those the course ships, a user's own in `$ODELAB_DATA`, and downloads in the cache."""

import os
from collections.abc import Iterator
from pathlib import Path

from odelab.extras import extra

PACKAGE = Path(__file__).resolve().parent
FOLDERS = (PACKAGE / "data", PACKAGE.parent / "data")  # a wheel carries its data inside, a checkout has it beside


def data_file(name: str) -> Path:
    """Path of a file the course ships.

    Raises:
        FileNotFoundError: when it is in none of the places looked at, which the message lists.
    """
    for folder in FOLDERS:
        if (folder / name).is_file():
            return folder / name
    places = " nor in ".join(str(folder) for folder in FOLDERS)
    raise FileNotFoundError(f"{name} is neither in {places}; it comes with a checkout and with the wheel")


def notebooks() -> list[Path]:
    """The lessons, in order.

    Raises:
        FileNotFoundError: where neither the package nor a checkout around it has any.
    """
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if lessons := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
            return lessons
    raise FileNotFoundError(f"no lessons lie in {PACKAGE} nor beside it; they come with a checkout and with the wheel")


def cache_folder(name: str) -> Path:
    """Where downloads of that name are kept: in `$ODELAB_CACHE`, else in the system's cache."""
    if folder := os.environ.get("ODELAB_CACHE"):
        return Path(folder).expanduser() / name
    with extra("train"):
        import pooch  # here, because it is needed for this one question

    return Path(pooch.os_cache("odelab")) / name


def user_folders(name: str) -> Iterator[tuple[str, Path]]:
    """Where to look for data of that name, and how to call the place without giving away a person's folders."""
    if data := os.environ.get("ODELAB_DATA"):
        yield "$ODELAB_DATA", Path(data).expanduser() / name
    yield "the cache", cache_folder(name)
