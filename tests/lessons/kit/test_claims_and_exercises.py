"""Claims that can fail, equations that are registered once, and exercises that hint without solving."""

import math
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

import odelab.lessons
from odelab.lessons.kit import (
    ClaimFailed,
    Hint,
    above,
    below,
    check,
    claim,
    equation,
    exactly,
    exercise,
    near,
    verified,
)
from odelab.lessons.kit.claims import Bound, format_margin, format_value, record
from odelab.lessons.kit.exercises import pack, stand_in
from odelab.lessons.kit.refresh import LIVE, MOVE_IT, code_hash, refresh


@pytest.fixture(autouse=True)
def new_kernel() -> Iterator[None]:
    record.reset()
    yield
    record.reset()


# Claims


@pytest.mark.parametrize("true", [True, np.bool_(True), torch.tensor(True), np.array(True)])
def test_claim_prints_what_was_measured(true: object, capsys: pytest.CaptureFixture[str]) -> None:
    claim("the slope, 4 to within 0.1", 3.9812, true)
    assert capsys.readouterr().out == "checked: the slope, 4 to within 0.1 = 3.98 ✓\n"


@pytest.mark.parametrize("false", [False, np.bool_(False), torch.tensor(False)])
def test_a_false_claim_fails_with_its_value(false: object) -> None:
    with pytest.raises(ClaimFailed, match=r"✗ the slope = 3\.2"):
        claim("the slope", 3.2, false)
    assert len(verified()) == 0


@pytest.mark.parametrize("unclear", [1, 1.0, "yes", None, torch.tensor([True]), np.array([True, True]), [True]])
def test_holds_must_be_one_truth_value(unclear: object) -> None:
    with pytest.raises(TypeError, match="holds must be one truth value"):
        claim("something", 1.0, unclear)


@pytest.mark.parametrize("nan", [math.nan, torch.tensor([1.0, math.nan]), {"a": (1, math.nan)}, complex(0, math.nan)])
def test_nan_never_holds(nan: object) -> None:
    with pytest.raises(ClaimFailed):
        claim("something", nan, True)


@pytest.mark.parametrize(
    ("bound", "measured", "margin"),
    [
        (below(1e-6), 2e-8, 50),
        (below(1e-6), [2e-8, 1e-7], 10),
        (below(1e-6), torch.tensor([0.0, -3.0], dtype=torch.float64), float("inf")),
        (below(-2), -8.0, 4),
        (above(-2), [-0.5, 1.0], 4),
        (above(3), {"a": 12.0, "b": 30.0}, 4),
        (above(0, scatter=0.5), 2.0, 4),
        (below(1, scatter=0.1), 0.6, 4),
        (near(-1, within=0.2), -0.95, 4),
        (exactly(7), (7, 7), float("inf")),
    ],
)
def test_a_bound_knows_by_how_much_it_holds(bound: Bound, measured: object, margin: float) -> None:
    claim("something", measured, bound)
    (entry,) = verified().claims
    assert entry.margin == pytest.approx(margin) and entry.bound == bound.text


@pytest.mark.parametrize(
    ("bound", "measured"),
    [
        (below(1e-6), [0.0, 1e-6]),
        (above(3), {"a": 12.0, "b": 3.0}),
        (above(0, scatter=1), -1e-9),
        (near(1, within=0.1), [1.0, 1.1001]),
        (exactly(7), (7, 8)),
        (below(1, of=2.0), 0.5),
        (below(1), float("nan")),
        (below(1, of=[0.0, float("nan")]), 0.5),
    ],
)
def test_a_bound_that_is_broken_fails_the_claim(bound: Bound, measured: object) -> None:
    with pytest.raises(ClaimFailed, match=r"something = .*\("):
        claim("something", measured, bound)


def test_several_bounds_must_all_hold_and_the_smallest_margin_is_told() -> None:
    lost, mended = 0.3, 1e-6
    claim("lost and mended", (lost, mended), below(1e-4, of=mended), above(1e-2, of=lost), mended < lost)
    (entry,) = verified().claims
    assert (entry.bound, entry.margin) == ("below 1.0e-4, above 0.01", pytest.approx(30))
    with pytest.raises(ClaimFailed):
        claim("lost and mended", (lost, mended), below(1e-4, of=mended), above(1e-2, of=lost), lost < mended)


