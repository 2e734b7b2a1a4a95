"""Exercises on forecasts of lesson 12: the CRPS of a forecast that is given by draws, and where an epidemic turns."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import exercise
from odelab.lessons.kit.hints import compare, tensor_of


@exercise
def crps(answer: Callable[[Tensor, float], Any]) -> None:
    """E|X − y| − ½ E|X − X′| for answer(draws (K,), y); pairs of a draw with itself may count, or not."""
    generator = torch.Generator().manual_seed(2)
    draws = 2 + 3 * torch.randn(6, generator=generator, dtype=torch.float64)
    y = 3.5
    first = (draws - y).abs().mean()
    pairs = (draws[:, None] - draws).abs()
    every = pairs.mean()
    proper = pairs.sum() / 30
    given = tensor_of("crps", answer(draws.clone(), y))
    if given.shape == () and torch.allclose(given, first - proper / 2):
        return
    compare(
        "crps",
        given,
        first - every / 2,
        {
            "this is E|X − y| alone: a broad forecast is not told from a sharp one; subtract ½ E|X − X′|": first,
            "½ is missing before E|X − X′|": first - every,
            "½ is missing before E|X − X′| (over pairs of different draws)": first - proper,
            "the sign: a forecast that is broad by right gets something back, so the second term is subtracted": (
                first + every / 2
            ),
            "this is the error of the mean; take |X − y| of every draw, then the mean": (draws.mean() - y).abs(),
            "this is the error of the median; CRPS looks at all draws": (draws.median() - y).abs(),
            "squares in place of absolute values": (draws - y).square().mean()
            - (draws[:, None] - draws).square().mean() / 2,
            "the second term is missing its absolute values, and so vanishes; |X − X′| is asked for": (
                first - (draws[:, None] - draws).mean() / 2
            ),
            "these are the distances of each draw; the mean over the draws is one number": (draws - y).abs(),
            "the second term compares draws with their mean; it is about two draws": (
                first - (draws - draws.mean()).abs().mean() / 2
            ),
            "each pair stands twice in |X − X′|: where you take every pair once, divide by their number": (
                first - pairs.triu().sum() / 36 / 2
            ),
        },
        rtol=1e-5,
    )


@exercise
def turning_point(answer: Callable[[float, float], Any]) -> None:
    """The share s who can still fall ill when the number of ill is largest, for answer(beta, gamma), beta > gamma."""
    for beta, gamma in ((1.6, 0.4), (1.2, 0.9)):
        ratio = torch.tensor(gamma / beta, dtype=torch.float64)
        compare(
            f"s at the turn (β = {beta}, γ = {gamma})",
            answer(beta, gamma),
            ratio,
            {
                "this is more than 1, and no share; turn it over": 1 / ratio,
                "this is the share who are or were ill by then; those who can still fall ill are asked for": 1 - ratio,
                "this is the number of boys; s is a share": 763 * ratio,
                "this is the share who are ill at the turn": 1 - ratio * (1 - ratio.log()),
                "a rate, and no share: s has no unit": gamma,
                "a rate, and no share; at the turn di/dt is 0": beta - gamma,
                "at the start everybody can still fall ill, and i grows; where it is largest, di/dt is 0": 1.0,
                "somebody can still fall ill at the turn: where i is largest, di/dt is 0": 0.0,
                "β s − γ = 0, and not β s + γ s = γ": gamma / (beta + gamma),
            },
        )
