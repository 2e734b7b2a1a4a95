"""Every method by name. A method knows its order and how to take one step; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from odelab.solvers.methods.adams import EXPLICIT_ORDER, MAX_ITERS, MAX_ORDER, Adams
from odelab.solvers.methods.rosenbrock import Rodas3
from odelab.solvers.methods.scipy import SciPy
from odelab.solvers.methods.symplectic import Symplectic
from odelab.solvers.stepping import Field, RungeKutta, Step, Time
from odelab.solvers.tableaus import TABLEAUS, ButcherTableau


class Method(Protocol):
    """What the loops ask of a method.

    Attributes:
        family: "runge_kutta", "adams", "symplectic", "rosenbrock" or "scipy".
        order: order of the global error.
        adaptive: whether it estimates its error.
        one_step: whether a step depends on (t, dt, y) alone, so that it can be replayed.
    """

    family: str
    one_step: bool

    @property
    def order(self) -> int: ...
    @property
    def adaptive(self) -> bool: ...
    def fresh(self) -> Method: ...
    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step: ...
    def error(self, step: Step) -> Tensor: ...


def _runge_kutta(tableau: ButcherTableau) -> Callable[[dict[str, Any]], Method]:
    return lambda options: RungeKutta(tableau)


def _adams(implicit: bool) -> Callable[[dict[str, Any]], Method]:
    def make(options: dict[str, Any]) -> Method:
        max_order = options.get("max_order", MAX_ORDER if implicit else EXPLICIT_ORDER)
        return Adams(implicit, int(max_order), int(options.get("max_iters", MAX_ITERS)))

    return make


METHODS: dict[str, Callable[[dict[str, Any]], Method]] = {
    **{name: _runge_kutta(tableau) for name, tableau in TABLEAUS.items()},
    "explicit_adams": _adams(implicit=False),
    "implicit_adams": _adams(implicit=True),
    "fixed_adams": _adams(implicit=True),  # torchdiffeq's older name
    "leapfrog": lambda options: Symplectic("leapfrog"),
    "yoshida4": lambda options: Symplectic("yoshida4"),
    "rodas3": lambda options: Rodas3(),
    "scipy_solver": lambda options: SciPy(options),
}
