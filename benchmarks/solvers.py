"""odelab against torchdiffeq: the same problem, tolerances and method (dopri5), forward and through three gradients."""

from collections.abc import Callable
from typing import Any

import torch
import torchdiffeq
from torch import Tensor, nn

import odelab
from benchmarks.problems import Problem
from benchmarks.timing import Effort, compare, medians, ratio

Solve = Callable[..., Tensor]
# column: (odelab's task, torchdiffeq's task); "itself" should give 1 and shows how far the others can be trusted
COLUMNS = {
    "forward": ("forward", "forward of torchdiffeq"),
    "backprop": ("backprop", "backprop of torchdiffeq"),
    "checkpoint": ("checkpoint", "odeint_adjoint"),
    "adjoint": ("adjoint", "odeint_adjoint"),
    "itself": ("forward", "forward again"),
}
BACKPROPS: dict[str, Solve] = {
    "backprop": odelab.odeint,
    "backprop of torchdiffeq": torchdiffeq.odeint,
}
GRADIENTS: dict[str, Solve] = {
    "checkpoint": lambda *args, **kwargs: odelab.odeint(*args, gradient="checkpoint", **kwargs),
    "adjoint": odelab.odeint_adjoint,
    "odeint_adjoint": torchdiffeq.odeint_adjoint,
}


class Counted(nn.Module):
    """func, counting what a solve does with it; the callbacks are torchdiffeq's and odelab's alike."""

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func, self.nfe, self.accepted, self.rejected = func, 0, 0, 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.func(t, y)

    def callback_accept_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.accepted += 1

    def callback_reject_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.rejected += 1


@torch.no_grad()
def forward_solve(problem: Problem, solve: Solve, method: str = "dopri5", **options: Any) -> Tensor:
    return solve(problem.func, problem.y0, problem.t, method=method, **problem.tolerances, **options)


def gradient(problem: Problem, solve: Solve) -> Tensor:
    """d(mean of y²)/d(y0, parameters), flat; forward and backward."""
    y0 = problem.y0.clone().requires_grad_(True)
    problem.func.zero_grad()
    solve(problem.func, y0, problem.t, method="dopri5", **problem.tolerances).square().mean().backward()
    found = [y0.grad, *(parameter.grad for parameter in problem.func.parameters())]
    return torch.cat([grad.reshape(-1) for grad in found if grad is not None])


def distance(x: Tensor, reference: Tensor) -> float:
    """|x − reference| / |reference| in the Euclidean norm over everything."""
    return float(torch.linalg.vector_norm(x - reference) / torch.linalg.vector_norm(reference))


def cost(problem: Problem, solve: Solve, reference: Tensor) -> dict[str, float]:
    """NFE, steps and error of a forward solve."""
    counted = Counted(problem.func)
    with torch.no_grad():
        y = solve(counted, problem.y0, problem.t, method="dopri5", **problem.tolerances)
    steps = {"nfe": counted.nfe, "accepted": counted.accepted, "rejected": counted.rejected}
    return {**steps, "error": distance(y, reference)}


def tasks(problem: Problem) -> dict[str, Callable[[], Tensor]]:
    """Everything that is timed; contestants stand side by side."""
    forwards = {"forward": odelab.odeint, "forward of torchdiffeq": torchdiffeq.odeint, "forward again": odelab.odeint}
    return {
        **{name: lambda solve=solve: forward_solve(problem, solve) for name, solve in forwards.items()},
        **{name: lambda solve=solve: gradient(problem, solve) for name, solve in (BACKPROPS | GRADIENTS).items()},
    }


def measure(problem: Problem, effort: Effort) -> dict[str, Any]:
    """All columns of one row, with what both libraries did for it."""
    reference = problem.reference()
    seconds, results = compare(tasks(problem), effort)
    exact = {name: results["backprop of torchdiffeq" if name == "odeint_adjoint" else "backprop"] for name in GRADIENTS}
    return {
        "title": problem.title,
        **problem.tolerances,
        "t": [float(problem.t[0]), float(problem.t[-1])],
        "output_times": len(problem.t),
        "dtype": str(problem.y0.dtype).removeprefix("torch."),
        "cost": {
            "odelab": cost(problem, odelab.odeint, reference),
            "torchdiffeq": cost(problem, torchdiffeq.odeint, reference),
        },
        "columns": {
            column: {**ratio(seconds[theirs], seconds[ours]), "target": problem.targets.get(column)}
            for column, (ours, theirs) in COLUMNS.items()
        },
        "cpu_seconds": medians(seconds),
        # relative distance to the same library's backprop
        "gradient_error": {name: distance(results[name], exact[name]) for name in GRADIENTS},
    }
