"""Lesson 05 answers the paper's sentences from the rows, whichever way these come out."""

import pytest

from odelab.experiments.results import Row
from odelab.lessons.change_of_variables.stored import answers
from tests.experiments.rows import row

SPREAD = (0.99, 1.0, 1.01)  # of three seeds
ENERGIES, WIDTHS = ("U1", "U2", "U3"), (2, 8, 32)
Factors = dict[tuple[str, int], float]  # flow, width -> what the KL is multiplied by


def runs(factors: Factors, moons: dict[str, float], flows: tuple[str, ...] = ("nf", "cnf")) -> list[Row]:
    """Runs whose KL is 1 / width times a factor, 1 where none is given."""
    rows = []
    for flow in flows:
        extra = {"iterations": 10_000 if flow == "cnf" else 500_000, "cpu_seconds": 200.0 if flow == "cnf" else 40.0}
        for width in WIDTHS:
            for target in ENERGIES:
                key = {"flow": flow, "width": width, "target": target}
                kl = factors.get((flow, width), 1.0) / width
                rows += [row(key, seed, kl=kl * part, **extra) for seed, part in enumerate(SPREAD)]
        if flow in moons:
            key = {"flow": flow, "width": 64, "target": "moons"}
            rows += [row(key, seed, gap=moons[flow] * part, **extra) for seed, part in enumerate(SPREAD)]
    return rows


def everywhere(flow: str, factor: float) -> Factors:
    return {(flow, width): factor for width in WIDTHS}


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        (
            everywhere("cnf", 0.5),
            ["in 9 of 9", "lower in 9 (U1 with 2, 8, 32; U2", "our runs agree with the"],
        ),
        (everywhere("cnf", 2.0), ["in 0 of 9", "of 9 and the NF in 9", "say the opposite"]),
        (everywhere("cnf", 0.5) | {("cnf", 32): 2.0}, ["in 6 of 9", "they show exceptions"]),
        ({("cnf", 32): 2.0}, ["lower in 0 of 9", "the NF in 3", "do not confirm the word “generally”"]),
    ],
)
def test_lower_loss_is_judged_by_the_majority_of_what_is_told_apart(factors: Factors, words: list[str]) -> None:
    text = answers(runs(factors, {}))
    for each in words:
        assert each in text


@pytest.mark.parametrize(
    ("cnf", "words"),
    [
        (0.01, "we see this difficulty, too"),
        (0.0999, "do not show this difficulty"),
        (0.1001, "is even the lower one"),
        (0.9, "do not see this difficulty"),
    ],
)
def test_two_moons_are_answered_by_their_own_test(cnf: float, words: str) -> None:
    assert words in answers(runs({}, {"nf": 0.1, "cnf": cnf}))


def test_size_and_time_are_read_from_the_rows() -> None:
    text = answers(runs({("cnf", 8): 9.0}, {}))
    assert "NF is divided by 16 (U1), 16 (U2), 16 (U3); it falls at every step on 3 of 3 energies" in text
    assert "CNF is divided by 16 (U1), 16 (U2), 16 (U3); it falls at every step on 0 of 3 energies" in text
    assert "0 of 3 with $K=M=8$" in text
    assert "10,000 iterations and our NF for 500,000" in text and "200 seconds of processor time" in text
    assert "are not stored yet" in text and "With 3 seeds and a correction for 9 comparisons the test can" in text
    with_time = answers(runs(everywhere("nf-cpu", 0.5), {}, ("nf", "cnf", "nf-cpu")))
    assert "about the CPU time of the CNF" in with_time and "show that the NF is easier to train" in with_time
    as_good = answers(runs({}, {}, ("nf", "cnf", "nf-cpu")))
    assert "do not show which one is easier to train" in as_good


def test_settings_in_which_all_seeds_point_one_way_are_named_where_the_test_decides_nothing() -> None:
    text = answers(runs({("cnf", 2): 0.97, ("nf", 8): 0.97}, {}))
    assert "the test is weak: among the 9 that it does not tell apart, every seed of the CNF is lower" in text
    assert "of the NF in 3 (U1 with 2; U2 with 2; U3 with 2), and every" in text
    assert "of the CNF in 3 (U1 with 8; U2 with 8; U3 with 8)." in text


def test_without_runs_nothing_is_claimed() -> None:
    assert answers([]).count("No comparison can be made yet") == 4
