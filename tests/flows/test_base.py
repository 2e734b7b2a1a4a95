"""Base densities with parameters of their own: learned, saved, moved and copied with the flow."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
)

from odelab.flows import CNF, NICE, CNFTransform
from odelab.flows.base import tensors_in
from tests.flows.flow_problems import mlp, points


def learned(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values).double())


class Scaled(nn.Module):
    """A normal whose scale is computed from a parameter, anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = learned(0.1, -0.2)

    def forward(self) -> Distribution:
        return Independent(Normal(torch.zeros_like(self.log_scale), self.log_scale.exp()), 1)


def mixture() -> Distribution:
    parts = Independent(Normal(nn.Parameter(points(3)), torch.ones(3, 2).double()), 1)
    return MixtureSameFamily(Categorical(logits=torch.zeros(3).double()), parts)


BASES = {
    "normal": (lambda: Independent(Normal(learned(1.0, 2.0), learned(0.5, 0.7)), 1), 2),
    "one scale for both": (lambda: Independent(Normal(learned(1.0, 2.0), learned(0.5)), 1), 2),
    "a scale that is fixed": (lambda: Independent(Normal(learned(1.0, 2.0), 2.0), 1), 1),
    "multivariate": (lambda: MultivariateNormal(learned(1.0, 2.0), scale_tril=nn.Parameter(torch.eye(2).double())), 2),
    "mixture": (mixture, 1),
    "moved": (
        lambda: TransformedDistribution(
            Independent(Normal(torch.zeros(2).double(), 1.0), 1), [AffineTransform(learned(1.0, 2.0), 1.0, 1)]
        ),
        1,
    ),
    "another flow": (
        lambda: TransformedDistribution(CNF(mlp()).base, [CNFTransform(CNF(mlp(seed=1)))]),
        len(list(mlp().parameters())),
    ),
    "a module": (Scaled, 1),
}


@pytest.mark.parametrize("name", BASES)
def test_the_parameters_of_a_base_are_the_flows(name: str) -> None:
    build, count = BASES[name]
    flow, x = CNF(mlp(), build(), gradient="backprop"), points()
    own = [(key, p) for key, p in flow.named_parameters() if not key.startswith("field.")]
    assert len(own) == count and {key for key, _ in own} <= flow.state_dict().keys()
    copied, shared = copy.deepcopy(flow), flow.replace(rtol=1e-6)
    before = flow.log_prob(x).detach()
    for _ in range(2):  # a graph made once would be gone at the second step
        flow.zero_grad()
        (-flow.log_prob(x).mean()).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for _, p in own)
        torch.optim.SGD([p for _, p in own], 0.1).step()
    after = flow.log_prob(x).detach()
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(shared.log_prob(x).detach(), after, rtol=0, atol=1e-3)
    torch.testing.assert_close(copied.log_prob(x).detach(), before, rtol=0, atol=0)
    copied.load_state_dict(flow.state_dict())
    torch.testing.assert_close(copied.log_prob(x).detach(), after, rtol=0, atol=0)
    copied.float()
    torch.testing.assert_close(copied.log_prob(x.float()).detach().double(), after, rtol=1e-3, atol=1e-3)
    if name not in ("another flow", "a module"):  # a module sees to it itself
        assert all(tensor.is_meta for _, tensor in tensors_in(copied.to("meta").base))


def test_the_base_is_the_distribution_that_was_given() -> None:
    for base in (BASES["normal"][0](), mixture()):
        assert isinstance(base, Distribution)
        assert torch.equal(CNF(mlp(), base).base.log_prob(points()), base.log_prob(points()))
    fixed = Independent(Normal(torch.zeros(2).double(), 1.0), 1)
    assert CNF(mlp(), fixed).base is fixed and not [k for k in CNF(mlp(), fixed).state_dict() if "base" in k]


def test_a_scale_computed_once_is_refused() -> None:
    log_scale = learned(0.0, 0.0)
    with pytest.raises(
        ValueError, match=r"base's base_dist\.scale is computed from a parameter, once.*nn\.Module whose"
    ):
        CNF(mlp(), Independent(Normal(torch.zeros(2).double(), log_scale.exp()), 1))


def test_a_tensor_that_is_no_parameter_is_differentiated_and_left_to_its_owner() -> None:
    m: Tensor = torch.zeros(2).double().requires_grad_()
    flow = NICE(2, base=Independent(Normal(m, 1.0), 1)).double()
    assert not [name for name, _ in flow.named_parameters() if "base" in name]
    (grad,) = torch.autograd.grad(flow.log_prob(points()).sum(), m)
    assert grad.abs().max() > 0
