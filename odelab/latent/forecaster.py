"""The baseline beside the latent ODE: a recurrent network that predicts the next observation, then goes on alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from odelab.choices import choose
from odelab.latent.recurrent import CELLS, Packed, pack
from odelab.saving import Savable


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

    def loss(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean squared error of the next observation, in units of the scale, 0-d."""
        packed = pack(x, times, mask)
        guess, _ = self.next(packed.x[:, :-1], packed.times.diff(dim=1))
        there = torch.arange(1, packed.x.shape[1], device=x.device) < packed.number[:, None]
        return ((guess - packed.x[:, 1:]) / self.scale)[there].square().mean()

    @torch.no_grad()
    def predict(self, x: Tensor, times: Tensor, mask: Tensor | None, at: Tensor) -> Tensor:
        """What it expects at times ``at`` (T',), from the observations before each: (n, T', channels).

        Beyond the last observation it goes on in steps of the sequence's mean gap. Between two of its moments a network
        that reads gaps is asked for the time in question; for one that does not the guess is a straight line. Up to the
        first observation it repeats that one.

        Raises:
            ValueError: for times before the start, since it cannot run backwards, and for a sequence never observed.
        """
        packed = pack(x, times, mask)
        if bool((at < times.min()).any()):
            raise ValueError(
                f"asked for t = {float(at.min()):g}, before the first time {float(times.min()):g}: a forecaster only "
                "goes forward; a latent ODE can be asked"
            )
        if bool((packed.number == 0).any()):
            raise ValueError(f"sequence {int(packed.number.argmin())} has no observation to go on from")
        moments = self._moments(packed, at.max())
        before = (moments.times[:, None] < at[:, None]).sum(-1) - 1  # (n, T'): the last moment before each time
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
