"""What is written of all stored runs, and that README and docs/results.md say what is stored."""

from pathlib import Path

import pytest

from odelab.__main__ import main
from odelab.experiments import report
from odelab.experiments.registry import EXPERIMENTS, experiment
from odelab.experiments.results import stored_rows

ROOT = Path(__file__).resolve().parents[2]
FRESH = "python -m odelab results --write puts there what is stored"


def test_the_page_is_fresh() -> None:
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == report.page(), FRESH


def test_the_readme_is_fresh() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert report.between_markers(text, report.START, report.END, report.small_table(ROOT)) == text, FRESH


def test_every_experiment_with_rows_is_on_the_page_but_the_sliders() -> None:
    page = report.page()
    stored = {name for name in EXPERIMENTS if stored_rows(name)}
    assert {name for name in EXPERIMENTS if f"## {name}: {experiment(name).title}" in page} == stored - {
        "mocap-sliders"
    }
    for table in (make() for name in stored for make in report.tables_of(name)):
        assert len({line.count("|") for line in table.markdown().splitlines()}) == 1, "all lines have the same columns"
    assert " nan" not in page.lower()


def test_results_are_printed_without_torch_and_written_between_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results"]) == 0 and capsys.readouterr().out == report.page()
    with pytest.raises(ValueError, match="lacks <!-- results:start -->"):
        report.between_markers("no markers", report.START, report.END, "")
    (tmp_path / "docs").mkdir()
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    (tmp_path / "README.md").write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    report.write(tmp_path)
    table = report.small_table(ROOT)
    assert (tmp_path / "README.md").read_text() == f"before\n{report.START}\n{table}\n{report.END}\nafter\n"
    assert (tmp_path / "docs" / "results.md").read_text() == report.page()
    monkeypatch.setattr(report, "write", lambda: report.between_markers("", report.START, report.END, ""))
    assert main(["results", "--write"]) == 2 and capsys.readouterr().err.startswith("odelab: the file lacks ")
