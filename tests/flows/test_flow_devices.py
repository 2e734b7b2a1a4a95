"""Every flow lives where its weights and points do, forward and backward, whatever the default device is."""

import pytest
import torch

from odelab.flows import CNF, NICE, MultiscaleCNF, PlanarCNF, dequantize, logit_transform, probes
from odelab.nets import ImageField, MLPField
from tests.flows.flow_problems import LinearField, Plain

ELSEWHERE = torch.device("meta")  # holds no data: a tensor made without naming its device cannot be computed with
COSTS = {"regularizers": ("kinetic", "jacobian")}
HUTCHINSON = {"divergence": "hutchinson", "n_probes": 2}
FLOWS = {
    "pushed": lambda: CNF(MLPField(2, (4,)), **COSTS),
    "pulled": lambda: CNF(Plain(MLPField(2, (4,))), **COSTS),
    "hutchinson": lambda: CNF(MLPField(2, (4,)), **HUTCHINSON, **COSTS),
    "hutchinson, pulled, gaussian": lambda: CNF(Plain(MLPField(2, (4,))), noise="gaussian", **HUTCHINSON, **COSTS),
    "concat": lambda: CNF(MLPField(2, (4,), layer="concat", activation="softplus"), gradient="adjoint"),
    "autonomous": lambda: CNF(MLPField(2, (4,), layer="autonomous", activation="elu"), gradient="backprop"),
    "fixed steps, steer": lambda: CNF(MLPField(2, (4,)), method="rk4", steps=2, steer=0.1),
    "learned time": lambda: CNF(MLPField(2, (4,)), t1=torch.nn.Parameter(torch.tensor(0.5))),
    "linear": lambda: CNF(LinearField(torch.eye(2))),
    "planar": lambda: CNF(PlanarCNF(2, 3, hidden=4)),
    "convolutions": lambda: CNF(ImageField((1, 4, 4), hidden=(2,)), **HUTCHINSON),
    "multiscale": lambda: MultiscaleCNF((1, 4, 4), hidden=(2,), scales=1, blocks=1, rtol=1e-2, atol=1e-2),
    "NICE": lambda: NICE(4, hidden=(4,), affine=True),
}


@pytest.mark.parametrize("name", FLOWS)
def test_forward_and_backward(name):
    torch.manual_seed(0)
    flow = FLOWS[name]()
    x, t = torch.randn(3, flow.dim), torch.tensor([0.0, 0.2])
    with ELSEWHERE:
        log_prob = flow.log_prob(x)
        (-log_prob.mean()).backward()
        assert all(p.grad is None or p.grad.device == x.device for p in flow.parameters())
        if getattr(flow, "regularizers", ()):
            log_prob, costs = flow.log_prob_and_costs(x)
            (costs["kinetic"] + costs["jacobian"] - log_prob).mean().backward()
        back = flow.inverse(flow.transport(x)[0])
        sample = flow.sample(2)
        if isinstance(flow, CNF):
            assert all(found.device == x.device for found in flow.trajectory(x, t))
        assert flow.distribution().log_prob(x).device == x.device
    assert {log_prob.device, back.device, sample.device} == {x.device}


def test_pixels():
    with ELSEWHERE:
        grey = torch.arange(17, device="cpu")
        x = dequantize(grey, 17, torch.Generator("cpu").manual_seed(0))
        y = logit_transform(1e-3)(x)
        signs = probes("rademacher", 2, x)
    assert x.device == y.device == signs.device == grey.device


@pytest.mark.parametrize("name", ["pushed", "NICE", "multiscale"])
def test_a_flow_moves_whole(name):
    """On the device without data, shapes and devices are all there is to check."""
    flow = FLOWS[name]().to(ELSEWHERE)
    assert {tensor.device.type for tensor in (*flow.parameters(), *flow.buffers())} == {"meta"}
    assert flow.base.sample((2,)).device.type == "meta"
    if isinstance(flow, CNF):
        assert flow.field.jvp(0.5, torch.zeros(3, 2, device=ELSEWHERE), torch.eye(2, device=ELSEWHERE)[:, None])[
            1
        ].is_meta
