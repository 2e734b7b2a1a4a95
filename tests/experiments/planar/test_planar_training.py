"""The experiment of planar flows: its kernels against autograd, its runs against themselves."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from odelab.datasets import energy
from odelab.experiments.planar import run as planar
from odelab.experiments.planar.kernels import DECAY, KINDS, MOMENTUM, flow_gradient
from odelab.experiments.planar.recipe import keys
from odelab.experiments.planar.run import RECIPES, measure, train, trained
from odelab.experiments.planar.training import ContinuousTrainer, DiscreteTrainer, PlanarRecipe, draw, marks, scored
from odelab.experiments.results import stored_rows
from odelab.flows import CNF, PlanarFlow
from tests.experiments.run_context import context_in


def error(value: Tensor, exact: Tensor) -> float:
    return ((value - exact).abs().max() / exact.abs().max()).item()


def plain_losses(trainer: ContinuousTrainer, model: CNF, z: Tensor) -> Tensor:
    """The loss of `ContinuousTrainer` by the library's solver, through which autograd goes: z (2, n)."""
    end, log_det = model.transport(z.mT, reverse=trainer.span[0] == 1)
    return (scored(trainer.kind, end) - log_det).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_hand_are_those_of_autograd(kind: str) -> None:
    torch.manual_seed(1)
    z = torch.randn(2, 100, dtype=torch.float64)
    z = torch.cat([z, 5 * z], 1)  # beyond the walls too
    layers = PlanarFlow(2, 8).double()
    torch.nn.init.normal_(layers.u, std=0.5)
    end, log_det = layers(z.mT)
    to_w, to_u, to_b = torch.autograd.grad((scored(kind, end) - log_det).mean(), (layers.w, layers.u, layers.b))
    theta = torch.cat([layers.w, layers.u, layers.b[:, None]], 1).detach()
    by_hand = torch.from_numpy(flow_gradient(KINDS[kind], theta.numpy(), z.numpy()))
    assert error(by_hand, torch.cat([to_w, to_u, to_b[:, None]], 1)) < 1e-11

    target = "circles" if kind == "normal" else kind
    trainer = ContinuousTrainer(
        {"flow": "cnf", "width": 8, "target": target},
        PlanarRecipe(iterations=1, lr=1e-2, batch=200, chunk=1, rk4_steps=5),
    )
    field = trainer.field.double()
    model = CNF(field, method="rk4_classic", steps=5, gradient="backprop")
    exact = torch.autograd.grad(plain_losses(trainer, model, z), [*field.parameters()])
    for by_hand, plain in zip(torch.autograd.grad(trainer.loss(z), [*field.parameters()]), exact, strict=True):
        assert error(by_hand, plain) < 1e-11


@pytest.mark.parametrize("target", ["U2", "moons"])
def test_training_is_that_of_the_plain_flows_by_the_optimizers_of_torch(target: str) -> None:
    """The same start and the same draws in float64, by hand and by autograd: losses and weights stay together."""
    recipe = PlanarRecipe(iterations=30, lr=1e-2, batch=32, chunk=30, rk4_steps=4)
    z = draw(target, recipe, 0, 0).double()
    torch.manual_seed(1)
    discrete = DiscreteTrainer({"flow": "nf", "width": 4, "target": target}, recipe)
    continuous = ContinuousTrainer({"flow": "cnf", "width": 4, "target": target}, recipe)
    continuous.field.double()
    layers, model = discrete.model().flow, continuous.model()
    assert isinstance(layers, PlanarFlow)
    model = model.replace(method="rk4_classic", steps=4, gradient="backprop")
    rmsprop = torch.optim.RMSprop(layers.parameters(), recipe.lr, alpha=DECAY, momentum=MOMENTUM)
    adam = torch.optim.Adam(model.parameters(), recipe.lr)
    for i, points in enumerate(z):
        end, log_det = layers(points.mT)
        for optimizer, loss in (
            (rmsprop, (scored(discrete.kind, end) - log_det).mean()),
            (adam, plain_losses(continuous, model, points)),
        ):
            optimizer.param_groups[0]["lr"] = recipe.lr * (1 + math.cos(math.pi * i / recipe.iterations)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    discrete.advance(z, recipe.rates(0))
    continuous.advance(z, recipe.rates(0))
    theta = torch.cat([layers.w, layers.u, layers.b[:, None]], 1).detach()
    assert error(discrete.state["theta"], theta) < 1e-9
    for name, parameter in continuous.field.named_parameters():
        assert error(parameter.detach(), model.field.get_parameter(name).detach()) < 1e-9


def discrete_run() -> list[list[float]]:
    torch.manual_seed(1)
    recipe = PlanarRecipe(iterations=20, lr=1e-2, batch=32, chunk=20)
    trainer = DiscreteTrainer({"flow": "nf", "width": 4, "target": "U3"}, recipe)
    trainer.advance(draw("U3", recipe, 0, 0), recipe.rates(0))
    return trainer.state["theta"].tolist()


def test_without_numba_the_same_lines_are_numpy() -> None:
    program = f"import json; from {__name__} import discrete_run; print(json.dumps(discrete_run()))"
    settings = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True)
    plain, compiled = (torch.tensor(run, dtype=torch.float64) for run in (json.loads(done.stdout), discrete_run()))
    assert error(plain, compiled) < 1e-9


