"""Sequences of observations with gaps: what latent models are trained on, and a user's own from a file."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sequences:
    """n sequences of T frames, some of them, or some of their channels, not observed.

    Attributes:
        x: frames, (n, T, *shape), float32; 0 where nothing was observed.
        times: when they were, (T,) for all, or (n, T) with a clock for each; increasing.
        mask: what was observed, bool: whole frames (n, T), or channels, as x.
        source: where the data came from.
        complete: whether this is the whole data set, not a stated stand-in for it.
    """

    x: Tensor
    times: Tensor
    mask: Tensor
    source: str
    complete: bool = True

    def __post_init__(self) -> None:
        if self.x.ndim < 3:
            raise ValueError(
                f"x is {tuple(self.x.shape)}; sequences are (sequence, time, channel): a single series is x[None], "
                "a single channel x[..., None]"
            )
        n, frames = self.x.shape[:2]
        if self.times.shape not in ((frames,), (n, frames)):
            raise ValueError(
                f"times are {tuple(self.times.shape)}; for x {tuple(self.x.shape)} they can be "
                f"({frames},), for all sequences, or ({n}, {frames})"
            )
        if not bool((self.times.diff(dim=-1) > 0).all()):
            row, place = (self.times.reshape(-1, frames).diff(dim=-1) <= 0).nonzero()[0].tolist()
            early, late = self.times.reshape(-1, frames)[row, place : place + 2].tolist()
            raise ValueError(f"times must increase: after frame {place} at {early:g} comes one at {late:g} (row {row})")
        if self.mask.dtype != torch.bool or self.mask.shape not in ((n, frames), self.x.shape):
            raise ValueError(
                f"mask is {tuple(self.mask.shape)} {self.mask.dtype}; for x {tuple(self.x.shape)} it can be bool "
                f"({n}, {frames}), whole frames, or shaped as x"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def observed(self) -> Tensor:
        """Which frames were observed, at least in part: bool (n, T)."""
        return self.mask if self.mask.ndim == 2 else self.mask.flatten(2).any(2)

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> Sequences:
        """Some of the sequences; a number gives one sequence, still with its first dimension."""
        chosen = torch.arange(len(self), device=self.x.device)[index].reshape(-1)
        times = self.times if self.times.ndim == 1 else self.times[chosen]
        return replace(self, x=self.x[chosen], times=times, mask=self.mask[chosen])

    def to(self, device: torch.device | str) -> Sequences:
        return replace(self, x=self.x.to(device), times=self.times.to(device), mask=self.mask.to(device))
