"""What autograd holds on to between the forward and the backward pass."""

import weakref
from collections.abc import Callable, Iterable

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class _Held:
    """Stands in the graph for a tensor, and lives as long as the way back may need it."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage = tensor.detach().untyped_storage()  # detached: a node that held its own output would never die


def saved_for_backward(layer: Callable[[Tensor], Tensor], x: Tensor, there: Iterable[Tensor] | None = None) -> int:
    """Bytes that are alive between the forward and the backward pass of layer(x), each storage once.

    What the graph has dropped again, such as the stages of rejected steps, is not counted.

    Args:
        there: tensors that are there anyway and are not counted; by default x and the parameters of the layer.
    """
    if there is None:
        there = (*(layer.parameters() if isinstance(layer, nn.Module) else ()), x)
    alive: weakref.WeakSet[_Held] = weakref.WeakSet()

    def pack(tensor: Tensor) -> _Held:
        alive.add(stand_in := _Held(tensor))
        return stand_in

    def unpack(stand_in: _Held) -> Tensor:
        raise RuntimeError("this forward pass was made to be measured, not to be followed backwards")

    with saved_tensors_hooks(pack, unpack):
        end = layer(x)
    sizes = {stand_in.storage.data_ptr(): stand_in.storage.nbytes() for stand_in in alive}
    del end  # until here it kept the graph alive
    known = {tensor.untyped_storage().data_ptr() for tensor in there}
    return sum(size for place, size in sizes.items() if place not in known)
