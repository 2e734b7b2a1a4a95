"""A traced func computes what func computes, and so do its gradients; what a graph would forget is refused."""

import pytest
import torch
from torch import nn

from odelab.divergence import exact_divergence, hutchinson_divergence
from odelab.nets import MLPField
from odelab.solvers.compiled.tracing import Refused, trace

T = torch.tensor(0.7)


def points():
    return torch.randn(5, 3)


class Field(nn.Module):
    """One way of writing a field."""

    def __init__(self, way):
        super().__init__()
        self.way, self.calls, self.list = way, 0, []
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
        self.drop, self.norm, self.plain_norm = (
            nn.Dropout(0.5),
            nn.BatchNorm1d(3),
            nn.BatchNorm1d(3, affine=False).eval(),
        )
        self.batch_norm = nn.BatchNorm1d(3, track_running_stats=False)
        self.conv = nn.Conv1d(1, 1, 3, padding=1)
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)
        self.lstm = nn.LSTMCell(3, 3)
        self.register_buffer("memory", torch.zeros(5, 3))

    def forward(self, t, y):
        return getattr(self, self.way)(t, y)

    def plain(self, t, y):
        return self.net(y**3) * t

    def steady(self, t, y):
        return y

    def clock_only(self, t, y):
        return torch.ones(5, 3) * t

    def constants(self, t, y):
        return y * torch.tensor([1.0, 2.0, 3.0]) + 0.25

    def local_writes(self, t, y):
        out = torch.empty_like(y)
        out[:, 0], out[:, 1:] = y[:, 1], -y[:, :2]
        return out

    def detached(self, t, y):
        return self.net(y).detach() + y

    def convolution(self, t, y):
        return self.conv(y[:, None])[:, 0]

    def statistics_of_the_batch(self, t, y):
        return self.batch_norm(y)

    def gates(self, t, y):
        return self.lstm(y)[0]

    def looks(self, t, y):
        return self.attention(y[None], y[None], y[None])[0][0]

    def evaluated_norm(self, t, y):
        return self.plain_norm(self.net(y))

    def branches(self, t, y):
        return y if y.sum() > 0 else -y

    def counts(self, t, y):
        self.calls += 1
        return y

    def appends(self, t, y):
        self.list.append(1)
        return y

    def fills_a_buffer(self, t, y):
        return self.memory.copy_(-y)

    def changes_y(self, t, y):
        return y.mul_(2)

    def drops(self, t, y):
        return self.drop(y)

    def running_statistics(self, t, y):
        return self.norm(y)

    def functional_statistics(self, t, y):
        return nn.functional.batch_norm(y, self.norm.running_mean, self.norm.running_var, training=True)

    def switches_gradients_off(self, t, y):
        with torch.no_grad():
            scale = self.net(y)
        return y * scale

    def straight_through(self, t, y):
        return Round.apply(y)

    def pushed_forward(self, t, y):
        return torch.func.jvp(self.net, (y,), (torch.ones_like(y),))[1]

    def pulled_back(self, t, y):
        return torch.func.grad(lambda z: self.net(z).sin().sum())(y)

    def one_by_one(self, t, y):
        return torch.func.vmap(self.net)(y)

    def detaches_in_a_transform(self, t, y):
        return torch.func.grad(lambda z: (self.net(z) * z.detach()).sum())(y)

    def checkpointed(self, t, y):
        return torch.utils.checkpoint.checkpoint(self.net, y, use_reentrant=False)

    def differentiates(self, t, y):
        with torch.enable_grad():
            z = y.detach().requires_grad_()
            return torch.autograd.grad(self.net(z).sum(), z)[0]


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


def assert_traced(func, y, owner=None):
    """Value and gradients by the graph and by func."""
    y.requires_grad_()
    traced, tensors = trace(owner or func, func, T, y)
    inputs = [y, *(x for x in tensors if x.requires_grad)]
    results = []
    for value in (traced.graph(T, y, *tensors), func(T, y)):
        grads = torch.autograd.grad(value.sin().sum(), inputs, allow_unused=True) if value.requires_grad else ()
        results.append([value.detach(), *grads])
    for ours, theirs in zip(*results, strict=True):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert (traced.shape, traced.dtype) == (value.shape, value.dtype)
    return traced, tensors


