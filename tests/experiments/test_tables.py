"""The parts of tables: what a frame shows where, what is said to be missing, which columns are whose."""

import pytest
from pandas import DataFrame

from odelab.experiments.tables import (
    MISSING,
    NOTHING,
    Table,
    baselines,
    beside,
    first,
    number,
    over_seeds,
    seeds,
    summarise,
    with_paper,
)
from tests.experiments.rows import cells, row


@pytest.fixture
def frame() -> DataFrame:
    return DataFrame({"NLL": ["1.00", "2.00"]}, index=["a < b", "c"]).rename_axis("model")


def test_html_has_every_cell_once_and_escaped(frame: DataFrame) -> None:
    text = Table(frame, "Errors & more")._repr_html_()
    assert text.count("<th ") == 2 and text.count("<td ") == 4
    assert "a &lt; b" in text and "<caption" in text and "Errors &amp; more" in text
    assert "overflow-x: auto" in text and "white-space:normal" in text, "it fits a phone"
    assert "x" * 200 in Table(DataFrame({"long": ["x" * 200]}, index=["a"]))._repr_html_(), "nothing is cut short"
    assert "<details" not in text, "without a note there is nothing to unfold"
    noted = Table(frame, "Errors", "as in `rnode`, p < .05")._repr_html_()
    assert noted.endswith("</summary>as in <code>rnode</code>, p &lt; .05</details>")


def test_markdown_and_plain_text(frame: DataFrame) -> None:
    table = Table(frame.reindex(["c", "d"]), "Errors")
    assert table.markdown() == "| model | NLL |\n| --- | --: |\n| c | 2.00 |\n| d | – |"
    assert repr(table).splitlines()[0] == "Errors" and "2.00" in repr(table)
    assert repr(Table(frame, "Errors", "by hand")).splitlines()[-1] == "by hand"


def test_over_seeds_says_how_many() -> None:
    assert over_seeds([1.0, 2.0], count=True) == "1.50 ± 0.71 (2 seeds)" and over_seeds([]) == NOTHING
    assert over_seeds([0.5], ".3f", count=True) == "0.500 (1 seed)"
    assert over_seeds([1.0, 2.0, 3.0]) == "2.00 ± 1.00" and over_seeds([2], ".1f") == "2.0"


def test_numbers_are_found_by_their_path() -> None:
    runs = [row({}, 0, errors={"10 frames": 0.1}), row({}, 1, errors={"10 frames": 0.3}), row({}, 2, errors={})]
    assert number("errors", "10 frames")(runs) == "0.20 ± 0.14" and number("errors", "9 frames")(runs) == NOTHING
    assert first("errors", "")(runs[2:]) == "{}" and seeds(runs) == "3"


def test_settings_come_in_the_order_of_the_experiment_with_those_not_run() -> None:
    runs = [row({"model": "ffjord"}, seed, bits=2.0 + seed) for seed in (0, 1)] + [row({"model": "new"}, bits=9.0)]
    frame = summarise("ffjord-digits", runs, ("model",), {"bits": number("bits")})
    assert frame["bits"].to_dict() == {
        "gaussian": MISSING,
        "nice": MISSING,
        "realnvp": MISSING,
        "ffjord": "2.50 ± 0.71",
        "new": "9.00",
    }


def test_guesses_count_once_for_every_setting_and_seed() -> None:
    runs = [row({"balls": 1, "model": model}, seed, still=0.5) for model in ("a", "b") for seed in (0, 1)]
    rows = baselines("", runs, ["still"], lambda row, name: {"error": row.result[name]})
    assert [*rows[:4]] == runs and [(r.key["model"], r.seed, r.result) for r in rows[4:]] == [
        ("still", seed, {"error": 0.5}) for seed in (0, 1)
    ]


def test_ours_the_papers_and_a_notebooks_columns_stay_apart(frame: DataFrame) -> None:
    table = Table(beside(with_paper(frame, {"c": "2.10", "theirs": "3.00"}), {"quick": {"c": 2.345, "a < b": "text"}}))
    assert [*table.flat] == ["model", "quick", "full: NLL", "paper"]
    assert cells(table, "c") == ["2.35", "2.00", "2.10"] and cells(table, "theirs") == [NOTHING, NOTHING, "3.00"]
    assert cells(table, "a < b") == ["text", "1.00", NOTHING]
    with pytest.raises(ValueError, match=r"no rows \['d'\]; it has"):
        beside(frame, {"quick": {"d": 1.0}})
