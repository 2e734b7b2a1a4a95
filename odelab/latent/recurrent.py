"""Recurrent networks over irregular observations: the encoders of a latent ODE, which run backwards in time, and the
baseline beside it, which predicts the next observation and then goes on alone.

Only what was observed is read, each sequence at its own times. The gap Δt of an observation is the time to the next one
that the network will come to; a network that is not given it cannot tell a pause from a step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from odelab.choices import choose
from odelab.latent.observations import check_clock, observe
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
        gaps = gaps_before(packed, times.expand(x.shape[:2])[:, 0]).to(x.dtype)
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
        choose(TABLEAUS, method, "method")
        self.method, self.substeps = method, substeps

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
        solver, dt = RungeKutta(choose(TABLEAUS, self.method, "method")), elapsed / self.substeps
        for _ in range(self.substeps):
            state = solver.step(lambda t, h: self.field(h), 0.0, 0.0, dt, state).y1
        return state


def _state_after(states: Tensor, count: Tensor) -> Tensor:
    """The state (n, hidden) after ``count`` (n,) steps of states (n, K, hidden); zero after none."""
    last = states.take_along_dim((count - 1).clamp(min=0)[:, None, None], 1).squeeze(1)
    return torch.where(count[:, None] > 0, last, 0.0)


class RecurrentForecaster(Savable):
    """The baseline: predicts each observation from those before it, and goes on from its own predictions.

    Args:
        cell: "rnn" or "gru".
        gaps: whether it reads, beside an observation, how long after it the next one is asked for.
    """

    def __init__(
        self, channels: int, hidden: int = 25, *, cell: str = "rnn", gaps: bool = True, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.network = choose(CELLS, cell, "cell")(channels + gaps, hidden, batch_first=True)
        self.head = nn.Linear(hidden, channels)
        self.channels, self.gaps, self.scale = channels, gaps, scale

    def next(self, x: Tensor, gap: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The observation ``gap`` (n, K) after each of x (n, K, channels), and the states (n, K, hidden) behind it."""
        inputs = torch.cat([x / self.scale, gap[..., None]], -1) if self.gaps else x / self.scale
        states, _ = self.network(inputs, None if state is None else state[None])
        return self.head(states) * self.scale, states

    def _packed(self, x: Tensor, times: Tensor, mask: Tensor | None) -> tuple[Packed, Tensor]:
        """The observations, checked, on a clock in the precision of x; and when that clock begins, 0-d."""
        x = observe(self, x, times, mask, (self.channels,)).x
        begin = times.min()
        return pack(x, (times - begin).to(x.dtype), mask), begin

    def loss(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean squared error of the next observation, in units of the scale, 0-d.

        Args:
            x: (n, T, channels); times: (T,) or (n, T); mask: bool (n, T), True where observed.

        Raises:
            ValueError, TypeError: for data that cannot be, and where no sequence has two observations.
        """
        packed, _ = self._packed(x, times, mask)
        if bool((packed.number < 2).all()):
            raise ValueError("no sequence has two observations, one to predict from the other: give longer ones")
        guess, _ = self.next(packed.x[:, :-1], packed.times.diff(dim=1))
        there = torch.arange(1, packed.x.shape[1], device=x.device) < packed.number[:, None]
        return ((guess - packed.x[:, 1:]) / self.scale)[there].square().mean()

    @torch.no_grad()
    def predict(self, x: Tensor, times: Tensor, mask: Tensor | None, at: Tensor) -> Tensor:
        """What it expects at times ``at`` (T',) or (n, T'), from the observations before each: (n, T', channels).

        Beyond the last observation it goes on in steps of the sequence's mean gap. Between two of its moments a network
        that reads gaps is asked for the time in question; for one that does not the guess is a straight line. Up to the
        first observation it repeats that one.

        Raises:
            ValueError: for times before the start, since it cannot run backwards, and for a sequence never observed.
            ValueError, TypeError: for data and times that cannot be, with where and what to do.
        """
        check_clock(at, len(x), name="at")
        packed, begin = self._packed(x, times, mask)
        if bool((at < begin).any()):
            raise ValueError(
                f"asked for t = {float(at.min()):g}, before the first time {float(begin):g}: a forecaster only "
                "goes forward; a latent ODE can be asked"
            )
        at = (at - begin).to(x.dtype)
        if bool((packed.number == 0).any()):
            raise ValueError(f"sequence {int(packed.number.argmin())} has no observation to go on from; leave it out")
        moments = self._moments(packed, at.max())
        before = (moments.times[:, None] < at[..., None]).sum(-1) - 1  # (n, T'): the last moment before each time
        place = before.clamp(min=0)
        start = moments.times.take_along_dim(place, 1)
        if self.gaps:
            value, state = (
                part.take_along_dim(place[..., None], 1).flatten(0, 1) for part in (moments.x, moments.states)
            )
            guess = self.next(value[:, None], (at - start).reshape(-1, 1), state)[0].view(*place.shape, -1)
        else:
            end = moments.times.take_along_dim(place + 1, 1)
            left, right = (moments.guesses.take_along_dim(k[..., None], 1) for k in (place, place + 1))
            guess = torch.lerp(left, right, ((at - start) / (end - start))[..., None])
        return torch.where(before[..., None] >= 0, guess, moments.guesses[:, :1])

    def _moments(self, packed: Packed, until: Tensor) -> _Moments:
        """The observations, and as many predictions after them as it takes to pass a time."""
        n, k = packed.times.shape
        there = torch.arange(k, device=packed.x.device) < packed.number[:, None]
        last, row = (packed.number - 1)[:, None], torch.arange(n, device=packed.x.device)
        end = packed.times.take_along_dim(last, 1)
        gap = ((end - packed.times[:, :1]) / last).nan_to_num()
        gap = torch.where(gap > 0, gap, gap.max().clamp(min=1e-3))  # one observation has no gaps of its own
        guess, states = self.next(packed.x, torch.cat([packed.times.diff(dim=1), gap], 1))
        earlier = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
        guesses = torch.cat([packed.x[:, :1], guess[:, :-1]], 1)
        parts = [_Moments(packed.x, packed.times.where(there, torch.inf), earlier, guesses)]
        value, state = packed.x[row, last[:, 0]][:, None], earlier[row, last[:, 0]]
        for step in range(1, int(((until - end) / gap).max().ceil().clamp(min=0)) + 2):
            value, after = self.next(value, gap, state)
            state = after[:, 0]
            parts.append(_Moments(value, end + step * gap, state[:, None], value))
        joined = _Moments(*(torch.cat(column, 1) for column in zip(*parts, strict=True)))
        order = joined.times.argsort(dim=1)  # padding goes to the end
        return _Moments(*(part.take_along_dim(order.view(*order.shape, *[1] * (part.ndim - 2)), 1) for part in joined))


class _Moments(NamedTuple):
    """Where a forecaster reads something: what, when, the state before, and what it had expected there."""

    x: Tensor
    times: Tensor
    states: Tensor
    guesses: Tensor
