"""Names that a user chooses from, devices among them, and what to say when one is not among them."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch

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


def resolved(device: str) -> str:
    """The device that a text stands for: "auto" is a GPU where there is one, and any other text itself.

    Raises:
        ValueError: for a device that is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    kind, colon, index = device.partition(":")
    if not there.get(kind) or (colon and not (index.isdecimal() and int(index) < there[kind])):
        names = ", ".join(f"{name}:{i}" if name == "cuda" else name for name in there for i in range(there[name]))
        raise ValueError(f"device {device!r} is not there; this machine has {names}")
    return device
