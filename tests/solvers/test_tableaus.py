"""The tables check themselves, and the order conditions of rooted trees agree with the orders they state."""

from dataclasses import replace

import numpy as np
import pytest

from odelab.solvers import IMPLICIT_TABLEAUS, TABLEAUS, ButcherTableau

ALL = {**TABLEAUS, **IMPLICIT_TABLEAUS}


def trees(c: np.ndarray, a: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
    """(order, stage vector Φ, 1/γ): Σ bΦ = 1/γ for every rooted tree up to order five (Hairer et al. I, II.2)."""
    ac, ac2 = a @ c, a @ c**2
    return [
        (1, np.ones_like(c), 1),
        (2, c, 1 / 2),
        (3, c**2, 1 / 3),
        (3, ac, 1 / 6),
        (4, c**3, 1 / 4),
        (4, c * ac, 1 / 8),
        (4, ac2, 1 / 12),
        (4, a @ ac, 1 / 24),
        (5, c**4, 1 / 5),
        (5, c**2 * ac, 1 / 10),
        (5, ac**2, 1 / 20),
        (5, c * ac2, 1 / 15),
        (5, c * (a @ ac), 1 / 30),
        (5, a @ c**3, 1 / 20),
        (5, a @ (c * ac), 1 / 40),
        (5, a @ ac2, 1 / 60),
        (5, a @ (a @ ac), 1 / 120),
    ]


def conditions_met(c: tuple, a: tuple, weights: tuple, theta: float = 1.0) -> int:
    """The highest order up to five whose conditions the weights meet at t + theta dt."""
    square = np.zeros((len(c), len(c)))
    for i, row in enumerate(a):
        square[i, : len(row)] = row
    broken = [
        order
        for order, phi, value in trees(np.array(c), square)
        if abs(np.array(weights) @ phi - value * theta**order) > 1e-6 * theta
    ]
    return min(broken, default=6) - 1


@pytest.mark.parametrize("table", ALL.values(), ids=ALL)
def test_order_conditions_give_the_order_stated(table):
    assert conditions_met(table.c, table.a, table.b) == min(table.order, 5)


@pytest.mark.parametrize("table", [t for t in ALL.values() if t.adaptive], ids=lambda t: t.name)
def test_the_second_method_inside_gives_the_order_of_the_error_estimate(table):
    """Two methods of orders p and q differ by O(dt^(min(p, q) + 1))."""
    hat = tuple(b - e for b, e in zip(table.b, table.b_err, strict=True))
    if table.order == 8:  # beyond the conditions above
        assert conditions_met(table.c, table.a, hat) == 5
    else:
        assert min(table.order, conditions_met(table.c, table.a, hat)) + 1 == table.error_order


@pytest.mark.parametrize("table", [t for t in ALL.values() if t.mid], ids=lambda t: t.name)
def test_the_midpoint_is_of_order_four_at_least(table):
    assert conditions_met(table.c, table.a, table.mid, theta=0.5) >= 4


def test_first_same_as_last_is_derived():
    assert {name for name, table in TABLEAUS.items() if table.fsal} == {"bosh3", "dopri5", "tsit5", "dopri8"}
    assert {name for name, table in IMPLICIT_TABLEAUS.items() if not table.fsal} == {"implicit_midpoint", "gl4", "gl6"}


def test_what_is_solved_together_is_derived():
    assert {table.blocks for table in TABLEAUS.values()} == {()}
    blocks = {name: table.blocks for name, table in IMPLICIT_TABLEAUS.items()}
    assert blocks["gl6"] == ((0, 1, 2),) and blocks["radauIIA5"] == ((1, 2, 3),)
    assert blocks["implicit_euler"] == ((0,),) and blocks["trbdf2"] == ((1,), (2,))


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (((0.5,), (0.5, 0.5), (0.2, 0.3, 0.0)), "different entries, or zeros"),
        (((0.0,), (0.0, 0.0), (0.2, 0.3, 0.5)), "only the first stage"),
        (((0.5,), (0.5, 0.5, 0.0), (1.0, 0.0)), "not triangular"),
    ],
)
def test_a_matrix_that_cannot_be_solved_stage_by_stage_is_refused(a, message):
    with pytest.raises(ValueError, match=message):
        ButcherTableau("wrong", 1, c=tuple(map(sum, a)), a=a, b=(1.0, 0.0, 0.0))


@pytest.mark.parametrize("name", [name for name, table in IMPLICIT_TABLEAUS.items() if table.fsal])
def test_stiffly_accurate_methods_damp_what_is_infinitely_stiff(name):
    """R(z) = 1 + z bᵀ(I − z A)⁻¹ 1 → 0 (L-stable); the trapezoidal rule only keeps it bounded."""
    table = IMPLICIT_TABLEAUS[name]
    a = np.zeros((table.stages, table.stages))
    for i, row in enumerate(table.a):
        a[i, : len(row)] = row
    factor = 1 - 1e9 * np.array(table.b) @ np.linalg.solve(np.eye(table.stages) + 1e9 * a, np.ones(table.stages))
    assert abs(factor) == pytest.approx(1.0 if name == "trapezoid" else 0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("c", (0.0, 1 / 3, 1 / 3, 1.0), "row 2 of a sums to"),
        ("b", (1 / 8, 3 / 8, 3 / 8, 1 / 4), "b sums to"),
        ("b_err", (0.1, 0.0, 0.0, 0.0), "b_err sums to"),
        ("mid", (0.1, 0.1, 0.1, 0.1), "mid sums to"),
        ("b", (0.5, 0.5), "b has 2 weights for 4 stages"),
        ("a", ((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0, 0.0)), "not triangular"),
    ],
)
def test_a_mistyped_table_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(TABLEAUS["rk4"], **{field: value})


def test_a_new_method_is_a_new_table():
    ralston = ButcherTableau("ralston", 2, c=(0.0, 2 / 3), a=((), (2 / 3,)), b=(1 / 4, 3 / 4), reference="Ralston 1962")
    assert conditions_met(ralston.c, ralston.a, ralston.b) == 2
