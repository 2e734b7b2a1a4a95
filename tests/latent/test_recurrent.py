"""Recurrent encoders: what they read, in which order, and each sequence by its own clock."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from odelab.latent import ODERNNEncoder, RecurrentEncoder
from odelab.latent.recurrent import SeriesEncoder
from odelab.solvers import solve

MAKE: dict[str, Callable[[], SeriesEncoder]] = {
    "rnn": lambda: RecurrentEncoder(2, 3, 7),
    "rnn, gaps": lambda: RecurrentEncoder(2, 3, 7, gaps=True, scale=2.0),
    "gru, gaps": lambda: RecurrentEncoder(2, 3, 7, cell="gru", gaps=True),
    "ode-rnn": lambda: ODERNNEncoder(2, 3, 7, field_hidden=5, method="midpoint", scale=2.0),
}
every_encoder = pytest.mark.parametrize("name", MAKE)


@pytest.fixture(params=MAKE)
def encoder(request: pytest.FixtureRequest) -> SeriesEncoder:
    torch.manual_seed(0)
    return MAKE[request.param]().double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Five sequences with clocks of their own; one observed everywhere, one nowhere."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 9, 2, generator=generator).double()
    times = torch.rand(5, 9, generator=generator).double().cumsum(1)
    mask = torch.rand(5, 9, generator=generator) < 0.5
    mask[0], mask[1] = True, False
    return x, times, mask


def statistics(encoder: SeriesEncoder, *data: Tensor | None) -> Tensor:
    q = encoder(*data)
    return torch.cat([q.mean, q.stddev], -1)


def by_hand(encoder: SeriesEncoder, x: Tensor, times: Tensor, mask: Tensor) -> Tensor:
    """One sequence, one observation after the other, from the last to the first; flows solved tightly by dopri5."""
    state, seen = torch.zeros(encoder.hidden).double(), mask.nonzero()[:, 0].tolist()
    for k, i in reversed(list(enumerate(seen))):
        gap = times[i] - times[seen[k - 1] if k else 0]
        inputs = x[i] / encoder.scale
        if isinstance(encoder, ODERNNEncoder):
            state = encoder.cell(inputs, state)
            if gap > 0:
                span = torch.stack([0 * gap, gap])
                state = solve(lambda t, h: encoder.field(h), state, span, rtol=1e-9, atol=1e-9).y[-1]
        else:
            assert isinstance(encoder, RecurrentEncoder)
            inputs = torch.cat([inputs, gap[None]]) if encoder.gaps else inputs
            state = encoder.network(inputs[None, None], state[None, None])[1][0, 0]
    mean, log_std = encoder.head(state).chunk(2)
    return torch.cat([mean, log_std.exp()])


def test_agrees_with_a_loop_over_samples_and_observations(
    encoder: SeriesEncoder, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    if isinstance(encoder, ODERNNEncoder):
        encoder.substeps = 50
    together = statistics(encoder, *batch)
    alone = torch.stack([by_hand(encoder, *row) for row in zip(*batch, strict=True)])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=0)


def test_everything_observed_is_the_same_as_no_mask(
    encoder: SeriesEncoder, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, times, mask = batch
    torch.testing.assert_close(statistics(encoder, x, times, torch.ones_like(mask)), statistics(encoder, x, times))
    torch.testing.assert_close(statistics(encoder, x, times[0]), statistics(encoder, x, times[:1].expand(5, 9)))


def test_reads_nothing_that_was_not_observed(encoder: SeriesEncoder, batch: tuple[Tensor, Tensor, Tensor]) -> None:
    x, times, mask = batch
    filled = torch.where(mask[..., None], x, torch.nan)
    q = statistics(encoder, filled, times, mask)
    torch.testing.assert_close(q, statistics(encoder, x, times, mask))
    q.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_sequences_do_not_see_each_other(encoder: SeriesEncoder, batch: tuple[Tensor, Tensor, Tensor]) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = statistics(encoder, *(part[order] for part in batch))
    torch.testing.assert_close(permuted, statistics(encoder, *batch)[order])


def test_gradients_reach_every_parameter_and_every_observation(
    encoder: SeriesEncoder, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, times, mask = batch
    x.requires_grad_()
    statistics(encoder, x, times, mask).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in encoder.parameters())
    assert torch.equal(x.grad.abs().sum(-1) > 0, mask)


@every_encoder
def test_who_notices_when_the_clock_runs_differently(name: str, batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """The plain RNN cannot tell a pause from a step; the others can, for the sequence whose clock it is alone."""
    torch.manual_seed(0)
    encoder, (x, times, mask) = MAKE[name]().double(), batch
    slow = times.clone()
    slow[2] *= 3
    moved = (statistics(encoder, x, slow, mask) - statistics(encoder, x, times, mask)).abs().amax(1)
    assert (moved[[0, 1, 3, 4]] == 0).all()
    assert (moved[2] == 0) == (name == "rnn")


@pytest.mark.parametrize(
    ("x", "times", "mask", "message"),
    [
        ((4, 6), (6,), None, "sequence, time, channel"),
        ((4, 6, 2), (5,), None, "times are"),
        ((4, 6, 2), (6,), (4, 6, 2), r"whole frames: bool \(4, 6\), e.g. mask.all\(-1\)"),
        ((4, 6, 3), (6,), None, "3 channels"),
    ],
)
def test_bad_input(encoder: SeriesEncoder, x: tuple, times: tuple, mask: tuple | None, message: str) -> None:
    encoder = encoder.float()
    with pytest.raises(ValueError, match=message):
        encoder(torch.zeros(x), torch.arange(times[0]).float(), None if mask is None else torch.ones(mask).bool())


def test_unknown_cell() -> None:
    with pytest.raises(ValueError, match="gru"):
        RecurrentEncoder(2, 3, cell="gruu")
