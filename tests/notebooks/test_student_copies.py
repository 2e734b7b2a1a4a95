"""`make student`: the lessons without solutions, answers and outputs, and otherwise as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANSWER = re.compile(r"\s*<details>\s*<summary>\s*(<b>)?\s*(Solution|Answer)")


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["cells"]


def gives_away(cell: dict[str, Any]) -> bool:
    return "solution" in cell["metadata"].get("tags", []) or bool(ANSWER.match("".join(cell["source"])))


@pytest.fixture(scope="module")
def copies() -> Path:
    """The folder that `make student` fills, made by this very environment."""
    command = ["make", "student", f"VENV={sys.prefix}", f"--assume-old={sys.prefix}/.installed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ROOT / "build" / "student"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_copy_gives_nothing_away(path: Path, copies: Path) -> None:
    copy = cells(copies / path.name)
    assert ["".join(cell["source"]) for cell in copy] == [
        "".join(cell["source"]) for cell in cells(path) if not gives_away(cell)
    ]
    assert all(not cell.get("outputs") for cell in copy)
