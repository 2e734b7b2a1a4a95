"""The house rules: arrows run from lessons to experiments to the library, no lesson knows another, no circles."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.complaints import no_complaints

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "odelab"
# A room imports only from floors below its own.
FLOORS = {
    "choices": 0,  # names that a user chooses from
    "warning": 0,  # warnings at the line of the caller
    "extras": -1,  # packages that an installation may lack
    "folders": 0,  # where files lie
    "saving": 1,
    "solvers": 1,
    "divergence": 1,  # of any vector field
    "datasets": 1,
    "nets": 2,
    "flows": 3,
    "latent": 3,
    "training": 4,
    "experiments": 5,
    "lessons": 6,
    "doctor": 7,  # looks at everything
    "copies": 7,  # of lessons, of every kind
}
KIT = "kit"  # what lessons share
# Distributions that are imported under another name.
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "lightning-fabric": "lightning_fabric"}
BROUGHT = {
    "IPython",
    "cycler",
    "jupyter_client",
    "nbclient",
    "nbformat",
    "packaging",
}  # by the packages of the [lab] extra


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


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that a file imports, wherever in the file it stands, with the line: (3, "odelab.solvers.solve")."""
    for node in ast.walk(ast.parse(python_of(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).with_suffix("").parts[: -node.level] if node.level else ()
            module = ".".join((*package, *filter(None, [node.module])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def file_of(module: str) -> Path | None:
    """The file that defines a dotted name of this package: the longest part of it that is a module."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        stem = ROOT.joinpath(*parts[:length])
        if stem.with_suffix(".py").is_file():
            return stem.with_suffix(".py")
        if (stem / "__init__.py").is_file():
            return stem / "__init__.py"
    return None


def import_graph(package: Path) -> dict[Path, set[Path]]:
    """file -> the files of the package that it imports. A package's face, its __init__.py, hands on what it imports.

    ``from odelab.solvers import solve`` counts as an import of the file from which the face takes ``solve``, and
    ``from odelab.solvers.methods import METHODS`` as one of the face itself, which defines it.
    """
    faces = {path: face_of(path) for path in package.rglob("__init__.py")}
    graph: dict[Path, set[Path]] = {}
    for path in package.rglob("*.py"):
        reached = set()
        for _, name in imports(path):
            file = file_of(name) if name.startswith("odelab") else None
            while file in faces and name.rpartition(".")[2] in faces[file]:  # follow it through those that hand it on
                name = faces[file][name.rpartition(".")[2]]
                file = file_of(name)
            if file is not None and file != path and file.is_relative_to(package):
                reached.add(file)
        graph[path] = reached
    return graph


def face_of(path: Path) -> dict[str, str]:
    """name -> where an __init__.py takes it from."""
    return {name.rpartition(".")[2]: name for _, name in imports(path) if name.startswith("odelab.")}


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in sources()} - {"__init__", "__main__"}
    assert rooms == FLOORS.keys()


@no_complaints
def test_arrows_run_downwards() -> Iterator[str]:
    """Lessons, then experiments, then the library; `import odelab` itself needs no Jupyter."""
    for path in sources():
        room = room_of(path)
        for line, module in imports(path):
            other = module.split(".")[1] if module.startswith("odelab.") else ""
            if other not in FLOORS or other == room or room == "__main__":
                continue
            allowed = other != "lessons" if room not in FLOORS else FLOORS[other] < FLOORS[room]
            if not allowed:
                yield f"{name_of(path)}:{line} imports {module}"


@no_complaints
def test_no_lesson_imports_another() -> Iterator[str]:
    """What two lessons need lies in the kit, which imports no lesson either."""
    for path in sorted((PACKAGE / "lessons").rglob("*.py")):
        lesson = path.relative_to(PACKAGE / "lessons").parts[0]
        for line, module in imports(path):
            parts = module.split(".")
            if parts[:2] == ["odelab", "lessons"] and parts[2] not in (lesson, KIT):
                yield f"{name_of(path)}:{line} imports {module}"


@no_complaints
def test_figures_are_functions_of_arrays() -> Iterator[str]:
    """figures.py imports the kit, NumPy and matplotlib: it can draw what anybody computed, and knows no model."""
    for path in sorted((PACKAGE / "lessons").glob("*/figures.py")):
        room = f"odelab.lessons.{path.parent.name}."
        for line, module in imports(path):
            top = module.split(".")[0]
            ours = module.startswith(("odelab.lessons.kit", room))
            if not (top in sys.stdlib_module_names | {"numpy", "matplotlib"} or ours):
                yield f"{name_of(path)}:{line} imports {module}"


def test_there_are_no_circles() -> None:
    try:
        TopologicalSorter(import_graph(PACKAGE)).prepare()
    except CycleError as error:
        pytest.fail("these files import each other: " + " → ".join(map(name_of, error.args[1])))


@no_complaints
def test_third_party_packages_are_declared() -> Iterator[str]:
    """No room needs a package that its kind of installation does not bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def modules(requirements: list[str]) -> set[str]:
        names = {re.split(r"[>=<\[]", requirement)[0] for requirement in requirements}
        return {MODULES.get(name, name) for name in names}

    plain = modules(project["dependencies"]) | set(sys.stdlib_module_names) | {"odelab"}
    train = plain | modules(extras["train"])
    cluster = train | modules(extras["cluster"])
    lab = train | modules(extras["colab"]) | modules(extras["lab"]) | BROUGHT
    for path in [*sources(), *sorted((ROOT / "notebooks").glob("*.ipynb"))]:
        room = "lessons" if path.suffix == ".ipynb" else room_of(path)
        allowed = {
            "lessons": lab,
            "doctor": lab,
            "solvers": plain,
            "nets": plain,
            "__init__": plain,
            "experiments": cluster,
        }.get(room, train)
        for line, name in imports(path):
            if name.split(".")[0] not in allowed:
                yield f"{name_of(path)}:{line} imports {name}"


def test_the_library_needs_no_jupyter() -> None:
    """It imports where matplotlib and Jupyter are not installed, and does not load them where they are."""
    blocked = ["IPython", "ipykernel", "ipywidgets", "matplotlib", "jupyterlab", "sklearn", "torchdiffeq"]
    rooms = ", ".join(f"odelab.{room}" for room in ("solvers", "datasets", "nets", "flows", "latent"))
    script = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import odelab, {rooms}"
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert imported.returncode == 0, imported.stderr


def test_names_say_what_is_inside() -> None:
    files = [path for folder in ("odelab", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert not [name_of(path) for path in files if path.stem in {"utils", "util", "misc", "helpers", "common"}]


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
