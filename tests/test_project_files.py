"""The files around the package agree with one another, and the commands they promise exist."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import odelab
from tests.complaints import no_complaints

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
PROSE = [path for name in ("README.md", "CONTRIBUTING.md", "Makefile", ".ci/run") if (path := ROOT / name).is_file()]


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def constraints() -> dict[str, str]:
    pairs = (line.split("==") for line in constraint_lines())
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    extras = project()["optional-dependencies"].values()
    named = [Requirement(text) for group in (project()["dependencies"], *extras) for text in group]
    return [requirement for requirement in named if requirement.name != project()["name"]]


def environment() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def test_constraints_are_exact_and_portable() -> None:
    """Exact versions only: no paths, no addresses, no builds that one machine alone has."""
    for line in constraint_lines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
    assert len(constraints()) == len(constraint_lines()), "a package is pinned twice"


@no_complaints
def test_every_direct_dependency_is_pinned_within_its_range() -> Iterator[str]:
    for requirement in requirements():
        pinned = constraints().get(canonicalize_name(requirement.name))
        if not pinned:
            yield f"{requirement.name} is not in constraints.txt"
        elif not requirement.specifier.contains(pinned):
            yield f"{requirement} does not allow the pinned {pinned}"


def test_conda_environment_installs_the_same_set() -> None:
    assert environment()["name"] == project()["name"]
    conda = [item for item in environment()["dependencies"] if isinstance(item, str)]
    (pip,) = (item["pip"] for item in environment()["dependencies"] if isinstance(item, dict))
    assert pip[1:] == ["-c constraints.txt", "-e .[lab]"] and pip[0].startswith("--extra-index-url ")
    names = {re.split("[=<>]", item)[0] for item in conda}
    assert names == {"python", "pip"}, "everything else comes from constraints.txt"


def test_python_versions_agree() -> None:
    """environment.yml, the classifiers, ruff, mypy, requires-python and the Makefile name one oldest Python."""
    (conda,) = (item for item in environment()["dependencies"] if str(item).startswith("python="))
    version = conda.removeprefix("python=")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    classified = [c.rsplit(" ", 1)[1] for c in project()["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert version in classified
    assert all(SpecifierSet(project()["requires-python"]).contains(python) for python in classified)
    assert project()["requires-python"] == f">={version}" == f">={tools['mypy']['python_version']}"
    assert tools["ruff"]["target-version"] == "py" + version.replace(".", "")
    assert f"sys.version_info < ({version.replace('.', ', ')})" in MAKEFILE


def test_citation_and_license_match_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for key in ("version", "license"):
        assert str(citation[key]) == project()[key]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert odelab.__version__ == project()["version"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


@no_complaints
def test_promised_commands_exist() -> Iterator[str]:
    """Every `make …`, `python -m …` and extra named in the prose is there."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for path in PROSE:
        code = path.read_text()
        if path.suffix == ".md":
            code = "\n".join(re.findall(r"```.*?```|`[^`]+`|^    .*$", code, re.DOTALL | re.MULTILINE))
        for target in re.findall(r"\bmake ((?!-)[a-z-]+)", code):
            if target not in targets:
                yield f"{path.name}: make {target}"
        for module in re.findall(r"-m ((?:odelab|benchmarks|tests)[\w.]*)", code):
            stem = ROOT / module.replace(".", "/")
            if not (stem.with_suffix(".py").is_file() or (stem / "__main__.py").is_file()):
                yield f"{path.name}: python -m {module}"
        for extra in re.findall(r"(?:odelab|\.)\[(\w+)\]", code):
            if extra not in project()["optional-dependencies"]:
                yield f"{path.name}: [{extra}]"


def test_ci_script_is_executable() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_shipped_weights_are_small() -> None:
    """Every clone and every wheel carries them: half a megabyte a lesson."""
    files = list((ROOT / "data" / "checkpoints").glob("*.safetensors"))
    assert files and sum(file.stat().st_size for file in files) <= 7_000_000
