"""The convolution that knows the time, against the concatenated one that the seminar prints."""

import pytest
import torch
from torch import nn

from odelab.nets import ConvField, TimeConv2d


class ConcatConv2d(nn.Module):
    """The seminar's layer: t as an extra image channel, in front."""

    def __init__(self, dim_in, dim_out):
        super().__init__()
        self._layer = nn.Conv2d(dim_in + 1, dim_out, kernel_size=3, padding=1)

    def forward(self, t, x):
        return self._layer(torch.cat([torch.ones_like(x[:, :1, :, :]) * t, x], 1))


class ODEfunc(nn.Module):
    """The seminar's field with these layers."""

    def __init__(self, dim, groups):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.GroupNorm(groups, dim) for _ in range(3))
        self.conv1, self.conv2 = ConcatConv2d(dim, dim), ConcatConv2d(dim, dim)

    def forward(self, t, x):
        out = self.conv1(t, torch.relu(self.norm1(x)))
        out = self.conv2(t, torch.relu(self.norm2(out)))
        return self.norm3(out)


def copy_into(layer: TimeConv2d, printed: ConcatConv2d) -> None:
    layer.load_state_dict(printed._layer.state_dict())


@pytest.mark.parametrize("t", [0.0, 0.7, torch.tensor(-1.3)])
@pytest.mark.parametrize("size", [(6, 6), (1, 1), (3, 5)])
def test_the_layer_is_the_concatenated_convolution(t, size):
    torch.manual_seed(0)
    printed, ours = ConcatConv2d(3, 4).double(), TimeConv2d(3, 4).double()
    copy_into(ours, printed)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    expected, got = printed(t, x), ours(t, x)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad((expected * weights).sum(), [x, *printed.parameters()]),
        torch.autograd.grad((got * weights).sum(), [x, *ours.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(b, a, rtol=1e-11, atol=1e-11)


def test_the_derivative_with_respect_to_time():
    torch.manual_seed(0)
    layer, x = TimeConv2d(2, 3).double(), torch.randn(1, 2, 4, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: layer(t, x), torch.tensor(0.4, dtype=torch.float64, requires_grad=True))


def test_the_field_is_the_seminars():
    torch.manual_seed(0)
    printed, ours = ODEfunc(8, groups=4).double(), ConvField(8, groups=4).double()
    for norm, theirs in zip(ours.norms, (printed.norm1, printed.norm2, printed.norm3), strict=True):
        nn.init.uniform_(theirs.weight, 0.5, 1.5), nn.init.uniform_(theirs.bias, -1, 1)
        norm.load_state_dict(theirs.state_dict())
    for conv, theirs in zip(ours.convs, (printed.conv1, printed.conv2), strict=True):
        copy_into(conv, theirs)
    x = torch.randn(3, 8, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(0.3, x), printed(0.3, x), rtol=1e-10, atol=1e-10)
    counts = [sum(p.numel() for p in module.parameters()) for module in (ours, printed)]
    assert counts[0] == counts[1]


def test_one_image_is_not_moved_by_the_others_of_its_batch():
    torch.manual_seed(0)
    field, x = ConvField(8, groups=4).double(), torch.randn(4, 8, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(field(0.5, x)[:1], field(0.5, x[:1]), rtol=1e-12, atol=1e-12)


def test_the_extra_channel_adds_no_copy_of_the_images():
    """What autograd keeps is the input itself and one small image of ones."""
    layer, x, kept = TimeConv2d(16, 16), torch.randn(8, 16, 6, 6, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda s: kept.append(s.untyped_storage()) or s, lambda s: s):
        layer(torch.tensor(0.5), x)
    there = {x.untyped_storage().data_ptr(), *(p.untyped_storage().data_ptr() for p in layer.parameters())}
    extra = {s.data_ptr(): s.nbytes() for s in kept if s.data_ptr() not in there}
    assert sum(extra.values()) < x.numel() * x.element_size() / 4
