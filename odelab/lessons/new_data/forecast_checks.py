"""The exercise on forecasts of lesson 12: the CRPS of a forecast that is given by draws."""

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
