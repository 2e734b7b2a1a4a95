"""Whether stability, and not accuracy, keeps the steps of an explicit method small.

On a stiff problem an explicit method cannot take steps longer than its region of stability allows, however smooth the
solution (Hairer & Wanner II, Sec. IV.2). Every so many accepted steps the loop asks here, so that other solves pay
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor

from odelab.solvers.errors import STIFF_METHODS, MaxStepsExceeded, lipschitz
from odelab.solvers.inputs import Time, VectorField
from odelab.solvers.tableaus import ButcherTableau
from odelab.warning import warn

EVERY = 1000  # accepted steps from one look to the next
PATIENCE = 10  # looks in a row after which a solve that is far from its end stops


@lru_cache
def stability_limit(tableau: ButcherTableau) -> float:
    """The largest h λ for which y' = −λ y decays in steps of h, from |R(−h λ)| ≤ 1 (Hairer & Wanner II, (2.10))."""
    s = tableau.stages
    a = np.zeros((s, s))
    for i, row in enumerate(tableau.a):
        a[i, :i] = row[:i]
    moments, vector = [1.0], np.ones(s)
    for _ in range(s):
        moments.append(float(np.dot(tableau.b, vector)))
        vector = a @ vector
    z = np.linspace(0, 2 * s + 2, 20_001)[1:]
    outside = np.abs(np.polynomial.polynomial.polyval(-z, moments)) > 1 + 1e-9
    return float(z[np.argmax(outside)])


@dataclass
class StiffnessWatch:
    """The looks of one solve.

    Attributes:
        looks: how many of them in a row found the problem stiff.
        patient: go on whatever they find, up to a limit on the number of steps that the caller gave.
    """

    f: VectorField
    tableau: ButcherTableau
    limit: int
    patient: bool
    looks: int = 0
    warned: bool = False

    def look(self, t: float, y: Tensor, sizes: Sequence[float], rest: float, now: Time | None = None) -> None:
        """Warn where the last steps were as long as stability allows, once; stop where that is hopeless.

        Args:
            t: time, and y the state there.
            sizes: |dt| of the last accepted steps.
            rest: the time that is left.
            now: what func gets for t where that is another one for every row.

        Raises:
            MaxStepsExceeded: after PATIENCE looks in a row, where the rest takes more than ten times as many steps as
                are allowed.
        """
        rate, limit = lipschitz(self.f, t if now is None else now, y), stability_limit(self.tableau)
        dt, name = sum(sizes) / len(sizes), self.tableau.name
        if not 0.8 < dt * rate / limit < 1.25:  # 1.00 at the limit; oscillations at a tolerance of 0.1 have 0.7
            self.looks = 0
            return
        self.looks += 1
        why = f"dt · |∂f/∂y| = {dt * rate:.2g} is the limit of stability of {name!r}, {limit:.2g}"
        if not self.warned:
            self.warned = True
            warn(
                f"the problem looks stiff at t = {t:.6g}: {why}, and the rest would take about {rest / dt:.1g} steps. "
                f"Try {STIFF_METHODS}"
            )
        if self.looks >= PATIENCE and not self.patient and rest / dt > 10 * self.limit:
            what = f"the problem is stiff, and another {rest / dt:.1g} steps would be needed: {why};"
            hint = f"try {STIFF_METHODS}; options=dict(max_num_steps=…) goes on in spite of it"
            raise MaxStepsExceeded(what, t=t, dt=dt, nfe=self.f.stats.nfe, hint=hint)