WAYS = [
    *("plain", "steady", "clock_only", "constants", "local_writes", "detached", "convolution"),
    *("statistics_of_the_batch", "gates", "looks", "evaluated_norm", "pushed_forward", "pulled_back", "one_by_one"),
]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_traced(way):
    assert_traced(Field(way), points())


NEED_GRADIENTS = {"switches_gradients_off", "straight_through", "detaches_in_a_transform"}  # else it is right


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("branches", "[Dd]ata-dependent"),
        ("counts", "changes attributes of its own"),
        ("appends", "changes attributes of its own"),
        ("fills_a_buffer", "in place"),
        ("changes_y", "in place"),
        ("drops", r"random numbers .*func.eval\(\)"),
        ("running_statistics", "batch norm in training mode"),
        ("functional_statistics", "batch norm in training mode"),
        ("switches_gradients_off", "switches gradients off"),
        ("straight_through", "own derivative"),
        ("detaches_in_a_transform", "detaches tensors and uses torch.func"),
        ("checkpointed", "own derivative"),
        ("differentiates", "torch.autograd.grad"),
    ],
)
def test_what_a_graph_would_forget_is_refused(way, reason):
    field, y = Field(way), points()
    before = y.clone(), field.memory.clone(), field.norm.running_mean.clone(), torch.get_rng_state()
    for _ in range(2):
        with pytest.raises(Refused, match=reason):
            trace(field, field, T, y.requires_grad_() if way in NEED_GRADIENTS else y)
    after = y.detach(), field.memory, field.norm.running_mean, torch.get_rng_state()
    assert all(torch.equal(x, z) for x, z in zip(before, after, strict=True)) and not (field.calls or field.list)


def test_a_refusal_ends_with_the_mode_that_caused_it():
    field = Field("drops")
    with pytest.raises(Refused):
        trace(field, field, T, points())
    assert_traced(field.eval(), points())


def test_equal_operations_have_one_text_and_others_have_another():
    with torch.no_grad():
        one, same, other = (trace(field, field, T, points())[0] for field in map(Field, ("plain", "plain", "steady")))
        constants = [trace(func, func, T, points())[0] for func in (lambda t, y: y * 2.0, lambda t, y: y * 3.0)]
    assert one == same != other and constants[0] != constants[1]
    field = Field("plain")
    with torch.no_grad():
        assert trace(field, field, T, points())[0] == one
        field.net[1] = nn.ReLU()
        assert trace(field, field, T, points())[0] != one, "asks whether anything has changed"


class Divided(nn.Module):
    factor = 1.0

    def forward(self, t, y):
        return self.factor * y / len(y)


def test_sizes_and_numbers_stay_those_of_the_graph_however_often_they_change():
    """torch.compile makes variables of what changes from call to call, unless it is told not to."""

    field, texts = Divided(), set()
    for rows, field.factor in ((2, 1.5), (3, 2.5), (4, 3.5), (5, 4.5), (2, 5.5), (2, 1.5)):
        texts.add(assert_traced(field, torch.randn(rows, 3))[0].text)
    assert len(texts) == 5


def test_tensors_are_those_of_now():
    field = Field("plain")
    with torch.no_grad():
        trace(field, field, T, points())
        field.net[0] = nn.Linear(3, 4)
        tensors = trace(field, field, T, points())[1]
    assert any(x is field.net[0].weight for x in tensors) and len(tensors) == 4


def test_autocast_is_part_of_the_graph():
    field, y = Field("plain"), points()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        traced, tensors = trace(field, field, T, y)
        expected = field(T, y)
    with torch.no_grad():
        torch.testing.assert_close(traced.graph(T, y, *tensors), expected, rtol=0, atol=0)
        assert trace(field, field, T, y)[0] != traced


@pytest.mark.parametrize("own", [False, True], ids=["by autograd", "by the field"])
def test_divergences_are_traced(own):
    net = MLPField(dim=3, hidden=(4,))
    field = net if own else (lambda t, z: net(t, z))
    probes = torch.randn(2, 5, 3)

    def slopes(t, z):
        f, exact = exact_divergence(field, t, z)
        return torch.cat([f, torch.stack([exact, hutchinson_divergence(field, t, z, probes)[1]], dim=-1)], dim=-1)

    assert_traced(slopes, points())
