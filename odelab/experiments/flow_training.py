"""Training a continuous flow by maximum likelihood, and what is measured of it afterwards."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from odelab.datasets import Density
from odelab.experiments.context import Context
from odelab.experiments.recipe import FlowRecipe
from odelab.flows import CNF, Flow
from odelab.training import History, adam, fit, one_cycle
from odelab.training.batches import share

PRECISE: Mapping[str, Any] = {
    "method": "dopri5",
    "steps": None,
    "rtol": 1e-5,
    "atol": 1e-5,
    "divergence": "exact",
    "options": {},  # not compiled: every number of points would be compiled by itself
}
TEST_POINTS = 20_000
Loss = Callable[[Any, Tensor], Tensor]


def train_flow(
    flow: Flow,
    draw: Callable[[int], Tensor],
    validation: Tensor,
    recipe: FlowRecipe,
    context: Context,
    loss: Loss | None = None,
) -> History:
    """Minimise (24.27) in place; keeps the weights of the best validation NLL, a continuous flow's by `PRECISE`.

    Of a continuous flow a validation also holds its NLL by the solver that trains it, NFE by either, and the CPU
    seconds that the validation took.

    Args:
        draw: iteration -> this process's part of the batch, (batch / processes, dim); random numbers come from torch's
            global generator.
        validation: (n, dim).
        loss: (flow, batch) -> what is minimised in place of (24.27).
    """
    penalties = dict(recipe.penalties or {})

    def likelihood(model: Any, x: Tensor) -> Tensor:
        if not penalties:
            return -model.log_prob(x).mean() / model.dim
        log_prob, costs = model.log_prob_and_costs(x, tuple(penalties))
        cost = sum(weight * costs[name] for name, weight in penalties.items())
        return (cost - log_prob).mean() / model.dim

    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Flow)
        judge, start = precise(model), time.process_time()
        seen = {"loss": -in_parts(judge.log_prob, validation).mean().item()}
        if isinstance(judge, CNF):
            assert isinstance(model, CNF)
            own = as_trained(model)
            seen |= {"own_solver": -in_parts(own.log_prob, validation).mean().item()}
            seen |= {"nfe": float(nfe_of(judge)), "nfe_own_solver": float(nfe_of(own))}
        return seen | {"judging": round(time.process_time() - start, 3)}

    return fit(
        flow,
        loss or likelihood,
        draw,
        steps=recipe.iterations,
        optimizer=adam(recipe.lr),
        schedule=one_cycle(0.1),
        clip=recipe.clip,
        ema=recipe.ema,
        validate=validate,
        every=recipe.every,
        **context.fitting(),
    )


def points_of(
    truth: Density, recipe: FlowRecipe, context: Context, validation: int
) -> tuple[Callable[[int], Tensor], Tensor, Tensor]:
    """Points of a density in the plane: fresh ones for every iteration, those of a validation, and those of the test.

    Of the fresh ones each process draws its part, from torch's global generator; no other seed shares the test's.
    """
    device, points = context.fabric().device, share(recipe.batch, context.fabric().world_size)
    held = truth.sample(validation, torch.Generator().manual_seed(1_000_003))
    test = truth.sample(TEST_POINTS, torch.Generator().manual_seed(2_000_003 + context.seed))
    return lambda iteration: truth.sample(points).to(device), held, test


def precise(flow: Flow) -> Flow:
    """The flow as it is judged: dopri5 at 1e-5 with the exact divergence; a discrete one as it is."""
    return flow.replace(**PRECISE) if isinstance(flow, CNF) else flow


def as_trained(flow: CNF) -> CNF:
    """The flow with the solver of its training, not compiled."""
    return flow.replace(options={name: value for name, value in flow.options.items() if name != "compile"})


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, size: int = 2500) -> Tensor:
    """function(x) over parts of the rows, without a graph."""
    with torch.no_grad():
        return torch.cat([function(part) for part in x.split(size)])


def measure_flow(flow: CNF, x: Tensor, truth: Density | None = None) -> dict[str, float]:
    """What can be said of a flow on test points x (n, dim), by dopri5 at 1e-5 with the exact divergence.

    NLL in nats with its standard error, NFE of a batch of 2,000 (also at 1e-3), mean costs of a path in the notes'
    scaling (24.30, 24.31), and the median of path length ÷ distance of its ends (1 is straight). Where the truth is
    given, its NLL and the gap, mean log p − log p_θ on the same points: an estimate of KL(p‖p_θ) whose noise is a
    fraction of either term's.
    """
    judge = flow.replace(**PRECISE)
    part = x[:2000]
    with torch.no_grad():
        _, costs = judge.log_prob_and_costs(part, ("kinetic", "jacobian"))
        z, _ = judge.trajectory(part[:500], torch.linspace(0, float(flow.t1), 65))
        judge.log_prob(part)
        nfe = nfe_of(judge)
        loose = judge.replace(rtol=1e-3, atol=1e-3)
        loose.log_prob(part)
    steps = (z[1:] - z[:-1]).norm(dim=-1).sum(0)
    straight = steps / (z[-1] - z[0]).norm(dim=-1).clamp_min(1e-3)
    log_prob = in_parts(judge.log_prob, x)
    against: dict[str, float] = {}
    if truth is not None:
        excess = truth.log_prob(x) - log_prob
        against = {"truth": truth.entropy, "gap": excess.mean().item()}
        against["gap_error"] = (excess.std() / len(x) ** 0.5).item()
    return {
        "nll": -log_prob.mean().item(),
        "nll_error": (log_prob.std() / len(x) ** 0.5).item(),
        "nll_own_solver": -in_parts(as_trained(flow).log_prob, x).mean().item(),
        "nfe": nfe,
        "nfe_loose": nfe_of(loose),
        "kinetic": costs["kinetic"].mean().item(),
        "jacobian": costs["jacobian"].mean().item(),
        "straightness": straight.median().item(),
        **against,
    }


def nfe_of(flow: CNF) -> int:
    """Evaluations in the flow's last solve."""
    return flow.stats.nfe if flow.stats else 0
