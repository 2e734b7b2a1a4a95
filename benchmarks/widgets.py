"""Milliseconds from moving a control to the new picture, for every explorable of every lesson at every position.

The lessons run in this process up to their last explorable, so the widgets hold the data a reader's hold. Each control
then visits all its positions, the others at rest; a position visited before is forgotten first, so that every picture
is drawn anew. CPU time of one thread: what the reader's own machine spends, whatever else it is doing.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from statistics import median
from textwrap import shorten

import matplotlib as mpl
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from odelab.lessons.kit.explorable import Explorable, positions

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LIMIT_MS = 100
HEADER = ("lesson", "explorable", "control", "changes", "median ms", "slowest ms", f"within {LIMIT_MS} ms")


def explorables(path: Path) -> list[Explorable]:
    """Every explorable a lesson makes, once the lesson has run as far as its last widget cell."""
    torch.set_default_dtype(torch.float32)  # as a fresh kernel; the lesson before may have asked for float64
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    last = max((k for k, cell in enumerate(cells) if "widget" in cell["metadata"].get("tags", ())), default=-1)
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    explorables: dict[int, Explorable] = {}
    with contextlib.chdir(path.parent), mpl.rc_context(), capture_output():
        for cell in cells[: last + 1]:
            shell.run_cell("".join(cell["source"])).raise_error()
            values = shell.user_ns.values()  # looked through after every cell: a name may be used again
            explorables |= {id(value): value for value in values if isinstance(value, Explorable)}
    InteractiveShell.clear_instance()  # the next lesson starts without this one's names
    return list(explorables.values())


def sweep(explorable: Explorable, name: str) -> list[float]:
    """Milliseconds of each change of one control, from end to end; it is put back afterwards."""
    control = explorable.controls[name]
    rest, times = control.value, []
    for value in [*positions(control), rest]:
        if value == control.value:
            continue
        explorable.forget()
        start = time.process_time()
        control.value = value
        times.append(1e3 * (time.process_time() - start))
    return times


def rows(notebooks: Path = NOTEBOOKS) -> list[tuple[str, ...]]:
    """One row of text per control of every explorable, in the order of :data:`HEADER`."""
    table = []
    for path in sorted(notebooks.glob("*.ipynb")):
        for explorable in explorables(path):
            name = shorten(str(explorable.figure.get_label()), 48, placeholder=" …")
            for control in explorable.controls:
                times = sweep(explorable, control)
                if times:
                    slowest = max(times)
                    verdict = "yes" if slowest <= LIMIT_MS else "no"
                    numbers = (f"{len(times)}", f"{median(times):.0f}", f"{slowest:.0f}")
                    table.append((path.stem, name, control, *numbers, verdict))
    return table


def main() -> None:
    """Print the table as markdown."""
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for row in rows():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    main()
