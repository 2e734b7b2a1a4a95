"""A flow with options=dict(compile=True): densities and gradients as without, and as few evaluations."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from odelab.flows import CNF
from odelab.nets import MLPField

pytestmark = pytest.mark.usefixtures("untraced_compiler")


def outcome(flow: CNF, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p and costs (…,) one after the other, and the gradient of their mean with respect to the field, flat."""
    torch.manual_seed(1)  # the same probes
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        log_prob, costs = flow.log_prob_and_costs(x)
        values = torch.stack([log_prob, *costs.values()])
        grads = torch.autograd.grad(values.mean(), [*flow.field.parameters()])
    assert not [c for c in complaints if "not compiled" in str(c.message)]
    return values.detach(), torch.cat([grad.reshape(-1) for grad in grads])


# A method of few stages, which is soon compiled.
HOW: dict[str, Any] = {"method": "bosh3", "rtol": 1e-4, "atol": 1e-4}


@pytest.mark.slow
def test_costs_and_estimated_divergence_of_changing_weights() -> None:
    how = {"divergence": "hutchinson", "n_probes": 2, "regularizers": ("kinetic", "jacobian")}
    flow = CNF(MLPField(2, hidden=(6,)).double(), **HOW, **how)
    x = torch.randn(8, 2, dtype=torch.float64)
    compiled = flow.replace(options={"compile": True})
    torch.testing.assert_close(outcome(compiled, x), outcome(flow, x), rtol=1e-8, atol=1e-9)
    assert compiled.stats and flow.stats
    assert (compiled.stats.nfe, compiled.stats.accepted) == (flow.stats.nfe, flow.stats.accepted)
    with torch.no_grad():
        flow.field.layers[0].weight.mul_(2.0)  # shared by both
    torch.testing.assert_close(outcome(compiled, x), outcome(flow, x), rtol=1e-8, atol=1e-9)
