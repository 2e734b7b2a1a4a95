"""Training a planar flow, discrete or continuous, on points drawn anew for every iteration; for `planar`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odelab.datasets import ENERGIES, density
from odelab.experiments.planar.kernels import cnf_gradient, train_flow
from odelab.experiments.results import Key
from odelab.flows import CNF
from odelab.flows.planar import PlanarCNF, PlanarDensity, PlanarFlow
from odelab.training import seed_of


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
        return PlanarDensity(flow, generates=self.generates).double()


class ContinuousTrainer:
    """M gated planar units by Adam, through steps of classical RK4; data stand at t = 0, the base at t = 1."""

    def __init__(self, key: Key, recipe: Recipe):
        field = PlanarCNF(2, key["width"])
        self.shapes = {name: parameter.shape for name, parameter in field.named_parameters()}
        theta = nn.utils.parameters_to_vector(field.parameters()).detach()
        self.state = {"theta": theta, "mean": torch.zeros_like(theta), "square": torch.zeros_like(theta)}
        self.state["step"] = torch.zeros((), dtype=torch.int64)
        self.recipe, self.width = recipe, key["width"]
        self.kind, self.generates = kind_of(key["target"]), key["target"] in ENERGIES
        self.times = torch.linspace(0, 1, 2 * rk4_steps(self.width) + 1)[:, None]

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector of all parameters, by their names."""
        parts = vector.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def gradient(self, points: Tensor, out: dict[str, Tensor]) -> None:
        """∇ of the loss on points (2, n) into ``out``. Backward by hand: a graph would cost more."""
        p = self.named(self.state["theta"])
        first = torch.addmm(p["first.bias"], self.times, p["first.weight"].mT).tanh_()
        second = torch.addmm(p["second.bias"], first, p["second.weight"].mT).tanh_()
        raw = torch.addmm(p["last.bias"], second, p["last.weight"].mT)
        # A model that generates moves the base's points from t = 1 to the data's side at 0.
        slope = cnf_gradient(self.kind, raw, points, backwards=self.generates)
        for name, inputs in (("last", second), ("second", first), ("first", self.times)):
            torch.mm(slope.mT, inputs, out=out[f"{name}.weight"])
            torch.sum(slope, 0, out=out[f"{name}.bias"])
            if name != "first":
                slope = (slope @ p[f"{name}.weight"]).mul_(1 - inputs * inputs)

    def advance(self, z: Tensor) -> None:
        theta, mean, square, step = self.state.values()
        gradient = torch.empty_like(theta)
        out = self.named(gradient)
        for points in z:
            self.gradient(points, out)
            step += 1
            mean.lerp_(gradient, 0.1)
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            bias, spread = 1 - 0.9 ** int(step), (1 - 0.999 ** int(step)) ** 0.5
            theta.addcdiv_(mean, square.sqrt().div_(spread).add_(1e-8), value=-self.recipe.lr / bias)

    def load(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def model(self) -> CNF:
        field = PlanarCNF(2, self.width)
        field.load_state_dict(self.named(self.state["theta"]))
        return CNF(field, rtol=1e-6, atol=1e-6)


def rk4_steps(width: int) -> int:
    """Steps of RK4 in training: more where few units move points in jolts, and for likelihood (64 units).

    With eight steps, two units learned their solver (KL to U3 −0.05 by those steps, 0.69 by dopri5), and so did 64 on
    circles (NLL 2.88, below the entropy 3.27, by those steps; 4.74 by dopri5).
    """
    return {2: 32, 8: 16, 32: 8}.get(width, 32)


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
