"""What each gradient keeps for its backward pass, and what that pass costs."""

import gc
import weakref

import pytest
import torch
from torch import nn

from odelab import solve
from tests.solvers.gradient_problems import THREE, Network
from tests.solvers.problems import Linear, tensor, times


def kept_bytes(gradient: str, end: float) -> int:
    """Bytes that a solve keeps for its backward pass."""
    field, y0 = Network(50, dtype=torch.float32), torch.full((1000, 2), 0.5)
    saved: weakref.WeakSet = weakref.WeakSet()

    class Saved:
        def __init__(self, x):
            self.x = x.detach()  # a saved output would keep its own node alive
            saved.add(self)

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda held: held.x):
        y = solve(field, y0, times(end, dtype=torch.float32), rtol=1e-5, atol=1e-6, gradient=gradient).y
    gc.collect()
    storages = {held.x.untyped_storage().data_ptr(): held.x.untyped_storage().nbytes() for held in saved}
    assert y.requires_grad  # its graph was alive until here
    return sum(storages.values())


def test_memory_kept_for_backward():
    short, long = ({g: kept_bytes(g, end) for g in THREE} for end in (2.0, 8.0))
    assert long["backprop"] > 2 * short["backprop"]
    assert long["adjoint"] == short["adjoint"]
    assert long["checkpoint"] < 0.01 * long["backprop"]


@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
def test_hooks_see_no_activation_of_func(gradient: str) -> None:
    """What the solver records once, to see on what func depends, is no part of what the solve keeps."""
    sizes: list[int] = []

    def count(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.numel())
        return x.detach()

    field, y0 = Network(50, dtype=torch.float32), torch.full((1000, 2), 0.5)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        solve(field, y0, times(2.0, dtype=torch.float32), rtol=1e-3, atol=1e-3, gradient=gradient)
    states = [size for size in sizes if size >= 1000 * 2]
    assert states and max(states) < 1000 * 50  # the hidden layer has 50 units


def held_bytes(thing, seen: set[int]) -> int:
    """Bytes of the tensors reachable from an object, modules (the field itself) aside."""
    if id(thing) in seen or isinstance(thing, nn.Module):
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        return thing.untyped_storage().nbytes()
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, (list, tuple, set)):
        parts = list(thing)
    else:
        parts = list(getattr(thing, "__dict__", {}).values())
        parts += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    return sum(held_bytes(part, seen) for part in parts)


@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
def test_nothing_is_kept_beside_what_autograd_saves(gradient):
    """What the Functions hold on to in Python is numbers, and the start and end of the solve at most."""
    field, y0, found = Network(50), torch.full((1000, 2), 0.5, dtype=torch.float64), []
    for end in (1.0, 8.0):
        run = solve(field, y0, times(end), gradient=gradient, rtol=1e-5, atol=1e-6)
        held = vars(run.y.grad_fn)
        assert "problem" in held
        found.append(held_bytes(held, set()))
        assert run.stats.accepted > 4 * end
    assert found[0] == found[1] <= 4 * y0.untyped_storage().nbytes()


def test_evaluations_of_the_backward_pass_are_counted():
    field = Linear(2)
    for gradient in ("adjoint", "checkpoint"):
        run = solve(field, tensor(1.0, 0.0).requires_grad_(), times(1.0), gradient=gradient)
        forward = run.stats.nfe
        run.y.sum().backward()
        assert run.stats.nfe == forward and run.stats.nfe_backward > 6
