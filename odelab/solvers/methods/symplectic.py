"""Symplectic methods for states (position, velocity): they conserve a nearby energy for ever.

One leapfrog step is half a kick, a drift, half a kick (Störmer–Verlet). Three of them, with Yoshida's coefficients,
make a fourth-order step. The position's derivative is the velocity itself, and the acceleration should depend
on the position alone: with friction the methods still converge, but nothing is conserved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from odelab.solvers.inputs import Field, Time, in_the_dark
from odelab.solvers.stepping import Step

_CUBE_ROOT = 2.0 ** (1 / 3)
_OUTER = 1 / (2 - _CUBE_ROOT)
SUBSTEPS = {"leapfrog": (1.0,), "yoshida4": (_OUTER, 1 - 2 * _OUTER, _OUTER)}  # Yoshida 1990


@dataclass
class Symplectic:
    """Composition of leapfrog steps; the packed state is (positions, velocities), halves of equal length."""

    name: str
    checked: bool = field(default=False, repr=False)
    family = "symplectic"
    adaptive = False
    one_step = True

    @property
    def order(self) -> int:
        return {"leapfrog": 2, "yoshida4": 4}[self.name]

    def fresh(self) -> Symplectic:
        return Symplectic(self.name)

    def step(
        self, f: Field, t0: Time, t1: Time, dt: Time, y0: Tensor, slope0: Tensor | None = None, *, end: bool = True
    ) -> Step:
        """Advance (x, v) from t0 to t1.

        Raises:
            ValueError: where the state is not (position, velocity), i.e. func's first half is not the second half of y.
        """
        slope0 = f(t0, y0) if slope0 is None else slope0
        if not self.checked and not in_the_dark(y0):
            self._check(y0, slope0)
            self.checked = True
        t, (x, v), acceleration = t0, y0.chunk(2), slope0.chunk(2)[1]
        for fraction in SUBSTEPS[self.name]:
            h = fraction * dt
            v = v + 0.5 * h * acceleration
            x, t = x + h * v, t + h
            acceleration = f(t, torch.cat([x, v])).chunk(2)[1]
            v = v + 0.5 * h * acceleration
        return Step(t0, t1, dt, y0, torch.cat([x, v]), slope0=slope0, slope1=torch.cat([v, acceleration]))

    def _check(self, y0: Tensor, slope0: Tensor) -> None:
        if (
            y0.ndim != 1
            or y0.numel() % 2
            or not torch.allclose(slope0.chunk(2)[0], y0.chunk(2)[1], rtol=1e-4, atol=1e-6)
        ):
            raise ValueError(
                f"{self.name} needs y0 = (position, velocity), two tensors of one shape, and func returning "
                "(velocity, acceleration); func's first output differs from the velocity"
            )

    def error(self, step: Step) -> Tensor:
        raise NotImplementedError(f"{self.name} has no error estimate")
