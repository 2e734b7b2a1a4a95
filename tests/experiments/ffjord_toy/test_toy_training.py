"""FFJORD in the plane can train by compiled solves; they train it as the ordinary ones do."""

import warnings
from pathlib import Path

import pytest
import torch

from odelab.datasets import density
from odelab.experiments.ffjord_toy.run import toy_flow
from odelab.experiments.flow_training import train_flow
from odelab.experiments.recipe import FlowRecipe
from tests.experiments.run_context import context_in


@pytest.mark.slow
@pytest.mark.usefixtures("untraced_compiler")
def test_compiled_and_ordinary_solves_give_the_same_first_losses(tmp_path: Path) -> None:
    recipe, truth, losses = FlowRecipe(iterations=4, every=2, batch=32), density("moons"), []
    for name in ("compiled", "ordinary"):
        flow = toy_flow(hidden=(4,), compiled=name == "compiled")
        torch.manual_seed(1)
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            history = train_flow(
                flow, lambda _: truth.sample(32), truth.sample(50), recipe, context_in(tmp_path / name)
            )
        assert not [c for c in complaints if "not compiled" in str(c.message)]
        losses.append([*history.loss, history.validation[-1]["loss"], history.validation[-1]["own_solver"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
