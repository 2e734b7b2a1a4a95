"""Wheel and sdist, built and installed into an environment of their own: a solve, a copy of the lessons, lesson 00."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LESSONS = len([*(ROOT / "notebooks").glob("*.ipynb")])
pytestmark = pytest.mark.slow
USE = """
import pathlib, sys, torch, odelab
from odelab.datasets import data_file, eta_aquilae, lynx_hare
from odelab.experiments.results import stored_rows
home = pathlib.Path(sys.prefix)
assert home in pathlib.Path(odelab.__file__).parents, odelab.__file__
assert home in data_file("lynx_hare_1900_1920.csv").parents and len(lynx_hare().y) == 21 and stored_rows("mnist")
assert home in data_file("eta_aquilae_1997_2008.csv").parents and len(eta_aquilae().y) == 865
solution = odelab.solve(lambda t, y: -y, torch.ones(3), torch.linspace(0, 5, 50), method="tsit5")
assert abs(float(solution.y[-1, 0]) - 2.718281828 ** -5) < 1e-4
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, capture_output=True, check=True
    )
    return folder


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel; what odelab needs is lent by this one."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    names = {"base": str(home), "platbase": str(home), "installed_base": str(home)}
    site = Path(sysconfig.get_path("purelib", scheme="venv", vars=names))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))  # not what is editable there: .pth files are not read
    (wheel,) = built.glob("*.whl")
    scripts = Path(sysconfig.get_path("scripts", scheme="venv", vars=names))
    pip = [sys.executable, "-m", "pip", "--python", scripts / "python", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--quiet", wheel], check=True, capture_output=True)
    return scripts


def run(environment: Path, command: str, *arguments: str, cwd: Path) -> str:
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [environment / command, *arguments], cwd=cwd, env=outside, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_solves_and_finds_its_data(environment: Path, tmp_path: Path) -> None:
    run(environment, "python", "-c", USE, cwd=tmp_path)
    assert "mnist: " in run(environment, "odelab", "list", cwd=tmp_path)


def test_lesson_00_runs_from_a_copy_of_the_wheels_own(environment: Path, tmp_path: Path) -> None:
    said = run(environment, "odelab", "copy", "lessons", cwd=tmp_path)
    assert said.startswith(f"{LESSONS} lessons in lessons: {LESSONS} new\njupyter lab ")
    lesson = tmp_path / "lessons" / "00_start_here.ipynb"
    run(environment, "python", "-m", "odelab.lessons.kit.refresh", str(lesson), cwd=tmp_path)
    cells = [cell for cell in json.loads(lesson.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert run(environment, "odelab", "copy", "lessons", cwd=tmp_path).startswith(
        f"{LESSONS} lessons in lessons: 1 as you left it\n"
    )


def test_the_wheel_is_the_same_from_the_sdist(built: Path, tmp_path: Path) -> None:
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again"]
    subprocess.run(command, cwd=unpacked, capture_output=True, check=True)
    (again,) = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(again) as theirs:
        assert sorted(ours.namelist()) == sorted(theirs.namelist())
        assert "odelab/notebooks/00_start_here.ipynb" in ours.namelist()
    assert wheel.stat().st_size < 25e6


def test_nothing_of_one_machine_is_packed(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not [
        name for name in names if "__pycache__" in name or ".ipynb_checkpoints" in name or name.endswith(".lock")
    ]
    assert {"README.md", "LICENSE", "Makefile", "constraints.txt", "docs/results.md", "tests/test_wheel.py"} <= names
