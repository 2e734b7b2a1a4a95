"""How large a step may be: error norm, first step, step-size controller.

A step is accepted when ``error_ratio <= 1``: its estimated error, measured in units of
``atol + rtol * max(|y0|, |y1|)``, has root-mean-square at most one (Hairer, Nørsett & Wanner I, Sec. II.4).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.inputs import Field, Layout
from odelab.warning import warn

Norm = Callable[[Tensor], Tensor]
BELOW = 0.1  # of the tolerance, where a state is lost in it


def rms_norm(x: Tensor) -> Tensor:
    """Root mean square of |x|, a 0-d tensor, 0 for nothing; x of any shape, real or complex."""
    return torch.linalg.vector_norm(x) / math.sqrt(x.numel() or 1)


def largest_norm(pieces: Iterable[Tensor]) -> Tensor:
    """The largest root mean square among the tensors of a tuple state, a 0-d tensor."""
    return torch.stack([rms_norm(piece) for piece in pieces]).max()


def error_norm(layout: Layout, user_norm: Callable[..., Any] | None = None) -> Norm:
    """The norm over the packed state: user_norm of the caller's state, else `rms_norm`, for tuples `largest_norm`."""
    if layout.shapes is None:
        return user_norm or rms_norm
    norm = user_norm or largest_norm
    return lambda x: norm(layout.unpack(x))


def scaled_norm(x: Tensor, size: Tensor, rtol: float | Tensor, atol: float | Tensor, norm: Norm) -> float:
    """norm(x / (atol + rtol * size)), for size = |y| of the shape of x.

    Raises:
        ValueError: where the caller's norm is none; NaN is told of later.
    """
    value = norm(x / (size * rtol).add_(atol))
    if (isinstance(value, Tensor) and value.numel() != 1) or (number := float(value)) < 0:
        raise ValueError(f"options['norm'] must return one number, at least 0, got {value}")
    return number


@dataclass(frozen=True)
class Controller:
    """The elementary controller: dt ← dt · clip(safety · error_ratio^(−1/order), dfactor, ifactor).

    A rejected step never grows and an accepted one never shrinks.
    """

    order: int
    rtol: float | Tensor
    atol: float | Tensor
    norm: Norm = rms_norm
    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2
    min_step: float = 0.0
    max_step: float = math.inf

    @property
    def least(self) -> float:
        """min_step and its rounding: a step so short is taken with any error, also where it ends on a stop."""
        return self.min_step * (1 + 1e-9)

    def error_ratio(self, error: Tensor, y0: Tensor, y1: Tensor) -> float:
        """The step's error in units of the tolerance; the one value per step that leaves the device.

        Call it under `torch.no_grad()`: the size of a step is not differentiated.
        """
        return scaled_norm(error, torch.maximum(y0.abs(), y1.abs()), self.rtol, self.atol, self.norm)

    def next_dt(self, dt: float, error_ratio: float) -> float:
        """The size of the next step (signed as dt)."""
        if error_ratio == 0:
            factor = self.ifactor
        elif not math.isfinite(error_ratio):
            factor = self.dfactor
        else:
            smallest = 1.0 if error_ratio < 1 else self.dfactor
            factor = min(self.ifactor, max(self.safety * error_ratio ** (-1.0 / self.order), smallest))
        return self.clip(dt * factor)

    def clip(self, dt: float) -> float:
        """dt with its size between min_step and max_step."""
        return math.copysign(min(max(abs(dt), self.min_step), self.max_step), dt)

    def tell_of_small_start(self, d0: float, change: float, y0: Tensor, row: int | None = None) -> None:
        """Warn where y0 and its change over the solve, both in units of the tolerance, are lost in atol."""
        if not (isinstance(self.rtol, float) and self.rtol < 1):
            return  # rtol hides the state, which is told of elsewhere
        if 0 < d0 < BELOW and change < BELOW:
            where, size = ("", y0) if row is None else (f" in row {row} of the batch", y0[row])
            warn(
                f"y0{where} (at most {size.abs().max().item():.2g}) and what func changes in it are far smaller than "
                "atol, so that every step is accepted, however wrong: take an atol far below the size of y0, or other "
                "units. Where y0 is meant to be 0, make it exactly 0"
            )

    def tell_of_small_rows(self, d0: Tensor, d1: Tensor, span: Tensor, y0: Tensor) -> None:
        """The same of the first such row, where each has its own sizes of y0 and of its slope, and its own time."""
        change = d1 * span.abs()
        lost = ((d0 > 0) & (d0 < BELOW) & (change < BELOW) & (span != 0)).view(-1)
        if bool(lost.any()):
            row = int(lost.nonzero()[0])
            self.tell_of_small_start(float(d0.view(-1)[row]), float(change.view(-1)[row]), y0, row)

    def first_step(self, f: Field, t0: float, y0: Tensor, slope0: Tensor, span: float) -> float:
        """A first dt from the sizes of y, f and one Euler step's change of f (Hairer, Nørsett & Wanner I, II.4).

        Costs one evaluation of f, within the (signed) span of the solve. Returns NaN where f(t0, y0) is not finite.
        """
        y0, slope0 = y0.detach(), slope0.detach()
        size = y0.abs()
        d0 = scaled_norm(y0, size, self.rtol, self.atol, self.norm)
        d1 = scaled_norm(slope0, size, self.rtol, self.atol, self.norm)
        if not math.isfinite(d0 + d1):
            return math.nan
        if d0 < BELOW:
            self.tell_of_small_start(d0, d1 * abs(span), y0)
        h0 = min(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, self.max_step, abs(span))
        direction = math.copysign(1.0, span)
        # f keeps the caller's gradient mode: a field may differentiate inside itself.
        slope1 = f(t0 + direction * h0, torch.add(y0, slope0, alpha=direction * h0)).detach()
        d2 = scaled_norm(slope1 - slope0, size, self.rtol, self.atol, self.norm) / h0
        if max(d1, d2) <= 1e-15:
            h1 = max(1e-6, h0 * 1e-3)
        else:  # an infinite d2 means that even h0 was too far
            h1 = (0.01 / max(d1, d2)) ** (1.0 / self.order) if math.isfinite(d2) else h0 * 1e-3
        return self.clip(direction * min(100 * h0, h1))


def tell_of_min_step(min_step: float, t: float, error_ratio: float) -> None:
    """Warn that a step has more error than the tolerances allow, and was accepted because it may not be shorter."""
    warn(
        f"min_step = {min_step:g} at t = {t:.6g}: a step so short has {error_ratio:.2g} times the error that rtol and "
        "atol allow, and is taken all the same. Make min_step smaller"
    )
