"""Copies of the lessons in a folder of the reader's own, which later versions renew without touching what was changed.

Nothing but the standard library is needed for plain copies: who has just installed the package can have them.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import odelab
from odelab.folders import notebooks

Notebook = dict[str, Any]
LIST = ".odelab.json"  # in the folder: what was put there, as hashes, so that what was changed since is known
INSTALL = f"""# Installs odelab where it is missing, as on Colab: half a minute, once.
import importlib.util

if importlib.util.find_spec("odelab") is None:
    %pip install --quiet "odelab[colab]=={odelab.__version__}\""""


def own_copy(notebook: Notebook) -> Notebook:
    """The lesson, with what this Python's kernel will say of itself, so that opening it changes nothing."""
    copy = deepcopy(notebook)
    copy["metadata"]["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    copy["metadata"]["language_info"] = {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": platform.python_version(),
    }
    return copy


def colab_copy(notebook: Notebook) -> Notebook:
    """The lesson behind a cell that installs odelab where it cannot be imported."""
    copy = deepcopy(notebook)
    cell = {"cell_type": "code", "id": "install", "metadata": {"tags": ["install"]}, "outputs": []}
    first = next(place for place, cell in enumerate(copy["cells"]) if cell["cell_type"] == "code")
    copy["cells"].insert(first, cell | {"execution_count": None, "source": INSTALL.splitlines(keepends=True)})
    return copy


def maker(kind: str) -> Callable[[Notebook], Notebook]:
    """What makes a copy of this kind: "own", "colab", "student", "instructor" or "assignment"."""
    if kind in ("own", "colab"):
        return own_copy if kind == "own" else colab_copy
    from odelab.lessons.kit import classes, student

    return {
        "student": student.student_copy,
        "instructor": classes.instructor_copy,
        "assignment": classes.assignment_copy,
    }[kind]


def copy_lessons(folder: Path, kind: str = "own", renew: Sequence[str] | None = None) -> list[str]:
    """Put copies of all lessons into a folder; lines that say what was done.

    A lesson there that was changed since it was put there stays as it is.

    Args:
        kind: see `maker`; assignments lie in folders as nbgrader wants them, ``source/NN_name/NN_name.ipynb``.
        renew: numbers of lessons, "02", whose changed copies are set aside under another name; none for all of them.

    Raises:
        ValueError: for the folder of the lessons themselves, and for numbers that no lesson has.
        OSError: where files cannot be read or written.
    """
    lessons, make = notebooks(), maker(kind)
    folder = folder.expanduser()
    if folder.resolve() == lessons[0].parent:
        raise ValueError(f"{folder} is where the lessons themselves lie; name another folder")
    if unknown := set(renew or ()) - {path.name[:2] for path in lessons}:
        raise ValueError(f"no lesson has the number {', '.join(sorted(unknown))}; there are {_numbers(lessons)}")
    folder.mkdir(parents=True, exist_ok=True)
    put, counts, notes = _list(folder / LIST), {"new": 0, "brought up to date": 0, "as you left it": 0}, []
    for path in lessons:
        text = json.dumps(make(json.loads(path.read_text("utf-8"))), indent=1, ensure_ascii=False) + "\n"
        target = folder / (Path("source", path.stem, path.name) if kind == "assignment" else path.name)
        name, now = target.relative_to(folder).as_posix(), _hash(text)
        there = _hash(target.read_text("utf-8")) if target.is_file() else None
        if there == now:
            put[name] = now
            continue
        changed = there is not None and there != put.get(name)
        if changed and (renew is None or (renew and path.name[:2] not in renew)):
            counts["as you left it"] += 1
            if put.get(name) != now:
                notes.append(f"{name} is as you left it, and there is a newer one: --renew {path.name[:2]} brings it")
            continue
        if changed:
            notes.append(f"{name}: yours is now {_set_aside(target).name}")
        _write(target, text)
        put[name] = now
        counts["brought up to date" if there else "new"] += 1
    _write(folder / LIST, json.dumps(put, indent=1))
    done = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "all as they should be"
    return [f"{len(lessons)} lessons in {folder}: {done}", *notes]


def _list(path: Path) -> dict[str, str]:
    """What was put there before, by name; nothing where that cannot be told."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    except OSError as error:  # of a full disk it does not say which file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _set_aside(target: Path) -> Path:
    """Rename a reader's lesson: mine_02_solvers.ipynb, mine2_02_solvers.ipynb, …; no name of a lesson."""
    count = 1
    while (aside := target.with_name(f"mine{count if count > 1 else ''}_{target.name}")).exists():
        count += 1
    return target.rename(aside)


def _numbers(lessons: Sequence[Path]) -> str:
    """00 to 10, 13: the numbers of lessons in order, of which some may not be there."""
    runs: list[list[str]] = []
    for number in (path.name[:2] for path in lessons):
        if runs and int(number) == int(runs[-1][-1]) + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
