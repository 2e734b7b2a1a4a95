"""A flow's and an ODE-Net's training against the same models as usually written (`benchmarks.run --only flows`)."""

from collections.abc import Callable
from typing import Any

import torch
import torchdiffeq
from torch import Tensor, nn

from benchmarks.report import Cell, Show, by_title, markdown, median
from benchmarks.solvers import Counted, distance
from benchmarks.timing import QUICK, Effort, Task, compare, medians, ratio
from benchmarks.usual_flows import UsualField, UsualFlow, d_backward_passes
from odelab.datasets import density
from odelab.flows import CNF, exact_divergence, hutchinson_divergence, jacobian_products, probes, unit_directions
from odelab.nets import ConvField, MLPField, ODEBlock
from odelab.training import adam, fit

TARGETS = {"ffjord": 1.8, "ode-net": 1.2}
EFFORT = Effort(8.0, least=5)
GRADIENTS = ("checkpoint", "adjoint", "backprop")


def trained_flow(hidden: tuple[int, ...] = (64, 64, 64), iterations: int = 100) -> CNF:
    """A flow in the middle of its training on eight Gaussians, where a step costs what it usually does."""
    torch.manual_seed(0)
    flow = CNF(MLPField(2, hidden), t1=0.5)
    quick = flow.replace(method="rk4", steps=4, gradient="backprop")
    draw, how = density("8gaussians").sample, {"optimizer": adam(5e-3), "progress": False}
    fit(quick, lambda model, x: -model.log_prob(x).mean(), lambda step: draw(128), steps=iterations, **how)
    return flow.train()


def gradient_of(loss: Tensor, module: nn.Module) -> Tensor:
    """Backward; the gradient of all parameters, flat."""
    module.zero_grad()
    loss.backward()
    return torch.cat([p.grad.reshape(-1) for p in module.parameters() if p.grad is not None])


def ffjord(effort: Effort, flow: CNF | None = None, batch: int = 512) -> dict[str, Any]:
    """One training iteration: dopri5 at 1e-5, exact trace, loss and gradient."""
    flow = flow or trained_flow()
    usual = UsualFlow(UsualField(flow.field), float(flow.t1), 1e-5)  # type: ignore[arg-type]
    x = density("8gaussians").sample(batch, torch.Generator().manual_seed(1000))

    def ours(variant: CNF) -> Task:
        return lambda: gradient_of(-variant.log_prob(x).mean(), flow)

    tasks = {how: ours(flow.replace(gradient=how)) for how in GRADIENTS}
    tasks["usual"] = lambda: gradient_of(usual.loss(x), usual)
    row, gradients = against_usual("FFJORD 64–64–64, batch 512", tasks, effort, TARGETS["ffjord"])
    usual.nfe = usual.accepted = 0
    torch.no_grad()(usual.loss)(x)
    torch.no_grad()(flow.log_prob)(x)
    assert flow.stats is not None
    steps = {"usual": [usual.accepted, usual.nfe], "odelab": [flow.stats.accepted, flow.stats.nfe]}
    # the usual model's parameters stand in another order, so sizes are compared
    sizes = {name: float(torch.linalg.vector_norm(g)) for name, g in gradients.items()}
    return {**row, "accepted, nfe": steps, "gradient_norm": sizes}


def ode_net(effort: Effort, batch: int = 32, channels: int = 64) -> dict[str, Any]:
    """The ODE block of the MNIST table, 64×6×6, dopri5 at 1e-3: forward and backward, the same field in both."""
    torch.manual_seed(0)
    field, z = ConvField(channels, min(32, channels)), torch.randn(batch, channels, 6, 6)
    times, blocks = torch.tensor([0.0, 1.0]), {how: ODEBlock(field, gradient=how) for how in GRADIENTS}

    def usual(z: Tensor) -> Tensor:
        return torchdiffeq.odeint_adjoint(field, z, times, rtol=1e-3, atol=1e-3, method="dopri5")[-1]

    def task(block: Callable[[Tensor], Tensor]) -> Task:
        return lambda: gradient_of(block(z).square().mean(), field)

    tasks = {name: task(block) for name, block in [*blocks.items(), ("usual", usual)]}
    title = f"ODE-Net, {channels}×6×6, batch {batch}"
    row, gradients = against_usual(title, tasks, effort, TARGETS["ode-net"])
    counted = Counted(field)
    with torch.no_grad():
        torchdiffeq.odeint(counted, z, times, rtol=1e-3, atol=1e-3, method="dopri5")
    stats = blocks["checkpoint"].stats
    assert stats is not None
    steps = {"usual": [counted.accepted, counted.nfe], "odelab": [stats.accepted, stats.nfe]}
    errors = {name: distance(g, gradients["backprop"]) for name, g in gradients.items()}
    return {**row, "accepted, nfe": steps, "gradient_error": errors}


