"""What a solve gives back."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.inputs import Layout, State, Stats, as_float
from odelab.solvers.stepping import Interpolant, Step


@dataclass
class DenseSolution:
    """The solution as a function of time, piecewise polynomial; between the first and the last time of the solve."""

    layout: Layout
    starts: list[float] = field(default_factory=list)
    pieces: list[tuple[Any, Any, Interpolant]] = field(default_factory=list)

    def add(self, step: Step, solution: Interpolant) -> None:
        """Keep the interpolant of the next step."""
        self.starts.append(as_float(step.t0))
        self.pieces.append((step.t0, step.dt, solution))

    def __call__(self, t: float | Sequence[float] | Tensor) -> State:
        """y(t): for a number or 0-d tensor of the shape of y0, for times (n,) of shape (n, *y0.shape).

        Raises:
            ValueError: for times outside the interval that was solved, and for a table of times.
        """
        shape = t.shape if isinstance(t, Tensor) else torch.as_tensor(t).shape
        if len(shape) > 1:
            raise ValueError(f"dense output is for one time, or for times (n,), got shape {tuple(shape)}")
        if shape:
            states = [self._at(x) for x in t]  # type: ignore[union-attr]
            y = torch.stack(states) if states else self._at(self.starts[0])[None][:0]
            return self.layout.unpack(y, tuple(shape))
        return self.layout.unpack(self._at(t))  # type: ignore[arg-type]

    def _at(self, t: float | Tensor) -> Tensor:
        now, forward = as_float(t), as_float(self.pieces[0][1]) > 0
        starts = self.starts if forward else [-x for x in self.starts]
        index = max(bisect.bisect_right(starts, now if forward else -now) - 1, 0)
        t0, dt, solution = self.pieces[index]
        x = (t - t0) / dt
        if not -1e-6 <= as_float(x) <= 1 + 1e-6:
            last_t0, last_dt, _ = self.pieces[-1]
            raise ValueError(
                f"t = {now:g} lies outside the solved interval [{self.starts[0]:g}, {as_float(last_t0 + last_dt):g}]"
            )
        return solution(x)


@dataclass
class Solution:
    """What `solve` returns.

    Attributes:
        t: output times, (n,), or (batch, n) of every row; with an event, the start and the event time.
        y: states at these times, (n, *y0.shape), or a tuple of such for a tuple y0.
        stats: what it cost.
        event_t: when event_fn crossed zero, 0-d, with per_sample (batch,); None without an event.
        rows: accepted and rejected steps of every row, with per_sample.
    """

    t: Tensor
    y: State
    stats: Stats
    event_t: Tensor | None = None
    rows: Any = None
    _dense: DenseSolution | None = field(default=None, repr=False)

    @property
    def dense(self) -> DenseSolution:
        """The solution at any time; needs solve(…, dense=True)."""
        if self._dense is None:
            raise ValueError("this solve kept no dense output; call solve(…, dense=True)")
        return self._dense
