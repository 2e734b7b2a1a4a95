"""States that take in a visit and go on until the next one: by a gap as an input, by an ODE, by a controlled equation.

Every model answers the same question: given the visits up to the k-th, what is true at a later time of its own? It is
called with the visits and the times asked for, and returns one number for each visit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odelab.choices import choose
from odelab.datasets import Visits
from odelab.experiments.visits.recipe import VisitsRecipe
from odelab.nets.fields import perceptron


@dataclass(frozen=True, eq=False)
class Inputs:
    """Visits as nets read them, float32.

    Attributes:
        times: (n, T), years; after the last visit the clock stands still.
        x: (n, T, channels), standardised logarithms, the last known value where nothing was measured, 0 before any.
        mask: (n, T, channels), 1 where something was measured.
        there: bool (n, T), visits and not padding.
    """

    times: Tensor
    x: Tensor
    mask: Tensor
    there: Tensor

    def rows(self, chosen: Tensor) -> "Inputs":
        """Some of the patients."""
        return Inputs(self.times[chosen], self.x[chosen], self.mask[chosen], self.there[chosen])


def inputs_of(visits: Visits, trained_on: Tensor, until: float = float("inf")) -> Inputs:
    """Visits up to a time, standardised by those of the training patients.

    Args:
        trained_on: bool (n,).

    Raises:
        ValueError: where a channel is the same at all visits of the training patients or was never measured, and for
            values that have no logarithm.
    """
    there = visits.there & (visits.times <= until)
    if bool((visits.x <= 0).any()):
        raise ValueError("a measured value is 0 or negative, and has no logarithm: mark it as missing, by NaN")
    logs = visits.x.log()
    known = there[..., None] & ~logs.isnan()
    of_training = logs[trained_on]
    scaled = []
    for k, name in enumerate(visits.channels):
        values = of_training[..., k][known[trained_on][..., k]]
        if len(values) < 2 or float(values.std()) < 1e-9:  # of logarithms
            raise ValueError(
                f"{name}: {len(values)} values of the training patients, all the same; a constant tells nothing, so "
                "leave this channel out"
            )
        scaled.append((logs[..., k] - values.mean()) / values.std())
    x = torch.stack(scaled, -1).where(known, torch.nan)
    return Inputs(visits.times.clamp(max=until).float(), carried_forward(x).float(), known.float(), there)


def carried_forward(x: Tensor) -> Tensor:
    """NaN replaced by the last value before it, by 0 where there is none: (n, T, channels)."""
    filled, last = [], torch.zeros_like(x[:, 0])
    for now in x.unbind(1):
        last = torch.where(now.isnan(), last, now)
        filled.append(last)
    return torch.stack(filled, 1)


def midpoint_flow(field: Callable[[Tensor], Tensor], state: Tensor, elapsed: Tensor, steps: int) -> Tensor:
    """The state (n, hidden) after times of their own, (n, 1): dt is a column, so every row has its own step."""
    dt = elapsed / steps
    for _ in range(steps):
        middle = state + dt / 2 * field(state)
        state = state + dt * field(middle)
    return state


class Recurrent(nn.Module):
    """What the models share: the loop over visits, and a linear layer that reads the answer off the state."""

    def __init__(self, channels: int, recipe: VisitsRecipe) -> None:
        super().__init__()
        self.recipe, self.hidden = recipe, recipe.hidden
        self.head = nn.Linear(recipe.hidden, 1)
        self.channels = channels

    def forward(self, inputs: Inputs, asked: Tensor) -> Tensor:
        """Answers (n, T) at times ``asked`` (n, T), the k-th from the visits up to the k-th."""
        state = self.start(inputs)
        answers = []
        count = inputs.times.shape[1]
        for k in range(count):
            updated = self.jump(state, inputs, k)
            state = torch.where(inputs.there[:, k, None], updated, state)
            ahead = self.flow(state, (asked[:, k] - inputs.times[:, k])[:, None].clamp(min=0))
            answers.append(self.head(ahead)[:, 0])
            if k + 1 < count:
                same = bool((asked[:, k] == inputs.times[:, k + 1]).all())
                state = ahead if same else self.flow(state, inputs.times[:, k + 1, None] - inputs.times[:, k, None])
        return torch.stack(answers, 1)

    def start(self, inputs: Inputs) -> Tensor:
        return inputs.x.new_zeros(len(inputs.x), self.hidden)

    def jump(self, state: Tensor, inputs: Inputs, k: int) -> Tensor:
        """The state after the k-th visit."""
        raise NotImplementedError

    def flow(self, state: Tensor, elapsed: Tensor) -> Tensor:
        """The state after a time (n, 1) without a visit."""
        raise NotImplementedError


class GapGRU(Recurrent):
    """A GRU that reads how much time has passed; between visits its state stands still."""

    def __init__(self, channels: int, recipe: VisitsRecipe) -> None:
        super().__init__(channels, recipe)
        self.cell = nn.GRUCell(2 * channels + 1, recipe.hidden)
        self.head = nn.Linear(recipe.hidden + 1, 1)

    def forward(self, inputs: Inputs, asked: Tensor) -> Tensor:
        gaps = inputs.times.diff(dim=1, prepend=inputs.times[:, :1])
        state, states = self.start(inputs), []
        for k in range(inputs.times.shape[1]):
            updated = self.cell(torch.cat([inputs.x[:, k], inputs.mask[:, k], gaps[:, k, None]], -1), state)
            state = torch.where(inputs.there[:, k, None], updated, state)
            states.append(state)
        return self.head(torch.cat([torch.stack(states, 1), (asked - inputs.times)[..., None]], -1))[..., 0]


class ODERNN(Recurrent):
    """dh/dt = f(h) between visits, a GRU at each (Rubanova et al. 2019)."""

    def __init__(self, channels: int, recipe: VisitsRecipe) -> None:
        super().__init__(channels, recipe)
        self.cell = nn.GRUCell(2 * channels, recipe.hidden)
        self.field: nn.Module = perceptron(recipe.hidden, recipe.hidden, (recipe.width,))

    def jump(self, state: Tensor, inputs: Inputs, k: int) -> Tensor:
        return self.cell(torch.cat([inputs.x[:, k], inputs.mask[:, k]], -1), state)

    def flow(self, state: Tensor, elapsed: Tensor) -> Tensor:
        return midpoint_flow(self.field, state, elapsed, self.recipe.steps)


class GRUField(nn.Module):
    """(1 − z)(g − h) with the gates of a GRU without an input: h stays in [−1, 1] (De Brouwer et al. 2019)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Linear(hidden, 2 * hidden)
        self.candidate = nn.Linear(hidden, hidden)

    def forward(self, h: Tensor) -> Tensor:
        """h (…, hidden) -> dh/dt."""
        reset, update = torch.sigmoid(self.gates(h)).chunk(2, -1)
        g = torch.tanh(self.candidate(reset * h))
        return (1 - update) * (g - h)


