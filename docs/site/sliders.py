"""The widgets of the lessons, exported: each lesson runs up to its last widget, and each widget draws all it can show.

That takes minutes, so it is kept under build/sliders as long as the code stays what it was.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from docs.site.lessons import Lesson

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "sliders"
SECONDS_PER_CELL = 900
NOT_EXPORTED = "this build left it out; make site exports it"
# Runs after a widget's cell, with `shown` the last thing that a cell has shown; random numbers go on as if it had not.
SAVE = """
import pathlib, torch
folder, before = pathlib.Path({folder!r}), torch.get_rng_state()
try:
    shown.export().save(folder, {name!r})
except Exception as error:
    (folder / ({name!r} + ".txt")).write_text(f"{{type(error).__name__}}: {{error}}", encoding="utf-8")
torch.set_rng_state(before)
"""


def twins() -> str:
    """The script with the twins of explorables, each from its lesson's room, and with what they draw with."""
    rooms = sorted((ROOT / "odelab" / "lessons").glob("*/twin.js"))
    return "\n".join(path.read_text(encoding="utf-8") for path in [Path(__file__).with_name("drawing.js"), *rooms])


def widgets(lesson: Lesson) -> list[dict[str, Any]]:
    """The cells that show a widget."""
    return [cell for cell in lesson.notebook["cells"] if "widget" in cell["metadata"].get("tags", ())]


def code_up_to_the_last(lesson: Lesson) -> list[dict[str, Any]]:
    """The code cells that have to run."""
    last = {cell["id"] for cell in widgets(lesson)[-1:]}
    cells = []
    for cell in lesson.notebook["cells"]:
        if cell["cell_type"] == "code":
            cells.append(cell)
        if cell["id"] in last:
            return cells
    return []


def key(lesson: Lesson) -> str:
    """Changes with the lesson's code, with the package's except for other lessons, and with the stored results."""
    digest = hashlib.sha256(SAVE.encode())
    for cell in code_up_to_the_last(lesson):
        digest.update("".join(cell["source"]).encode() + b"\0")
    room = lesson.name.partition("_")[2]
    for path in sorted([*(ROOT / "odelab").rglob("*.py"), *(ROOT / "data").rglob("*.json")]):
        parts = path.relative_to(ROOT).parts
        if parts[:2] != ("odelab", "lessons") or parts[2] in ("__init__.py", "kit", room, *aliases(room)):
            digest.update("/".join(parts).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def aliases(room: str) -> Iterator[str]:
    """A lesson's notebook and its room in the package share a name, but for the first: 00_start_here, start."""
    while "_" in room:
        room = room.rpartition("_")[0]
        yield room


def exports(course: Iterable[Lesson], *, only_kept: bool = False) -> dict[str, Any]:
    """Cell id -> what the page needs to know, or a sentence that says why that widget does not live.

    Args:
        only_kept: take what is there and run nothing.
    """
    found: dict[str, Any] = {}
    for lesson in course:
        folder = CACHE / lesson.name / key(lesson)
        if widgets(lesson) and not only_kept and not (folder / "done").exists():
            shutil.rmtree(CACHE / lesson.name, ignore_errors=True)
            folder.mkdir(parents=True)
            run(lesson, folder)
        for cell in widgets(lesson):
            found[cell["id"]] = kept(folder, cell["id"])
    return found


def kept(folder: Path, name: str) -> Any:
    """An export as it lies in the cache."""
    spec, reason = folder / f"{name}.json", folder / f"{name}.txt"
    if spec.is_file():
        return {**json.loads(spec.read_text(encoding="utf-8")), "from": str(folder)}
    return reason.read_text(encoding="utf-8") if reason.is_file() else NOT_EXPORTED


def run(lesson: Lesson, folder: Path) -> None:
    """Run the lesson in a kernel of its own, and have every widget write itself into the folder."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    names, cells = {cell["id"] for cell in widgets(lesson)}, []
    for cell in code_up_to_the_last(lesson):
        cells.append(nbformat.v4.new_code_cell("".join(cell["source"])))
        if cell["id"] in names:
            code = SAVE.format(folder=str(folder), name=cell["id"])
            cells.append(nbformat.v4.new_code_cell(f"exec({code!r}, {{'shown': Out[max(Out)]}})"))
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        store_widget_state=False,
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(lesson.path.parent)}},
    )
    begun = time.perf_counter()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        why = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        print(f"{lesson.name} stopped: {why}", file=sys.stderr)
        for name in names:
            if kept(folder, name) == NOT_EXPORTED:
                (folder / f"{name}.txt").write_text("the lesson stopped before it", encoding="utf-8")
        if isinstance(error, DeadKernelError):  # perhaps for want of memory: the next build tries again
            return
    (folder / "done").touch()
    size = sum(file.stat().st_size for file in folder.rglob("*.webp")) / 1e6
    print(f"{lesson.name}: {len(names)} sliders, {size:.1f} MB, {time.perf_counter() - begun:.0f} s", flush=True)


def copy_pictures(found: dict[str, Any], static: Path) -> None:
    """Put the pictures of all exports where the pages look for them."""
    for name, spec in found.items():
        if isinstance(spec, dict) and spec.get("frames"):
            shutil.copytree(Path(spec["from"]) / name, static / "sliders" / name)
