"""What can go wrong while solving, each with the place (t, dt), the cost so far (NFE) and one hint.

Mistakes in what the caller passed raise ``ValueError`` or ``TypeError`` (see `inputs`); the errors here are
failures of a well-posed call: the numbers stopped being finite, or the tolerance cannot be met.
"""

from __future__ import annotations


class SolverError(RuntimeError):
    """A solve that could not go on.

    Attributes:
        t: time at which it stopped.
        dt: the last step tried (0.0 where no step had been chosen yet).
        nfe: evaluations of ``func`` so far.
        hint: what to try.
    """

    def __init__(self, what: str, *, t: float, dt: float = 0.0, nfe: int = 0, hint: str = "") -> None:
        self.t, self.dt, self.nfe, self.hint = t, dt, nfe, hint
        where = f"at t = {t:.6g} with dt = {dt:.3g} after {nfe} evaluations of func"
        super().__init__(f"{what} {where}." + (f" Hint: {hint}" if hint else ""))

    def __reduce__(self):  # keyword-only arguments do not survive pickling (multiprocessing, lightning) by themselves
        return _rebuild, (type(self), self.args[0], self.t, self.dt, self.nfe, self.hint)


def _rebuild(cls: type[SolverError], message: str, t: float, dt: float, nfe: int, hint: str) -> SolverError:
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.t, error.dt, error.nfe, error.hint = t, dt, nfe, hint
    return error


class NonFiniteState(SolverError):
    """The state or its derivative is NaN or infinite."""


class StepSizeUnderflow(SolverError):
    """The tolerance asks for a step that floating-point time cannot represent."""


class MaxStepsExceeded(SolverError):
    """``max_num_steps`` steps did not reach the next output time."""
