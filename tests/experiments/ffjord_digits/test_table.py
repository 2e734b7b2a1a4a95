"""Digits: three models, and the paper's numbers of other images."""

from odelab.experiments.ffjord_digits.table import digits_table
from tests.experiments.rows import cells, row


def test_the_papers_number_has_a_column_of_its_own() -> None:
    table = digits_table({"quick": {"ffjord": 2.4}}, [row({"model": "nice"}, bits=2.3, parameters=132416)])
    assert cells(table, "FFJORD")[:2] == ["2.400", "not run yet"] and cells(table, "FFJORD")[-1].startswith("0.99")
    assert cells(table, "NICE, four couplings") == ["–", "2.300", "132,416", "1", "–"]
