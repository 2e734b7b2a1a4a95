"""Rows that differ by more than chance, and rows that do not."""

import pytest
from scipy.stats import ttest_ind

from odelab.experiments.comparison import compare, holm, standard_error, welch


def test_holm_multiplies_the_least_p_by_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0] and holm([]) == []


def test_welch_is_scipys_and_bears_seeds_without_scatter() -> None:
    ours, theirs = [0.5, 0.6, 0.4], [0.9, 0.8]
    assert welch(ours, theirs) == pytest.approx(ttest_ind(ours, theirs, equal_var=False).pvalue)
    assert welch([0.5, 0.5], [0.5, 0.5]) == 1 and welch([0.5, 0.5], [0.4, 0.4]) == 0
    assert welch([0.5], [0.4, 0.3]) is None


def test_a_sign_is_given_where_the_corrected_test_tells_rows_apart() -> None:
    close, far = [1.0, 1.1, 0.9], [2.0, 2.1, 1.9]
    found = compare({"lower": (close, far), "higher": (far, close), "same": (close, close[::-1]), "one": ([0.0], far)})
    assert [found[name].lower for name in ("lower", "higher", "same", "one")] == [-1, 1, 0, 0]
    assert found["lower"].difference == pytest.approx(-1) and found["one"].p is None
    alone = welch(close, far)
    assert alone is not None and found["lower"].p == pytest.approx(3 * alone), "three tests were made, not four"


def test_many_comparisons_ask_for_more() -> None:
    pair = ([1.0, 1.1, 0.9], [1.3, 1.4, 1.2])
    assert compare({0: pair})[0].lower == -1 and compare(dict.fromkeys(range(20), pair))[0].lower == 0


def test_the_standard_error_is_that_of_the_mean() -> None:
    assert standard_error([1.0, 3.0]) == pytest.approx(1.0) and standard_error([1.0]) is None
