"""The solver can be read in one sitting: one adjoint solve runs through few files and functions."""

import odelab
from benchmarks.trace import returns, trace


def test_one_adjoint_solve_is_read_in_one_sitting() -> None:
    functions = trace(odelab)
    names = {name for _, name in functions}
    assert {"odeint_adjoint", "run", "adaptive_steps", "RungeKutta.step", "AugmentedField.__call__"} <= names
    assert len(returns(functions)) <= 8 and len(functions) <= 60


def test_a_return_is_a_visit_to_a_file_that_was_left() -> None:
    order = [("a.py", "f"), ("b.py", "g"), ("b.py", "h"), ("a.py", "i"), ("c.py", "j"), ("b.py", "k")]
    assert returns(order) == {"a.py": 1, "b.py": 1, "c.py": 0}
