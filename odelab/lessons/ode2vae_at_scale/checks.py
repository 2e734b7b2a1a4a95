"""Checks of the exercises on ODE²VAE at scale: missing frames, minibatches, memory, and checks that find a bug."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from odelab.latent import SecondOrder
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


# Exercises whose answer is a check: true for what is right, false for what is broken.

Cases = Sequence[tuple[str, tuple[Any, ...]]]  # what the check gets wrong if it errs here, and what it is handed
FAILED = ("AssertionError", "ClaimFailed")  # a check that raises one of these says no


def verdict(answer: Callable[..., Any], things: tuple[Any, ...]) -> bool:
    """What a reader's check says of these.

    Raises:
        Hint: when it says neither yes nor no.
    """
    try:
        said = answer(*things)
    except Hint as hint:
        if str(hint).startswith(FAILED):
            return False
        raise
    if isinstance(said, Tensor) and said.numel() != 1:
        raise Hint(f"one verdict is asked for, True or False; yours has shape {tuple(said.shape)}: all of them?")
    value = said.item() if hasattr(said, "item") else said
    if not isinstance(value, bool):
        raise Hint(f"True or False is asked for, yours is {value!r}: is it small enough, or too large?")
    return value


def tells_apart(answer: Callable[..., Any], broken: Cases, right: Cases) -> None:
    """Hand a reader's check what is broken, then what is right.

    Raises:
        Hint: of the first case that it errs in.
    """
    for hint, things in broken:
        if verdict(answer, things):
            raise Hint(f"your check lets something broken pass: {hint}")
    for hint, things in right:
        if not verdict(answer, things):
            raise Hint(f"your check refuses what is right: {hint}")


def gaussian(entropy: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A log-density of z under N(mean, σ²) with so much of −log σ: all of it at 1."""

    def log_q(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
        parts = -0.5 * ((z - mean) / log_std.exp()) ** 2 - entropy * log_std - 0.5 * math.log(2 * math.pi)
        return parts.sum(-1)

    return log_q


@exercise
def knows_the_entropy(answer: Callable[..., Any]) -> None:
    """answer(log_q): whether log_q(z, mean, log_std), each (n, d), is the log-density (n,) of a Gaussian."""
    lost = "a log-density that forgets how wide it is. At which σ does it agree with a right one? Ask at another"
    broken = [
        (lost, (gaussian(0.0),)),
        ("a log-density that grows with σ: is your bound on one side only?", (gaussian(-1.0),)),
        ("a log-density with half of what belongs to σ: is your bound too wide?", (gaussian(0.5),)),
    ]
    written = "the formula of the Gaussian, written out"
    right = [
        (written, (gaussian(1.0),)),
        ("torch.distributions.Normal", (lambda z, m, s: Normal(m, s.exp()).log_prob(z).sum(-1),)),
    ]
    tells_apart(answer, broken, right)


@exercise
def knows_the_spread(answer: Callable[..., Any]) -> None:
    """answer(std_of): whether std_of(log_variance) is the standard deviation, of a tensor of any shape."""
    broken = [
        ("the variance in place of its root. At which log σ² are the two the same? Ask at another", (torch.exp,)),
        ("half of the logarithm, without exp", (lambda log_variance: log_variance / 2,)),
        (
            "four times the logarithm: the square where the root belongs",
            (lambda log_variance: (2 * log_variance).exp(),),
        ),
    ]
    right = [
        ("exp(log σ² / 2)", (lambda log_variance: (log_variance / 2).exp(),)),
        ("the root of exp(log σ²); rounding may differ", (lambda log_variance: log_variance.exp().sqrt(),)),
    ]
    tells_apart(answer, broken, right)


@exercise
def counts_sequences(answer: Callable[..., Any]) -> None:
    """answer(estimate, gains, weights_kl): whether estimate(some of the gains, weights_kl) is right on average.

    ``gains`` (N,) is what each sequence of the data set contributes; the estimates are of the ELBO of all of them.
    """
    gains = 120.0 * torch.rand(100, generator=torch.Generator().manual_seed(3), dtype=torch.float64) - 200
    n, kl = len(gains), torch.tensor(57.0).double()

    def case(estimate: Callable[[Tensor, Tensor], Tensor]) -> tuple[Any, ...]:
        return estimate, gains.clone(), kl

    broken = [
        (
            "an estimate that takes the number of batches for the number of sequences",
            case(lambda some, kl: n / 20 / len(some) * some.sum() - kl),
        ),
        (
            "the bound of the batch alone. If the batch is the whole data set nobody sees it",
            case(lambda some, kl: some.sum() - kl),
        ),
        (
            "an estimate that pays the KL of the weights once for every batch. Compare with all batches of a pass",
            case(lambda some, kl: n / len(some) * (some.sum() - kl)),
        ),
    ]
    right = [
        ("N / B times the sum, and the KL once", case(lambda some, kl: n / len(some) * some.sum() - kl)),
        (
            "N times (mean − KL / N), which is the same up to rounding",
            case(lambda some, kl: n * (some.mean() - kl / n)),
        ),
    ]
    tells_apart(answer, broken, right)


def small_net() -> nn.Sequential:
    """Pictures (n, 1, 6, 6) to pictures, through a layer that normalises."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 1, 3)
        )


@exercise
def keeps_to_itself(answer: Callable[..., Any]) -> None:
    """answer(forecast, x): whether forecast(x), x (8, 1, 6, 6), treats each sequence as if it were alone."""
    x = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    net = small_net()
    alone = nn.Sequential(net[0], net[2])
    shared = "a forecast that depends on who sits beside a sequence. Was the company another one in your two calls?"
    broken = [
        (shared, (net, x.clone())),
        (shared, (lambda x: alone(x - x.mean(0)), x.clone())),
    ]
    same = "a net without batch statistics. Its last digits may depend on the size of the batch: ask for a small change"
    right = [(same, (alone, x.clone())), (same, (lambda x: alone(x) + 1e-7 * len(x), x.clone()))]
    with torch.no_grad():
        tells_apart(answer, broken, right)


@exercise
def sees_motion(answer: Callable[..., Any]) -> None:
    """answer(velocity, film): whether velocity(film), film (n, T, 1, H, W) with T ≥ 5, reads more than frame 0."""
    generator = torch.Generator().manual_seed(6)
    film = torch.rand(4, 9, 1, 6, 6, generator=generator)
    weight = torch.randn(3 * 36, 5, generator=generator) / 10
    still = "a velocity that is read from frame 0 alone. Do your two films begin with the same frame?"
    broken = [
        (still, (lambda x: x[:, :1].expand(-1, 3, -1, -1, -1).flatten(1) @ weight, film.clone())),
        ("a velocity that is always zero", (lambda x: torch.zeros(len(x), 5), film.clone())),
    ]
    right = [
        ("a velocity read from frames 0, 1 and 2", (lambda x: x[:, :3].flatten(1) @ weight, film.clone())),
        ("the difference of frames 1 and 0", (lambda x: (x[:, 1] - x[:, 0]).flatten(1), film.clone())),
    ]
    tells_apart(answer, broken, right)


def numbers_of_a_draw(q: int, hidden: Sequence[int]) -> int:
    """|W|: weights and biases in one draw of a second-order field."""
    widths = [2 * q, *hidden, q]
    return sum((into + 1) * out for into, out in pairwise(widths))


@exercise
def counts_weights(answer: Callable[..., Any]) -> None:
    """answer(beta_of): whether beta_of(q, hidden) is (9.21) for SecondOrder(q, hidden)."""

    def drawn(q: int, hidden: Sequence[int]) -> float:
        weights = SecondOrder(q, tuple(hidden)).draw().weights
        return 2 * q / sum(w.numel() for w in (*weights.matrices, *weights.biases))

    def layer_too_many(q: int, hidden: Sequence[int]) -> float:
        return 2 * q / numbers_of_a_draw(q, [*hidden, hidden[-1]])

    def no_biases(q: int, hidden: Sequence[int]) -> float:
        return 2 * q / (numbers_of_a_draw(q, hidden) - sum(hidden) - q)

    broken = [
        ("a β that counts one hidden layer too many", (layer_too_many,)),
        ("a β that counts no biases; they are drawn, too", (no_biases,)),
        (
            "a β with |q| = q: (9.21) counts all numbers in z, positions and velocities",
            (lambda q, hidden: q / numbers_of_a_draw(q, hidden),),
        ),
    ]
    right = [
        ("|q| / |W|, counted by a formula", (lambda q, hidden: 2 * q / numbers_of_a_draw(q, hidden),)),
        ("|q| / |W|, counted in a draw of the field", (drawn,)),
    ]
    tells_apart(answer, broken, right)


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
