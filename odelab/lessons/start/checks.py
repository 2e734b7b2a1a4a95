"""The exercise of lesson 00: what a law of the gap says about a depth that was not drawn."""

from typing import Any

import numpy as np

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import tensor_of
from odelab.lessons.start.explorables import residual_states, scene


@exercise
def gap_at_128(answer: Any) -> None:
    """The largest gap between the outputs of 128 layers and of the ODE, to within a seventh."""
    value = float(tensor_of("the gap", answer, ()))
    gap = float(np.abs(residual_states(128)[-1] - scene().ode[-1]).max())
    if abs(value / gap - 1) < 1 / 7:
        return
    shallower = scene().gap(64)
    for advice, slip in {
        "that is the gap at 64 layers; does twice the depth change nothing?": shallower,
        "the gap falls, but you let it rise: twice the layers, half the gap": 2 * shallower,
        "twice the layers divide the gap by two, not by four": gap / 2,
        "that is layers × gap, which stays nearly constant; divide it by the layers": 128 * gap,
        "you subtracted as much as from 32 to 64; look at the ratio of neighbours, not at their difference": (
            max(2 * shallower - scene().gap(32), 0.0)
        ),
    }.items():
        if abs(value - slip) <= 0.1 * slip:
            raise Hint(advice)
    if value <= 0:
        raise Hint("the gap halves with every doubling, so it never is zero or less")
    size = "too large" if value > gap else "too small"
    raise Hint(f"{value:.3g} is {size}: start from the gap at 64 layers, which is {shallower:.2g}, and halve it once")
