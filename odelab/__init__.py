"""odelab: neural ordinary differential equations, from Euler's method to latent dynamics."""

from odelab.solvers import Solution, odeint, odeint_adjoint, odeint_dense, odeint_event, solve

__version__ = "0.1.0"
__all__ = ["Solution", "odeint", "odeint_adjoint", "odeint_dense", "odeint_event", "solve"]
