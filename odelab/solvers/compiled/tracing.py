"""func as a graph: the operations of one evaluation, and the tensors that it uses beside its arguments.

torch.compile's tracer reads func once, and asks before every later use whether anything that it relied on has changed:
attributes, modules, closures, shapes, the gradient mode. Here it is asked once per solve. Parameters and buffers are
inputs of the graph, read anew by each solve, so that an optimizer may change or replace them.

A graph knows no Python. What func would do there beside returning a slope is noticed while tracing, and refused.
"""

import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functionalize
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

WRITES = {torch.ops.aten.copy.default: lambda into, x, *_: x.to(into.dtype).expand_as(into).clone()}  # differentiable
STRICT: dict[str, Any] = {  # while a graph is made; as arguments of torch.compile they cost time at every call
    "side_effect_replay_policy": "error",
    "automatic_dynamic_shapes": False,
    "assume_static_by_default": True,
}
MANY = 32  # graphs for functions of one kind, for other shapes, modes and attributes


class Refused(Exception):
    """Why something is not compiled, in one line."""


@dataclass(frozen=True)
class Traced:
    """A function of tensors alone; equal to another where both do the same operations on tensors of one layout.

    Attributes:
        graph: (*arguments, *tensors) -> result, in ATen's operations; none changes what it is given.
        text: the operations, and the layout of what they are given.
        shape, dtype: of the result.
    """

    graph: GraphModule = field(compare=False, repr=False)
    text: str
    shape: torch.Size = field(compare=False)
    dtype: torch.dtype = field(compare=False)

    def require(self, y: Tensor) -> None:
        """Raise `Refused` where the result is not like y; the ordinary loop casts it, or says what is wrong."""
        if (self.shape, self.dtype) != (y.shape, y.dtype):
            mine, yours = (f"{x.dtype} of shape {tuple(x.shape)}" for x in (self, y))
            raise Refused(f"func returned {mine} for {yours}")


class _Unknown(Exception):
    """No graph is known that fits."""


class _Meeting(threading.local):
    """Where a traced call leaves its graph and the tensors it met; strict: it may compile."""

    strict = False
    arguments: tuple[Tensor, ...] = ()
    traced: Traced | None = None
    tensors: tuple[Tensor, ...] = ()


_meeting = _Meeting()
_refused: weakref.WeakKeyDictionary[Any, tuple[bool | None, str]] = weakref.WeakKeyDictionary()


def trace(owner: Any, func: Callable[..., Tensor], *arguments: Tensor) -> tuple[Traced, tuple[Tensor, ...]]:
    """func as a graph, and the tensors that it uses beside its arguments, as they are now.

    Args:
        owner: what the caller wrote, behind func; functions of one code and modules of one class may share graphs.

    Raises:
        Refused: where func is more than a function of its arguments and of tensors, or cannot be traced. It is
            remembered of the owner until that changes between training and evaluation.
    """
    training = getattr(owner, "training", None)
    before = _refused.get(owner) if _is_weak_key(owner) else None
    if before is not None and before[0] == training:
        raise Refused(before[1])
    _meeting.arguments, _meeting.traced = arguments, None
    try:
        kind: Any = type(owner) if isinstance(owner, nn.Module) else getattr(owner, "__code__", type(owner))
        tracer = _tracer(kind)
        try:
            tracer(func, *arguments)
        except Exception:  # `_Unknown`, or what the second attempt finds again
            _meeting.strict = True
            with torch._dynamo.config.patch(STRICT), torch_may_deprecate_itself():
                tracer(func, *arguments)
        if _meeting.traced is None:
            raise Refused("torch.compile is switched off")
        return _meeting.traced, _meeting.tensors
    except Exception as error:  # any of the tracer's, or func's own
        reason = first_line(error)
        if _is_weak_key(owner):
            _refused[owner] = training, reason
        raise Refused(reason) from error
    finally:
        _meeting.strict, _meeting.arguments, _meeting.tensors = False, (), ()


