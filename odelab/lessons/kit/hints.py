"""The hint that fits a wrong tensor: one of the slips that are usually made, or how far off it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint


def compare(
    name: str, measured: Any, exact: Any, wrong: Mapping[str, Any], *, rtol: float = 1e-6, atol: float = 1e-9
) -> None:
    """Raise the hint that belongs to a known wrong value, or say how far off an unknown one is.

    Args:
        name: of what was asked for, as the hint's subject.
        measured: the reader's answer, a tensor or number.
        exact: the right one.
        wrong: advice -> the value that the slip gives.
        rtol, atol: how far a value may be from one of these and still count as it.

    Raises:
        Hint: when the answer is not the right one.
    """
    value, exact = _float64(measured), _float64(exact)

    def equals(other: Any) -> bool:
        other = _float64(other)
        return value.shape == other.shape and torch.allclose(value, other, rtol=rtol, atol=atol)

    if equals(exact):
        return
    for advice, slip in wrong.items():
        if equals(slip):
            raise Hint(f"{name}: {advice}")
    if value.shape != exact.shape and not exact.shape:
        raise Hint(f"{name} should be one number, yours has shape {tuple(value.shape)}")
    if value.shape != exact.shape:
        raise Hint(f"{name} should have shape {tuple(exact.shape)}, yours has {tuple(value.shape)}")
    raise Hint(f"{name} is off by {float((value - exact).abs().max()):.2g}, and by none of the usual slips")


def _float64(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).detach()
