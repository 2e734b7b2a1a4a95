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
        "from line to line the gap falls, and you let it rise": 2 * shallower,
        "that is too much: compare the gaps at 16 and 32 layers, and those at 32 and 64": gap / 2,
        "that is layers × gap, which stays nearly constant; divide it by the layers": 128 * gap,
        "you subtracted as much as from 32 to 64; look at the ratio of neighbours, not at their difference": (
            max(2 * shallower - scene().gap(32), 0.0)
        ),
    }.items():
        if abs(value - slip) <= 0.1 * slip:
            raise Hint(advice)
    if value <= 0:
        raise Hint("a gap is a distance, and this one never becomes zero: by which factor does it fall?")
    size = "too large" if value > gap else "too small"
    raise Hint(
        f"{value:.3g} is {size}: at 64 layers the gap is {shallower:.2g}. By which factor did it fall from 32 to 64, "
        "and by which from 16 to 32?"
    )
