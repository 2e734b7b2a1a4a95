"""CMU's files as text: recordings (AMC), frames of every bone's angles, and skeletons (ASF), sections of which units,
root, bones and hierarchy say where the joints are.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from odelab.datasets.mocap.channels import CHANNELS, LAYOUT
from odelab.datasets.mocap.skeleton import INCH, Skeleton

Line = tuple[int, list[str]]  # its number, from 1, and its words


class Text:
    """A text file's lines that say something, without comments; raises FileNotFoundError when there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        rows = self.path.read_text(encoding="latin-1").splitlines()
        numbered = enumerate((row.split("#")[0].split() for row in rows), start=1)
        self.lines: list[Line] = [(n, words) for n, words in numbered if words]

    def complaint(self, n: int, what: str) -> ValueError:
        return ValueError(f"{self.path}, line {n}: {what}")

    def numbers(self, n: int, words: list[str], count: int) -> list[float]:
        """The words as that many finite numbers.

        Raises:
            ValueError: with the line, when they are not.
        """
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            raise self.complaint(n, f"expected {count} finite number{'s' * (count > 1)}, found {' '.join(words)!r}")
        return values


DOFS = dict(LAYOUT)
FIRST = {bone: CHANNELS.index(f"{bone} {dofs[0]}") for bone, dofs in LAYOUT}  # channel of each bone's first number


def read_amc(path: str | Path) -> Tensor:
    """A recording in CMU's 62 channels: (T, 62) float64, degrees, the root's position in the skeleton's units.

    The file must be fully specified and in degrees, its frames numbered from 1 without a gap, each with all 29 bones.

    Raises:
        ValueError: with the line, when it is not.
        FileNotFoundError: when there is no such file.
    """
    text = Text(path)
    flags = {words[0].upper() for _, words in text.lines if words[0].startswith(":")}
    for flag in (":FULLY-SPECIFIED", ":DEGREES"):
        if flag not in flags:
            raise ValueError(f"{path} does not say {flag}; other recordings are not read")
    frames: list[list[float]] = []
    missing: set[str] = set()
    for n, (bone, *values) in text.lines:
        if bone.startswith(":"):
            continue
        if not values and bone.isdigit():
            if missing:
                raise text.complaint(n, f"frame {bone} begins, but the one before has no {_listed(missing)}")
            if int(bone) != len(frames) + 1:
                raise text.complaint(n, f"frame {bone} where frame {len(frames) + 1} should be")
            frames.append([0.0] * len(CHANNELS))
            missing = set(DOFS)
        elif not frames:
            raise text.complaint(n, f"{bone!r} before the first frame's number")
        elif bone not in DOFS:
            raise text.complaint(n, f"CMU's recordings have no bone {bone!r}")
        elif bone not in missing:
            raise text.complaint(n, f"{bone} twice in frame {len(frames)}")
        else:
            missing.remove(bone)
            count = len(DOFS[bone])
            frames[-1][FIRST[bone] : FIRST[bone] + count] = text.numbers(n, values, count)
    if missing or not frames:
        where = f"in frame {len(frames)}, without its {_listed(missing)}" if frames else "before the first frame"
        raise ValueError(f"{path} ends {where}: it is truncated")
    return torch.tensor(frames, dtype=torch.float64)


def _listed(bones: set[str]) -> str:
    return ", ".join(bone for bone in DOFS if bone in bones)


def read_asf(path: str | Path) -> Skeleton:
    """A skeleton from CMU's file: bones, rest directions, lengths, axes, degrees of freedom, hierarchy.

    Raises:
        ValueError: with the line, when a part is missing or says what CMU's skeletons do not.
        FileNotFoundError: when there is no such file.
    """
    text = Text(path)
    sections = _sections(text)
    (angle,) = _words(text, sections["units"], "angle", 1)
    if angle != "deg":
        raise ValueError(f"{path}: angles are in {angle!r}, but must be in deg")
    length = _measure(text, sections["units"], "length", 1)[0]
    if length <= 0:
        raise ValueError(f"{path}: the unit of length is {length:g}, but must be positive")
    root = sections["root"]
    for key, expected in (("order", DOFS["root"]), ("axis", ("xyz",))):
        if tuple(word.lower() for word in _words(text, root, key, len(expected))) != expected:
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
    sections: dict[str, list[Line]] = {}
    lines: list[Line] | None = None
    for n, words in text.lines:
        if words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        elif lines is None:
            raise text.complaint(n, f"{words[0]!r} before the first section")
        else:
            lines.append((n, words))
    for name in ("units", "root", "bonedata", "hierarchy"):
        if name not in sections:
            raise ValueError(f"{text.path} has no section :{name}; a skeleton (.asf) has one")
    return sections


def _words(text: Text, lines: list[Line], key: str, count: int) -> list[str]:
    """The first so many words after the line's first, which is the key."""
    for n, words in lines:
        if words[0] == key:
            if len(words) <= count:
                raise text.complaint(n, f"{key} needs {count} values, found {' '.join(words[1:])!r}")
            return words[1 : count + 1]
    place = f" near line {lines[0][0]}" if lines else ""
    raise ValueError(f"{text.path}: {key} is missing{place}")


def _measure(text: Text, lines: list[Line], key: str, count: int) -> list[float]:
    words = _words(text, lines, key, count)
    return text.numbers(next(n for n, line in lines if line[0] == key), words, count)


def _blocks(text: Text, lines: list[Line]) -> list[tuple[str, list[Line]]]:
    """What stands between each begin and end, with the name of its bone."""
    blocks: list[tuple[str, list[Line]]] = []
    block: list[Line] | None = None
    for n, words in lines:
        if words == ["begin"] and block is None:
            block = []
        elif words == ["end"] and block is not None:
            name = _words(text, block, "name", 1)[0]
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
    if _words(text, lines, "axis", 4)[3].upper() != "XYZ":
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
