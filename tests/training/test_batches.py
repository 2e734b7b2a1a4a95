"""Batches, seeds and rates: functions of the step alone."""

import pytest
import torch

from odelab.training import Epochs, constant, cosine, one_cycle, seed_of


@pytest.mark.parametrize(("n", "batch"), [(20, 5), (23, 5), (7, 7), (5, 1)])
def test_each_sample_comes_once_an_epoch(n, batch):
    epochs = Epochs(n, batch, seed=4)
    assert epochs.steps == n // batch
    for epoch in range(3):
        drawn = torch.cat([epochs(epoch * epochs.steps + i) for i in range(epochs.steps)])
        assert drawn.dtype == torch.int64
        assert len(set(drawn.tolist())) == len(drawn) == epochs.steps * batch
        assert set(drawn.tolist()) <= set(range(n))


def test_epochs_differ_seeds_differ_and_the_order_of_asking_does_not_matter():
    epochs, other = Epochs(30, 10, seed=1), Epochs(30, 10, seed=2)
    forward = [epochs(step).tolist() for step in range(9)]
    torch.rand(3)
    assert [epochs(step).tolist() for step in reversed(range(9))] == forward[::-1]
    assert forward[0] != forward[3] != forward[6]
    assert forward[0] != other(0).tolist()


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batch_of_one(world):
    single = Epochs(40, 12, seed=5)
    ranks = [Epochs(40, 12, seed=5, rank=rank, world=world) for rank in range(world)]
    for step in range(7):
        parts = [epochs(step).tolist() for epochs in ranks]
        assert {len(part) for part in parts} == {12 // world}
        assert sorted(torch.tensor(parts).flatten().tolist()) == sorted(single(step).tolist())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((5, 6), "batch = 6 does not fit 5 samples"),
        ((5, 0), "batch = 0 does not fit"),
        ((0, 1), "batch = 1 does not fit 0 samples"),
        ((9, 5, 0, 0, 2), "batch = 5 does not divide among 2 processes"),
        ((9, 4, 0, 2, 2), "rank = 2 of 2 processes"),
        ((9, 4, 0, -1, 2), "rank = -1 of 2 processes"),
    ],
)
def test_batches_that_cannot_be(arguments, text):
    with pytest.raises(ValueError, match=text):
        Epochs(*arguments)


def test_seeds_are_fixed_for_ever_and_every_part_counts():
    assert seed_of("step", 0, 1) == seed_of("step", 0, 1) == 67352427116247130
    seeds = {
        seed_of(*parts) for parts in [(), (0,), (1,), (0, 1), (1, 0), ("epoch", 0, 1), ("step", 0, 1), (-1,), (11,)]
    }
    assert len(seeds) == 9 and all(0 <= seed < 2**56 for seed in seeds)
    torch.manual_seed(max(seeds))


def test_the_ends_of_the_schedules():
    assert constant(0) == constant(1) == 1
    fall = cosine(0.1)
    assert (fall(0), fall(0.5), fall(1)) == pytest.approx((1, 0.55, 0.1))
    cycle = one_cycle(0.25, start=0.04, final=1e-4)
    assert [cycle(done) for done in (0, 0.25, 0.625, 1)] == pytest.approx([0.04, 1, (1 + 1e-4) / 2, 1e-4])
    assert cycle(0.25 - 1e-9) == pytest.approx(cycle(0.25 + 1e-9))
    values = [cycle(i / 400) for i in range(401)]
    assert values[:101] == sorted(values[:101]) and values[100:] == sorted(values[100:], reverse=True)
    assert one_cycle(0.0)(0) == 1
    assert one_cycle(0.999999)(1) == pytest.approx(1e-4)
    for share in (-0.1, 1.0, 25):
        with pytest.raises(ValueError, match=f"warm_up = {share}"):
            one_cycle(share)
