"""Every method by name, and the options it knows; here live those that are not explicit Runge–Kutta methods.

A method knows its order and how to take one step; nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from odelab.choices import suggestion
from odelab.solvers.inputs import Field, Time
from odelab.solvers.methods.adams import EXPLICIT_ORDER, MAX_ITERS, MAX_ORDER, Adams
from odelab.solvers.methods.implicit import ADAPTIVE_ITERS, FIXED_ITERS, Implicit
from odelab.solvers.methods.other_names import answer
from odelab.solvers.methods.rosenbrock import Rodas3
from odelab.solvers.methods.scipy import SciPy
from odelab.solvers.methods.symplectic import Symplectic
from odelab.solvers.stepping import RungeKutta, Step
from odelab.solvers.tableaus import IMPLICIT_TABLEAUS, TABLEAUS, ButcherTableau
from odelab.warning import warn


class Method(Protocol):
    """What the loops ask of a method.

    Attributes:
        family: "runge_kutta", "implicit", "adams", "symplectic", "rosenbrock" or "scipy".
        order: order of the global error.
        adaptive: whether it estimates its error.
        one_step: whether a step depends on (t, dt, y) alone, so that it can be replayed.
        fresh: the method for one more solve on a fixed grid, without the steps that it remembers.
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
    method = RungeKutta(tableau)
    return lambda options: method


def _adams(implicit: bool) -> Callable[[dict[str, Any]], Method]:
    def make(options: dict[str, Any]) -> Method:
        max_order = options.get("max_order", MAX_ORDER if implicit else EXPLICIT_ORDER)
        return Adams(implicit, int(max_order), int(options.get("max_iters", MAX_ITERS)))

    return make


def _implicit(tableau: ButcherTableau) -> Callable[[dict[str, Any]], Method]:
    def make(options: dict[str, Any]) -> Method:
        on_grid = any(options.get(name) is not None for name in GRID_OPTIONS)
        adaptive = bool(options.get("adaptive", tableau.adaptive and not on_grid))
        if adaptive and (on_grid or not tableau.adaptive):
            why = f"{', '.join(GRID_OPTIONS)} are of fixed grids" if on_grid else "it has no error estimate"
            raise ValueError(f"option 'adaptive' of method {tableau.name!r} cannot be True: {why}")
        if adaptive and max(tableau.c) > 1 and options.get("jump_t") is not None:
            raise ValueError(
                f"{tableau.name!r} asks func up to {max(tableau.c) - 1:.0%} of a step behind its end, so it cannot see "
                "one side of a jump only (jump_t): take 'radauIIA5' or 'kvaerno3'"
            )
        max_iters = int(options.get("max_iters", ADAPTIVE_ITERS if adaptive else FIXED_ITERS))
        if max_iters < 1:
            raise ValueError(f"option 'max_iters' must be positive, got {max_iters}")
        return Implicit(tableau, adaptive, max_iters)

    return make


ON_A_GRID = ("sdirk2", "trbdf2", "radauIIA5")  # adaptive here, and not in torchdiffeq
GRID_OPTIONS = ("step_size", "grid_constructor", "interp", "perturb")
METHODS: dict[str, Callable[[dict[str, Any]], Method]] = {
    **{name: _runge_kutta(tableau) for name, tableau in TABLEAUS.items()},
    **{name: _implicit(tableau) for name, tableau in IMPLICIT_TABLEAUS.items()},
    "explicit_adams": _adams(implicit=False),
    "implicit_adams": _adams(implicit=True),
    "fixed_adams": _adams(implicit=True),  # torchdiffeq's older name
    "leapfrog": lambda options: Symplectic("leapfrog"),
    "yoshida4": lambda options: Symplectic("yoshida4"),
    "rodas3": lambda options: Rodas3(),
    "scipy_solver": lambda options: SciPy(options),
}

POSITIVE = (lambda x: x > 0, "positive")
RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("first_step", "max_step"), POSITIVE),
    "step_size": (lambda x: 0 < x < math.inf, "positive and finite"),
    "max_num_steps": (lambda x: x >= 1 and x.is_integer(), "a whole number, at least 1"),
    "min_step": (lambda x: x >= 0, "a size, at least 0"),
    "safety": (lambda x: 0 < x <= 1, "above 0 and at most 1"),
    "ifactor": (lambda x: x >= 1, "at least 1, by which an accepted step may grow"),
    "dfactor": (lambda x: 0 < x < 1, "between 0 and 1, to which a rejected step may shrink"),
}
ADAPTIVE_OPTIONS = {
    *("first_step", "min_step", "max_step", "safety", "ifactor", "dfactor", "max_num_steps", "step_t", "jump_t"),
    *("norm", "dtype", "per_sample", "compile"),
}
FIXED_OPTIONS = {*GRID_OPTIONS, "norm", "max_num_steps"}
FAMILY_OPTIONS = {
    "implicit": {"adaptive", "max_iters"},
    "adams": FIXED_OPTIONS | {"max_order", "max_iters"},
    "scipy": {"solver", "min_step", "max_step", "norm"},
}
ALL_OPTIONS = ADAPTIVE_OPTIONS.union(*FAMILY_OPTIONS.values())


def make_method(name: str, options: dict[str, Any], *, strict: bool) -> Method:
    """The method of this name.

    Args:
        options: of the solve; those that the method does not know are dropped from it.
        strict: raise on such an option (`solve`) instead of warning (`odeint`, as torchdiffeq).

    Raises:
        ValueError, TypeError: unknown method or option (naming the nearest one), or an option that cannot be.
    """
    if not isinstance(name, str):
        raise TypeError(f"method must be a name, as 'dopri5', got {type(name).__name__}")
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}{answer(name, list(METHODS))}. Known: {', '.join(sorted(METHODS))}")
    if name in ON_A_GRID and not strict:
        options.setdefault("adaptive", False)
    method = METHODS[name](options)
    known = FAMILY_OPTIONS.get(method.family, ADAPTIVE_OPTIONS if method.adaptive else FIXED_OPTIONS)
    if method.family == "implicit":
        known = known | (ADAPTIVE_OPTIONS if method.adaptive else FIXED_OPTIONS)
    for option in list(options):
        if option not in known:
            _refuse(option, name, known, strict)
            del options[option]
    if options.get("step_size") is not None and options.get("grid_constructor") is not None:
        raise ValueError("step_size and grid_constructor exclude each other: give one of them")
    for name, (fits, what) in RANGES.items():
        if options.get(name) is not None:
            try:
                good = fits(float(options[name]))
            except (TypeError, ValueError):
                good = False
            if not good:
                raise ValueError(f"option {name!r} must be {what}, got {options[name]!r}")
    if float(options.get("min_step") or 0.0) > float(options.get("max_step") or math.inf):
        raise ValueError(f"min_step = {options['min_step']} is larger than max_step = {options['max_step']}")
    if options.get("interp", "linear") not in ("linear", "cubic"):
        raise ValueError(f"option 'interp' must be 'linear' or 'cubic', got {options['interp']!r}")
    return method


def _refuse(option: str, method: str, known: set[str], strict: bool) -> None:
    why = suggestion(option, known)
    if option in ALL_OPTIONS:
        why = f" (another method's option; {method!r} ignores it)"
    if strict:
        raise ValueError(f"unknown option {option!r} for method {method!r}{why}. Known: {', '.join(sorted(known))}")
    warn(f"Unexpected arguments: option {option!r} for method {method!r}{why}")
