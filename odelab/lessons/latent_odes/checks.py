"""Checks of the latent ODE lesson's exercises: the ELBO, a likelihood with gaps, a state that flows between updates."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import exercise
from odelab.lessons.kit.hints import compare

MEAN = torch.tensor([[0.3, -1.2], [1.5, 0.4], [-0.8, 0.1]], dtype=torch.float64)
LOG_STD = torch.tensor([[-0.5, 0.2], [-1.1, -0.3], [0.1, -0.9]], dtype=torch.float64)
LIKELIHOOD = torch.tensor([-12.0, -3.5, -7.1], dtype=torch.float64)


@exercise
def elbo(answer: Callable[..., Any]) -> None:
    """The bound (n,) for answer(log_likelihood (n,), mean (n, d), log_std (n, d)), prior N(0, I)."""
    squares = MEAN.square().sum(1)
    variance, entropy = (2 * LOG_STD).exp().sum(1), 2 * LOG_STD.sum(1)
    kl = (squares + variance - 2 - entropy) / 2
    wrong = {
        "the divergence is subtracted: a posterior far from the prior must cost something": LIKELIHOOD + kl,
        "the divergence is missing": LIKELIHOOD,
        "the factor ½ of the divergence is missing": LIKELIHOOD - 2 * kl,
        "log_std is the logarithm of σ, not of σ²: the variance is exp(2 log_std)": LIKELIHOOD
        - (squares + LOG_STD.exp().sum(1) - 2 - LOG_STD.sum(1)) / 2,
        "the entropy is missing: without −log σ nothing keeps σ from shrinking to a point": LIKELIHOOD
        - (squares + variance - 2) / 2,
        "the −1 of every dimension is missing: q = N(0, I) must cost nothing": LIKELIHOOD - kl - 1,
        "divergences of independent dimensions add up; this is their mean": LIKELIHOOD - kl / 2,
        "this is the loss; the bound itself is asked for": kl - LIKELIHOOD,
        "one number for every sequence is asked for, not their mean": (LIKELIHOOD - kl).mean(),
    }
    compare("the ELBO", answer(LIKELIHOOD.clone(), MEAN.clone(), LOG_STD.clone()), LIKELIHOOD - kl, wrong)


@exercise
def observed_log_prob(answer: Callable[..., Any]) -> None:
    """log p of what was observed, (n,), for answer(x (n, T, C), mean (n, T, C), std, mask (n, T))."""
    generator = torch.Generator().manual_seed(8)
    x, mean = (torch.randn(3, 5, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    x = torch.where(mask[..., None], x, 0.0)
    std = torch.tensor(0.4, dtype=torch.float64)
    each = -((x - mean) / std).square() / 2 - std.log() - math.log(2 * math.pi) / 2
    exact = (each.sum(-1) * mask).sum(1)
    zeroed = ((x - mean) * mask[..., None] / std).square().sum((1, 2)) / 2
    wrong = {
        "the mask is not used: unobserved points hold zeros, and the model learns to pass through the origin": (
            each.sum((1, 2))
        ),
        "unobserved points still add −log σ − ½ log 2π each: mask the logarithms, not the residuals": (
            -zeroed - 10 * (std.log() + math.log(2 * math.pi) / 2)
        ),
        "observations are independent given z: their logarithms add up, a mean would weigh sparse sequences like dense "
        "ones against the KL": exact / mask.sum(1),
        "this is the mean over points and channels: add the logarithms up": exact / (2 * mask.sum(1)),
        "std is the standard deviation: the square of it divides the squared error": (
            (-(x - mean).square() / std / 2 - std.log() / 2 - math.log(2 * math.pi) / 2).sum(-1) * mask
        ).sum(1),
        "the constant ½ log 2π of every observed number is missing": exact + mask.sum(1) * math.log(2 * math.pi),
        "one number for every sequence is asked for": exact.sum(),
    }
    compare("log p", answer(x.clone(), mean.clone(), std.clone(), mask.clone()), exact, wrong)


@exercise
def ode_rnn(answer: Callable[..., Any]) -> None:
    """The last state (n, H) for answer(update, field, x (n, K, C), gaps (n, K), state (n, H)), Euler in every gap."""
    generator = torch.Generator().manual_seed(9)
    x, gaps = torch.randn(3, 4, 2, generator=generator).double(), torch.rand(3, 4, generator=generator).double()
    start = torch.randn(3, 2, generator=generator).double()

    def update(seen: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(seen + 0.5 * state)

    def field(state: Tensor) -> Tensor:
        return state @ torch.tensor([[-0.3, 1.0], [-1.0, -0.3]], dtype=torch.float64)

    def run(order: str = "uf", pause: Tensor = gaps, sign: float = 1.0, seen: Tensor = x) -> Tensor:
        state = start
        for k in range(4):
            for part in order:
                moved = state + sign * pause[:, k, None] * field(state)
                state = update(seen[:, k], state) if part == "u" else moved
        return state

    exact = run()
    wrong = {
        "the state flows before the update here: gaps[:, k] comes after observation k": run("fu"),
        "the gaps are not used: that is an RNN": run("u"),
        "every gap counts as 1 here: it is the time to flow for": run(pause=torch.ones_like(gaps)),
        "every sequence has gaps of its own: here they share one": run(pause=gaps.mean(0, keepdim=True).expand(3, 4)),
        "every sequence has gaps of its own: here all have those of the first": run(pause=gaps[:1].expand(3, 4)),
        "the gaps are elapsed times, all positive, and the state flows along the field": run(sign=-1.0),
        "observation 0 is read first: it is the latest one": run(seen=x.flip(1), pause=gaps.flip(1)),
        "the last gap is missing: after the earliest observation the state still has to get to t₀": run(
            pause=torch.cat([gaps[:, :3], 0 * gaps[:, 3:]], 1)
        ),
    }
    compare("the state", answer(update, field, x.clone(), gaps.clone(), start.clone()), exact, wrong)
