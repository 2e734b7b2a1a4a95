"""Solvers for dy/dt = f(t, y) on tensors, readable in one sitting: tableaus, stepping, loops, then the rest."""

from odelab.solvers.drop_in import odeint, odeint_adjoint, odeint_dense, odeint_event
from odelab.solvers.errors import MaxStepsExceeded, NonFiniteState, SolverError, StepSizeUnderflow
from odelab.solvers.loops import Stats, StepRecord
from odelab.solvers.methods import METHODS
from odelab.solvers.solution import DenseSolution, Solution
from odelab.solvers.solve import solve
from odelab.solvers.tableaus import TABLEAUS, ButcherTableau

__all__ = [
    "METHODS",
    "TABLEAUS",
    "ButcherTableau",
    "DenseSolution",
    "MaxStepsExceeded",
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