def test_a_claim_needs_something_to_hold_against() -> None:
    with pytest.raises(TypeError, match="nothing is asked"):
        claim("something", 1.0)
    with pytest.raises(TypeError, match="no number to hold against"):
        claim("something", "text", below(1))
    with pytest.raises(ValueError, match="a bound of 0"):
        above(0)


def test_margins_are_short() -> None:
    assert [format_margin(m) for m in (None, float("inf"), 3.14159, 42.0, 314.1, 5e6)] == [
        "",
        "exact",
        "3.1",
        "42",
        "314",
        "over 1000",
    ]


def test_nothing_measured_is_no_claim() -> None:
    with pytest.raises(TypeError, match="nothing was measured"):
        claim("something", None, True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.9812, "3.98"),
        (0.0, "0"),
        (12345.6, "12346"),
        (2.5e-8, "2.5e-8"),
        (-4e9, "-4.0e9"),
        (math.inf, "inf"),
        (7, "7"),
        (True, "yes"),
        ("dopri5", "dopri5"),
        ((1, 2.5), "(1, 2.5)"),
        ({"euler": 1.0, "rk4": np.float64(3.99)}, "euler 1, rk4 3.99"),
        (torch.tensor([0.5, 1e-9]), "(0.5, 1.0e-9)"),
        (torch.tensor(2), "2"),
        (1 + 0.5j, "(1+0.5j)"),
    ],
)
def test_numbers_are_printed_for_reading(value: object, text: str) -> None:
    assert format_value(value) == text


# Equations and the closing table


def test_equations_are_registered_once() -> None:
    assert equation("3.4", source="notes 24.6") is equation("3.4", source="notes 24.6")
    with pytest.raises(ValueError, match=r"3\.4 is already registered with source 'notes 24\.6'"):
        equation("3.4", source="slides 1")


@pytest.mark.parametrize(
    ("number", "source"), [("3", "notes 24.6"), ("3.4a", "notes 24.6"), ("3.4", ""), ("3.4", "eq")]
)
def test_equations_need_a_number_and_a_source(number: str, source: str) -> None:
    with pytest.raises(ValueError, match=r"equation number|source"):
        equation(number, source=source)


def test_an_equations_claim_carries_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    eq = equation("3.4", source="notes 24.6")
    eq.claim("adjoint minus backprop", 1e-9, True)
    assert capsys.readouterr().out == "checked: (3.4) adjoint minus backprop = 1.0e-9 ✓\n"
    with pytest.raises(ClaimFailed) as failure:
        eq.claim("adjoint minus backprop", 1.0, False)
    assert failure.value.number == "3.4"


def test_verified_lists_every_claim_once_equations_first() -> None:
    claim("a < b", 0.5, True)
    for number, source in (("3.10", "notes 24.7"), ("3.2", "slides 1")):
        equation(number, source=source).claim("holds", 1, True)
    claim("a < b", 0.6, below(1.2))  # a cell that is run again
    table = verified()
    assert [row[0] for row in table.rows] == ["3.2", "3.10", ""]
    assert table.rows[-1][2:] == ("a < b", "0.6", "below 1.2", "2")
    assert "a &lt; b" in table._repr_html_() and "<table>" in table._repr_html_()
    assert "3 claims verified" in repr(table) and "notes 24.7" in repr(table)


# Exercises


@pytest.fixture(name="doubling")
def registered() -> Iterator[None]:
    @exercise
    def doubling(answer: object) -> None:
        value = answer(3.0) if callable(answer) else answer
        if value == 9.0:
            raise Hint("that is the square; what is added to itself?")
        if value != 6.0:
            raise Hint("try it on 3")

    yield
    del check._checks["doubling"]


def empty(x: float) -> float: ...


def documented(x: float) -> float:
    """Doubles."""


def halfway(x: float) -> float:
    y = ...
    return 2 * y


def returns_stub(x: float) -> float:
    return ...


@pytest.mark.usefixtures("doubling")
@pytest.mark.parametrize("stub", [..., [1, ...], {"a": ...}, empty, documented, halfway, returns_stub])
def test_a_stub_is_not_attempted(stub: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert not check.doubling(stub)
    assert capsys.readouterr().out == "… doubling: not attempted yet\n"


def forgets_return(x: float) -> None:
    x + x


def misspells(x: float) -> float:
    return 2 * y  # noqa: F821


def wrong_arity() -> float:
    return 6.0


@pytest.mark.usefixtures("doubling")
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x: x * x, "✗ not yet: that is the square"),
        (7.0, "✗ not yet: try it on 3"),
        (forgets_return, "forgets_return returned None"),
        (misspells, "NameError in line 2 of misspells: name 'y' is not defined"),
        (wrong_arity, "TypeError: wrong_arity() takes 0 positional arguments"),
        (torch.ones(2), "does not fit here"),
    ],
)
def test_a_wrong_answer_gets_its_own_hint(answer: object, hint: str) -> None:
    verdict = check.doubling(answer)
    assert not verdict and hint in verdict.message


