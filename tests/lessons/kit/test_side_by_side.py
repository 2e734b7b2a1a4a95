"""The course's table: what it shows in a notebook and in a terminal, and what it refuses."""

from __future__ import annotations

import pytest

from odelab.lessons.kit.tables import MISSING, NOT_THERE, SideBySide, over_seeds


def test_html_has_every_cell_once_and_escaped() -> None:
    text = SideBySide(("model", "quick"), [("a < b", "1.0"), ("c", "2.0")], "Errors & more")._repr_html_()
    assert text.count("<th ") == 2 and text.count("<td ") == 4 and text.count("<tr>") == 3
    assert "a &lt; b" in text and "<caption" in text and "Errors &amp; more" in text
    assert "overflow-x: auto" in text and "white-space:normal" in text, "it fits a phone"


def test_plain_text_is_aligned() -> None:
    lines = repr(SideBySide(("model", "quick"), [("long name", "1"), ("c", "22")], "Errors")).splitlines()
    assert lines == ["Errors", "model      quick", "long name  1", "c          22"]


def test_a_table_without_header() -> None:
    table = SideBySide((), [("Python", "3.11")])
    assert repr(table) == "Python  3.11" and "<thead>" not in table._repr_html_()
    assert repr(SideBySide((), [])) == ""


def test_columns_by_name_get_a_dash_where_they_have_nothing() -> None:
    table = SideBySide.from_columns({"quick": {"b": "1"}, "paper": {"a": "2"}}, {"a": "first", "b": "second"})
    assert table.header == ("", "quick", "paper")
    assert table.rows == [("first", NOT_THERE, "2"), ("second", "1", NOT_THERE)]


@pytest.mark.parametrize("rows", [[("a",)], [("a", "b", "c")]])
def test_a_row_of_another_width_is_refused(rows: list[tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="cell for each column"):
        SideBySide(("one", "two"), rows)


def test_over_seeds_says_how_many() -> None:
    assert over_seeds([1.0, 2.0], 2, " %") == "1.50 ± 0.71 % (2 seeds)"
    assert over_seeds([0.5]) == "0.500 (1 seed)"
    assert over_seeds([]) == MISSING
