"""Names that a user chooses from, and what to say when one is not among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Text "; did you mean 'tanh'?" for the known name that is nearest, and nothing where none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def choose(known: Mapping[str, T], name: str, what: str) -> T:
    """known[name].

    Raises:
        ValueError: for another name, with the nearest one and all that there are; `what` says of what kind they are.
    """
    if name in known:
        return known[name]
    hint = suggestion(name, known) or "."
    raise ValueError(f"unknown {what} {name!r}{hint} Known: {', '.join(known)}")
