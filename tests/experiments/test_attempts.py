"""The stored attempts, which no table shows."""

from pathlib import Path

import pytest

from odelab.experiments.results import load_rows, result_file


@pytest.mark.parametrize("path", sorted(result_file("x").parent.glob("*_attempts.json")), ids=lambda path: path.stem)
def test_attempts_can_be_read_and_are_told_apart(path: Path) -> None:
    rows = load_rows(path)
    assert rows and len({(row.name, str(row.key)) for row in rows}) == len(rows)
