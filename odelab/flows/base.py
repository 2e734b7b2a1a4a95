"""The base density of a flow, with parameters that are learned beside those of the flow.

A `Distribution` is no module, and most hold their parameters as views of what they were given. Here such a tensor is
found, becomes a parameter of the flow, and is put back whenever the base is asked for.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform

VIEWS = {"ExpandBackward0", "AliasBackward0"}
Path = tuple[Any, ...]


class LearnedBase(nn.Module):
    """A distribution whose `nn.Parameter`s are learned, saved and moved; its other tensors move with them.

    Calling it gives the distribution as it is now.

    Raises:
        ValueError: for a tensor that was computed from a parameter, because it would not follow it.
    """

    def __init__(self, base: Distribution) -> None:
        super().__init__()
        self._places: list[tuple[Path, str, torch.Size]] = []
        known: dict[int, str] = {}
        for path, tensor in tensors_in(base):
            source = _source(tensor)
            if source is None:
                where = ".".join(map(str, path))
                raise ValueError(
                    f"the base's {where} is computed from a parameter, once, and would not follow it when that is "
                    "learned: give base as an nn.Module whose forward() returns the distribution"
                )
            if id(source) not in known:
                known[id(source)] = name = f"{path[-1]}{len(known) or ''}".lstrip("_")
                if isinstance(source, nn.Parameter):
                    self.register_parameter(name, source)
                else:
                    self.register_buffer(name, source, persistent=False)
            self._places.append((path, known[id(source)], tensor.shape))
        for path, module in modules_in(base):
            self.add_module("_".join(map(str, path)), module)
        self._template = filled(base, lambda path, tensor: tensor.detach())

    def forward(self) -> Distribution:
        now = {path: getattr(self, name).expand(shape) for path, name, shape in self._places}
        return filled(self._template, lambda path, tensor: now.get(path, tensor))


def learns(base: Distribution) -> bool:
    """Whether a parameter is in the distribution, or a module with some."""
    parameters = any(isinstance(leaf, nn.Parameter) for _, x in tensors_in(base) for leaf in _leaves(x))
    return parameters or any(any(True for _ in module.parameters()) for _, module in modules_in(base))


def tensors_in(part: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Every tensor of floating point in a distribution and its parts, and the path of attributes to it."""
    for name, value in _items(part):
        if isinstance(value, Tensor) and value.is_floating_point():
            yield (*path, name), value
        elif isinstance(value, (Distribution, Transform, list, tuple)):
            yield from tensors_in(value, (*path, name))


def modules_in(part: Any, path: Path = ()) -> Iterator[tuple[Path, nn.Module]]:
    """Every module in a distribution and its parts, such as the flow of a transform."""
    for name, value in _items(part):
        if isinstance(value, nn.Module):
            yield (*path, name), value
        elif isinstance(value, (Distribution, Transform, list, tuple)):
            yield from modules_in(value, (*path, name))


def filled(part: Any, choose: Callable[[Path, Tensor], Tensor], path: Path = ()) -> Any:
    """A copy of a distribution, its parts copied too, with each tensor replaced."""

    def replaced(name: Any, value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return choose((*path, name), value)
        if isinstance(value, (Distribution, Transform, list, tuple)):
            return filled(value, choose, (*path, name))
        return value

    if isinstance(part, (list, tuple)):
        return type(part)(replaced(name, value) for name, value in _items(part))
    other = copy.copy(part)
    for name, value in _items(part):
        other.__dict__[name] = replaced(name, value)
    return other


def _items(part: Any) -> list[tuple[Any, Any]]:
    return list(enumerate(part) if isinstance(part, (list, tuple)) else vars(part).items())


def _source(tensor: Tensor) -> Tensor | None:
    """What a tensor is a view of, itself where it is a leaf or has nothing to do with parameters; None where it is
    computed from one."""
    node = tensor.grad_fn
    while node is not None and node.name() in VIEWS:
        node = node.next_functions[0][0]
    if node is None:
        return tensor
    leaf = getattr(node, "variable", None)
    if leaf is not None and torch.broadcast_shapes(leaf.shape, tensor.shape) == tensor.shape:
        return leaf
    return None if any(isinstance(leaf, nn.Parameter) for leaf in _leaves(tensor)) else tensor


def _leaves(tensor: Tensor) -> Iterator[Tensor]:
    """The leaves of the graph behind a tensor."""
    if tensor.is_leaf:
        yield tensor
        return
    nodes, seen = [tensor.grad_fn], set[Any]()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        nodes += [following for following, _ in node.next_functions]
