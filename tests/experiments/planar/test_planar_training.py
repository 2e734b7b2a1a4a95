"""The experiment of planar flows: its kernels against autograd, its runs against themselves."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from odelab.datasets import energy
from odelab.experiments.planar import kernels as planar_kernels
from odelab.experiments.planar import run as planar
from odelab.experiments.planar.kernels import KINDS, cnf_gradient, flow_gradient, train_flow
from odelab.experiments.planar.recipe import keys
from odelab.experiments.planar.run import RECIPES, measure, train, trained
from odelab.experiments.planar.training import ContinuousTrainer, DiscreteTrainer, Recipe, draw, marks
from odelab.experiments.results import stored_rows
from tests.experiments.run_context import context_in

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="the kernels need a C compiler"
)


def error(value: Tensor, exact: Tensor) -> float:
    return ((value - exact).abs().max() / exact.abs().max()).item()


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_kernels_give_the_gradients_of_autograd(kind: str) -> None:
    torch.manual_seed(1)
    z = torch.randn(2, 100)  # one block of the kernels and a part of one
    theta = torch.randn(8, 5) / 2
    exact = flow_gradient(kind, theta.double(), z.double(), compiled=False)
    assert error(flow_gradient(kind, theta, z), exact) < 1e-4
    raw = torch.randn(2 * 5 + 1, 6 * 8) / 2
    for backwards in (True, False):
        exact = cnf_gradient(kind, raw.double(), z.double(), backwards=backwards, compiled=False)
        assert error(cnf_gradient(kind, raw, z, backwards=backwards), exact) < 1e-4


@needs_compiler
def test_rmsprop_is_that_of_torch() -> None:
    torch.manual_seed(1)
    theta, z = torch.randn(4, 5) / 2, torch.randn(20, 2, 32)
    parameter = torch.nn.Parameter(theta.clone())
    optimizer = torch.optim.RMSprop([parameter], lr=1e-3, alpha=0.99, momentum=0.9)
    for points in z:
        parameter.grad = flow_gradient("U2", parameter.detach(), points, compiled=False)
        optimizer.step()
    for compiled in (True, False):
        state = {"theta": theta.clone(), "square": torch.zeros(4, 5), "velocity": torch.zeros(4, 5)}
        train_flow("U2", state, z, 1e-3, compiled=compiled)
        torch.testing.assert_close(state["theta"], parameter.detach(), atol=2e-4, rtol=1e-3)


@needs_compiler
def test_the_hypernetwork_by_hand_and_adam_are_those_of_torch() -> None:
    torch.manual_seed(1)
    trainer = ContinuousTrainer({"flow": "cnf", "width": 4, "target": "U2"}, Recipe(4, 1e-2, 32, 4))
    field = trainer.model().field
    optimizer, times = torch.optim.Adam(field.parameters(), lr=1e-2), trainer.times[:, 0]
    z = draw("U2", trainer.recipe, 0, 0)
    for points in z:
        raw = field.raw(times)
        optimizer.zero_grad()
        raw.backward(cnf_gradient("U2", raw, points, backwards=True, compiled=False))
        optimizer.step()
    trainer.advance(z)
    for name, parameter in trainer.named(trainer.state["theta"]).items():
        torch.testing.assert_close(parameter, field.get_parameter(name).detach(), atol=1e-4, rtol=1e-3)


def test_without_a_compiler_autograd_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planar_kernels.shutil, "which", lambda name: None)
    planar_kernels.library.cache_clear()
    with pytest.warns(UserWarning, match="no C compiler"):
        gradient = flow_gradient("U1", torch.ones(2, 5), torch.randn(2, 9))
    assert gradient.isfinite().all()
    planar_kernels.library.cache_clear()


@needs_compiler
def test_kernels_refuse_what_they_cannot_read() -> None:
    with pytest.raises(ValueError, match="float32"):
        flow_gradient("U1", torch.ones(2, 5, dtype=torch.float64), torch.ones(2, 9, dtype=torch.float64))
    with pytest.raises(ValueError, match="at most 64"):
        flow_gradient("U1", torch.ones(65, 5), torch.ones(2, 9))


@pytest.mark.parametrize("flow", ["nf", "cnf"])
@pytest.mark.parametrize("target", ["U1", "circles"])
def test_training_helps_and_an_interrupted_run_ends_the_same(
    flow: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"flow": flow, "width": 4, "target": target}
    recipe = Recipe(60, 3e-3, 64, 10)
    whole = train(key, recipe, context_in(tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(planar, "draw", interrupted_after(3))
        patch.setattr(planar, "SAVE_SECONDS", 0.0)
        train(key, recipe, context_in(tmp_path / "parts"))
    resumed = train(key, recipe, context_in(tmp_path / "parts", resume=True))
    assert resumed == whole
    scores = [score for _, score in whole["curve"]]
    assert scores[-1] < scores[0]


def interrupted_after(chunks: int) -> Callable[..., Tensor]:
    def drawn(target: str, recipe: Recipe, seed: int, chunk: int) -> Tensor:
        if chunk == chunks:
            raise KeyboardInterrupt
        return draw(target, recipe, seed, chunk)

    return drawn


def test_the_measured_kl_is_that_of_a_known_case() -> None:
    """An untrained flow near the identity against its own grid: two routes to KL(q‖p)."""
    torch.manual_seed(0)
    key = {"flow": "nf", "width": 2, "target": "U1"}
    model = DiscreteTrainer(key, Recipe(1, 1e-3, 8, 1)).model()
    with torch.no_grad():
        sampled, by_grid = measure(model, "U1", 20_000), energy("U1").kl_from(model.log_prob)
    assert abs(sampled["kl"] - by_grid) < 5 * sampled["kl_error"]


def test_a_gradient_step_follows_the_field_from_base_to_data() -> None:
    """What the continuous trainer descends is the KL of the model that it returns."""
    torch.manual_seed(0)
    recipe = Recipe(200, 1e-2, 256, 50)
    trainer = ContinuousTrainer({"flow": "cnf", "width": 8, "target": "U2"}, recipe)
    with torch.no_grad():
        before = measure(trainer.model(), "U2", 2000)["kl"]
    for chunk in range(3):
        trainer.advance(draw("U2", recipe, 0, chunk))
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
    assert len(keys("full")) == 2 * 3 * 3 + 2 * 2
    assert marks(RECIPES["full"]["nf"])[-1] == 500_000
    assert all(mark % 100 == 0 and math.isfinite(mark) for mark in marks(RECIPES["full"]["cnf"]))
