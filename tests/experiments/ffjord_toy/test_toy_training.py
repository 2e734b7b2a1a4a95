"""FFJORD in the plane can train by compiled solves; they train it as the ordinary ones do."""

import copy
import warnings
from pathlib import Path

import pytest
import torch

from odelab.datasets import density
from odelab.experiments.ffjord_toy.run import toy_flow
from odelab.experiments.flow_training import train_flow
from odelab.experiments.recipe import FlowRecipe
from odelab.flows import CNF
from tests.experiments.run_context import context_in
from tests.flows.test_compiled_flows import HOW, outcome

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced_compiler")]
# Both tests share a graph, which takes half a minute: of this width, of as many points, by a method of few stages.
WIDTH, BATCH = 6, 8


def test_compiled_and_ordinary_solves_give_the_same_first_losses(tmp_path: Path) -> None:
    recipe, truth, losses = FlowRecipe(iterations=4, every=2, batch=BATCH), density("moons"), []
    for name in ("compiled", "ordinary"):
        flow = toy_flow(hidden=(WIDTH,), compiled=name == "compiled").replace(method=HOW["method"])
        torch.manual_seed(1)
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            history = train_flow(
                flow, lambda _: truth.sample(BATCH), truth.sample(50), recipe, context_in(tmp_path / name)
            )
        assert not [c for c in complaints if "not compiled" in str(c.message)]
        losses.append([*history.loss, history.validation[-1]["loss"], history.validation[-1]["own_solver"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_float32_is_as_far_from_float64_as_without() -> None:
    """Two float32 gradients differ by the rounding of both, so the judge is neither."""
    with torch.no_grad():
        field = toy_flow(hidden=(WIDTH,)).field
        for parameter in field.parameters():
            parameter.mul_(3.0)
    flow, x = CNF(field, **HOW), torch.randn(BATCH, 2)
    exact = outcome(CNF(copy.deepcopy(field).double(), **HOW), x.double())
    errors = [
        [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(outcome(one, x), exact, strict=True)]
        for one in (flow.replace(options={"compile": True}), flow)
    ]
    for ours, theirs in zip(*errors, strict=True):
        assert ours < 3 * theirs + 3e-6
