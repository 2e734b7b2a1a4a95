"""Three systems observed along a path or two, and what happens to them when somebody intervenes.

An intervention is another start, or a change of the slopes: a variable is held, or a known term is added. A model is
asked to predict it with the same change of its own slopes, so that it is judged by what it learned about the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor

from odelab.solvers import SolverError, solve

Field = Callable[[Tensor], Tensor]  # states (…, d) -> slopes (…, d)
Change = Callable[[Tensor, Tensor], Tensor]  # states and slopes (…, d) -> the slopes after the intervention


def unchanged(_: Tensor, slopes: Tensor) -> Tensor:
    return slopes


@dataclass(frozen=True)
class Intervention:
    """From another start, with changed slopes, or both."""

    start: tuple[float, float]
    change: Change = unchanged


@dataclass(frozen=True)
class System:
    """dz/dt = field(z), observed from a start until `end`.

    Attributes:
        variables: names of the two states.
        starts: the first is that of the usual experiment, the others are those of further ones.
        terms: for each state the names of the terms on its right-hand side, as `library` writes them.
        elsewhere, change: interventions that are never observed: a new start, and changed slopes.
        reach: corners (low, high), (2,) each, of the box in which a discovered field is scored.
    """

    variables: tuple[str, str]
    field: Field
    starts: tuple[tuple[float, float], ...]
    end: float
    terms: tuple[frozenset[str], frozenset[str]]
    elsewhere: Intervention
    change: Intervention
    reach: tuple[tuple[float, float], tuple[float, float]]


LOSS, DECAY = 1.5, 0.5  # λ of the stock and of the supply, per unit of time


def stock(z: Tensor) -> Tensor:
    """z = (Q, S): a supply Q that decays, and a stock S that it fills, dS/dt = Q − λ S."""
    supply, level = z.unbind(-1)
    return torch.stack([-DECAY * supply, supply - LOSS * level], -1)


def pendulum(z: Tensor) -> Tensor:
    """z = (angle, velocity) of a pendulum with friction."""
    angle, velocity = z.unbind(-1)
    return torch.stack([velocity, -2.0 * torch.sin(angle) - 0.3 * velocity], -1)


def hunters(z: Tensor) -> Tensor:
    """z = (prey, predators) of Lotka and Volterra."""
    prey, predators = z.unbind(-1)
    return torch.stack([prey - 0.5 * prey * predators, 0.4 * prey * predators - 0.8 * predators], -1)


def held(variable: int) -> Change:
    """The variable stays where it starts, whatever the model says of its slope."""

    def change(_: Tensor, slopes: Tensor) -> Tensor:
        mask = torch.ones(slopes.shape[-1], dtype=slopes.dtype)
        mask[variable] = 0.0
        return slopes * mask

    return change


def pushed(variable: int, force: float) -> Change:
    """A known constant is added to one slope."""

    def change(_: Tensor, slopes: Tensor) -> Tensor:
        extra = torch.zeros(slopes.shape[-1], dtype=slopes.dtype)
        extra[variable] = force
        return slopes + extra

    return change


def harvested(rate: float) -> Change:
    """A known share of everything is taken away per unit of time."""
    return lambda z, slopes: slopes - rate * z


SYSTEMS: Mapping[str, System] = {
    "stock": System(
        ("Q", "S"),
        stock,
        ((2.0, 0.0), (0.5, 1.0), (1.0, 1.5)),
        6.0,
        (frozenset({"Q"}), frozenset({"Q", "S"})),
        Intervention((0.2, 1.5)),
        Intervention((1.5, 0.0), held(0)),
        ((0.0, 0.0), (2.0, 1.5)),
    ),
    "pendulum": System(
        ("θ", "ω"),
        pendulum,
        ((0.8, 0.0), (2.2, 0.0), (0.0, 2.5)),
        10.0,
        (frozenset({"ω"}), frozenset({"sin θ", "ω"})),
        Intervention((2.6, 0.0)),
        Intervention((0.0, 0.0), pushed(1, 1.5)),
        ((-2.6, -3.0), (2.6, 3.0)),
    ),
    "hunters": System(
        ("x", "y"),
        hunters,
        ((1.0, 1.0), (3.0, 3.0), (4.0, 1.0)),
        12.0,
        (frozenset({"x", "x y"}), frozenset({"y", "x y"})),
        Intervention((4.5, 3.5)),
        Intervention((1.0, 1.0), harvested(0.3)),
        ((0.3, 0.3), (5.0, 5.0)),
    ),
}


def simulate(field: Field, start: Sequence[float] | Tensor, times: Tensor, change: Change = unchanged) -> Tensor:
    """States (n, 2) at the times (n,) from a start (2,), after a change of the slopes if there is one."""

    def slopes(_: float, z: Tensor) -> Tensor:
        return change(z, field(z))

    z0 = torch.as_tensor(start, dtype=times.dtype)
    with torch.no_grad():
        return cast(Tensor, solve(slopes, z0, times, method="dopri5", rtol=1e-7, atol=1e-7).y)


@cache
def true_path(field: Field, start: tuple[float, float], end: float, samples: int, change: Change = unchanged) -> Tensor:
    """As `simulate` at evenly spaced times from 0 to the end; remembered, because many draws of noise share it."""
    return simulate(field, start, torch.linspace(0.0, end, samples, dtype=torch.float64), change)


def observe(system: System, samples: int, noise: float, seed: int, starts: int = 1) -> tuple[Tensor, list[Tensor]]:
    """Times (samples,) and the noisy states (samples, 2) of so many experiments.

    Args:
        noise: as a share of each variable's standard deviation along the path.

    Raises:
        ValueError: for fewer than two samples, negative noise, or more starts than the system has.
    """
    if samples < 2 or noise < 0 or not 1 <= starts <= len(system.starts):
        raise ValueError(
            f"samples = {samples}, noise = {noise}, starts = {starts}: at least 2 samples, noise of 0 or more, "
            f"and from 1 to {len(system.starts)} starts"
        )
    times = torch.linspace(0.0, system.end, samples, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    paths = []
    for start in system.starts[:starts]:
        path = true_path(system.field, start, system.end, samples)
        errors = torch.randn(path.shape, generator=generator, dtype=path.dtype)
        paths.append(path + noise * path.std(0) * errors)
    return times, paths


CAP = 10.0  # where a model that runs away is counted as


def path_error(system: System, field: Field, intervention: Intervention | None = None) -> float:
    """Root mean square of predicted minus true path, in standard deviations of the observed one; `CAP` at most.

    Args:
        intervention: None for the experiment that was observed.
    """
    times = torch.linspace(0.0, system.end, 101, dtype=torch.float64)
    scale = true_path(system.field, system.starts[0], system.end, len(times)).std(0)
    what = intervention or Intervention(system.starts[0])
    truth = true_path(system.field, what.start, system.end, len(times), what.change)
    try:
        predicted = simulate(field, what.start, times, what.change)
    except SolverError:
        return CAP
    return min(float(((predicted - truth) / scale).square().mean().sqrt()), CAP)


def field_error(system: System, field: Field, side: int = 21) -> float:
    """Relative root mean square error of the slopes on a grid over the system's box: the score of a discovery."""
    low, high = torch.tensor(system.reach, dtype=torch.float64)
    axes = [torch.linspace(float(a), float(b), side, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    places = torch.cartesian_prod(*axes)
    truth = system.field(places)
    with torch.no_grad():
        gap = field(places) - truth
    error = (gap.square().mean(0) / truth.square().mean(0)).mean().sqrt()
    return min(float(error), CAP)
