"""Run notebooks and keep what a reader without a kernel needs.

Use: ``python -m odelab.lessons.kit.refresh notebooks/01*.ipynb``.

Every output is made anew, top to bottom, in a fresh kernel. Live widget views are dropped from the file: their
picture stays, so that GitHub, a PDF and JupyterLab before the first run all show the figure and no file holds an
image twice. The hash of the code is stored beside the outputs, so that a test can tell whether they belong together.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

FOLDED = {"check", "solution"}  # tags of code cells whose source is hidden until a reader opens it
LIVE = "application/vnd.jupyter.widget-view+json"
SECONDS_PER_CELL = 300
#: Beneath the picture that a widget leaves behind; gone as soon as the cell runs.
MOVE_IT = {
    "output_type": "display_data",
    "metadata": {"odelab": {"stored": True}},
    "data": {
        "text/markdown": "*This is a picture: run the cells down to this one (Shift + Enter) and it moves.*",
        "text/plain": "This is a picture: run the cells down to this one (Shift + Enter) and it moves.",
    },
}


def refresh(path: Path) -> None:
    """Execute the notebook at ``path`` and write it back with fresh outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell fails; the file is left as it was.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    settle(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def settle(notebook: Any) -> None:
    """Reduce an executed notebook to what belongs in the repository, and fold the cells tagged so.

    Raises:
        ValueError: when a cell shows a live widget without the tag that has it driven and tested.
    """
    for cell in notebook["cells"]:
        for noise in ("execution", "lines_to_next_cell"):
            cell["metadata"].pop(noise, None)
        if cell["cell_type"] == "code" and FOLDED & {*cell["metadata"].get("tags", ())}:
            cell["metadata"].setdefault("jupyter", {})["source_hidden"] = True
            if "solution" in cell["metadata"]["tags"]:  # what it prints gives the answer away, too
                cell["metadata"]["jupyter"]["outputs_hidden"] = True
        live = False
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            live |= bool(data.pop(LIVE, None))
            if "image/png" in data:
                data.pop("text/html", None)
        if live and "widget" not in cell["metadata"].get("tags", ()):
            raise ValueError(f"this cell shows a widget, so tag it 'widget':\n{cell['source']}")
        if live:
            cell["outputs"].append(type(cell)(deepcopy(MOVE_IT)))
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        "odelab": {"code": code_hash(notebook)},
    }


def load(path: Path) -> Any:
    """The notebook at ``path`` as it is stored."""
    return json.loads(path.read_text(encoding="utf-8"))


def code_hash(notebook: Any) -> str:
    """SHA-256 over the sources of all code cells, in order."""
    digest = hashlib.sha256()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            digest.update("".join(cell["source"]).encode() + b"\0")
    return digest.hexdigest()


def main(arguments: Iterable[str]) -> None:
    """Refresh the notebooks named on the command line."""
    for name in arguments:
        print(f"running {name}", flush=True)
        refresh(Path(name))


if __name__ == "__main__":
    main(sys.argv[1:])