@lru_cache(maxsize=128)
def _tracer(kind: CodeType | type) -> Callable[..., Tensor]:
    def evaluate(func: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        return func(*arguments).clone()  # an operation also where func returns a tensor as it is

    # Functions of another kind have graphs of their own.
    how: Any = {"isolate_recompiles": True, "recompile_limit": MANY}
    return torch.compile(evaluate, fullgraph=True, backend=_meet, **how)


def _meet(module: GraphModule, examples: Any) -> Callable[..., tuple[Tensor]]:
    """A backend for torch.compile which computes nothing: its function tells `_meeting` what it was called with."""
    if not _meeting.strict:
        raise _Unknown
    lowered: list[Traced] = []

    def call(*inputs: Any) -> tuple[Tensor]:
        arguments = _meeting.arguments
        tensors = tuple(x for x in inputs if not any(x is given for given in arguments))
        if not lowered:
            lowered.append(_lower(module, inputs, arguments, tensors))
        _meeting.traced, _meeting.tensors = lowered[0], tensors
        return (arguments[0],)

    return call


def _lower(
    module: GraphModule, inputs: tuple[Any, ...], arguments: tuple[Tensor, ...], tensors: tuple[Any, ...]
) -> Traced:
    """The tracer's graph as one of ATen's operations, with inputs in our order.

    Raises:
        Refused: where it draws random numbers, changes its inputs, or would be differentiated otherwise than written.
    """
    if not all(isinstance(x, Tensor) for x in tensors):
        raise Refused("func uses numbers that change from call to call; make them tensors")
    transforms = any("functorch" in str(getattr(node.target, "__module__", "")) for node in module.graph.nodes)
    for node in module.graph.nodes:
        if transforms and torch.is_grad_enabled() and "detach" in str(node.target):
            raise Refused("func detaches tensors and uses torch.func, whose own detached tensors look the same")
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            raise Refused(f"func uses {node.target}, whose own derivative a graph of operations forgets")
        if node.target is torch._C._set_grad_enabled and torch.is_grad_enabled() and not node.args[0]:
            raise Refused("func switches gradients off within itself, which a graph of operations forgets")
    given = (*arguments, *tensors)
    order = [next(i for i, x in enumerate(given) if x is place) for place in inputs]

    def ordered(*given: Tensor) -> Tensor:
        return module(*[given[i] for i in order])[0]

    # First without func's own transforms, in the mode in which they were traced; then without its writes into tensors
    # that it made.
    given = tuple(x.detach() for x in given)
    graph = make_fx(ordered, tracing_mode="fake")(*given)
    graph = make_fx(functionalize(graph, remove="mutations"), decomposition_table=WRITES, tracing_mode="fake")(*given)
    for node in graph.graph.nodes:
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        if transforms and node.target is torch.ops.aten.detach.default:  # of what a transform saved, to be gone through
            node.replace_all_uses_with(node.args[0])
        if torch.Tag.nondeterministic_seeded in node.target.tags:
            raise Refused(f"func draws random numbers ({node.target}): call func.eval()")
        statistics = "batch_norm" in str(node.target) and node.args[5] is True and node.args[3] is not None
        if node.target._schema.is_mutable or statistics:
            raise Refused(
                f"func changes y or a tensor of its own in place ({node.target}; batch norm in training mode?)"
            )
    graph.graph.eliminate_dead_code()
    graph.recompile()
    result = next(iter(node.args[0] for node in graph.graph.nodes if node.op == "output"))
    result = (result[0] if isinstance(result, tuple) else result).meta["val"]
    layouts = [(tuple(x.shape), x.stride(), x.dtype, x.device) for x in given]
    constants = [x.tolist() for _, x in sorted(graph.named_buffers())]
    return Traced(graph, f"{graph.code}\n{layouts}\n{constants}", result.shape, result.dtype)


@contextmanager
def torch_may_deprecate_itself() -> Iterator[None]:
    """Its compiler does; whoever makes errors of warnings does not mean these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _is_weak_key(x: Any) -> bool:
    try:
        hash(x), weakref.ref(x)
    except TypeError:
        return False
    return True


def first_line(error: BaseException) -> str:
    """What an error says, shortly."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, torch._dynamo.exc.FailOnRecompileLimitHit):
        return f"func was traced {MANY} times, because shapes or numbers among its attributes changed"
    error = getattr(error, "inner_exception", error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and "certain side effects" in lines[0]:
        return "func changes attributes of its own, which a graph does not see"
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
