"""Where the numbers of long runs are kept: one JSON file an experiment, one row a run."""

import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from odelab.extras import extra
from odelab.folders import FOLDERS

Key = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        key: what was run, e.g. {"body": "ode-net"}.
        seed: 0, 1, 2, …
        budget: "lecture" or "full".
        result: what was measured, by name; plain numbers, texts and lists.
        minutes: of wall time, all sittings together.
        command, commit, device, when: how it can be run again, and where and when it was.
    """

    key: Key
    seed: int
    budget: str
    result: dict[str, Any]
    minutes: float
    command: str
    commit: str
    device: str
    when: str

    @property
    def name(self) -> str:
        return run_name(self.key, self.seed)


def run_name(key: Key, seed: int) -> str:
    """A name for a run that can be a file's: the values of its key and its seed."""
    return "-".join([*(str(value).replace("/", "_").replace(" ", "_") for value in key.values()), f"seed{seed}"])


def result_file(name: str, budget: str = "full") -> Path:
    """Where an experiment's rows are written: full runs in data/results of a checkout, quick ones under build/."""
    file = f"{name.replace('-', '_')}.json"
    root = FOLDERS[1].parent
    if not (root / "pyproject.toml").is_file():
        return Path("odelab-results") / budget / file
    return root / "data" / "results" / file if budget == "full" else root / "build" / "results" / file


def load_rows(path: Path) -> list[Row]:
    """The rows of a file, none where there is no such file.

    Raises:
        ValueError: when the file is not one of ours.
    """
    if not path.is_file():
        return []
    try:
        rows = [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]
        for row in rows:
            if not (isinstance(row.key, dict) and isinstance(row.seed, int | None) and isinstance(row.result, dict)):
                raise TypeError(f"key {row.key!r}, seed {row.seed!r} and their result are no dict, int and dict")
        return rows
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold results ({error}); move it away to start anew") from error


def add_row(path: Path, name: str, row: Row) -> None:
    """Put a row into the file, in place of one of the same key and seed; safe with several processes at it.

    Raises:
        ValueError: when the row holds what JSON cannot, or the file is not one of ours; the file stays as it is.
    """
    wrong = list(unstorable(asdict(row)))
    if wrong:
        raise ValueError(f"{row.name} cannot be stored, nor could be read by others: {', '.join(wrong)}")
    with extra("train"):
        from filelock import FileLock  # here, because whoever only reads rows does without
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        others = [old for old in load_rows(path) if (old.key, old.seed, old.budget) != (row.key, row.seed, row.budget)]
        rows = sorted([*others, row], key=lambda each: each.name)
        lines = ",\n".join(json.dumps(asdict(each), ensure_ascii=False, allow_nan=False) for each in rows)
        part = path.with_suffix(".part")
        try:
            part.write_text(f'{{"name": {json.dumps(name)}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
            os.replace(part, path)
        except OSError as error:  # of a full disk it does not say which file
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            part.unlink(missing_ok=True)


def unstorable(value: Any, where: str = "") -> Iterator[str]:
    """Each part of a value that JSON has no word for: NaN, infinity, tensors, keys that are not text."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from unstorable(part, f"{where}.{key}".lstrip("."))
            if not isinstance(key, str):
                yield f"the key {key!r} in {where}"
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from unstorable(part, f"{where}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where} is {value}"
    elif not isinstance(value, (str, int, float, type(None))):
        yield f"{where} is a {type(value).__name__}"


def stored_rows(name: str, budget: str = "full") -> list[Row]:
    """The rows of an experiment that the course ships; none when it has not been run."""
    file = f"{name.replace('-', '_')}.json"
    for folder in FOLDERS:
        if (folder / "results" / file).is_file():
            return [row for row in load_rows(folder / "results" / file) if row.budget == budget]
    return []


def by_key(rows: Iterable[Row], *names: str) -> dict[Any, list[Row]]:
    """Rows grouped by the value of one entry of their key, or the tuple of several, in the order met."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        values = tuple(row.key.get(name) for name in names)
        groups.setdefault(values[0] if len(names) == 1 else values, []).append(row)
    return groups
