"""CMU's skeletons (ASF): sections of text, of which units, root, bones and hierarchy say where the joints are."""

from __future__ import annotations

from pathlib import Path

import torch

from odelab.datasets.mocap.channels import LAYOUT
from odelab.datasets.mocap.skeleton import INCH, Skeleton
from odelab.datasets.mocap.text import Line, Text

DOFS = dict(LAYOUT)


def read_asf(path: str | Path) -> Skeleton:
    """A skeleton from CMU's file: bones, rest directions, lengths, axes, degrees of freedom, hierarchy.

    Raises:
        ValueError: with the line, when a part is missing or says what CMU's skeletons do not.
        FileNotFoundError: when there is no such file.
    """
    text = Text(path)
    sections = _sections(text)
    (angle,) = _said(text, sections["units"], "angle", 1)
    if angle != "deg":
        raise ValueError(f"{path}: angles are in {angle!r}, but must be in deg")
    length = _measure(text, sections["units"], "length", 1)[0]
    if length <= 0:
        raise ValueError(f"{path}: the unit of length is {length:g}, but must be positive")
    root = sections["root"]
    for key, expected in (("order", DOFS["root"]), ("axis", ("xyz",))):
        if tuple(word.lower() for word in _said(text, root, key, len(expected))) != expected:
            raise ValueError(f"{path}: the root's {key} must be {' '.join(expected).upper()}")
    bones = {"root": (_measure(text, root, "position", 3), _measure(text, root, "orientation", 3))}
    for name, lines in _blocks(text, sections["bonedata"]):
        bones[name] = _bone(text, name, lines)
    parents = _parents(text, sections["hierarchy"], set(bones))
    names = list(parents)
    return Skeleton(
        tuple(names),
        (-1, *(names.index(parent) for parent in list(parents.values())[1:])),
        torch.tensor([bones[name][0] for name in names], dtype=torch.float64),
        torch.tensor([bones[name][1] for name in names], dtype=torch.float64),
        INCH / length,
        f"CMU's {text.path.name}",
    )


def _sections(text: Text) -> dict[str, list[Line]]:
    """The lines of each section, by its name without the colon."""
    found: dict[str, list[Line]] = {}
    lines: list[Line] | None = None
    for n, words in text.lines:
        if words[0].startswith(":"):
            lines = found.setdefault(words[0][1:].lower(), [])
        elif lines is None:
            raise text.complaint(n, f"{words[0]!r} before the first section")
        else:
            lines.append((n, words))
    for name in ("units", "root", "bonedata", "hierarchy"):
        if name not in found:
            raise ValueError(f"{text.path} has no section :{name}; a skeleton (.asf) has one")
    return found


def _said(text: Text, lines: list[Line], key: str, count: int) -> list[str]:
    """The first so many words after the line's first, which is the key."""
    for n, words in lines:
        if words[0] == key:
            if len(words) <= count:
                raise text.complaint(n, f"{key} needs {count} values, found {' '.join(words[1:])!r}")
            return words[1 : count + 1]
    place = f" near line {lines[0][0]}" if lines else ""
    raise ValueError(f"{text.path}: {key} is missing{place}")


def _measure(text: Text, lines: list[Line], key: str, count: int) -> list[float]:
    words = _said(text, lines, key, count)
    return text.numbers(next(n for n, line in lines if line[0] == key), words, count)


def _blocks(text: Text, lines: list[Line]) -> list[tuple[str, list[Line]]]:
    """What stands between each begin and end, with the name of its bone."""
    blocks: list[tuple[str, list[Line]]] = []
    block: list[Line] | None = None
    for n, words in lines:
        if words == ["begin"] and block is None:
            block = []
        elif words == ["end"] and block is not None:
            name = _said(text, block, "name", 1)[0]
            if name in dict(blocks) or name == "root":
                raise text.complaint(n, f"a second bone {name}")
            blocks.append((name, block))
            block = None
        elif block is None or words == ["begin"]:
            raise text.complaint(n, f"{words[0]!r} where begin or end should be")
        else:
            block.append((n, words))
    if block is not None:
        raise ValueError(f"{text.path} ends within a bone: it is truncated")
    return blocks


def _bone(text: Text, name: str, lines: list[Line]) -> tuple[list[float], list[float]]:
    """Where the bone ends at rest, seen from where it begins, and its axes."""
    direction, axis = _measure(text, lines, "direction", 3), _measure(text, lines, "axis", 3)
    (length,) = _measure(text, lines, "length", 1)
    size = sum(d * d for d in direction) ** 0.5
    if length <= 0 or not 0.99 < size < 1.01:
        raise ValueError(
            f"{text.path}: bone {name} has length {length:g} along {direction}, which must be a unit vector"
        )
    if _said(text, lines, "axis", 4)[3].upper() != "XYZ":
        raise ValueError(f"{text.path}: bone {name} turns in another order than XYZ, which is not read")
    turns = next((tuple(words[1:]) for _, words in lines if words[0] == "dof"), ())
    if turns != DOFS.get(name, ()):
        raise ValueError(f"{text.path}: {name} turns about {turns}, in CMU's recordings about {DOFS.get(name, ())}")
    return [d * length for d in direction], axis


def _parents(text: Text, lines: list[Line], known: set[str]) -> dict[str, str]:
    """Each joint's parent, the root's own first, parents before children."""
    parents = {"root": ""}
    for n, (parent, *children) in lines:
        if parent in ("begin", "end") and not children:
            continue
        for name in (parent, *children):
            if name not in known:
                raise text.complaint(n, f"no bone {name!r} among the bones")
        if parent not in parents:
            raise text.complaint(n, f"{parent} has children before it has a parent")
        for child in children:
            if child in parents:
                raise text.complaint(n, f"{child} has two parents, {parents[child] or 'none'} and {parent}")
            parents[child] = parent
    if lost := known - set(parents):
        raise ValueError(f"{text.path}: no parent for {', '.join(sorted(lost))}; the hierarchy is incomplete")
    return parents
