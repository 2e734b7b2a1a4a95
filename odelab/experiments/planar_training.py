"""Training a planar flow, discrete or continuous, on points drawn anew for every iteration; for `planar`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import ENERGIES, density
from odelab.experiments.planar_kernels import cnf_gradient, train_flow
from odelab.experiments.results import Key
from odelab.flows import CNF
from odelab.flows.planar import PlanarCNF, PlanarDensity, PlanarFlow
from odelab.training import seed_of

RK4_STEPS = 8


@dataclass(frozen=True)
class Recipe:
    """Iterations of ``batch`` points each, drawn for ``chunk`` iterations at once, and the learning rate."""

    iterations: int
    lr: float
    batch: int
    chunk: int


def marks(recipe: Recipe) -> list[int]:
    """Iterations at which the curve is measured: 1, 2, 5, 10, … chunks, and the end."""
    series = {round(step * 10**power) * recipe.chunk for power in range(6) for step in (1, 2, 5)}
    return sorted({mark for mark in series if mark < recipe.iterations} | {recipe.iterations})


class DiscreteTrainer:
    """K planar layers by RMSprop with momentum."""

    def __init__(self, key: Key, recipe: Recipe):
        flow = PlanarFlow(2, key["width"])
        theta = torch.cat([flow.w, flow.u, flow.b[:, None]], 1).detach()
        self.state = {"theta": theta, "square": torch.zeros_like(theta), "velocity": torch.zeros_like(theta)}
        self.recipe, self.kind, self.generates = recipe, kind_of(key["target"]), key["target"] in ENERGIES

    def advance(self, z: Tensor) -> None:
        train_flow(self.kind, self.state, z, self.recipe.lr)

    def load(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def model(self) -> PlanarDensity:
        flow = PlanarFlow(2, len(self.state["theta"]))
        w, u, b = self.state["theta"].split((2, 2, 1), 1)
        flow.load_state_dict({"w": w, "u": u, "b": b[:, 0]})
        return PlanarDensity(flow, generates=self.generates)


class ContinuousTrainer:
    """M gated planar units by Adam, through steps of classical RK4; data stand at t = 0, the base at t = 1."""

    def __init__(self, key: Key, recipe: Recipe):
        self.field = PlanarCNF(2, key["width"])
        self.optimizer = torch.optim.Adam(self.field.parameters(), lr=recipe.lr, fused=True)
        self.kind, self.generates = kind_of(key["target"]), key["target"] in ENERGIES
        self.times = torch.linspace(0, 1, 2 * RK4_STEPS + 1)

    def advance(self, z: Tensor) -> None:
        for points in z:
            raw = self.field.raw(self.times)
            self.optimizer.zero_grad()
            # A model that generates moves the base's points from t = 1 to the data's side at 0.
            raw.backward(cnf_gradient(self.kind, raw, points, backwards=self.generates))
            self.optimizer.step()

    @property
    def state(self) -> dict[str, Any]:
        return {"field": self.field.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.field.load_state_dict(state["field"])
        self.optimizer.load_state_dict(state["optimizer"])

    def model(self) -> CNF:
        return CNF(self.field, rtol=1e-6, atol=1e-6)


def kind_of(target: str) -> str:
    """What end points are scored with: the target's energy in density matching, the base's in maximum likelihood."""
    return target if target in ENERGIES else "normal"


def draw(target: str, recipe: Recipe, seed: int, chunk: int) -> Tensor:
    """The points of a chunk of iterations, (chunk, 2, batch): base samples for an energy, data for a density.

    They depend on seed and chunk alone: targets share their noise, and a resumed run sees what it would have seen.
    """
    generator = torch.Generator().manual_seed(seed_of("planar", seed, chunk))
    if target in ENERGIES:
        return torch.randn(recipe.chunk, 2, recipe.batch, generator=generator)
    data = density(target).sample(recipe.chunk * recipe.batch, generator)
    return data.view(recipe.chunk, recipe.batch, 2).mT.contiguous()
