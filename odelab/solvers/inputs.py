"""What the caller passed, checked once and brought into the one form the loops work on.

Inside, the state is one tensor (tuples are concatenated), times are Python floats in the order of integration, and
func is a `VectorField` that counts its evaluations.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odelab.solvers.control import Norm, rms_norm
from odelab.solvers.loops import Callbacks, Stats
from odelab.solvers.stepping import Time

State = Tensor | tuple[Tensor, ...]
CALLBACK_NAMES = ("callback_step", "callback_accept_step", "callback_reject_step")


class VectorField:
    """func as the loops see it: takes float times, counts its evaluations, checks what it returns.

    func itself gets t as a 0-d tensor in the real dtype of the state, on the state's device.
    """

    def __init__(self, func: Callable[..., Tensor], y0: Tensor, stats: Stats) -> None:
        self.func, self.stats = func, stats
        self.shape, self.dtype, self.device = y0.shape, y0.dtype, y0.device
        self.time_dtype = torch.empty((), dtype=y0.dtype).abs().dtype

    def __call__(self, t: Time, y: Tensor) -> Tensor:
        self.stats.nfe += 1
        if isinstance(t, Tensor):
            t = t.to(self.time_dtype)
        else:
            t = torch.scalar_tensor(t, dtype=self.time_dtype, device=self.device)
        slope = self.func(t, y)
        if not isinstance(slope, Tensor) or slope.shape != self.shape or slope.dtype != self.dtype:
            raise self._complaint(slope, t)
        if slope.device != self.device:
            raise self._complaint(slope, t)
        return slope

    def _complaint(self, slope: Any, t: Tensor) -> Exception:
        if not isinstance(slope, Tensor):
            return TypeError(f"func must return a tensor like y, but returned {type(slope).__name__} at t = {t}")
        for name in ("shape", "dtype", "device"):
            got, wanted = getattr(slope, name), getattr(self, name)
            if got != wanted:
                got, wanted = (tuple(got), tuple(wanted)) if name == "shape" else (got, wanted)
                kind = ValueError if name == "shape" else TypeError
                return kind(
                    f"func must return dy/dt with the {name} of y, {wanted}, but returned {got} at t = {float(t):.6g}"
                )
        return TypeError("func returned an unusable tensor")


@dataclass
class Layout:
    """How the state tensor maps to what the caller passed: itself, or pieces of a tuple."""

    shapes: tuple[torch.Size, ...] | None = None

    def pack(self, state: Any) -> Tensor:
        """Tuple of tensors -> one flat tensor; a tensor stays as it is."""
        return state if self.shapes is None else torch.cat([piece.reshape(-1) for piece in state])

    def unpack(self, y: Tensor, lead: tuple[int, ...] = ()) -> State:
        """(*lead, numel) -> tuple of (*lead, *shape); the inverse of `pack` for lead = ()."""
        if self.shapes is None:
            return y
        sizes = [shape.numel() for shape in self.shapes]
        pieces = torch.split(y, sizes, dim=-1)
        return tuple(piece.reshape((*lead, *shape)) for piece, shape in zip(pieces, self.shapes, strict=True))

    def field(self, func: Callable[..., Any]) -> Callable[..., Tensor]:
        """func over the caller's state -> func over the packed state."""
        if self.shapes is None:
            return func
        shapes = self.shapes

        def packed(t: Tensor, y: Tensor) -> Tensor:
            slopes = func(t, self.unpack(y))
            if not isinstance(slopes, (tuple, list)) or len(slopes) != len(shapes):
                raise TypeError(
                    f"func must return a tuple of {len(shapes)} tensors, as y0 is one; got {_describe(slopes)}"
                )
            for i, (slope, shape) in enumerate(zip(slopes, shapes, strict=True)):
                if not isinstance(slope, Tensor) or slope.shape != shape:
                    raise ValueError(
                        f"func must return dy/dt shaped like y; item {i} is {_describe(slope)}, not {tuple(shape)}"
                    )
            return torch.cat([slope.reshape(-1) for slope in slopes])

        return packed

    def event(self, event_fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return event_fn if self.shapes is None else lambda t, y: event_fn(t, self.unpack(y))

    def norm(self, user_norm: Callable[..., Any] | None) -> Norm:
        """Error norm over the packed state; for tuples the largest of the pieces' norms by default."""
        if self.shapes is None:
            return user_norm or rms_norm
        if user_norm is not None:
            return lambda x: user_norm(self.unpack(x))
        return lambda x: largest_norm(self.unpack(x))

    def tolerance(self, name: str, tol: Any, y0: Tensor) -> float | Tensor:
        """A float, or a tensor that broadcasts against y0; for tuple states also one entry per item."""
        if self.shapes is not None and isinstance(tol, (tuple, list)):
            if len(tol) != len(self.shapes):
                raise ValueError(f"{name} has {len(tol)} entries for a tuple y0 of {len(self.shapes)} tensors")
            items = [torch.as_tensor(x, dtype=torch.float64, device="cpu") for x in tol]
            tol = torch.cat([item.expand(shape).reshape(-1) for item, shape in zip(items, self.shapes, strict=True)])
        if not isinstance(tol, Tensor):
            tol = torch.as_tensor(tol, dtype=torch.float64, device="cpu")
        if tol.requires_grad:
            raise ValueError(f"{name} must not require gradients")
        if bool((~(tol >= 0)).any()):
            raise ValueError(f"{name} must be non-negative numbers, got {tol.tolist()}")
        if tol.ndim == 0:
            return float(tol)
        try:
            torch.broadcast_shapes(tol.shape, y0.shape)
        except RuntimeError:
            raise ValueError(
                f"{name} of shape {tuple(tol.shape)} does not broadcast to y0's {tuple(y0.shape)}"
            ) from None
        return tol.to(device=y0.device, dtype=y0.abs().dtype)


def largest_norm(pieces: Iterable[Tensor]) -> Tensor:
    """The largest root mean square among the tensors of a tuple state."""
    return torch.stack([rms_norm(piece) for piece in pieces if piece.numel()]).max()


def _describe(x: Any) -> str:
    return f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"{type(x).__name__}"


def pack_state(y0: Any) -> tuple[Tensor, Layout]:
    """Check y0 and bring it into one floating-point or complex tensor."""
    if isinstance(y0, list):
        raise TypeError("y0 is a list; pass a tensor, or a tuple of tensors")
    pieces = y0 if isinstance(y0, tuple) else (y0,)
    if not pieces:
        raise ValueError("y0 is an empty tuple")
    for i, piece in enumerate(pieces):
        name = f"y0[{i}]" if isinstance(y0, tuple) else "y0"
        if not isinstance(piece, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(piece).__name__}")
        if not (piece.is_floating_point() or piece.is_complex()):
            raise TypeError(f"{name} has integer dtype {piece.dtype}; use {name}.float() or .double()")
        if piece.device != pieces[0].device:
            raise ValueError(f"{name} is on {piece.device}, but y0[0] on {pieces[0].device}")
    if sum(piece.numel() for piece in pieces) == 0:
        raise ValueError("y0 is empty: there is nothing to integrate")
    layout = Layout(tuple(piece.shape for piece in y0)) if isinstance(y0, tuple) else Layout()
    return layout.pack(y0), layout


def check_times(t: Any, y0: Tensor) -> tuple[Tensor, list[float]]:
    """t as a tensor on y0's device and as floats; strictly increasing or decreasing, at least one."""
    if not isinstance(t, Tensor):
        # Through NumPy, so that a list of Python numbers keeps its 64 bits.
        t = torch.as_tensor(np.asarray(t), device=y0.device)
    if not t.is_floating_point():
        raise TypeError(f"t must be floating point, got {t.dtype}; write torch.tensor([0., 1.]) or t.float()")
    if t.ndim != 1:
        raise ValueError(f"t must be one-dimensional (a sequence of times), got shape {tuple(t.shape)}")
    if t.numel() == 0:
        raise ValueError("t is empty; give at least a start and an end, e.g. torch.tensor([0., 1.])")
    times = t.tolist()
    bad = [i for i, x in enumerate(times) if not math.isfinite(x)]
    if bad:
        raise ValueError(f"t must be finite, but t[{bad[0]}] is {times[bad[0]]}")
    steps = [b - a for a, b in pairwise(times)]
    if steps and not (all(dt > 0 for dt in steps) or all(dt < 0 for dt in steps)):
        i = next(i for i, dt in enumerate(steps) if dt == 0 or (dt > 0) != (steps[0] > 0))
        raise ValueError(
            f"t must be strictly increasing or decreasing, but t[{i}] = {times[i]:g} is followed by "
            f"t[{i + 1}] = {times[i + 1]:g}"
        )
    if t.device != y0.device:
        warnings.warn("t is not on the same device as y0; moving it there", stacklevel=4)
        t = t.to(y0.device)
    return t, times


def find_callbacks(
    func: Any, unpack: Callable[[Tensor], Any], suffix: str, supported: Sequence[str], method: str
) -> Callbacks:
    """func.callback_step and its kin, wrapped to receive (t0: 0-d tensor, y0 as the caller knows it, dt > 0)."""
    found = {name: getattr(func, name + suffix) for name in CALLBACK_NAMES if hasattr(func, name + suffix)}
    unsupported = sorted(set(found) - set(supported))
    if unsupported:
        warnings.warn(f"method {method!r} does not call {', '.join(unsupported)}", stacklevel=4)

    def wrap(callback: Callable[..., Any]) -> Callable[..., Any]:
        def call(t0: Time, y0: Tensor, dt: Time) -> Any:
            now, size = (torch.as_tensor(x, dtype=torch.float64, device=y0.device) for x in (t0, abs(dt)))
            return callback(now, unpack(y0), size)

        return call

    return Callbacks(**{n.removeprefix("callback_"): wrap(c) for n, c in found.items() if n in supported})
