"""The hint that fits a wrong tensor: one of the slips that are usually made, or how far off it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, NotAttempted


def compare(
    name: str,
    measured: Any,
    exact: Any,
    wrong: Mapping[str, Any],
    *,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    otherwise: str = "",
) -> None:
    """Raise the hint that belongs to a known wrong value, or say how far off an unknown one is.

    Args:
        name: of what was asked for, as the hint's subject.
        measured: the reader's answer, a tensor or number.
        exact: the right one.
        wrong: advice -> the value that the slip gives.
        rtol, atol: how far a value may be from one of these and still count as it.
        otherwise: the hint for any other value of the right shape, in place of how far off it is.

    Raises:
        Hint: when the answer is not the right one.
    """
    value, exact = tensor_of(name, measured), tensor_of(name, exact)

    def equals(other: Any) -> bool:
        other = tensor_of(name, other)
        return value.shape == other.shape and torch.allclose(value, other, rtol=rtol, atol=atol)

    if equals(exact):
        return
    for advice, slip in wrong.items():
        if equals(slip):
            raise Hint(f"{name}: {advice}")
    tensor_of(name, value, exact.shape)
    if not torch.isfinite(value).all():
        raise Hint(f"{name} holds inf or nan: which line divides by zero, or grows without bound?")
    gap = float((value - exact).abs().max())
    raise Hint(otherwise or f"{name} is off by {gap:.2g}, and by none of the usual slips")


def tensor_of(name: str, answer: Any, shape: Sequence[int] | None = None) -> Tensor:
    """The answer in float64, where tensors in a list are stacked.

    Raises:
        Hint: when it holds no numbers, or has another shape than this one.
        NotAttempted: when it is, or holds, the ``...`` of a stub.
    """
    if answer is ... or (isinstance(answer, (list, tuple)) and any(part is ... for part in answer)):
        raise NotAttempted
    if isinstance(answer, (list, tuple)) and any(isinstance(part, Tensor) for part in answer):
        try:
            answer = torch.stack(list(answer))
        except (TypeError, RuntimeError):
            raise Hint(f"{name} should be one tensor, yours is a {type(answer).__name__} of {len(answer)}") from None
    try:
        value = torch.as_tensor(answer, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        wanted = "a number" if shape is not None and not len(shape) else "a tensor of numbers"
        raise Hint(f"{name} should be {wanted}, yours is a {type(answer).__name__}") from None
    if shape is not None and value.shape != tuple(shape):
        wanted = f"have shape {tuple(shape)}" if len(shape) else "be one number"
        raise Hint(f"{name} should {wanted}, yours has shape {tuple(value.shape)}")
    return value


def parts(answer: Any, count: int, otherwise: str) -> Sequence[Any]:
    """The answer, if it is a tuple or list of so many things.

    Raises:
        Hint: ``otherwise``, when it is not.
    """
    if not isinstance(answer, (tuple, list)) or len(answer) != count:
        raise Hint(otherwise)
    return answer
