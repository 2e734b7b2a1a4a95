"""Balls that bounce in a box and off each other, as video (the experiment is Sutskever, Hinton and Taylor's, 2008)."""

from itertools import combinations

import torch
from torch import Tensor

from odelab.datasets.sequences import FRAME, Sequences

BOX = 10.0  # side of the square box
RADIUS = 1.2
SPEED = 0.5  # norm of all velocities of a sequence together, box units a frame
STEPS_PER_FRAME = 2  # of half a frame


def bouncing_balls(n: int, frames: int = 20, *, size: int = 32, balls: int = 3, seed: int = 0) -> Sequences:
    """Videos x (n, frames, 1, size, size) in [0, 1] of `simulate_balls` with the same numbers; everything observed.

    Raises:
        ValueError: for numbers of sequences, frames, balls or pixels that cannot be.
    """
    if size < 4:
        raise ValueError(f"size is {size} pixels; a ball needs at least 4")
    positions, _ = simulate_balls(n, frames, balls=balls, seed=seed)
    return Sequences(
        render(positions, size),
        FRAME * torch.arange(frames),
        torch.ones(n, frames, dtype=torch.bool),
        f"{n} simulated sequences of {balls} bouncing balls, seed {seed}",
    )


def simulate_balls(n: int, frames: int = 20, *, balls: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Positions and velocities at each frame, (n, frames, balls, 2), float64, in units of the box and of frames.

    Balls of equal mass in [0, 10]², radius 1.2, start anywhere without overlap; velocities are normal, rescaled to a
    joint norm of 0.5. In each of two half steps of a frame all move on; a ball over a wall gets the velocity that
    leads back; of two balls that overlap and approach each other, the velocities along the line between them are
    exchanged. A ball may therefore reach over a wall, or into another, by what they cover in half a frame.

    Raises:
        ValueError: for numbers that cannot be; more than 8 balls would hardly ever fit at random.
    """
    if n < 1 or frames < 1 or not 1 <= balls <= 8:
        raise ValueError(f"n = {n} sequences of {frames} frames with {balls} balls: from one of each, up to 8 balls")
    generator = torch.Generator().manual_seed(seed)
    x = _apart(n, balls, generator)
    v = torch.randn(n, balls, 2, generator=generator, dtype=torch.float64)
    v *= SPEED / v.flatten(1).norm(dim=1)[:, None, None]
    states = [(x.clone(), v.clone())]
    for _ in range(frames - 1):
        for _ in range(STEPS_PER_FRAME):
            x += v / STEPS_PER_FRAME
            v = torch.where(x < RADIUS, v.abs(), torch.where(x > BOX - RADIUS, -v.abs(), v))
            for i, j in combinations(range(balls), 2):
                v[:, i], v[:, j] = collided(x[:, i], x[:, j], v[:, i], v[:, j])
        states.append((x.clone(), v.clone()))
    positions, velocities = zip(*states, strict=True)
    return torch.stack(positions, 1), torch.stack(velocities, 1)


def collided(xi: Tensor, xj: Tensor, vi: Tensor, vj: Tensor) -> tuple[Tensor, Tensor]:
    """Velocities (n, 2) of two balls after an elastic collision where they overlap and approach, else as before."""
    apart = xi - xj
    distance = apart.norm(dim=-1, keepdim=True)
    normal = apart / distance.clamp_min(1e-12)
    closing = ((vi - vj) * normal).sum(-1, keepdim=True)
    exchange = torch.where((distance < 2 * RADIUS) & (closing < 0), closing, 0.0) * normal
    return vi - exchange, vj + exchange


def render(positions: Tensor, size: int) -> Tensor:
    """Frames (n, T, 1, size, size), float32, of positions (n, T, balls, 2): Σ exp(−(d²/r²)⁴) over balls, at most 1.

    d is the distance of a pixel's centre from the ball's; the first coordinate is the row.
    """
    centres = (torch.arange(size) + 0.5) * (BOX / size)
    frames = positions.new_empty((*positions.shape[:2], 1, size, size), dtype=torch.float32)
    for part, out in zip(positions.float().split(200), frames.split(200), strict=True):  # to bound the memory
        squares = (part[..., None] - centres).square()
        d2 = squares[..., 0, :, None] + squares[..., 1, None, :]
        out[:, :, 0] = (-((d2 / RADIUS**2) ** 4)).exp().sum(2).clamp_max(1.0)
    return frames


def _apart(n: int, balls: int, generator: torch.Generator) -> Tensor:
    """Centres (n, balls, 2), uniform among those where no ball overlaps another or a wall."""
    x = torch.empty(n, balls, 2, dtype=torch.float64)
    todo = torch.arange(n)
    while len(todo):
        draw = torch.rand(len(todo), balls, 2, generator=generator, dtype=torch.float64)
        x[todo] = RADIUS + (BOX - 2 * RADIUS) * draw
        distances = torch.cdist(x[todo], x[todo]) + BOX * torch.eye(balls, dtype=torch.float64)
        todo = todo[(distances < 2 * RADIUS).flatten(1).any(1)]
    return x
