"""Packages that come with an extra of odelab, and what to say where one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Imports within this block need an extra.

    Raises:
        ModuleNotFoundError: for a package that is not installed; the message names the extra that brings it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "odelab") or "odelab[" in str(error):
            raise
        message = f"{missing} is not installed; python -m pip install 'odelab[{name}]' brings it"
        raise ModuleNotFoundError(message, name=error.name) from error
