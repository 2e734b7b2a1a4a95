"""Run a lesson's code cells in this process: for tests that break a cell on purpose, and for timing its widgets."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from odelab.lessons.kit.claims import record


class Rehearsal:
    """The namespace of one lesson, filled cell by cell; attempts at other cells leave no trace in it.

    Output is swallowed, line magics do nothing, and the working directory should be the notebook's.
    """

    def __init__(self, path: Path) -> None:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.name = path.stem
        self.cells = [cell | {"source": "".join(cell["source"])} for cell in cells if cell["cell_type"] == "code"]
        self.namespace: dict[str, Any] = {"__name__": "__main__", "get_ipython": lambda: NoShell(self.namespace)}
        self.before, self.seed = dict(self.namespace), torch.get_rng_state()
        record.reset()

    def run(self, source: str) -> None:
        """Execute one cell as the kernel would; what it raises comes through."""
        from IPython.core.inputtransformer2 import TransformerManager

        code = compile(TransformerManager().transform_cell(source), f"<{self.name}>", "exec")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, self.namespace)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Run the cells in order; yield each after it ran."""
        for cell in self.cells:
            self.before, self.seed = dict(self.namespace), torch.get_rng_state()
            self.run(cell["source"])
            yield cell

    def attempt(self, source: str) -> Exception | None:
        """Run a variant of the latest cell in its place, with the same draws; undo its names and return its error."""
        after, now = dict(self.namespace), torch.get_rng_state()
        self._rename(self.before)
        torch.set_rng_state(self.seed)
        try:
            self.run(source)
        except Exception as error:
            return error
        finally:
            self._rename(after)
            torch.set_rng_state(now)
        return None

    def _rename(self, names: dict[str, Any]) -> None:
        """Bind the namespace anew, in place: the lesson's functions look their globals up in it."""
        self.namespace.clear()
        self.namespace.update(names)


class NoShell:
    """Stands in for IPython: cell magics run their cell, everything else is ignored."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace

    def run_cell_magic(self, _name: str, _line: str, cell: str) -> None:
        exec(cell, self.namespace)

    def run_line_magic(self, *_arguments: Any) -> None: ...

    def system(self, _command: str) -> None: ...