class GRUODE(ODERNN):
    """The same with the field of GRU-ODE-Bayes, and its jump simplified to a GRU."""

    def __init__(self, channels: int, recipe: VisitsRecipe) -> None:
        super().__init__(channels, recipe)
        self.field = GRUField(recipe.hidden)


class NeuralCDE(Recurrent):
    """dz = F(z) dX along a path X of time, values and how often each was measured (Kidger et al. 2020).

    X is rectilinear (Morrill et al. 2022): until the next visit only its time moves, and then, the time standing
    still, its values go in a straight line to the new ones. So nothing is used before it was measured.
    """

    def __init__(self, channels: int, recipe: VisitsRecipe) -> None:
        super().__init__(channels, recipe)
        self.size = 1 + 2 * channels
        self.first = nn.Linear(self.size, recipe.hidden)
        self.matrix = perceptron(recipe.hidden, recipe.hidden * self.size, (recipe.width,))

    def control(self, inputs: Inputs, k: int) -> Tensor:
        """Values and counts (n, 2 channels) after the k-th visit."""
        return torch.cat([inputs.x[:, k], inputs.mask[:, : k + 1].sum(1) / 4], -1)

    def fields(self, z: Tensor) -> Tensor:
        """F(z), (n, hidden, 1 + 2 channels); its first column belongs to the time."""
        return torch.tanh(self.matrix(z)).view(*z.shape[:-1], self.hidden, self.size)

    def start(self, inputs: Inputs) -> Tensor:
        return self.first(torch.cat([inputs.times[:, :1], self.control(inputs, 0)], -1))

    def jump(self, state: Tensor, inputs: Inputs, k: int) -> Tensor:
        if k == 0:
            return state
        moved = (self.control(inputs, k) - self.control(inputs, k - 1))[..., None]
        one = torch.ones_like(state[:, :1])
        return midpoint_flow(lambda z: (self.fields(z)[..., 1:] @ moved)[..., 0], state, one, 1)

    def flow(self, state: Tensor, elapsed: Tensor) -> Tensor:
        return midpoint_flow(lambda z: self.fields(z)[..., 0], state, elapsed, self.recipe.steps)


NETS: dict[str, type[Recurrent]] = {"gru-dt": GapGRU, "ode-rnn": ODERNN, "gru-ode": GRUODE, "cde": NeuralCDE}


def build(model: str, channels: int, recipe: VisitsRecipe) -> Recurrent:
    """A net by its name in the experiment.

    Raises:
        ValueError: when there is none of that name.
    """
    return choose(NETS, model, "model")(channels, recipe)
