"""`make student`: the lessons without solutions, answers and outputs, and otherwise as they are."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANSWER = re.compile(r"\s*<details>\s*<summary>\s*(<b>)?\s*(Solution|Answer)")


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["cells"]


def gives_away(cell: dict[str, Any]) -> bool:
    return "solution" in cell["metadata"].get("tags", []) or bool(ANSWER.match("".join(cell["source"])))


def test_copies_give_nothing_away() -> None:
    """Made by this very environment."""
    command = ["make", "student", f"VENV={sys.prefix}", f"--assume-old={sys.prefix}/.installed"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    for path in LESSONS:
        copy = cells(ROOT / "build" / "student" / path.name)
        expected = ["".join(cell["source"]) for cell in cells(path) if not gives_away(cell)]
        assert ["".join(cell["source"]) for cell in copy] == expected, path.name
        assert all(not cell.get("outputs") for cell in copy), path.name