def against_usual(
    title: str, tasks: dict[str, Task], effort: Effort, target: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """CPU time of the task "usual" over that of every other, the target for the first of them; what each returned."""
    seconds, results = compare(tasks, effort)
    columns = {name: ratio(seconds["usual"], seconds[name]) for name in tasks if name != "usual"}
    targets = {next(iter(columns)): target}
    columns = {name: {**cell, "target": targets.get(name)} for name, cell in columns.items()}
    return {"title": title, "columns": columns, "cpu_seconds": medians(seconds)}, results


def traces(effort: Effort, dims: tuple[int, ...] = (2, 8, 32, 64), batch: int = 128) -> list[dict[str, Any]]:
    """f, its divergence and the gradient of both, once, by dimension."""
    rows = []
    for dim in dims:
        torch.manual_seed(0)
        field, x, t = MLPField(dim), torch.randn(batch, dim), torch.tensor(0.3)
        usual, signs = UsualField(field), probes("rademacher", 1, x)

        def pulled(field: nn.Module, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            f, rows = jacobian_products(lambda t, z: field(t, z), t, z, unit_directions(z))  # a field without its jvp
            return f, rows.diagonal(dim1=0, dim2=-1).sum(-1)

        def train(divergence: Callable[..., Any], field: nn.Module, *more: Any, x: Tensor = x) -> Task:
            def task() -> Tensor:
                f, trace = divergence(field, torch.tensor(0.3), x.clone().requires_grad_(True), *more)
                return gradient_of((f.square().sum(-1) + trace).mean(), field)

            return task

        tasks = {
            "exact, pushed": train(exact_divergence, field),
            "exact, one backward pass": train(pulled, field),
            "Hutchinson": train(hutchinson_divergence, field, signs),
            "f alone": train(lambda field, t, z: (field(t, z), z.new_zeros(len(z))), field),
            "usual": train(d_backward_passes, usual),
        }
        with torch.no_grad():
            error = distance(exact_divergence(field, t, x)[1], d_backward_passes(usual, t, x.clone())[1].detach())
        row, _ = against_usual(f"trace, d = {dim}", tasks, effort, 1.0)
        rows.append({"dim": dim, "error": error, **row})
    return rows


@torch.no_grad()
def sampling(effort: Effort, flow: CNF | None = None, n: int = 2000) -> dict[str, Any]:
    """Draws from the flow; as usually written the sampler solves the same ODE by torchdiffeq, without the trace too."""
    flow = flow or trained_flow()
    usual, times = UsualField(flow.field), torch.tensor([float(flow.t1), 0.0])  # type: ignore[arg-type]
    tasks = {
        "odelab": lambda: flow.sample(n),
        "usual": lambda: torchdiffeq.odeint(usual, torch.randn(n, 2), times, rtol=1e-5, atol=1e-5, method="dopri5"),
    }
    row, _ = against_usual(f"{n} samples", tasks, effort, 1.0)
    return {**row, "samples per CPU second": n / row["cpu_seconds"]["odelab"]}


def measure(effort: Effort) -> dict[str, Any]:
    flow = trained_flow(iterations=10 if effort is QUICK else 100)
    short = effort.shorter()
    return {
        "iterations": [ffjord(effort, flow), ode_net(effort)],
        "traces": traces(short, (2, 8) if effort is QUICK else (2, 8, 32, 64)),
        "sampling": sampling(short, flow),
    }


def page(results: dict[str, Any], cell: Cell = median, show: Show = markdown) -> str:
    """What stands in docs/benchmarks.md; with other cells, shown otherwise, for the terminal."""
    iterations, traces = (by_title(results[part], "columns").map(cell) for part in ("iterations", "traces"))
    sampling = results["sampling"]
    return "\n\n".join(
        [
            show("CPU time of a training iteration as usually written ÷ odelab's", iterations),
            "As usually written: `odeint_adjoint` of torchdiffeq and, for FFJORD, d backward passes for the trace; the "
            "same weights, tolerances and accepted steps.",
            show("d backward passes ÷", traces),
            "The trace of one evaluation with its gradient, a 64–64–64 net, batch 128. Sampling: "
            f"{sampling['samples per CPU second']:,.0f} points a CPU second, "
            f"{cell(sampling['columns']['odelab'])} times as many as torchdiffeq.",
        ]
    )
