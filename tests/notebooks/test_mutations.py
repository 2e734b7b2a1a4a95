"""What the tests say of checks that cannot fail, and that trying them leaves no trace in the lesson."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from odelab.lessons.kit.claims import record
from tests.notebooks.mutations import CAUGHT, PASSED, ROOT, Variants, survivors

BEFORE = """
import numpy as np, torch
from odelab.lessons.kit import claim, equation
x, box = 1, [1]
g, h = torch.Generator().manual_seed(0), np.random.default_rng(0)
"""
GOOD = 'equation("1.1", source="notes 24.1").claim("doubling", 2 * x, abs(2 * x - (x + x)) < 1e-9)'
TAUTOLOGY = 'equation("1.1", source="notes 24.1").claim("doubling", 2 * x, 2 * x == 2 * x)'
ONCE = 'x = x + 1\nequation("1.1", source="notes 24.1").claim("two", x, x == 2)'
DRAWS = "y = (torch.rand(()), torch.rand((), generator=g), h.random())\nprint(y)\ny"


@pytest.fixture(autouse=True)
def new_kernel() -> Iterator[None]:
    record.reset()
    yield
    record.reset()


def lesson() -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(BEFORE, namespace)
    return namespace


@pytest.mark.parametrize(
    ("source", "mutations", "complaint"),
    [
        pytest.param(GOOD, [["abs(2 * x", "abs(3 * x"]], None, id="caught"),
        pytest.param(GOOD, [["2 * x, a", "3 * x, a"]], "gave no error instead of ClaimFailed", id="only-the-print"),
        pytest.param(TAUTOLOGY, [["2 * x, 2", "3 * x, 2"]], "gave no error instead of ClaimFailed", id="tautology"),
        pytest.param(GOOD, [["2 * x, a", "2 * z, a"]], "NameError", id="another-error"),
        pytest.param(GOOD, [["2 * x", "3 * x"]], "2 times, not once", id="ambiguous"),
        pytest.param(GOOD, [], "no mutation makes its claim fail", id="no-mutation"),
        pytest.param(ONCE, [["x + 1", "x + 3"]], None, id="assigns"),
        pytest.param(ONCE.replace("x = x + 1", "box[0] += 1; x = box[0]"), [], "run twice", id="not-repeatable"),
    ],
)
def test_checks_that_cannot_fail_are_named(source: str, mutations: list, complaint: str | None) -> None:
    namespace = lesson()
    variants = Variants(namespace)
    exec(source, namespace)
    x = namespace["x"]
    complaints = survivors(variants.run, source, mutations, {"1.1"})
    assert (complaint in " ".join(complaints)) if complaint else not complaints
    assert namespace["x"] == x, "a variant left its assignments behind"


def test_a_variant_has_the_draws_of_the_cell_and_takes_none_from_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    def draw(run: Any, namespace: dict[str, Any]) -> list[float]:
        run(DRAWS)
        return [float(number) for number in namespace["y"]]

    torch.manual_seed(0)
    namespace = lesson()
    variants = Variants(namespace)
    first = draw(lambda source: exec(source, namespace), namespace)
    capsys.readouterr()
    assert variants.run(DRAWS + f"\nassert [float(number) for number in y] == {first}") == PASSED
    assert capsys.readouterr().out == ""
    after = draw(lambda source: exec(source, namespace), namespace)

    torch.manual_seed(0)
    namespace = lesson()
    undisturbed = [draw(lambda source: exec(source, namespace), namespace) for _ in range(2)]
    assert [first, after] == undisturbed


def test_a_broken_claim_is_not_kept_as_verified() -> None:
    namespace = lesson()
    variants = Variants(namespace)
    two = 'claim("doubling", 2 * x, True)\n' + GOOD
    exec(two, namespace)
    assert variants.run(two.replace("2 * x, True", "7 * x, True").replace("abs(2", "abs(3")) == CAUGHT + "1.1"
    assert [claim.measured for claim in record.claims.values()] == ["2", "2"]


def test_nbval_runs_the_mutations_of_a_lesson(tmp_path: Path) -> None:
    """In a folder of its own, with the conftest.py of this one."""
    names = "sorted(name for name in globals() if not name.startswith('_'))"
    cells = [
        (f"{BEFORE}\nbound = {names} + ['bound']", []),
        (GOOD + "\n%matplotlib inline", [["abs(2 * x", "abs(3 * x"]]),
        (TAUTOLOGY.replace("1.1", "1.2"), [["2 * x, 2", "3 * x, 2"]]),
        (f"assert {names} == sorted(bound)", []),
    ]
    notebook = new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    for source, mutations in cells:
        metadata = {"odelab": {"mutations": mutations}} if mutations else {}
        notebook.cells.append(new_code_cell(source, metadata=metadata))
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01_a.ipynb")
    shutil.copy(ROOT / "conftest.py", tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "--color=no", "notebooks"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 3 passed" in run.stdout, run.stdout
    assert "'2 * x, 2' -> '3 * x, 2' gave no error instead of ClaimFailed" in run.stdout
    assert "FAILED notebooks/01_a.ipynb::Cell 2" in run.stdout
