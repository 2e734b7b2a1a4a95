"""odelab: neural ordinary differential equations, from Euler's method to latent dynamics."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odelab.solvers import Solution, odeint, odeint_adjoint, odeint_dense, odeint_event, solve

__version__ = "0.2.0"
__all__ = ["Solution", "odeint", "odeint_adjoint", "odeint_dense", "odeint_event", "solve"]


def __getattr__(name: str) -> Any:
    """The solvers, on first use: whoever only lists the experiments need not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from odelab import solvers

    globals()[name] = getattr(solvers, name)  # where Python looks first
    return globals()[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
