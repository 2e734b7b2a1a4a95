"""What a reader meets in one call of `odeint_adjoint` with dopri5 and its backward pass: `python -m benchmarks.trace`.

Counted are the files of the library that run, and the functions in them, each once however often it is called: also
methods, nested functions, lambdas, comprehensions and generator expressions, but neither the bodies of modules and
classes nor what `dataclasses` writes, for odelab and torchdiffeq alike. A return is a step of the reader back to a file
that they had opened before and left, when they read the functions in the order in which each is called first.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import torch
import torchdiffeq

import odelab
from benchmarks.problems import Spiral

Function = tuple[str, str]  # file below the library's folder, qualified name


@contextmanager
def traced(library: ModuleType) -> Iterator[list[Function]]:
    """The functions of a library that run within the block, in the order of their first call."""
    folder = Path(str(library.__file__)).parent
    functions: dict[CodeType, Function] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & 1 and code not in functions:  # 1: a function has local variables
            file = Path(code.co_filename)
            if file.is_relative_to(folder):
                functions[code] = file.relative_to(folder).as_posix(), code.co_qualname

    order: list[Function] = []
    threading.setprofile(profile)  # the backward pass may run in a thread of autograd's own
    sys.setprofile(profile)
    try:
        yield order
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        order += dict.fromkeys(functions.values())


def trace(library: ModuleType) -> list[Function]:
    """One forward and backward pass through the spiral's field; functions in the order of their first call."""
    func = Spiral(iterations=0)
    y0 = torch.tensor([[2.0, 0.0]], requires_grad=True)
    t = torch.linspace(0.0, 1.0, 5)
    solve: Callable[..., torch.Tensor] = library.odeint_adjoint
    with torch.autograd.set_multithreading_enabled(False), traced(library) as functions:
        solve(func, y0, t, method="dopri5", rtol=1e-4, atol=1e-5).square().sum().backward()
    return functions


def returns(functions: list[Function]) -> dict[str, int]:
    """How often each file is gone back to."""
    counts = dict.fromkeys((file for file, _ in functions), -1)  # the first visit is no return
    for file in [functions[0][0], *(after for (before, _), (after, _) in pairwise(functions) if after != before)]:
        counts[file] += 1
    return counts


def summary(library: ModuleType) -> str:
    functions = trace(library)
    back = returns(functions)
    lines = [f"{library.__name__}: {len(back)} files, {len(functions)} functions, {sum(back.values())} returns"]
    for file, count in back.items():
        names = [name for other, name in functions if other == file]
        lines.append(f"  {file}: {len(names)} functions, {count} returns\n    {', '.join(names)}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary(odelab), summary(torchdiffeq), sep="\n\n")