def test_rk4_steps_are_those_of_the_recipe_or_of_the_width() -> None:
    assert [PlanarRecipe(iterations=1, lr=1.0, batch=1, chunk=1).steps(width) for width in (2, 8, 32, 64)] == [
        32,
        16,
        16,
        32,
    ]
    assert PlanarRecipe(iterations=1, lr=1.0, batch=1, chunk=1, rk4_steps=5).steps(32) == 5


@pytest.mark.parametrize("flow", ["nf", "cnf"])
@pytest.mark.parametrize("target", ["U1", "circles"])
def test_training_helps_and_an_interrupted_run_ends_the_same(
    flow: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"flow": flow, "width": 4, "target": target}
    recipe = PlanarRecipe(iterations=60, lr=3e-3, batch=64, chunk=10)
    whole = train(key, recipe, context_in(tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(planar, "draw", interrupted_after(3))
        patch.setattr(planar, "SAVE_SECONDS", 0.0)
        train(key, recipe, context_in(tmp_path / "parts"))
    resumed = train(key, recipe, context_in(tmp_path / "parts", resume=True))
    for result in (whole, resumed):
        assert result.pop("cpu_seconds") > 0
    assert resumed == whole
    scores = [score for _, score in whole["curve"]]
    assert scores[-1] < scores[0]


def interrupted_after(chunks: int) -> Callable[..., Tensor]:
    def drawn(target: str, recipe: PlanarRecipe, seed: int, chunk: int) -> Tensor:
        if chunk == chunks:
            raise KeyboardInterrupt
        return draw(target, recipe, seed, chunk)

    return drawn


def test_the_measured_kl_is_that_of_a_known_case() -> None:
    """An untrained flow near the identity against its own grid: two routes to KL(q‖p)."""
    torch.manual_seed(0)
    key = {"flow": "nf", "width": 2, "target": "U1"}
    model = DiscreteTrainer(key, PlanarRecipe(iterations=1, lr=1e-3, batch=8, chunk=1)).model()
    with torch.no_grad():
        sampled, by_grid = measure(model, "U1", 20_000), energy("U1").kl_from(model.log_prob)
    assert abs(sampled["kl"] - by_grid) < 5 * sampled["kl_error"]


def test_a_gradient_step_follows_the_field_from_base_to_data() -> None:
    """What the continuous trainer descends is the KL of the model that it returns."""
    torch.manual_seed(0)
    recipe = PlanarRecipe(iterations=200, lr=1e-2, batch=256, chunk=50)
    trainer = ContinuousTrainer({"flow": "cnf", "width": 8, "target": "U2"}, recipe)
    with torch.no_grad():
        before = measure(trainer.model(), "U2", 2000)["kl"]
    for chunk in range(3):
        trainer.advance(draw("U2", recipe, 0, chunk), recipe.rates(chunk))
    with torch.no_grad():
        assert measure(trainer.model(), "U2", 2000)["kl"] < before - 1


@pytest.mark.parametrize("flow", ["nf", "cnf"])
@pytest.mark.parametrize("target", ["U1", "U2", "U3"])
def test_stored_models_are_those_of_the_stored_numbers(flow: str, target: str) -> None:
    key = {"flow": flow, "width": 8, "target": target}
    rows = [row for row in stored_rows("planar") if row.key == key and row.seed == 0]
    if not rows:
        pytest.skip("this row of the full run has not been computed yet")
    with torch.no_grad():
        found = measure(trained(**key), target, 4000)
    assert abs(found["kl"] - rows[0].result["kl"]) < 5 * found["kl_error"]


def test_a_model_that_is_not_stored_is_named() -> None:
    with pytest.raises((KeyError, FileNotFoundError), match=r"nf-3-U1|planar\.safetensors"):
        trained("nf", 3, "U1")


def test_the_protocol_is_the_papers() -> None:
    assert RECIPES["full"]["cnf"].iterations == 10_000 and RECIPES["full"]["nf"].iterations == 500_000
    assert len(keys("full")) == 3 * 3 * 3 + 3 * 2 and len(keys("lecture")) == 2 * 3 * 3 + 2 * 2
    assert marks(RECIPES["full"]["nf"])[-1] == 500_000
    assert all(mark % 100 == 0 and math.isfinite(mark) for mark in marks(RECIPES["full"]["cnf"]))