@pytest.mark.usefixtures("doubling")
def test_right_answers_pass_and_display_nothing_more(capsys: pytest.CaptureFixture[str]) -> None:
    for right in (lambda x: x + x, lambda x: 2 * x, 6.0):
        verdict = check.doubling(right)
        assert verdict and verdict.message == "✓ doubling: right"
    capsys.readouterr()
    assert verdict._ipython_display_() is None and capsys.readouterr().out == ""


@pytest.mark.usefixtures("doubling")
def test_a_misspelt_exercise_finds_its_name() -> None:
    assert "doubling" in dir(check)
    with pytest.raises(AttributeError, match=r"did you mean .doubling.\?"):
        _ = check.doublin


def test_a_room_without_exercises_hides_none_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room_without_exercises").mkdir()
    (tmp_path / "room_without_exercises" / "__init__.py").touch()
    monkeypatch.setattr(odelab.lessons, "__path__", [*odelab.lessons.__path__, str(tmp_path)])
    assert "end_of_euler" in dir(check)


@pytest.mark.usefixtures("doubling")
def test_two_topics_cannot_share_an_exercise() -> None:
    def doubling(answer: object) -> None: ...

    doubling.__module__ = "odelab.lessons.elsewhere"
    with pytest.raises(ValueError, match=r"already registered by .*test_claims"):
        exercise(doubling)


SOLUTION = "def doubling(x):\n    return 2 * x\n\n\nprint('aside')\ncheck.doubling(doubling)"


@pytest.mark.usefixtures("doubling")
@pytest.mark.parametrize("answer", [empty, lambda x: x * x])
def test_later_cells_go_on_with_an_answer_of_the_lesson(answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {"check": check, "doubling": answer}
    for _ in range(2):
        assert not check.doubling(answer)
        capsys.readouterr()
        stand_in(namespace, pack(SOLUTION))
        said = "The lesson goes on with an answer of its own until yours passes: doubling\n"
        assert namespace["doubling"](4) == 8 and capsys.readouterr().out == said


@pytest.mark.usefixtures("doubling")
def test_a_right_answer_stays_until_it_is_spoilt() -> None:
    mine = lambda x: x + x  # noqa: E731
    namespace = {"check": check, "doubling": mine}
    assert check.doubling(mine)
    stand_in(namespace, pack(SOLUTION))
    assert namespace["doubling"] is mine
    assert not check.doubling(empty)
    stand_in(namespace, pack(SOLUTION))
    assert namespace["doubling"] is not mine
    assert "return" not in pack(SOLUTION)


# Storing a lesson


@pytest.mark.slow
def test_refresh_keeps_pictures_and_drops_live_widgets(tmp_path: Path) -> None:
    sources = [
        "from ipywidgets import IntSlider\nfrom odelab.lessons.kit import Explorable, describe, new_figure",
        "fig = describe(new_figure(), 'a line with as many points as the slider says')\n"
        "(line,) = fig.subplots().plot([])",
        "def update(fig, n):\n    line.set_data(range(n), range(n))\n    return f'{n} points'\n\n"
        "moving = Explorable(fig, update, {'n': IntSlider(3, 1, 9)})\nmoving",
        "print(moving.drive(n=5))",
    ]
    path = tmp_path / "01_sample.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="tag it 'widget'"):
        refresh(path)
    notebook.cells[2].metadata["tags"] = ["widget"]
    nbformat.write(notebook, path)
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    output, line = notebook.cells[2].outputs
    assert set(output.data) == {"image/png", "text/plain"} and LIVE not in output.data
    assert dict(line.data) == MOVE_IT["data"]
    assert output.metadata["image/png"]["alt"].startswith("a line with as many points")
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4]
    assert notebook.metadata.odelab.code == code_hash(notebook) and "widgets" not in notebook.metadata
    assert path.stat().st_size < 40_000
    notebook.cells[3].source += " "
    assert notebook.metadata.odelab.code != code_hash(notebook)
