"""Recurrent networks over irregular observations: the encoders of a latent ODE, which run backwards in time.

Only what was observed is read, each sequence at its own times. The gap Δt of an observation is the time to the next one
that the network will come to; a network that is not given it cannot tell a pause from a step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from odelab.choices import choose
from odelab.saving import Savable
from odelab.solvers import TABLEAUS
from odelab.solvers.stepping import RungeKutta

CELLS: dict[str, type[nn.RNN] | type[nn.GRU]] = {"rnn": nn.RNN, "gru": nn.GRU}


class Packed(NamedTuple):
    """What was observed, moved to the left: x (n, K, channels), times (n, K), and their number (n,); then padding."""

    x: Tensor
    times: Tensor
    number: Tensor


def latest_first(values: Tensor, number: Tensor) -> Tensor:
    """Packed values (n, K, …) of each sequence's ``number`` (n,) observations in reverse; then padding."""
    place = (number[:, None] - 1 - torch.arange(values.shape[1], device=values.device)).clamp(min=0)
    return values.take_along_dim(place.view(*place.shape, *[1] * (values.ndim - 2)), 1)


def pack(x: Tensor, times: Tensor, mask: Tensor | None = None) -> Packed:
    """Pack the observations of every sequence to the left.

    Args:
        x: (n, T, channels).
        times: (T,), or (n, T) a clock for each.
        mask: bool (n, T), what was observed; everything by default.

    Raises:
        ValueError: for shapes that do not fit.
    """
    if x.ndim != 3:
        raise ValueError(f"x is {tuple(x.shape)}; a recurrent network reads (sequence, time, channel)")
    n, points = x.shape[:2]
    if times.shape not in ((points,), (n, points)):
        raise ValueError(f"times are {tuple(times.shape)}; for x {tuple(x.shape)}: ({points},) or ({n}, {points})")
    times = times.expand(n, points)
    if mask is None:
        return Packed(x, times, torch.full((n,), points, device=x.device))
    if mask.shape != (n, points) or mask.dtype != torch.bool:
        raise ValueError(
            f"mask is {tuple(mask.shape)} {mask.dtype}; a recurrent network reads whole frames: bool ({n}, {points}), "
            "e.g. mask.all(-1) of one shaped as x; a LatentODE takes that one, too"
        )
    number = mask.sum(1)
    order = mask.byte().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(number.max()))]
    x = torch.where(mask[..., None], x, 0.0).take_along_dim(order[..., None], 1)
    return Packed(x, times.take_along_dim(order, 1), number)


def gaps_before(packed: Packed, start: Tensor) -> Tensor:
    """Time from each observation back to the one before it, for the first one back to ``start`` (n,): (n, K)."""
    return packed.times - torch.cat([start[:, None], packed.times[:, :-1]], 1)


class SeriesEncoder(Savable):
    """q(z₀ | observations): a state that has read them backwards in time, and a linear layer for mean and log σ.

    Args:
        channels: of an observation.
        latent: dimension of z₀.
        hidden: of the recurrent state.
        scale: observations are divided by it.

    Attributes:
        dim: of z₀, `latent`.
    """

    def __init__(self, channels: int, latent: int, hidden: int = 25, *, scale: float = 1.0) -> None:
        super().__init__()
        self.channels, self.dim, self.hidden, self.scale = channels, latent, hidden, scale
        self.head = nn.Linear(hidden, 2 * latent)

    def forward(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> Independent:
        """x (n, T, channels), times (T,) or (n, T), mask (n, T) -> a Gaussian over z₀ (n, latent), at times[…, 0].

        Raises:
            ValueError: for shapes that do not fit.
        """
        packed = pack(x, times, mask)
        if x.shape[2] != self.channels:
            raise ValueError(f"x has {x.shape[2]} channels, the encoder was made for {self.channels}")
        gaps = gaps_before(packed, times.expand(x.shape[:2])[:, 0])
        x, gaps = latest_first(packed.x / self.scale, packed.number), latest_first(gaps, packed.number)
        mean, log_std = self.head(self.state(x, gaps, packed.number)).chunk(2, -1)
        return Independent(Normal(mean, log_std.exp()), 1)

    def state(self, x: Tensor, gaps: Tensor, count: Tensor) -> Tensor:
        """State (n, hidden) after the first ``count`` of x (n, K, channels); ``gaps`` (n, K) follow each of them."""
        raise NotImplementedError


class RecurrentEncoder(SeriesEncoder):
    """An RNN (tanh) or a GRU, run backwards in time.

    Args:
        cell: "rnn" or "gru".
        gaps: whether the network also reads Δt, the time to the observation it comes to next.
    """

    def __init__(
        self, channels: int, latent: int, hidden: int = 25, *, cell: str = "rnn", gaps: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__(channels, latent, hidden, scale=scale)
        self.gaps = gaps
        self.network = choose(CELLS, cell, "cell")(channels + gaps, hidden, batch_first=True)

    def state(self, x: Tensor, gaps: Tensor, count: Tensor) -> Tensor:
        states, _ = self.network(torch.cat([x, gaps[..., None]], -1) if self.gaps else x)
        return _state_after(states, count)


class ODERNNEncoder(SeriesEncoder):
    """A state that flows by an ODE between observations and is updated by a GRU at each (Rubanova et al. 2019).

    Every sequence flows for its own gaps, each in ``substeps`` steps of ``method``, an explicit Runge–Kutta method.
    """

    def __init__(
        self,
        channels: int,
        latent: int,
        hidden: int = 25,
        *,
        field_hidden: int = 25,
        method: str = "euler",
        substeps: int = 1,
        scale: float = 1.0,
    ) -> None:
        super().__init__(channels, latent, hidden, scale=scale)
        self.cell = nn.GRUCell(channels, hidden)
        self.field = nn.Sequential(nn.Linear(hidden, field_hidden), nn.Tanh(), nn.Linear(field_hidden, hidden))
        self.solver, self.method, self.substeps = RungeKutta(choose(TABLEAUS, method, "method")), method, substeps

    def state(self, x: Tensor, gaps: Tensor, count: Tensor) -> Tensor:
        return self.trace(x, gaps, count)[-1][1]

    def trace(self, x: Tensor, gaps: Tensor, count: Tensor) -> list[tuple[Tensor, Tensor]]:
        """States (n, hidden) after each update and at the end of the flow that follows it."""
        state, states = x.new_zeros(len(x), self.hidden), []
        there = torch.arange(x.shape[1], device=x.device) < count[:, None]
        padded, gaps = not bool(there.all()), gaps.where(there, 0.0)
        for k in range(x.shape[1]):
            updated = self.cell(x[:, k], state)
            if padded:
                updated = torch.where(there[:, k, None], updated, state)
            state = self.flow(updated, gaps[:, k, None])
            states.append((updated, state))
        return states

    def flow(self, state: Tensor, elapsed: Tensor) -> Tensor:
        """The state (n, hidden) after a time for each sequence, (n, 1)."""
        dt = elapsed / self.substeps
        for _ in range(self.substeps):
            state = self.solver.step(lambda t, h: self.field(h), 0.0, 0.0, dt, state).y1
        return state


def _state_after(states: Tensor, count: Tensor) -> Tensor:
    """The state (n, hidden) after ``count`` (n,) steps of states (n, K, hidden); zero after none."""
    last = states.take_along_dim((count - 1).clamp(min=0)[:, None, None], 1).squeeze(1)
    return torch.where(count[:, None] > 0, last, 0.0)
