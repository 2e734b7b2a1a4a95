"""The measured rows of "Which solver?": each pits the method advised against dopri5 on a problem of its kind."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab import solve

DOUBLE = torch.float64
Row = tuple[str, str, str]


def stiff() -> Row:
    """dy/dt = −λ(y − cos t), λ = 1,000: the solution is smooth, an explicit method creeps."""
    y0, t = torch.ones(2, dtype=DOUBLE), torch.tensor([0.0, 3.0], dtype=DOUBLE)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -1e3 * (y - torch.cos(t))

    evaluations = {
        method: solve(field, y0, t, method=method, rtol=1e-5, atol=1e-7).stats.nfe for method in ("dopri5", "radauIIA5")
    }
    return (
        "stiff: a tolerance ten times looser does not lower the number of evaluations",
        '`method="radauIIA5"` or `"kvaerno3"`, for a state of up to some hundred entries',
        f"λ = 1,000: {evaluations['radauIIA5']:,} evaluations of f, dopri5 {evaluations['dopri5']:,}",
    )


def samples() -> Row:
    """Sixty-four decays whose rates run from 1 to 1000; the first is solved alone too."""
    rates = torch.logspace(0, 3, 64, dtype=DOUBLE)[:, None]
    t = torch.tensor([0.0, 1.0], dtype=DOUBLE)

    def first(rates: Tensor, **options: Any) -> Tensor:
        y0 = torch.ones(len(rates), 1, dtype=DOUBLE)
        solution = solve(lambda t, y: -rates * y, y0, t, rtol=1e-4, atol=1e-4, options=options)
        return torch.as_tensor(solution.y)[-1, 0]

    moved = [float(abs(first(rates, **way) - first(rates[:1], **way))) for way in ({}, {"per_sample": True})]
    return (
        "many samples of different difficulty in one batch",
        "`options=dict(per_sample=True)`: each row has a step size and an error of its own",
        f"the company of 63 faster decays changes the answer for a slow one by {moved[0]:.1g}; "
        f"with per_sample by {moved[1]:.1g}",
    )


def second_order() -> Row:
    """A pendulum over a hundred periods, at the same number of evaluations."""
    start = torch.tensor([1.5], dtype=DOUBLE), torch.tensor([0.0], dtype=DOUBLE)
    t = torch.tensor([0.0, 1000.0], dtype=DOUBLE)
    drift = {}
    for method, h in (("yoshida4", 0.3), ("rk4_classic", 0.4)):
        q, v = solve(lambda t, z: (z[1], -torch.sin(z[0])), start, t, method=method, options={"step_size": h}).y
        energy = v**2 / 2 - torch.cos(q)
        drift[method] = float((energy[-1] - energy[0]).abs())
    return (
        "second order, position and velocity, over long times",
        '`method="leapfrog"` or `"yoshida4"`: the energy stays within a band',
        f"a pendulum until t = 1000: energy off by {drift['yoshida4']:.0e}, "
        f"rk4 with as many evaluations {drift['rk4_classic']:.0e}",
    )


def smooth() -> Row:
    """The same, at a tight tolerance: what an order buys."""
    y0, t = torch.tensor([1.0, 0.0], dtype=DOUBLE), torch.tensor([0.0, 50.0], dtype=DOUBLE)
    evaluations = {
        method: solve(lambda t, y: torch.stack([y[1], -torch.sin(y[0])]), y0, t, method=method, rtol=1e-11, atol=1e-11)
        for method in ("dopri5", "tsit5", "dopri8")
    }
    counts = {method: solution.stats.nfe for method, solution in evaluations.items()}
    return (
        "smooth and a tight tolerance (1e-9 and less, float64)",
        '`method="dopri8"`',
        f"pendulum until t = 50 at 1e-11: {counts['dopri8']:,} evaluations of f, dopri5 {counts['dopri5']:,}",
    )


def gradients() -> Row:
    """Bytes that autograd keeps for the way back, of a network solved in 100 steps."""
    from odelab.nets import saved_for_backward

    net = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Linear(64, 8))
    times = torch.tensor([0.0, 1.0])

    class Field(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.net(y)

    field, x, kept = Field(), torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), {}
    for gradient in ("backprop", "checkpoint"):

        def block(x: Tensor, gradient: str = gradient) -> Tensor:
            return solve(field, x, times, method="rk4", gradient=gradient, options={"step_size": 0.01}).y[-1]

        kept[gradient] = saved_for_backward(block, x, (*net.parameters(), x))
    return (
        "gradients when memory is short, and they must be those of the solve",
        '`gradient="checkpoint"`; `"adjoint"` keeps least, and its error is that of a second solve',
        f"100 RK4 steps of a 64-unit net: {kept['checkpoint'] / 1e3:,.0f} kB kept, "
        f"backprop {kept['backprop'] / 1e3:,.0f} kB",
    )


ROWS: tuple[Callable[[], Row], ...] = (smooth, stiff, samples, second_order, gradients)


def measured_table() -> str:
    """The rows as a Markdown table; a second or two of solving."""
    lines = ["| your problem | take | measured when this page was built |", "| --- | --- | --- |"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lines += [f"| {problem} | {advice} | {measured} |" for problem, advice, measured in (row() for row in ROWS)]
    return "\n".join(lines)
