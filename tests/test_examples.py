"""The examples in docstrings do what they print, and what people call first has one."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import odelab
from odelab import datasets, flows, latent
from odelab.lessons import kit
from odelab.lessons.kit.claims import record

ROOT = Path(__file__).resolve().parents[1]
WITH_EXAMPLES = sorted(path for path in (ROOT / "odelab").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))
CALLED_FIRST = (
    odelab.solve,
    odelab.odeint,
    odelab.odeint_adjoint,
    flows.CNF,
    latent.LatentODE,
    datasets.load_sequences,
    kit.claim,
    kit.exercise,
)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_examples_print_what_they_say(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write a file
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    results = doctest.testmod(module)
    record.reset()
    assert results.attempted > 0 and results.failed == 0, capsys.readouterr().out


def test_what_people_call_first_has_an_example() -> None:
    assert [name.__name__ for name in CALLED_FIRST if ">>> " not in (inspect.getdoc(name) or "")] == []
