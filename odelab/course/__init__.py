"""What makes a lesson checkable: exercises, claims that can fail, and the ledger of equations."""

from odelab.course.claims import ClaimFailed, claim, equation, verified
from odelab.course.exercises import Hint, check, exercise
from odelab.course.ledger import ledger

__all__ = [
    "ClaimFailed",
    "Hint",
    "check",
    "claim",
    "equation",
    "exercise",
    "ledger",
    "verified",
]
