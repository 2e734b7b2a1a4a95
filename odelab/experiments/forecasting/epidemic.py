"""An influenza forecast from its first days: SIR through the solver, SIR with a neural term, a neural ODE alone.

The state is (s, i), the shares of the boys who can still fall ill and who are in bed; a neural ODE alone has a hidden
number and √i, since it knows of no compartments. Counts are compared by their square roots, whose scatter is about ½
whatever their size (Bartlett 1936). A fan comes from several fits, each to data
with fresh noise, all at once: every parameter has a row for each member.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from odelab.experiments.forecasting.recipe import BOYS, MEMBERS
from odelab.experiments.forecasting.scores import LEVELS, Array
from odelab.solvers import solve

STEP = 0.5  # days, of the classical Runge–Kutta method
SMALLEST = 0.5  # scatter of the square root of a count of independent cases
HIDDEN = 8
WEIGHT = 0.02  # of the mean square of what the neural term adds to SIR
RATE = 0.02


class Outbreak(nn.Module):
    """Slopes of the states of several members at once.

    Args:
        kind: "sir", with β and γ; "sir + net", where a net of (s, i) changes β and γ by factors e^n; "net", where a net
            gives both slopes.
        members: M, each with parameters of its own.
    """

    def __init__(self, kind: str, members: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(members, *shape, generator=generator, dtype=torch.float64))

        self.kind = kind
        self.log_rates = nn.Parameter(drawn(2, scale=0.1).data + torch.tensor([0.4, -0.7], dtype=torch.float64))
        self.log_first = nn.Parameter(drawn(1, scale=0.1).data + np.log(1 / BOYS))
        if kind != "sir":
            self.inner = drawn(2, HIDDEN, scale=1.0)
            self.offset = drawn(1, HIDDEN, scale=0.5)
            self.outer = drawn(HIDDEN, 2, scale=0.1)

    def rates(self) -> Tensor:
        """β and γ per day, (M, 2)."""
        return self.log_rates.exp()

    def start(self) -> Tensor:
        """(M, 2): the state on day 0."""
        infected = self.log_first.exp()
        if self.kind == "net":
            return torch.cat([torch.zeros_like(infected), infected.sqrt()], 1)
        return torch.cat([1 - infected, infected], 1)

    def net(self, z: Tensor) -> Tensor:
        hidden = torch.tanh(torch.einsum("...mi,mih->...mh", z - 0.5, self.inner) + self.offset[:, 0])
        return torch.einsum("...mh,mho->...mo", hidden, self.outer)

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """z (M, 2) -> slopes (M, 2)."""
        if self.kind == "net":
            return self.net(z)
        rates = self.rates()
        if self.kind == "sir + net":
            rates = rates * self.net(z).exp()
        infections = rates[:, 0] * z[:, 0] * z[:, 1]
        return torch.stack([-infections, infections - rates[:, 1] * z[:, 1]], 1)

    def in_bed(self, days: Tensor) -> tuple[Tensor, Tensor]:
        """Boys in bed (n, M) on days (n,), increasing and positive, and the states (n, M, 2)."""
        times = torch.cat([torch.zeros(1, dtype=days.dtype), days])
        solution = solve(self, self.start(), times, method="rk4_classic", options={"step_size": STEP})
        path = cast(Tensor, solution.y)[1:]
        share = path[..., 1].square() if self.kind == "net" else path[..., 1]
        return BOYS * share.clamp(min=1e-6), path


@dataclass(frozen=True)
class Fan:
    """What an epidemic's model says of the other days.

    Attributes:
        quantiles: (days, 30), boys in bed; rates: β and γ, means over the members, None without them.
    """

    quantiles: Array
    rates: tuple[float, float] | None


def fit_outbreak(kind: str, counts: Tensor, steps: int, seed: int, members: int = MEMBERS) -> tuple[Outbreak, float]:
    """Members fitted to the counts (days,) of the first days, and the scatter of the square roots.

    The first half of the steps sees the counts as they are; what is left then gives the scatter, and in the second half
    every member sees counts with noise of this size.

    Raises:
        ValueError: for fewer than three days, which no two rates and a start can be learned from.
    """
    if counts.ndim != 1 or len(counts) < 3:
        raise ValueError(f"counts have the shape {tuple(counts.shape)}; an epidemic is fitted to three days at least")
    model = Outbreak(kind, members, seed)
    days = torch.arange(1, len(counts) + 1, dtype=torch.float64)
    roots = counts.double().sqrt()[:, None]
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    targets, scatter = roots, SMALLEST
    for step in range(steps):
        if step == steps // 2:
            with torch.no_grad():
                rest = model.in_bed(days)[0].sqrt() - roots
            scatter = max(SMALLEST, float(rest.square().mean().sqrt()))
            noise = torch.randn(len(roots), members, generator=generator, dtype=torch.float64)
            targets = (roots + scatter * noise).clamp(min=0)
        predicted, path = model.in_bed(days)
        loss = (predicted.sqrt() - targets).square().mean(0).sum()
        if kind == "sir + net":
            loss = loss + WEIGHT * len(days) * model.net(path).square().mean((0, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
    return model, scatter


def forecast_outbreak(model: Outbreak, scatter: float, first: int, days: int, seed: int) -> Fan:
    """From day ``first`` + 1 on, so many days; no count is larger than the school."""
    with torch.no_grad():
        clock = torch.arange(1, first + days + 1, dtype=torch.float64)
        roots = model.in_bed(clock)[0][first:].sqrt()  # (days, M)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(*roots.shape, 40, generator=generator, dtype=torch.float64)
        counts = (roots[..., None] + scatter * noise).clamp(0, BOYS**0.5).square().flatten(1)
        quantiles = torch.quantile(counts, torch.from_numpy(LEVELS), dim=1).T.numpy()
        rates = None if model.kind == "net" else (float(model.rates()[:, 0].mean()), float(model.rates()[:, 1].mean()))
    return Fan(quantiles, rates)
