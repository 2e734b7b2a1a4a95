"""Checks of the ODE-Nets' exercises: time as a channel, the bill of a solver, two rows of a table."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, parts


class GluedImages(TorchFunctionMode):
    """Notes whether some operation gives images with so many channels, alone or in a batch."""

    def __init__(self, channels: int, smallest: int) -> None:
        super().__init__()
        self.channels, self.smallest, self.noted = channels, smallest, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim >= 3:
            *_, channels, height, width = result.shape
            self.noted |= channels == self.channels and min(height, width) >= self.smallest
        return result


@exercise
def time_channel(answer: Callable[..., Any]) -> None:
    """answer(weight, bias, t, x): the 3×3 convolution, padding 1, of x with a channel of the constant t put first."""
    generator = torch.Generator().manual_seed(4)
    weight, bias = torch.randn(5, 4, 3, 3, generator=generator), torch.randn(5, generator=generator)
    x, t = torch.randn(2, 3, 6, 7, generator=generator), 0.7

    def concatenated(first: Tensor, t: float = t, with_bias: bool = True) -> Tensor:
        channels = (torch.full_like(x[:, :1], t), x)
        stacked = torch.cat(channels if first is weight else channels[::-1], 1)
        return F.conv2d(stacked, weight, bias if with_bias else None, padding=1)

    exact, of_time = concatenated(weight), weight[:, :1].sum((1, 2, 3))[:, None, None]
    without = F.conv2d(x, weight[:, 1:], bias, padding=1)
    wrong = {
        "right inside, wrong at the rim: the padding is zero there, so a filter over the rim sees fewer t's; convolve "
        "an image of ones": without + t * of_time,
        "time is the first channel of the weight, the image has the others": concatenated(x),
        "the time does not arrive": without,
        "the channel holds t, not 1": concatenated(weight, 1.0),
        "the bias is missing": concatenated(weight, with_bias=False),
        "the bias is there twice, or multiplied by t: it belongs to one of the two convolutions": exact
        + t * bias[:, None, None],
        "the bias is there twice: it belongs to one of the two convolutions": exact + bias[:, None, None],
    }
    with GluedImages(channels=4, smallest=6) as images:
        value = torch.as_tensor(answer(weight, bias, t, x))
    if value.shape != exact.shape:
        raise Hint(f"the result should be {tuple(exact.shape)}, yours is {tuple(value.shape)}: padding=1 keeps 6×7")
    compare("the result", value, exact, wrong, atol=1e-4)
    if images.noted:
        raise Hint(
            "the result is right, but the time was glued to the image: some image on the way has 1 + in channels. Give "
            "each part of the weight an image of its own"
        )


@exercise
def solver_bill(answer: Callable[..., Any]) -> None:
    """answer(accepted, rejected, evaluation, state): NFE of dopri5, and bytes kept by backprop, checkpoint, adjoint."""
    for accepted, rejected, evaluation, state in ((3, 0, 500.0, 20.0), (11, 2, 3000.0, 64.0)):
        four = "four numbers are asked for: nfe, and the bytes of backprop, checkpoint and adjoint"
        returned = parts(answer(accepted, rejected, evaluation, state), 4, four)
        tried, stages = accepted + rejected, 6 * accepted
        bill = {
            "NFE": 6 * tried + 2,
            "bytes of backprop": stages * evaluation,
            "bytes of checkpoint": accepted * state,
            "bytes of adjoint": 2 * state,
        }
        slips: dict[str, dict[str, float]] = {
            "NFE": {
                "seven stages, but the last of a step is the first of the next (FSAL)": 7 * tried,
                "each step has six new stages; the seventh is the first of the next (FSAL)": 7 * tried + 2,
                "before the first step there are two evaluations: the slope at the start, and one to guess dt": 6
                * tried,
                "before the first step there are two evaluations, one of them to guess the first dt": 6 * tried + 1,
                "a rejected step has been paid for, too": 6 * accepted + 2,
            },
            "bytes of backprop": {
                "a rejected step leads nowhere, and neither does the trial that guesses dt: their graphs are dropped": (
                    6 * tried + 2
                )
                * evaluation,
                "a rejected step leads nowhere: its graph is dropped": 6 * tried * evaluation,
                "the last slope of the last step is the first of a step that is never made: nothing depends on it": (
                    6 * accepted + 1
                )
                * evaluation,
                "a step has six new stages, each with its own activations": accepted * evaluation,
                "backprop keeps the activations inside f, not only states": stages * state,
            },
            "bytes of checkpoint": {
                "only accepted steps are replayed": tried * state,
                "one state per step is kept; what happens inside f is computed again": accepted * evaluation,
                "that is the adjoint; a checkpoint is kept per accepted step": 2 * state,
                "one state per step, not per stage": stages * state,
            },
            "bytes of adjoint": {
                "the way back has to start somewhere: at z(1)": 0,
                "one state is enough in principle; what is asked for is both that the solver returned": state,
                "the path is solved anew on the way back; only what the solver returned is needed": accepted * state,
                "states are kept, not the activations of an evaluation": evaluation,
            },
        }
        for (name, exact), value in zip(bill.items(), returned, strict=True):
            compare(name, value, exact, slips[name])


@exercise
def paired_error(answer: Callable[..., Any]) -> None:
    """answer(wrong_a, wrong_b): standard error of the difference in error rate of two nets on the same images."""
    generator = torch.Generator().manual_seed(1)
    n = 4000
    hard = torch.rand(n, generator=generator) < 0.06  # images that most nets get wrong, so the mistakes are shared
    a, b = (hard & (torch.rand(n, generator=generator) < 0.85) for _ in range(2))
    difference = a.double() - b.double()
    exact = float(difference.std() / n**0.5)
    p, q = float(a.double().mean()), float(b.double().mean())
    independent = (p * (1 - p) / n + q * (1 - q) / n) ** 0.5
    wrong = {
        "that is the error of two nets on two different test sets; on the same images the hard ones cancel: look at "
        "the difference image by image": independent,
        "that is the spread of a single image's difference; the mean of n of them is surer by √n": exact * n**0.5,
        "a variance; the standard error is its root": exact**2,
        "errors of independent numbers add as squares, under a root; and these two nets are not independent, because "
        "they see the same images": ((p * (1 - p)) ** 0.5 + (q * (1 - q)) ** 0.5) / n**0.5,
        "that is the error of a sum of the two; asked for is that of their difference": float(
            (a.double() + b.double()).std() / n**0.5
        ),
        "that is the difference itself; asked for is its standard error": abs(p - q),
        "that is the rate at which they disagree; a standard error has a root and another n": float(
            (a ^ b).double().mean()
        ),
        "that is the standard error of one net alone": (p * (1 - p) / n) ** 0.5,
        "that is the number of images they disagree on, or its root; a rate is divided by n": exact * n,
        "that is in points; give it as a fraction": exact * 100,
    }
    # Within 2 %: McNemar's form and the sample standard deviation are both right.
    compare("the standard error", answer(a, b), exact, wrong, rtol=0.02, atol=0)
