"""Lesson 08: its exercises take right answers only, and its table says what has not been run."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from odelab.experiments.results import Row
from odelab.latent import LatentODE
from odelab.lessons.latent_odes.stored import measured, stored_model
from odelab.solvers import odeint
from tests.lessons.kit.answers import every_answer, judge


def kl(mean, log_std):
    return (mean**2 + (2 * log_std).exp() - 1 - 2 * log_std).sum(-1) / 2


def by_distributions(log_likelihood, mean, log_std):
    q = Independent(Normal(mean, log_std.exp()), 1)
    return log_likelihood - kl_divergence(q, Independent(Normal(0 * mean, 0 * mean + 1), 1))


ELBO = {
    "right": (lambda ll, m, s: ll - kl(m, s), None),
    "right, by torch.distributions": (by_distributions, None),
    "added": (lambda ll, m, s: ll + kl(m, s), "subtracted"),
    "no divergence": (lambda ll, m, s: ll, "missing"),
    "no half": (lambda ll, m, s: ll - 2 * kl(m, s), "½"),
    "log variance": (lambda ll, m, s: ll - (m**2 + s.exp() - 1 - s).sum(-1) / 2, "not of σ²"),
    "no entropy": (lambda ll, m, s: ll - (m**2 + (2 * s).exp() - 1).sum(-1) / 2, "entropy"),
    "no −1": (lambda ll, m, s: ll - kl(m, s) - m.shape[1] / 2, "−1"),
    "mean over dimensions": (lambda ll, m, s: ll - kl(m, s) / 2, "add up"),
    "the loss": (lambda ll, m, s: kl(m, s) - ll, "loss"),
    "one number": (lambda ll, m, s: (ll - kl(m, s)).mean(), "every sequence"),
    "sampled": (lambda ll, m, s: ll - kl(m, s) + 0.01, "off by"),
    "stub": (lambda ll, m, s: ..., "not attempted"),
}


def density(x, mean, std):
    return Normal(mean, std).log_prob(x)


OBSERVED = {
    "right": (lambda x, m, s, mask: torch.where(mask, density(x, m, s).sum(-1), 0.0).sum(-1), None),
    "right, by indexing": (
        lambda x, m, s, mask: torch.stack([density(x[i, w], m[i, w], s).sum() for i, w in enumerate(mask)]),
        None,
    ),
    "no mask": (lambda x, m, s, mask: density(x, m, s).sum((1, 2)), "not used"),
    "residuals masked": (
        lambda x, m, s, mask: density(x * mask[..., None], m * mask[..., None], s).sum((1, 2)),
        "mask the logarithms",
    ),
    "mean over points": (lambda x, m, s, mask: (density(x, m, s).sum(-1) * mask).sum(1) / mask.sum(1), "sparse"),
    "mean over all": (
        lambda x, m, s, mask: (density(x, m, s).mean(-1) * mask).sum(1) / mask.sum(1),
        "channels",
    ),
    "variance": (
        lambda x, m, s, mask: ((density(x, m, s.sqrt())).sum(-1) * mask).sum(1),
        "square of it",
    ),
    "one number": (lambda x, m, s, mask: (density(x, m, s).sum(-1) * mask).sum(), "every sequence"),
    "stub": (lambda x, m, s, mask: ..., "not attempted"),
}


def loop(order="uf", gap=lambda gaps, k: gaps[:, k, None], sign=1, steps=range):
    def answer(update, field, x, gaps, state):
        for k in steps(x.shape[1]):
            for part in order:
                state = update(x[:, k], state) if part == "u" else state + sign * gap(gaps, k) * field(state)
        return state

    return answer


def by_solver(update, field, x, gaps, state):
    """Right, the Euler step taken by the library's solver in scaled time."""
    for seen, gap in zip(x.unbind(1), gaps.unbind(1), strict=True):
        span = torch.tensor([0.0, 1.0], dtype=x.dtype)
        state = odeint(lambda t, h, gap=gap: gap[:, None] * field(h), update(seen, state), span, method="euler")[-1]
    return state


ODE_RNN = {
    "right": (loop(), None),
    "right, by the solver": (by_solver, None),
    "flows first": (loop("fu"), "before the update"),
    "no flow": (loop("u"), "RNN"),
    "gap of one": (loop(gap=lambda gaps, k: 1.0), "counts as 1"),
    "mean gap": (loop(gap=lambda gaps, k: gaps[:, k].mean()), "share one"),
    "first gap": (loop(gap=lambda gaps, k: gaps[0, k]), "those of the first"),
    "backwards": (loop(sign=-1), "elapsed"),
    "order": (loop(steps=lambda n: reversed(range(n))), "latest"),
    "last gap": (loop(gap=lambda gaps, k: gaps[:, k, None] * (k < 3)), "earliest"),
    "stub": (lambda update, field, x, gaps, state: ..., "not attempted"),
}
EXERCISES = {"elbo": ELBO, "observed_log_prob": OBSERVED, "ode_rnn": ODE_RNN}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)


def row(model: str, kept: int, seed: int, beyond: float, before: float | None) -> Row:
    result = {"inside": 0.3, "beyond": beyond, "before": before}
    return Row({"model": model, "kept": kept}, seed, "full", result, 1.0, "", "", "", "")


def test_errors_of_stored_runs_by_model_and_density() -> None:
    rows = [row("latent-ode", 30, 0, 0.4, 0.5), row("latent-ode", 30, 1, 0.6, 0.5), row("rnn", 30, 0, 1.5, None)]
    by_model = measured(rows)
    assert by_model["latent ODE"][30]["beyond"] == [0.4, 0.6] and by_model["RNN"][30]["before"] == []
    assert list(by_model) == ["RNN", "latent ODE"]


def test_stored_models_are_there_or_none() -> None:
    assert stored_model("rnn", 17) is None
    model = stored_model("latent-ode")
    assert model is None or (isinstance(model, LatentODE) and not next(model.parameters()).requires_grad)
