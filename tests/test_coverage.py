"""What coverage sees of a run: the first case of every test, and where all are asked for, the others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = """
def pick(n):
    if n == 0:
        return "first"
    if n == 1:
        return "second"
    return "third"
"""
TESTS = """
import pytest, sample

@pytest.mark.parametrize("n", [0, 1])
def test_cases(n):
    assert sample.pick(n)

def test_another():
    assert sample.pick(2)
"""


@pytest.mark.parametrize(("watched", "missing"), [("", ["6"]), ("all", [])])
def test_further_cases_are_watched_where_all_are_asked_for(watched: str, missing: list[str], tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    (tmp_path / "test_sample.py").write_text(TESTS)
    shutil.copy(ROOT / "conftest.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "--cov=sample", "--cov-report=term-missing", "-p", "no:nbval"]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"ODELAB_COVERAGE": watched, "COVERAGE_FILE": str(tmp_path / ".coverage")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed" in run.stdout, run.stdout + run.stderr
    (row,) = [line for line in run.stdout.splitlines() if line.startswith("sample.py")]
    assert row.partition("%")[2].split() == missing, row
