"""Solvers for dy/dt = f(t, y) on tensors, readable in one sitting.

Read inputs, tableaus, stepping, control, loops, gradients, solve and drop_in, in this order: no file needs one that
comes after it. Beside this line stand the methods that are not explicit Runge–Kutta methods (methods/), steps per
sample, events, the whole solve as one compiled graph (compiled/), and what goes wrong (errors).
"""

from odelab.solvers.drop_in import odeint, odeint_adjoint, odeint_dense, odeint_event
from odelab.solvers.errors import MaxStepsExceeded, NewtonFailure, NonFiniteState, SolverError, StepSizeUnderflow
from odelab.solvers.inputs import Stats, StepRecord
from odelab.solvers.methods import METHODS
from odelab.solvers.solution import DenseSolution, Solution
from odelab.solvers.solve import solve
from odelab.solvers.tableaus import IMPLICIT_TABLEAUS, TABLEAUS, ButcherTableau

__all__ = [
    "IMPLICIT_TABLEAUS",
    "METHODS",
    "TABLEAUS",
    "ButcherTableau",
    "DenseSolution",
    "MaxStepsExceeded",
    "NewtonFailure",
    "NonFiniteState",
    "Solution",
    "SolverError",
    "Stats",
    "StepRecord",
    "StepSizeUnderflow",
    "odeint",
    "odeint_adjoint",
    "odeint_dense",
    "odeint_event",
    "solve",
]
