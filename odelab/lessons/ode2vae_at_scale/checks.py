"""Checks of the exercises on ODE²VAE at scale, missing frames, minibatches, memory; and of checks themselves."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.claims import ClaimFailed
from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare

DRAW = torch.Generator().manual_seed(10)
PROBABILITIES = torch.rand(3, 5, 2, 4, generator=DRAW, dtype=torch.float64) * 0.9 + 0.05
PICTURES = torch.rand(3, 5, 2, 4, generator=DRAW, dtype=torch.float64)
SEEN = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 0, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)
PAID = 120.0 * torch.rand(20, generator=DRAW, dtype=torch.float64) - 200
DIVERGENCES = 9.0 * torch.rand(20, generator=DRAW, dtype=torch.float64)


def caught(check: Callable[[Any], object], bug: Any) -> None:
    """Hand a check a bug. It has to fail as a claim does, and what it says is printed.

    Raises:
        ValueError: when the check lets the bug pass.
    """
    try:
        check(bug)
    except ClaimFailed as failure:
        print(f"  the bug: {failure}")
        return
    raise ValueError(f"{getattr(check, '__name__', 'the check')} lets this bug pass, so it checks nothing")


def says(kind: type[Exception], call: Callable[..., Any], *arguments: Any) -> str:
    """The name and the words of the error that the call raises.

    Raises:
        ValueError: when it raises none of that kind.
    """
    try:
        call(*arguments)
    except kind as error:
        return f"{type(error).__name__}: {error}"
    raise ValueError(f"no {kind.__name__} came from {call.__name__}({', '.join(map(repr, arguments))})")


@exercise
def seen_log_likelihood(answer: Callable[..., Any]) -> None:
    """Σ log p(x_i) over frames seen, (n,), for answer(p, x, seen): p, x (n, T, H, W) in [0, 1]; seen bool (n, T)."""
    p, x, seen = PROBABILITIES, PICTURES * SEEN[..., None, None], SEEN[..., None, None]
    pixels = x * p.log() + (1 - x) * (1 - p).log()
    each = pixels.sum((2, 3))
    exact = (each * SEEN).sum(1)
    wrong = {
        "missing frames count as empty ones: their x is 0, but nobody saw that": each.sum(1),
        "a sum over frames is asked for; this is a mean over those seen": exact / SEEN.sum(1),
        "a sum over frames is asked for; this is a mean": (each * SEEN).mean(1),
        "one number for each sequence is asked for, not for all together": exact.sum(),
        "one number for each sequence is asked for, not their mean": exact.mean(),
        "frames are asked for that were seen; these are the others": (each * ~SEEN).sum(1),
        "white pixels say something too: the term (1 − x) log(1 − p) is missing": (x * p.log() * seen).sum((1, 2, 3)),
        "the sign: a log-likelihood is asked for, not a loss": -exact,
        "pixels are summed, not averaged: each is a random variable of its own": exact / x[0, 0].numel(),
    }
    try:
        got = answer(p.clone(), x.clone(), SEEN.clone())
    except Hint as hint:
        if "within the support" in str(hint):  # Bernoulli's own complaint prints all pixels
            raise Hint("these pictures are grey, and Bernoulli takes 0 and 1 only: write the formula") from None
        raise
    compare("the log-likelihood", got, exact, wrong)


@exercise
def elbo_of_all(answer: Callable[..., Any]) -> None:
    """The ELBO of N sequences from a batch: answer(log_likelihood (B,), initial_kl (B,), weights_kl, n) -> 0-d."""
    n, kl = 360, 57.0
    gain = (PAID - DIVERGENCES).sum()
    batch = len(PAID)
    exact = n / batch * gain - kl
    wrong = {
        "n is the number of batches here, not that of sequences": (n / batch) / batch * gain - kl,
        "KL[q(W)‖p(W)] belongs to the whole data set: it is paid once, not once for every batch": n / batch * gain
        - n / batch * kl,
        "KL[q(W)‖p(W)] is paid once, not once for every sequence": n / batch * gain - n * kl,
        "this is the ELBO of the batch; the rest of the data set counts too": gain - kl,
        "this is for one sequence; that of all n is asked for": gain / batch - kl / n,
        "a batch has B sequences, so its mean stands for n of them": n * gain - kl,
        "the sign of KL[q(W)‖p(W)]": n / batch * gain + kl,
        "the sign of KL[q(z₀)‖p(z₀)]": n / batch * (PAID + DIVERGENCES).sum() - kl,
        "KL[q(z₀)‖p(z₀)] is missing": n / batch * PAID.sum() - kl,
        "the sign: a bound on log p(X) is asked for, not a loss": -exact,
    }
    compare("the ELBO", answer(PAID.clone(), DIVERGENCES.clone(), torch.tensor(kl).double(), n), exact, wrong)


@exercise
def largest_batch(answer: Callable[..., Any]) -> None:
    """The largest batch within a limit for answer(bytes_of, limit); bytes_of(batch) measures, twice at most."""
    for fixed, each, limit in ((4.0e8, 3.1e7, 8e9), (2.5e9, 6.0e8, 16e9), (1e8, 5e6, 1e8 + 2.5e8)):
        asked: list[int] = []

        def bytes_of(batch: int, fixed: float = fixed, each: float = each, asked: list[int] = asked) -> float:
            asked.append(batch)
            return fixed + each * batch

        got = answer(bytes_of, limit)
        if got is None or (isinstance(got, Tensor) and got.numel() != 1):
            raise Hint("one number is asked for: how many sequences fit")
        exact = math.floor((limit - fixed) / each + 1e-9)
        wrong = {
            "memory does not start at nothing: weights are there without any sequence": math.floor(
                limit / (fixed + each)
            ),
            "as many as fit, weights left out: what is always there takes its part of the limit": math.floor(
                limit / each
            ),
            "this one would not fit any more: round down": exact + 1,
            "one more would still fit": exact - 1,
        }
        if max(asked, default=0) > exact:
            raise Hint(f"you measured a batch of {max(asked)}, which does not fit: the run would have died there")
        if len(asked) > 2:
            raise Hint(f"you measured {len(asked)} batches; cost is a straight line in the batch, so two are enough")
        if got != int(got):
            raise Hint(f"{float(got):.2f} sequences: a batch has a whole number of them")
        otherwise = f"{int(got)} sequences; {exact - int(got):+d} would be right, and no usual slip explains it"
        compare("the batch", got, exact, wrong, rtol=0, otherwise=otherwise)
