"""ODE²VAE's training and forecasts against the same model as usually written (`benchmarks.run --only latent`)."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.flows import against_usual, gradient_of
from benchmarks.report import Cell, Show, by_title, markdown, median
from benchmarks.solvers import distance
from benchmarks.timing import QUICK, Effort
from benchmarks.usual_latent import usually
from odelab.latent import (
    ODE2VAE,
    BernoulliDecoder,
    DrawnField,
    GaussianDecoder,
    ImageEncoder,
    SecondOrder,
    VectorEncoder,
    flow,
)

TARGETS = {1: 1.3, 5: 2.0}  # by substeps
EFFORT = Effort(8.0, least=5)
Problem = tuple[str, ODE2VAE, Tensor, Tensor]


def digits(substeps: int, batch: int = 20, frames: int = 16, size: int = 28) -> Problem:
    """Turning digits as the sources have them; what is in the images does not matter here."""
    torch.manual_seed(0)
    dynamics = SecondOrder(8, (50, 50), activation="relu")
    model = ODE2VAE(ImageEncoder(size, 8, 3, 8), dynamics, BernoulliDecoder(8, size, 12), substeps=substeps)
    title = f"{size}×{size} images × {frames} frames, batch {batch}, q = 8, {_steps(substeps)}"
    return title, model, torch.rand(batch, frames, 1, size, size), 0.1 * torch.arange(frames)


def walks(substeps: int, batch: int = 16, frames: int = 300) -> Problem:
    """The size of the motion capture of subject 35."""
    torch.manual_seed(0)
    encoder, decoder = VectorEncoder(50, 3, 3, scale=10.0), GaussianDecoder(3, 50, scale=10.0)
    model = ODE2VAE(encoder, SecondOrder(3), decoder, substeps=substeps)
    title = f"motion capture, 50 channels × {frames} frames, batch {batch}, q = 3, {_steps(substeps)}"
    return title, model, 10 * torch.randn(batch, frames, 50), 0.1 * torch.arange(frames)


def _steps(substeps: int) -> str:
    return f"{substeps} RK4 step{'s' if substeps > 1 else ''} a frame"


class ByAutograd(ODE2VAE):
    """The solve by odelab's steps, recorded by autograd, in place of the loop with its own derivative."""

    def _flow(self, field: DrawnField, z0: Tensor, times: Tensor, density: Tensor | None = None) -> Any:
        how = {"substeps": self.substeps, "method": self.method, "gradient": "backprop"}
        return flow(field, z0, times, density=density, **how)


def training(effort: Effort, problem: Problem, target: float) -> dict[str, Any]:
    """One training iteration: the objective (21) with γ = 1, so later windows are encoded too, and its gradient."""
    title, model, x, times = problem
    recorded = copy.copy(model)
    recorded.__class__ = ByAutograd

    def iteration(model: ODE2VAE) -> Callable[[], Tensor]:
        return lambda: objective_gradient(model, x, times)

    tasks = {"rollout": iteration(model), "backprop": iteration(recorded), "usual": iteration(usually(model))}
    row, _ = against_usual(title, tasks, effort, target)
    model.method = "rk4"  # torchdiffeq's is the 3/8 rule: with the same rule both find the same gradient
    usual = objective_gradient(usually(model), x, times)
    errors = {"rollout": distance(objective_gradient(model, x, times), usual)}
    model.method = "rk4_classic"
    return {**row, "gradient_error": errors}


def objective_gradient(model: ODE2VAE, x: Tensor, times: Tensor) -> Tensor:
    """For one given draw of W and z₀."""
    terms = model.terms(x, times, generator=torch.Generator().manual_seed(0))
    return gradient_of(-terms.penalised(), model)


def forecasting(effort: Effort, n: int = 4, frames: int = 300, draws: int = 50) -> dict[str, Any]:
    """Draws of a forecast, all at once; as usually written one solve follows the other."""
    _, model, x, times = walks(1, n, frames)
    usual = usually(model)
    tasks = {
        "odelab": lambda: model.forecast(x, times, draws),
        "usual": lambda: one_after_another(usual, x, times, draws),
    }
    row, _ = against_usual(f"forecast of {n} walks over {frames} frames by {draws} draws", tasks, effort, 1.0)
    return {**row, "sequences per CPU second": n / row["cpu_seconds"]["odelab"]}


@torch.no_grad()
def one_after_another(model: ODE2VAE, x: Tensor, times: Tensor, draws: int) -> Tensor:
    found = []
    for _ in range(draws):
        z0 = model.posterior(x).sample()
        z = model._flow(model.dynamics.draw(), z0, times)
        found.append(model.decoder.mean(z[..., : model.dynamics.position_dim]))  # type: ignore[operator]
    return torch.stack(found)


def measure(effort: Effort) -> dict[str, Any]:
    quick = effort is QUICK
    problems = {1: digits(1), 5: digits(5)}
    rows = [training(effort, problem, TARGETS[substeps]) for substeps, problem in problems.items()]
    rows.append(training(effort, walks(1, frames=50 if quick else 300), TARGETS[1]))
    return {"iterations": rows, "forecasting": forecasting(effort.shorter(), frames=50 if quick else 300)}


def page(results: dict[str, Any], cell: Cell = median, show: Show = markdown) -> str:
    """What stands in docs/benchmarks.md; with other cells, shown otherwise, for the terminal."""
    iterations = by_title(results["iterations"], "columns").map(cell)
    iterations["odelab's, ms"] = [f"{row['cpu_seconds']['rollout'] * 1e3:.0f}" for row in results["iterations"]]
    forecast = results["forecasting"]
    return "\n\n".join(
        [
            show("CPU time of an ODE²VAE iteration as usually written ÷ odelab's", iterations),
            "As usually written: rk4 of torchdiffeq over (z, log q) and q backward passes for the trace in each stage; "
            "the same encoders, decoders, objective and steps. Rollout is the loop with its own derivative, the "
            "default; backprop the same steps recorded by autograd; both take the trace in closed form, of all stages "
            "at once.",
            f"A {forecast['title']}: {forecast['sequences per CPU second']:,.1f} sequences a CPU second, "
            f"{forecast['columns']['odelab']['ratio']:.0f} times as many as by one solve of torchdiffeq after another.",
        ]
    )
