"""The hint that fits a wrong tensor: one of the slips that are usually made, or how far off it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint


def compare(name: str, measured: Any, exact: Tensor, wrong: Mapping[str, Tensor]) -> None:
    """Raise the hint that belongs to a known wrong value, or say how far off an unknown one is.

    Args:
        name: of what was asked for, as the hint's subject.
        measured: the reader's answer, a tensor or number.
        exact: the right one, float64.
        wrong: advice -> the value that the slip gives.

    Raises:
        Hint: when the answer is not the right one.
    """
    value = torch.as_tensor(measured, dtype=torch.float64).detach()

    def equals(other: Tensor) -> bool:
        return value.shape == other.shape and torch.allclose(value, other.detach(), rtol=1e-6, atol=1e-9)

    if equals(exact):
        return
    for advice, slip in wrong.items():
        if equals(slip):
            raise Hint(f"{name}: {advice}")
    if value.shape != exact.shape:
        raise Hint(f"{name} should have shape {tuple(exact.shape)}, yours has {tuple(value.shape)}")
    raise Hint(f"{name} is off by {float((value - exact).abs().max()):.2g}, and by none of the usual slips")
