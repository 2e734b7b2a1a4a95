"""What the caller passed, checked once and brought into the one form the loops work on.

Inside, the state is one tensor (tuples are concatenated), times are Python floats in the order of integration, and
func is a `VectorField` that counts its evaluations.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from odelab.warning import warn

Time = float | Tensor  # 0-d tensors only when a grid needs its gradient; (batch, 1, …) per sample
Field = Callable[[Time, Tensor], Tensor]
State = Tensor | tuple[Tensor, ...]
LARGEST_BUFFER = 2**20  # numbers; a larger one is data, and no statistics


@dataclass(frozen=True)
class Call:
    """The arguments of one call as the caller gave them; `solve` says what they mean.

    Attributes:
        backward: the adjoint's own rtol, atol, method and options; None or absent where the forward ones serve.
        strict: refuse an option that the method does not know, and a single time; torchdiffeq's functions do not.
    """

    func: Callable[..., Any]
    y0: Any
    t: Any
    method: str | None = None
    rtol: Any = 1e-7
    atol: Any = 1e-9
    gradient: str = "backprop"
    options: dict[str, Any] | None = None
    event_fn: Any = None
    dense: bool = False
    params: Any = None
    backward: dict[str, Any] = field(default_factory=dict)
    strict: bool = True
    direction: Any = None


@lru_cache
def precise(device: torch.device) -> torch.dtype:
    """The dtype of times on a device: float64 where it has that."""
    try:
        return torch.empty((), dtype=torch.float64, device=device).dtype
    except (TypeError, RuntimeError):  # Apple's GPUs
        return torch.float32


def as_float(t: Time) -> float:
    """The number, without the gradient that a time may carry."""
    return float(t.detach()) if isinstance(t, Tensor) else t


def in_the_dark(x: Tensor) -> bool:
    """Whether nobody can look at the numbers of x: inside torch.func.vmap, or while torch.export traces."""
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        if torch._C._functorch.is_batchedtensor(x):
            return True
        x = torch._C._functorch.get_unwrapped(x)
    return torch.compiler.is_exporting()


class StepRecord(NamedTuple):
    """One attempted step: where it started, its (signed) size, its error in units of the tolerance, its fate."""

    t: float
    dt: float
    error_ratio: float
    accepted: bool


@dataclass
class Stats:
    """What a solve cost.

    Attributes:
        method: name of the method.
        nfe: evaluations of ``func`` forward; nfe_backward: during the backward pass (filled in by ``backward()``).
        accepted, rejected: numbers of steps forward.
        steps: the log, one `StepRecord` per attempt.
    """

    method: str = ""
    nfe: int = 0
    nfe_backward: int = 0
    accepted: int = 0
    rejected: int = 0
    steps: list[StepRecord] = field(default_factory=list, repr=False)

    def record(self, t: float, dt: float, error_ratio: float, accepted: bool) -> None:
        """Log and count one attempt."""
        self.steps.append(StepRecord(t, dt, error_ratio, accepted))
        if accepted:
            self.accepted += 1
        else:
            self.rejected += 1


class VectorField:
    """func as the loops see it: takes float times, counts its evaluations, checks what it returns.

    func itself gets t as a 0-d tensor in the real dtype of the state, on the state's device.
    """

    def __init__(self, func: Callable[..., Tensor], y0: Tensor, stats: Stats) -> None:
        self.func, self.stats = func, stats
        self.shape, self.dtype, self.device = y0.shape, y0.dtype, y0.device
        self.time_dtype = y0.dtype.to_real()
        self.inference = torch.is_inference_mode_enabled()
        self.examine: Callable[[VectorField, Time, Tensor], Tensor] | None = None  # asked in place of the first slope
        self.copying = True
        self.first: list[Tensor] = []  # two slopes, held so that no other gets their memory by chance
        self.addresses: set[int] = set()  # where they lie

    def __call__(self, t: Time, y: Tensor) -> Tensor:
        """dy/dt at (t, y), of the shape, dtype and device of y, in memory that func does not fill again.

        A slope in another precision is brought into that of y.

        Raises:
            TypeError, ValueError: when func returns anything else, or changes y in place.
        """
        if self.examine is not None:
            examine, self.examine = self.examine, None
            return examine(self, t, y)
        self.stats.nfe += 1
        if isinstance(t, Tensor):
            t = t.to(self.time_dtype)
        else:
            t = torch.scalar_tensor(t, dtype=self.time_dtype, device=self.device)
        if self.inference:  # where no version counter tells of changes
            slope = self.func(t, y.clone())
        else:
            version = y._version
            slope = self.func(t, y)
            if y._version != version:
                raise changed_in_place("func")
        if not isinstance(slope, Tensor):
            raise TypeError(f"func must return a tensor like y, but returned {type(slope).__name__} at t = {t}")
        if slope.shape != self.shape or slope.dtype != self.dtype or slope.device != self.device:
            slope = self._fitted(slope, t)
        if self.copying or (self.addresses and slope.data_ptr() in self.addresses):
            return self._copy(slope)
        return slope

    def _copy(self, slope: Tensor) -> Tensor:
        """Of the first two slopes; of all from the one on that has the memory of these, because func fills buffers."""
        if len(self.first) == 2:
            self.copying = True
        else:
            try:
                address = 0 if torch.compiler.is_compiling() else slope.data_ptr()
            except RuntimeError:  # inside torch.func's transforms tensors have no memory of their own
                address = 0
            self.first.append(slope.detach())
            self.copying = len(self.first) == 1 or address in self.addresses
            self.addresses |= {address} - {0}
        return slope.clone()

    def _fitted(self, slope: Tensor, times: Tensor) -> Tensor:
        """slope in the precision of y, where only that differs (autocast, a table in float64)."""
        same = slope.shape == self.shape and slope.device == self.device
        if same and torch.can_cast(slope.dtype, self.dtype):
            return slope.to(self.dtype)
        t = times.detach().reshape(-1)[0].item()
        if slope.shape != self.shape:
            shapes = f"{tuple(self.shape)}, but returned {tuple(slope.shape)}"
            raise ValueError(f"func must return dy/dt with the shape of y, {shapes} at t = {t:.6g}")
        name = "device" if slope.device != self.device else "dtype"
        pair = f"{getattr(self, name)}, but returned {getattr(slope, name)}"
        raise TypeError(f"func must return dy/dt with the {name} of y, {pair} at t = {t:.6g}")


@dataclass
class Layout:
    """How the state tensor maps to what the caller passed: itself, or pieces of a tuple.

    Attributes:
        rows: shape of the batch, (batch,) where every row is stepped by itself, else (): the packed state is
            (*rows, numbers of a row).
    """

    shapes: tuple[torch.Size, ...] | None = None
    rows: tuple[int, ...] = ()

    @property
    def sizes(self) -> list[int]:
        """Numbers of each piece in the last axis of the packed state."""
        return [shape[len(self.rows) :].numel() for shape in self.shapes or ()]

    def pack(self, pieces: Sequence[Tensor]) -> Tensor:
        """The pieces side by side."""
        return torch.cat([piece.reshape(*self.rows, piece.shape[len(self.rows) :].numel()) for piece in pieces], dim=-1)

    def unpack(self, y: Tensor, lead: tuple[int, ...] = ()) -> State:
        """(*lead, *rows, numbers) -> tuple of (*lead, *shape); the inverse of `pack` for lead = ()."""
        if self.shapes is None:
            return y
        pieces = torch.split(y, self.sizes, dim=-1)
        return tuple(piece.reshape((*lead, *shape)) for piece, shape in zip(pieces, self.shapes, strict=True))

    def field(self, func: Callable[..., Any]) -> Callable[..., Tensor]:
        """func over the caller's state -> func over the packed state."""
        if self.shapes is None:
            return func
        shapes = self.shapes

        def packed(t: Tensor, y: Tensor) -> Tensor:
            slopes = func(self.times(t), self.unpack(y))
            if not isinstance(slopes, (tuple, list)) or len(slopes) != len(shapes):
                raise TypeError(
                    f"func must return a tuple of {len(shapes)} tensors, as y0 is one; got {_describe(slopes)}"
                )
            for i, (slope, shape) in enumerate(zip(slopes, shapes, strict=True)):
                if not isinstance(slope, Tensor) or slope.shape != shape:
                    raise ValueError(
                        f"func must return dy/dt shaped like y; item {i} is {_describe(slope)}, not {tuple(shape)}"
                    )
            return self.pack(slopes)

        return packed

    def event(self, event_fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """event_fn over the caller's state -> event_fn over the packed state."""
        return event_fn if self.shapes is None else lambda t, y: event_fn(self.times(t), self.unpack(y))

    def times(self, t: Tensor) -> Tensor:
        """A time of each row ready to broadcast against the pieces; one for all as it is."""
        return t.view(*self.rows, *[1] * (max(map(len, self.shapes or ())) - 1)) if t.ndim else t

    def tolerance(self, name: str, tol: Any, y0: Tensor) -> float | Tensor:
        """A float, or a tensor that broadcasts against y0; for tuple states also one entry per item.

        Raises:
            ValueError: when it is negative, NaN, infinite for all entries, of a shape that does not fit, or requires
                gradients.
        """
        if isinstance(tol, float) and 0 <= tol < math.inf:
            return tol
        if self.shapes is not None and isinstance(tol, (tuple, list)):
            if len(tol) != len(self.shapes):
                raise ValueError(f"{name} has {len(tol)} entries for a tuple y0 of {len(self.shapes)} tensors")
            items = [torch.as_tensor(x, dtype=torch.float64, device="cpu") for x in tol]
            tol = self.pack([item.expand(shape) for item, shape in zip(items, self.shapes, strict=True)])
        if not isinstance(tol, Tensor):
            try:
                tol = torch.as_tensor(tol, dtype=torch.float64, device="cpu")
            except (TypeError, ValueError, RuntimeError):
                raise TypeError(f"{name} must be a number or a tensor of numbers, got {tol!r}") from None
        if tol.requires_grad:
            raise ValueError(f"{name} must not require gradients; write {name}.detach()")
        if bool((~(tol >= 0)).any()):
            raise ValueError(f"{name} must be non-negative numbers, got {tol.tolist()}")
        if tol.numel() and bool(tol.isinf().all()):
            raise ValueError(f"{name} is infinite, which allows any error; give it finite values")
        if tol.ndim == 0:
            return float(tol)
        try:
            torch.broadcast_shapes(tol.shape, y0.shape)
        except RuntimeError:
            raise ValueError(
                f"{name} of shape {tuple(tol.shape)} does not broadcast to y0's {tuple(y0.shape)}"
            ) from None
        return tol.to(device=y0.device, dtype=y0.abs().dtype)


def _describe(x: Any) -> str:
    return f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"{type(x).__name__}"


def pack_state(y0: Any, per_sample: bool = False) -> tuple[Tensor, Layout]:
    """y0 as one floating-point or complex tensor, and the way back.

    Args:
        per_sample: pack a tuple of one batch row by row.

    Raises:
        TypeError, ValueError: when y0 is no such tensor and no tuple of such on one device.
    """
    if isinstance(y0, list):
        raise TypeError("y0 is a list; pass a tensor, or a tuple of tensors")
    pieces = y0 if isinstance(y0, tuple) else (y0,)
    if not pieces:
        raise ValueError("y0 is an empty tuple; give at least one tensor")
    for i, piece in enumerate(pieces):
        name = f"y0[{i}]" if isinstance(y0, tuple) else "y0"
        if not isinstance(piece, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor, got {type(piece).__name__}: torch.as_tensor({name}) makes one"
            )
        if piece.layout != torch.strided:
            raise TypeError(f"{name} is sparse; use {name}.to_dense()")
        if not (piece.is_floating_point() or piece.is_complex()):
            raise TypeError(f"{name} has integer dtype {piece.dtype}; use {name}.float() or .double()")
        if piece.device != pieces[0].device:
            raise ValueError(f"{name} is on {piece.device}, but y0[0] on {pieces[0].device}; move one of them")
    if isinstance(y0, Tensor):
        return y0.clone(), Layout()  # neither the caller nor the solution hold what the solve starts from
    shapes = tuple(piece.shape for piece in pieces)
    one_batch = len({shape[:1] for shape in shapes}) == 1 and max(map(len, shapes)) >= 2
    layout = Layout(shapes, tuple(shapes[0][:1]) if per_sample and one_batch else ())
    return layout.pack(y0), layout


def check_times(t: Any, y0: Tensor, per_sample: bool = False) -> tuple[Tensor, list[float]]:
    """t as a tensor on y0's device and as floats; strictly increasing or decreasing, at least one.

    Args:
        per_sample: t may also be (batch, n), where the times of a row may repeat; the floats are those of the first.

    Raises:
        TypeError, ValueError: when t is anything else; the message names the first time that does not fit.
    """
    given, numbers = isinstance(t, Tensor), t
    if not given:
        numbers = np.asarray(t)  # keeps the 64 bits of a list of Python numbers
        t = torch.as_tensor(numbers, device="cpu")
    elif torch.compiler.is_exporting():
        raise ValueError("torch.export knows no numbers of a tensor: give t as a list of times")
    if not t.is_floating_point():
        raise TypeError(f"t must be floating point, got {t.dtype}; write torch.tensor([0., 1.]) or t.float()")
    if t.ndim != 1 and not (per_sample and t.ndim == 2):
        also = f", or ({len(y0)}, n), times of every row" if per_sample else ""
        raise ValueError(f"t must be one-dimensional (a sequence of times){also}, got shape {tuple(t.shape)}")
    if t.ndim == 2 and len(t) != len(y0):
        raise ValueError(f"t has times for {len(t)} rows, but y0 has {len(y0)}")
    if t.shape[-1] == 0:
        raise ValueError("t is empty; give at least a start and an end, e.g. torch.tensor([0., 1.])")
    rows, repeats = (numbers.tolist(), True) if t.ndim == 2 else ([numbers.tolist()], False)
    for row, times in enumerate(rows):
        name = f"t[{row}, {{}}]" if repeats else "t[{}]"
        for i, time in enumerate(times):
            if not math.isfinite(time):
                raise ValueError(f"t must be finite, but {name.format(i)} is {time}")
        rises = times[-1] > times[0] if repeats else times[min(1, len(times) - 1)] > times[0]
        for i, (before, after) in enumerate(pairwise(times)):
            if (before == after and not repeats) or (before != after and (after > before) != rises):
                close = abs(before - after) < 1e-6 * abs(before) and t.dtype != torch.float64
                hint = (
                    f"; {t.dtype} may not tell them apart: use float64, or count from the first time" if close else ""
                )
                raise ValueError(
                    f"t must be strictly increasing or decreasing, but {name.format(i)} = {before:.10g} is followed by "
                    f"{name.format(i + 1)} = {after:.10g}{hint}"
                )
    if t.device != y0.device:
        if given:
            warn("t is not on the same device as y0; moving it there")
        t = t.to(y0.device, precise(y0.device) if t.dtype == torch.float64 else t.dtype)
    return t, rows[0] if rows else [0.0] * t.shape[-1]


@contextmanager
def unchanged(y: Tensor, who: str) -> Iterator[Tensor]:
    """y for the caller's function `who`, a copy where no version counter would tell that it was changed.

    Raises:
        ValueError: when it was.
    """
    if y.is_inference():
        yield y.clone()
        return
    version = y._version
    yield y
    if y._version != version:
        raise changed_in_place(who)


def changed_in_place(who: str) -> Exception:
    """The solver goes on from y, and so may the caller."""
    return ValueError(f"{who} changed y in place; write y = y.clone() first, or an operation without underscore")


@dataclass(frozen=True)
class Callbacks:
    """Functions of (t0, y0, dt) called before each step and after its acceptance or rejection, where there are such."""

    step: Callable[[Time, Tensor, Time], Any] | None = None
    accept_step: Callable[[Time, Tensor, Time], Any] | None = None
    reject_step: Callable[[Time, Tensor, Time], Any] | None = None


NO_CALLBACKS = Callbacks()
CALLBACK_NAMES = ("callback_step", "callback_accept_step", "callback_reject_step")


def find_callbacks(
    func: Any, unpack: Callable[[Tensor], Any], suffix: str, supported: Sequence[str], method: str
) -> Callbacks:
    """func.callback_step and its kin, wrapped to receive (t0: 0-d tensor, y0 as the caller knows it, dt > 0).

    Args:
        suffix: "_adjoint" for those of the backward solve.
        supported: those of `CALLBACK_NAMES` that the method calls; a warning names the others.
    """
    callbacks: dict[str, Callable[..., Any]] = {}
    unsupported: list[str] = []
    for name in CALLBACK_NAMES:
        callback = getattr(func, name + suffix, None)
        if callback is None:
            continue
        if name in supported:
            callbacks[name.removeprefix("callback_")] = _for_the_caller(callback, unpack, name)
        else:
            unsupported.append(name)
    if unsupported:
        warn(f"method {method!r} does not call {', '.join(sorted(unsupported))}")
    return Callbacks(**callbacks)


def _for_the_caller(callback: Callable[..., Any], unpack: Callable[[Tensor], Any], name: str) -> Callable[..., Any]:
    def call(t0: Time, y0: Tensor, dt: Time) -> Any:
        now = torch.as_tensor(t0, dtype=precise(y0.device), device=y0.device)
        size = torch.as_tensor(abs(dt), dtype=precise(y0.device), device=y0.device)
        with unchanged(y0, name) as y0:
            return callback(now, unpack(y0), size)

    return call


@dataclass
class Surroundings:
    """What func is computed with, so that the backward pass can find it again.

    Attributes:
        func: the caller's.
        params: the tensors to differentiate.
        owned: (attributes, name, value) of what a module func and its parts have: parameters, in whose place
            `torch.func.functional_call` puts others, but only while it runs; tensors that are attributes, such as a
            context that the next forward pass replaces; whether they are in training.
        buffers: (module, name) of those that func may change, as the statistics of batch norm.
        autocast: arguments of `torch.autocast`.
        met: which of params the first slope depended on, by number.
        generators: modules with the state of the random numbers that func may draw, and before: these states before
            the solve, where somebody looks.
        random: whether it does draw some.
    """

    func: Any
    params: tuple[Tensor, ...]
    autocast: list[dict[str, Any]] = field(default_factory=list)
    owned: list[tuple[dict[str, Any], str, Any]] = field(default_factory=list)
    buffers: list[tuple[nn.Module, str]] = field(default_factory=list)
    met: set[int] = field(default_factory=set)
    generators: list[Any] = field(default_factory=list)
    before: list[Tensor] = field(default_factory=list)
    random: bool = False

    def note(self) -> None:
        """Remember what func has now; once more at the end of the forward pass, because it may have set something."""
        self.owned, self.buffers = [], []
        for module in self.func.modules() if isinstance(self.func, nn.Module) else ():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.numel() <= LARGEST_BUFFER:
                    self.buffers.append((module, name))
            if isinstance(module, torch.jit.ScriptModule):  # its other attributes are out of reach
                continue
            for name, tensor in module._parameters.items():
                self.owned.append((module._parameters, name, tensor))
            for name, value in vars(module).items():
                if isinstance(value, Tensor) or name == "training":
                    self.owned.append((vars(module), name, value))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """As it was in the forward pass; the random numbers that are drawn within are drawn again afterwards.

        Buffers are not changed a second time. Hooks of params wait: they are for a gradient as a whole, not for the
        part of every evaluation.
        """
        with ExitStack() as stack:
            for p in self.params:
                if p._backward_hooks:
                    stack.callback(setattr, p, "_backward_hooks", p._backward_hooks)
                    p._backward_hooks = None
            for generator in self.generators if self.random else ():
                stack.callback(generator.set_rng_state, generator.get_rng_state())
            for settings in self.autocast:
                stack.enter_context(torch.autocast(**settings))
            for attributes, name, value in self.owned:
                now = attributes.get(name)
                if now is not value:
                    stack.callback(attributes.__setitem__, name, now)
                    attributes[name] = value
            for module, name in self.buffers:
                buffer = getattr(module, name)
                stack.callback(setattr, module, name, buffer)
                setattr(module, name, buffer.clone())
            yield


def find_surroundings(func: Any, params: Any, gradient: str, device: torch.device) -> Surroundings:
    """The tensors to differentiate, those given, else the parameters of the module func; and what else func sees.

    Raises:
        ValueError: where neither says what they are; without them the gradient would silently miss them.
    """
    if params is not None:
        params = (params,) if isinstance(params, Tensor) else params
    elif isinstance(func, nn.Module):
        params = _replica_parameters(func) if getattr(func, "_is_replica", False) else func.parameters()
    else:
        raise ValueError(
            f"gradient='{gradient}' cannot see which tensors func depends on: it is not an nn.Module. Make it one, or "
            "list them as adjoint_params=(…) (params=(…) in solve); () if there are none"
        )
    tensors = dict[int, Tensor]()  # one that is listed twice counts once
    for tensor in params:
        if tensor.requires_grad:
            tensors[id(tensor)] = tensor
    here = Surroundings(func, tuple(tensors.values()))
    here.note()
    for kind in {device.type, "cpu"}:
        if torch.amp.is_autocast_available(kind):
            enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
            here.autocast.append({"device_type": kind, "enabled": enabled, "dtype": dtype})
    return here


def _replica_parameters(module: nn.Module) -> Iterator[Tensor]:
    for part in module.modules():  # replicas of DataParallel hold plain tensors in place of parameters
        yield from (x for x in vars(part).values() if isinstance(x, Tensor) and x.requires_grad)
