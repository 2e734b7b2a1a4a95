"""Training a planar flow, discrete or continuous, on points drawn anew for every iteration; for `planar`."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import ENERGIES, density, energy
from odelab.experiments.planar.kernels import KINDS, GatedRK4, train_flow
from odelab.experiments.recipe import Recipe
from odelab.experiments.results import Key
from odelab.flows import CNF
from odelab.flows.planar import PlanarCNF, PlanarDensity, PlanarFlow
from odelab.training import seed_of


@dataclass(frozen=True, kw_only=True)
class PlanarRecipe(Recipe):
    """Iterations of ``batch`` points each, drawn for ``chunk`` iterations at once; the rate falls from lr to 0.

    Attributes:
        rk4_steps: of a CNF's training; by its width, as `steps` has it, where none are given.
    """

    batch: int
    chunk: int
    rk4_steps: int | None = None

    def rates(self, chunk: int) -> Tensor:
        """Learning rates of a chunk's iterations, half a cosine over the whole run: (chunk,), float64.

        At a constant rate the last iterates of both flows jump about: their KL ended 2 to 25 times higher.
        """
        iterations = chunk * self.chunk + torch.arange(self.chunk, dtype=torch.float64)
        return self.lr * (1 + (math.pi * iterations / self.iterations).cos()) / 2

    def steps(self, width: int) -> int:
        """Steps of RK4 in training: more where few units move points in jolts, and for likelihood (64 units).

        With eight steps, two units learned their solver (KL to U3 −0.05 by those steps, 0.69 by dopri5), and so did 64
        on circles (NLL 2.88, below the entropy 3.27, by those steps; 4.74 by dopri5) and a seed of 32 (KL 6.3).
        """
        return self.rk4_steps or {8: 16, 32: 16}.get(width, 32)


def marks(recipe: PlanarRecipe) -> list[int]:
    """Iterations at which the curve is measured: 1, 2, 5, 10, … chunks, and the end."""
    series = {round(step * 10**power) * recipe.chunk for power in range(6) for step in (1, 2, 5)}
    return sorted({mark for mark in series if mark < recipe.iterations} | {recipe.iterations})


class DiscreteTrainer:
    """K planar layers by RMSprop with momentum, in float64."""

    def __init__(self, key: Key, recipe: PlanarRecipe):
        flow = PlanarFlow(2, key["width"])
        theta = torch.cat([flow.w, flow.u, flow.b[:, None]], 1).detach().double()
        self.state = {"theta": theta, "square": torch.zeros_like(theta), "velocity": torch.zeros_like(theta)}
        self.kind, self.generates = kind_of(key["target"]), key["target"] in ENERGIES

    def advance(self, z: Tensor, rates: Tensor) -> None:
        """An iteration for each of z (iterations, 2, n) and rates (iterations,)."""
        train_flow(KINDS[self.kind], *(tensor.numpy() for tensor in (*self.state.values(), z.double(), rates)))

    def load(self, state: dict[str, Tensor]) -> None:
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def model(self) -> PlanarDensity:
        flow = PlanarFlow(2, len(self.state["theta"])).double()
        w, u, b = self.state["theta"].split((2, 2, 1), 1)
        flow.load_state_dict({"w": w, "u": u, "b": b[:, 0]})
        return PlanarDensity(flow, generates=self.generates).double()


class ContinuousTrainer:
    """M gated planar units by Adam, through steps of classical RK4; data stand at t = 0, the base at t = 1."""

    def __init__(self, key: Key, recipe: PlanarRecipe):
        self.field = PlanarCNF(2, key["width"])
        self.optimizer = torch.optim.Adam(self.field.parameters(), recipe.lr, fused=True)
        self.kind = kind_of(key["target"])
        self.steps = recipe.steps(key["width"])
        # A model that generates moves the base's points from t = 1 to the data's side at 0.
        self.span = (1.0, 0.0) if key["target"] in ENERGIES else (0.0, 1.0)

    def loss(self, points: Tensor) -> Tensor:
        """mean(U(end) − log det) for points (2, n)."""
        start, end = self.span
        w, u, b, gate = self.field.units(torch.linspace(start, end, 2 * self.steps + 1, dtype=points.dtype))
        moved, log_det = GatedRK4.apply(points, w, u * gate[..., None], b, (end - start) / self.steps)
        return (scored(self.kind, moved.mT) - log_det).mean()

    def advance(self, z: Tensor, rates: Tensor) -> None:
        """An iteration for each of z (iterations, 2, n) and rates (iterations,)."""
        for points, rate in zip(z, rates.tolist(), strict=True):
            self.optimizer.param_groups[0]["lr"] = rate
            self.optimizer.zero_grad()
            self.loss(points).backward()
            self.optimizer.step()

    @property
    def state(self) -> dict[str, Any]:
        return {"field": self.field.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.field.load_state_dict(state["field"])
        self.optimizer.load_state_dict(state["optimizer"])

    def model(self) -> CNF:
        return CNF(copy.deepcopy(self.field), rtol=1e-6, atol=1e-6)


def scored(kind: str, z: Tensor) -> Tensor:
    """U of end points z (…, 2): (…)."""
    return (z * z).sum(-1) / 2 if kind == "normal" else energy(kind)(z)


def kind_of(target: str) -> str:
    """What end points are scored with: the target's energy in density matching, the base's in maximum likelihood."""
    return target if target in ENERGIES else "normal"


def draw(target: str, recipe: PlanarRecipe, seed: int, chunk: int) -> Tensor:
    """The points of a chunk of iterations, (chunk, 2, batch): base samples for an energy, data for a density.

    They depend on seed and chunk alone: targets share their noise, and a resumed run sees what it would have seen.
    """
    generator = torch.Generator().manual_seed(seed_of("planar", seed, chunk))
    if target in ENERGIES:
        return torch.randn(recipe.chunk, 2, recipe.batch, generator=generator)
    data = density(target).sample(recipe.chunk * recipe.batch, generator)
    return data.view(recipe.chunk, recipe.batch, 2).mT.contiguous()
