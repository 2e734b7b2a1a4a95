"""Batches and seeds as functions of the step: what a run draws at step k does not depend on how it got there."""

import hashlib

import torch
from torch import Tensor


def seed_of(*parts: int | str) -> int:
    """A seed that every tuple of parts has for itself, on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def share(batch: int, world: int) -> int:
    """Samples of each process, of a batch that ``world`` processes have together.

    Raises:
        ValueError: when the batch does not divide among them.
    """
    if batch % world:
        raise ValueError(f"batch = {batch} does not divide among {world} processes; start as many as divide it")
    return batch // world


class Epochs:
    """Shuffled passes over n samples: ``epochs(step)`` are the indices of that step's batch, (batch,), int64.

    Every pass is a permutation drawn from the seed and its own number; the incomplete batch at its end is left out.

    Args:
        n: samples.
        batch: samples per step, over all processes together.
        rank, world: this process and how many there are; each takes its own part of the batch.

    Raises:
        ValueError: when there are not enough samples for one batch, or the batch does not divide among the processes.
    """

    def __init__(self, n: int, batch: int, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        if not 0 < batch <= n:
            raise ValueError(f"batch = {batch} does not fit {n} samples")
        share(batch, world)
        if not 0 <= rank < world:
            raise ValueError(f"rank = {rank} of {world} processes: they are numbered from 0")
        self.n, self.batch, self.seed, self.rank, self.world = n, batch, seed, rank, world
        self.steps = n // batch
        self._epoch = -1
        self._order = torch.empty(0)

    def __call__(self, step: int) -> Tensor:
        epoch, position = divmod(step, self.steps)
        if epoch != self._epoch:
            generator = torch.Generator("cpu").manual_seed(seed_of("epoch", self.seed, epoch))
            self._epoch, self._order = epoch, torch.randperm(self.n, generator=generator, device="cpu")
        return self._order[position * self.batch : (position + 1) * self.batch][self.rank :: self.world]
