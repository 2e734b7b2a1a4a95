"""What all lessons share: claims that can fail, exercises, the ledger of equations, one style, explorables."""

from odelab.lessons.kit.animation import animate
from odelab.lessons.kit.claims import ClaimFailed, above, below, claim, equation, exactly, near, verified
from odelab.lessons.kit.exercises import Hint, check, exercise
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.ledger import ledger
from odelab.lessons.kit.live import Live
from odelab.lessons.kit.style import COLORS, describe, line_style, new_figure, show, use_style

__all__ = [
    "COLORS",
    "ClaimFailed",
    "Explorable",
    "Hint",
    "Live",
    "above",
    "animate",
    "below",
    "check",
    "claim",
    "describe",
    "equation",
    "exactly",
    "exercise",
    "ledger",
    "line_style",
    "near",
    "new_figure",
    "show",
    "use_style",
    "verified",
]
