"""Two questions to a clinic's visits, answered by cross-validation: each patient by a model that has not seen them.

A seed is a new cut of the patients into five parts and a new start of the nets. Of four parts a fifth chooses the
epoch. A patient who was censored before the end of the horizon is left out of the question for the outcome.
"""

import copy
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from odelab.datasets import Visits, liver_visits
from odelab.experiments.context import Context
from odelab.experiments.results import Key
from odelab.experiments.visits.models import Inputs, Recurrent, build, inputs_of
from odelab.experiments.visits.recipe import FOLDS, HORIZON, LANDMARK, RECIPES, VisitsRecipe
from odelab.extras import extra

with extra("train"):
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import roc_auc_score

BILIRUBIN = 0  # its channel


def outcomes(visits: Visits, landmark: float = LANDMARK, horizon: float = HORIZON) -> tuple[Tensor, Tensor]:
    """Who can be asked about, bool (n,), and who died or had a transplant in time, float (n,).

    Left out are patients whose follow-up ended before the landmark, and those censored before its end.

    Raises:
        ValueError: where nobody is left, or all have the same outcome.
    """
    happened = (visits.status > 0) & (visits.end <= landmark + horizon)
    asked = (visits.end > landmark) & (happened | (visits.end > landmark + horizon))
    labels = happened.float()
    if len(labels[asked].unique()) < 2:
        raise ValueError(
            f"landmark {landmark:g} and horizon {horizon:g} years leave {int(asked.sum())} patients, none or all of "
            f"them with the event; the follow-up ends after {float(visits.end.max()):.1f} years"
        )
    return asked, labels


def questions(task: str, visits: Visits, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """Times asked for (n, T), right answers (n, T), and which count, bool (n, T).

    For the outcome one question a patient, asked at the landmark after the last visit; for the next bilirubin one a
    visit, answered by its change since the last value, in the units of the inputs.
    """
    if task == "outcome":
        asked, labels = outcomes(visits)
        last = inputs.there & ~F.pad(inputs.there[:, 1:], (0, 1))
        return torch.full_like(inputs.times, LANDMARK), labels[:, None].expand_as(inputs.times), last & asked[:, None]
    following = torch.cat([inputs.times[:, 1:], inputs.times[:, -1:]], 1)
    value = inputs.x[..., BILIRUBIN]
    change = torch.cat([value[:, 1:], value[:, -1:]], 1) - value
    return following, change, F.pad(inputs.there[:, 1:], (0, 1))


def loss_of(task: str, answers: Tensor, right: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of the outcome, or squared error of the change: mean over the questions, 0-d."""
    if task == "outcome":
        return F.binary_cross_entropy_with_logits(answers[counts], right[counts])
    return (answers - right)[counts].square().mean()


def fit(
    net: Recurrent, task: str, visits: Visits, inputs: Inputs, training: Tensor, recipe: VisitsRecipe, seed: int
) -> list[tuple[float, float]]:
    """Train on patients (indices), all of them in a step; keep the best epoch. Losses (training, validation)."""
    asked, right, counts = questions(task, visits, inputs)
    generator = torch.Generator().manual_seed(seed)
    mixed = training[torch.randperm(len(training), generator=generator)]
    cut = round(recipe.validation * len(mixed))
    parts = [(inputs.rows(rows), asked[rows], right[rows], counts[rows]) for rows in (mixed[cut:], mixed[:cut])]
    optimizer = torch.optim.AdamW(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    best, weights, losses = float("inf"), copy.deepcopy(net.state_dict()), []
    since = 0
    for _ in range(recipe.epochs):
        own, times, answer, which = parts[0]
        loss = loss_of(task, net(own, times), answer, which)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            own, times, answer, which = parts[1]
            held_out = float(loss_of(task, net(own, times), answer, which))
        losses.append((loss.item(), held_out))
        since += 1
        if held_out < best:
            best, weights, since = held_out, copy.deepcopy(net.state_dict()), 0
        if since > recipe.patience:
            break
    net.load_state_dict(weights)
    return losses


def last_values(inputs: Inputs, asked: Tensor) -> Tensor:
    """What the regression reads at each visit: values, what was measured, the time, and how far ahead it is asked."""
    return torch.cat([inputs.x, inputs.mask, inputs.times[..., None], (asked - inputs.times)[..., None]], -1)


def answered(
    task: str, model: str, visits: Visits, inputs: Inputs, training: Tensor, recipe: VisitsRecipe, seed: int
) -> Tensor:
    """Answers (n, T) of a model trained on some patients (indices): logits of the outcome, or changes."""
    asked, right, counts = questions(task, visits, inputs)
    chosen = counts[training]
    if model == "share":
        share = right[training][chosen].mean()
        return (share.logit() if task == "outcome" else torch.zeros(())).expand_as(asked)
    if model == "last":
        features = last_values(inputs, asked)
        known, answer = features[training][chosen].numpy(), right[training][chosen].numpy()
        flat = features.flatten(0, 1).numpy()
        if task == "outcome":
            said = LogisticRegression(C=0.1, max_iter=2000).fit(known, answer).decision_function(flat)
        else:
            said = Ridge(alpha=10.0).fit(known, answer).predict(flat)
        return torch.from_numpy(said).float().view_as(asked)
    torch.manual_seed(seed)
    net = build(model, inputs.x.shape[-1], recipe)
    fit(net, task, visits, inputs, training, recipe, seed)
    with torch.no_grad():
        return net(inputs, asked)


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model, all five parts of one cut."""
    task, recipe = key["task"], RECIPES[context.budget]
    begun = time.process_time()
    visits = liver_visits()
    part = torch.randperm(len(visits.number), generator=torch.Generator().manual_seed(context.seed)) % FOLDS
    until = LANDMARK if task == "outcome" else float("inf")
    losses = torch.full(visits.times.shape, torch.nan)
    probabilities = torch.full(visits.times.shape, torch.nan)
    labels = torch.zeros(visits.times.shape)
    for fold in range(FOLDS):
        trained_on = part != fold
        inputs = inputs_of(visits, trained_on, until)
        seed = 10 * context.seed + fold
        answers = answered(task, key["model"], visits, inputs, trained_on.nonzero()[:, 0], recipe, seed)
        _, right, counts = questions(task, visits, inputs)
        counts = counts & ~trained_on[:, None]
        if task == "outcome":
            each = F.binary_cross_entropy_with_logits(answers, right, reduction="none")
            probabilities = torch.where(counts, torch.sigmoid(answers), probabilities)
        else:
            logs = visits.x[trained_on][..., BILIRUBIN].log()
            unit = float(logs[visits.there[trained_on]].std())  # so that errors are those of the logarithm
            each = (unit * (answers - right)).square()
        losses = torch.where(counts, each, losses)
        labels = torch.where(counts, right, labels)
    asked = ~losses.isnan()
    by_patient = losses.nanmean(1)
    result: dict[str, Any] = {
        "loss": float(losses[asked].mean()),
        "patients": [round(value, 5) for value in by_patient[asked.any(1)].tolist()],
        "questions": int(asked.sum()),
    }
    if task == "outcome":
        said, truth = probabilities[asked], labels[asked]
        result["brier"] = float((said - truth).square().mean())
        result["auc"] = float(roc_auc_score(truth.numpy(), said.numpy()))
        result["events"] = int(truth.sum())
    if key["model"] not in ("share", "last"):
        net = build(key["model"], len(visits.channels), recipe)
        result["parameters"] = sum(p.numel() for p in net.parameters())
    return result | {"cpu_seconds": round(time.process_time() - begun, 1)}
