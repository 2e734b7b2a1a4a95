"""Learning rates as a factor, given how much of the run is done (0 to 1)."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(done: float) -> float:
    return 1.0


def cosine(final: float = 0.0) -> Schedule:
    """From 1 down to ``final`` along half a cosine."""
    return lambda done: final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


def one_cycle(warm_up: float = 0.25, start: float = 0.04, final: float = 1e-4) -> Schedule:
    """Up from ``start`` to 1 during the first part of the run, then down to ``final``, both along half a cosine.

    Raises:
        ValueError: when ``warm_up`` is not a share of the run, 0 ≤ warm_up < 1.
    """
    if not 0 <= warm_up < 1:
        raise ValueError(f"warm_up = {warm_up}: the share of the run in which the rate goes up, at least 0 and below 1")

    def factor(done: float) -> float:
        if done < warm_up:
            return 1 - (1 - start) * (1 + math.cos(math.pi * done / warm_up)) / 2
        return cosine(final)((done - warm_up) / (1 - warm_up))

    return factor
