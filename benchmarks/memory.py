"""Bytes that a forward solve keeps alive for the backward pass."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torchdiffeq
from torch import Tensor

import odelab
from benchmarks.problems import Problem
from benchmarks.solvers import GRADIENTS, Counted, Solve

SOLVES: dict[str, Solve] = {"backprop": odelab.odeint, **GRADIENTS, "backprop of torchdiffeq": torchdiffeq.odeint}


def kept_bytes(problem: Problem, solve: Solve) -> int:
    """Distinct tensor storage saved by autograd or by a custom Function, without y0, t and the parameters."""
    saved: list[Tensor] = []

    def pack(x: Tensor) -> Tensor:
        saved.append(x.detach())
        return x

    y0 = problem.y0.clone().requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        y = solve(problem.func, y0, problem.t, method="dopri5", **problem.tolerances)
    given = {x.untyped_storage().data_ptr() for x in (y0, problem.y0, problem.t, *problem.func.parameters())}
    kept = [*saved, *_attributes_of_functions(y.grad_fn)]
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    return sum(size for address, size in storages.items() if address not in given)


def _attributes_of_functions(start: Any) -> Iterator[Tensor]:
    """Tensors that custom Functions in the graph keep as attributes of ctx, past `save_for_backward`."""
    waiting, seen = [start], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [parent for parent, _ in node.next_functions]
        yield from _tensors_in(list(getattr(node, "__dict__", {}).values()))


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors_in(item)


def measure(problem: Problem, tolerances: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6)) -> list[dict[str, Any]]:
    """Bytes kept per gradient, at tolerances that take more and more steps."""
    rows = []
    for tol in tolerances:
        tighter = replace(problem, rtol=tol, atol=tol / 10)
        counted = Counted(problem.func)
        with torch.no_grad():
            odelab.odeint(counted, problem.y0, problem.t, **tighter.tolerances)
        kept = {name: kept_bytes(tighter, solve) for name, solve in SOLVES.items()}
        rows.append({"title": problem.title, "rtol": tol, "accepted": counted.accepted, "bytes": kept})
    return rows
