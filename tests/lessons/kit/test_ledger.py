"""The ledger of equations, read from the notebooks, and what it refuses."""

import json
from pathlib import Path

import pytest

from odelab.lessons.kit import ledger
from odelab.lessons.kit.ledger import LedgerError
from tests.notebooks.reader import NOTEBOOKS

REQUIRED = {
    *(f"notes 24.{number}" for number in range(1, 32)),
    "notes Algorithm 1",
    *(
        f"slides {number}"
        for number in ("1", "2", "3", "4a", "4b", "4c", "5", "6", "7a", "7b", "7c", "8", "9a", "9b", "10")
    ),
    *(f"slides 11{letter}" for letter in "abcde"),
    *(f"slides {number}" for number in range(12, 22)),
    *(f"poster {what}" for what in ("display 1", "display 2", "ELBO")),
}


def test_the_sources_equations_are_all_checked() -> None:
    missing = REQUIRED - ledger(NOTEBOOKS).sources
    assert not missing, f"no lesson checks {sorted(missing)}"


GOOD = 'equation("1.1", source="notes 24.1").claim("doubling", 2 * x, abs(2 * x - (x + x)) < 1e-9)'


def write(folder: Path, name: str, *sources: str) -> None:
    cells: list[dict] = [{"cell_type": "code", "source": source, "metadata": {}} for source in sources]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def test_ledger_reads_without_running(tmp_path: Path) -> None:
    write(
        tmp_path, "02_b", '%time\nraise SystemExit\neq = equation("2.1", source="slides 1")\neq.claim("a | b", 1, True)'
    )
    write(tmp_path, "01_a", 'e = equation("1.1", "notes 24.1")\nfor p in (1, 2):\n    e.claim(f"order {p}", p, True)')
    book = ledger(tmp_path)
    assert [(entry.lesson, entry.number, entry.source, entry.claims) for entry in book] == [
        ("01_a", "1.1", "notes 24.1", ("order {p}",)),
        ("02_b", "2.1", "slides 1", ("a | b",)),
    ]
    assert "| 2.1 | slides 1 | 02_b | a \\| b |" in str(book)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (['equation("1.1", source="notes 24.1")'], "no .claim"),
        (['eq = equation("1.1", source="notes 24.1")', 'eq.claim("later", 1, True)'], "no .claim"),
        (['equation(number, source="notes 24.1").claim("x", 1, True)'], "literal"),
        (['equation("1.1").claim("x", 1, True)'], "'source' is missing"),
        ([GOOD, GOOD.replace("24.1", "24.2")], "equation 1.1 is"),
    ],
)
def test_ledger_refuses(tmp_path: Path, sources: list[str], message: str) -> None:
    write(tmp_path, "01_a", *sources)
    with pytest.raises(LedgerError, match=message):
        ledger(tmp_path)
