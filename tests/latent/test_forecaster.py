"""The baseline: what it is asked and told at each time, against a loop over one sequence."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from odelab.latent import RecurrentForecaster


def forecaster(gaps: bool, cell: str = "rnn") -> RecurrentForecaster:
    torch.manual_seed(0)
    return RecurrentForecaster(2, 6, cell=cell, gaps=gaps, scale=2.0).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, times = torch.randn(4, 9, 2, generator=generator).double(), torch.arange(9).double() / 3
    mask = torch.rand(4, 9, generator=generator) < 0.6
    mask[0], mask[1] = True, False
    mask[1, 4] = True  # seen once
    return x, times, mask


def one_after_the_other(net: RecurrentForecaster, x: Tensor, times: Tensor, mask: Tensor, until: float) -> list:
    """(time, value read, expected there, state before) of one sequence, by single steps of its cell."""
    seen = mask.nonzero()[:, 0]
    moments, state, guess = [], None, x[seen[0]]
    gap = (times[seen[-1]] - times[seen[0]]) / max(len(seen) - 1, 1)

    def ahead(value: Tensor, dt: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        inputs = torch.cat([value / 2, dt.reshape(1)]) if net.gaps else value / 2
        _, state = net.network(inputs[None, None], state)
        return 2 * net.head(state[0, 0]), state

    for k, i in enumerate(seen):
        moments.append((times[i], x[i], guess, state))
        dt = times[seen[k + 1]] - times[i] if k + 1 < len(seen) else gap
        guess, state = ahead(x[i], dt, state)
    while moments[-1][0] < until + gap:
        moments.append((moments[-1][0] + gap, guess, guess, state))
        guess, state = ahead(guess, gap, state)
    return moments


@pytest.mark.parametrize("gaps", [True, False])
def test_predicts_as_a_loop_over_one_sequence_does(batch: tuple[Tensor, Tensor, Tensor], gaps: bool) -> None:
    net, (x, times, mask) = forecaster(gaps), batch
    at = torch.tensor([0.0, 0.2, 1.1, 2.0, 2.7, 3.9, 4.01]).double()
    got = net.predict(x, times, mask, at)
    for row in (0, 2, 3):
        moments = one_after_the_other(net, x[row], times, mask[row], 4.01)
        for t, value in zip(at, got[row], strict=True):
            earlier = [k for k, moment in enumerate(moments) if moment[0] < t]
            if not earlier:
                expected = moments[0][1]
            elif gaps:
                start, read, _, state = moments[earlier[-1]]
                _, state = net.network(torch.cat([read / 2, (t - start).reshape(1)])[None, None], state)
                expected = 2 * net.head(state[0, 0])
            else:
                (t0, _, left, _), (t1, _, right, _) = moments[earlier[-1]], moments[earlier[-1] + 1]
                expected = torch.lerp(left, right, (t - t0) / (t1 - t0))
            torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("gaps", [True, False])
def test_loss_is_the_mean_over_what_can_be_predicted(batch: tuple[Tensor, Tensor, Tensor], gaps: bool) -> None:
    net, (x, times, mask) = forecaster(gaps, "gru"), batch
    errors = []
    for row in range(4):
        seen = mask[row].nonzero()[:, 0]
        guess, _ = net.next(x[row, seen][None, :-1], times[seen].diff()[None]) if len(seen) > 1 else (x[:1, :0], None)
        errors.append(((guess[0] - x[row, seen[1:]]) / 2).square().flatten())
    loss = net.loss(x, times, mask)
    torch.testing.assert_close(loss, torch.cat(errors).mean())
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())
    torch.testing.assert_close(net.loss(x, times, torch.ones_like(mask)), net.loss(x, times))


def test_file(batch: tuple[Tensor, Tensor, Tensor], tmp_path: Path) -> None:
    net, (x, times, mask) = forecaster(False, "gru"), batch
    net.save(tmp_path / "net.safetensors")
    again = RecurrentForecaster.load(tmp_path / "net.safetensors")
    assert torch.equal(again.predict(x, times, mask, times), net.predict(x, times, mask, times)) and not again.training


def test_what_it_cannot_be_asked(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    net, (x, times, mask) = forecaster(True), batch
    with pytest.raises(ValueError, match="only goes forward"):
        net.predict(x, times, mask, torch.tensor([-0.5]).double())
    with pytest.raises(ValueError, match="sequence 2 has no observation"):
        net.predict(x, times, mask & (torch.arange(4) != 2)[:, None], times)


def test_each_sequence_may_be_asked_for_times_of_its_own(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    net, (x, times, mask) = forecaster(True), batch
    at = torch.rand(4, 5, generator=torch.Generator().manual_seed(2)).double() * 4
    for i in (0, 2, 3):  # sequence 1 was observed once, and goes on by the gaps of the others
        alone = net.predict(x[i : i + 1], times, mask[i : i + 1], at[i])
        torch.testing.assert_close(net.predict(x, times, mask, at)[i], alone[0])


@pytest.mark.parametrize("gaps", [True, False])
def test_seconds_since_1970_keep_their_gaps(batch: tuple[Tensor, Tensor, Tensor], gaps: bool) -> None:
    net, (x, times, mask) = forecaster(gaps).float(), batch
    x, at = x.float(), torch.tensor([0.0, 1.1, 3.9]).double()
    late = [net.predict(x, times + shift, mask, at + shift) for shift in (1_614_556_800, 0)]
    torch.testing.assert_close(late[0], late[1], rtol=1e-4, atol=1e-4)
    losses = [net.loss(x, times + shift, mask) for shift in (1_614_556_800, 0)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


X, TIMES = torch.zeros(4, 9, 2).double(), torch.arange(9.0).double()
REFUSED = {
    "other channels": ((X[..., :1], TIMES), ValueError, r"x has shape \(4, 9, 1\), but the model reads \(n, T, 2\)"),
    "another precision": ((X.float(), TIMES), TypeError, "x is torch.float32, the model's weights torch.float64"),
    "whole numbers": ((X.long(), TIMES), TypeError, "x must be a tensor of floating point"),
    "a list of times": ((X, [0.0, 1.0]), TypeError, "times must be a floating point tensor.* got list"),
    "whole times": ((X, TIMES.long()), TypeError, "times must be a floating point tensor.* got torch.int64"),
    "other times": ((X, TIMES[:5]), ValueError, r"times has shape \(5,\); it must be \(9,\)"),
    "NaN": ((X * torch.nan, TIMES), ValueError, "x is not finite in sequence 0, frame 0"),
    "channels missing": ((X, TIMES, X == 0), ValueError, "a recurrent network reads whole frames"),
    "two at once": ((X, TIMES.clamp(max=3)), ValueError, "frames 3 and 4 are both at 3: leave one of them out"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_said_in_words(name: str) -> None:
    (x, times, *mask), error, words = REFUSED[name]
    net = forecaster(True)
    for call in (net.loss, lambda x, times, mask=None: net.predict(x, times, mask, TIMES)):
        with pytest.raises(error, match=words):
            call(x, times, *mask)


def test_questions_that_cannot_be() -> None:
    net = forecaster(False)
    for at, error in (
        (3.0, TypeError),
        (TIMES.long(), TypeError),
        (TIMES.view(3, 3), ValueError),
        (TIMES / 0, ValueError),
    ):
        with pytest.raises(error, match=r"^at (must be|has shape)"):
            net.predict(X, TIMES, None, at)
    with pytest.raises(ValueError, match="no sequence has two observations"):
        net.loss(X, TIMES, torch.arange(9) == torch.zeros(4, 1))
    with pytest.raises(ValueError, match="no sequence has two observations"):
        net.loss(X[:, :1], TIMES[:1])
