"""The house rules: who may import whom, what a plain install needs, and how long a file may get."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "odelab"
FLOORS = {
    "folders": 0,  # where files lie
    "solvers": 1,
    "datasets": 1,
    "nets": 2,
    "flows": 2.5,  # fields, divergences of fields: flows and latent models stand on nets
    "latent": 2.5,
    "training": 3,
    "figures": 3,
    "widgets": 4,
    "course": 4,
    "experiments": 3.5,  # lessons tell of stored runs; runs know nothing of lessons
}
STRANGERS = {"solvers", "datasets", "figures", "training"}  # know nothing of each other, whatever their floors
NEED_JUPYTER = {"figures", "widgets", "course"}  # allowed the packages of the [lab] extra
NEED_TRAIN = {"datasets", "flows", "latent", "training", "experiments"}  # allowed those of the [train] extra
# Distributions imported under another name.
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "lightning-fabric": "lightning_fabric"}
LONGEST = 250  # lines


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    """The folder or file directly under odelab/; the roof, odelab/__init__.py, is '__init__'."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def python_of(path: Path) -> str:
    """The source of a module, or of a notebook's code cells without magics."""
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^\s*[%!].*$", "", code, flags=re.MULTILINE)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module a file imports, wherever in the file it stands, with the line."""
    for node in ast.walk(ast.parse(python_of(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).with_suffix("").parts[: -node.level] if node.level else ()
            module = ".".join((*package, *filter(None, [node.module])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in sources()} - {"__init__", "__main__"}
    assert rooms <= FLOORS.keys(), "a new room needs a floor in FLOORS"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_nobody_imports_upwards(path: Path) -> None:
    room = room_of(path)
    if room == "__main__":
        return
    for line, module in imported(path):
        first, *rest = module.split(".")
        if first != "odelab" or not rest or rest[0] == room:
            continue
        other, where = rest[0], f"{name_of(path)}:{line} imports {module}"
        if room == "__init__":
            assert other not in NEED_JUPYTER, f"{where}: `import odelab` must stay light"
        elif other in FLOORS:
            assert FLOORS[other] < FLOORS[room], f"{where}: {other} is not on a floor below {room}"
            assert not {room, other} <= STRANGERS, f"{where}: {room} and {other} know nothing of each other"


@pytest.mark.parametrize("path", [*sources(), *sorted((ROOT / "notebooks").glob("*.ipynb"))], ids=name_of)
def test_third_party_packages_are_declared(path: Path) -> None:
    """No room needs a package that its kind of installation does not bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"]
    if path.suffix == ".ipynb" or room_of(path) in NEED_TRAIN | NEED_JUPYTER | {"__main__"}:
        declared = declared + project["optional-dependencies"]["train"]
    if path.suffix == ".ipynb" or room_of(path) in NEED_JUPYTER:
        declared = (
            declared + project["optional-dependencies"]["lab"] + ["IPython", "cycler", "nbclient", "nbformat"]
        )  # brought
    names = [requirement.split(">")[0].split("=")[0] for requirement in declared]
    allowed = {MODULES.get(name, name) for name in names} | sys.stdlib_module_names | {"odelab"}
    for line, module in imported(path):
        assert module.split(".")[0] in allowed, f"{name_of(path)}:{line} imports {module}, which pyproject.toml lacks"


@pytest.mark.parametrize(
    "module", ["odelab", "odelab.solvers", "odelab.datasets", "odelab.nets", "odelab.flows", "odelab.latent"]
)
def test_import_needs_no_jupyter(module: str) -> None:
    """The package imports where matplotlib and Jupyter are not installed, and does not load them where they are."""
    blocked = ["IPython", "ipykernel", "ipywidgets", "matplotlib", "jupyterlab", "sklearn", "torchdiffeq"]
    script = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import {module}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["odelab", "tests", "benchmarks"])
def test_files_are_short_and_named_for_what_they_hold(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert not [name_of(path) for path in files if path.stem in {"utils", "util", "misc", "helpers", "common"}]
    lines = {name_of(path): len(path.read_text().splitlines()) for path in files}
    assert not {name: count for name, count in lines.items() if count > LONGEST}, "these want to be two files each"


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
