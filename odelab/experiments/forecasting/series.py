"""A series with its plan and its yearly clock, checked before anything is fitted to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from odelab.datasets.series import sea_surface, seattle
from odelab.experiments.forecasting.recipe import PLANS, Plan
from odelab.experiments.forecasting.scores import Array


def checked(values: ArrayLike, horizon: int, name: str = "the series") -> Array:
    """The values (n,), with short gaps (NaN) filled by straight lines.

    Raises:
        ValueError: for a series of one point, one that never changes, one with a gap longer than the horizon, one that
            begins or ends with a gap, and one with infinite values; the message says where.
    """
    y = np.array(values, float)
    if y.ndim != 1 or len(y) < 2:
        raise ValueError(
            f"{name} has the shape {y.shape}; a forecast needs one row of at least two values, so that something can "
            "be learned from the first for the second"
        )
    if np.isinf(y).any():
        raise ValueError(f"{name} is infinite at place {int(np.isinf(y).argmax())}; write NaN where nothing is known")
    missing = np.isnan(y)
    if missing[0] or missing[-1]:
        raise ValueError(f"{name} begins or ends with missing values; cut them off, nothing can be filled in there")
    edges = np.flatnonzero(np.diff(missing.astype(int)))
    for start, end in zip(edges[::2] + 1, edges[1::2] + 1, strict=True):
        if end - start > horizon:
            raise ValueError(
                f"{name} misses {end - start} values from place {start} on, more than the horizon of {horizon}: a "
                "filled-in piece of this length would be judged as if it were measured; take the part behind the gap, "
                "or a longer horizon"
            )
    places = np.arange(len(y))
    y[missing] = np.interp(places[missing], places[~missing], y[~missing])
    if np.ptp(y) == 0:
        raise ValueError(
            f"{name} never changes: all {len(y)} values are {y[0]:g}. Its scale is zero, and every forecast but this "
            "value is wrong; check that the right column was read"
        )
    return y


@dataclass(frozen=True, eq=False)
class Problem:
    """A series and how it is forecast; y: (n,).

    Raises:
        ValueError: for values that cannot be forecast, see `checked`, and for a series that is shorter than its plan.
    """

    y: Array
    plan: Plan

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", checked(self.y, self.plan.horizon))
        needed = max(self.plan.origins("test")) + self.plan.horizon
        if len(self.y) < needed:
            raise ValueError(
                f"the series has {len(self.y)} values, but the last origin and its horizon need {needed}; take earlier "
                "origins, or a shorter horizon"
            )

    def truth(self, origin: int) -> Array:
        """The values (horizon,) that a forecast from the origin is about."""
        return self.y[origin : origin + self.plan.horizon]

    def clock(self, until: int) -> Array:
        """What the calendar alone says, (n,): a constant and harmonics of the year, fitted to the first values."""
        turns = 2 * np.pi * np.arange(len(self.y)) / self.plan.period
        order = range(1, self.plan.harmonics + 1)
        columns = [np.ones_like(turns)]
        columns += [wave(k * turns) for k in order for wave in (np.sin, np.cos)]
        design = np.stack(columns, 1)
        weights = np.linalg.lstsq(design[:until], self.y[:until], rcond=None)[0]
        return design @ weights


def problem(name: str) -> Problem:
    """The sea, or the weather, by the plan of that name."""
    series = sea_surface() if name == "sea" else seattle()
    return Problem(series.y[:, 0].numpy(), PLANS[name])
