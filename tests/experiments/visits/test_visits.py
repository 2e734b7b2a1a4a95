"""Visits: nothing is read before it was measured, padding moves nothing, and bad data is refused with a reason."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from odelab.datasets import Visits, liver_visits
from odelab.experiments.results import unstorable
from odelab.experiments.visits.models import NETS, Inputs, build, carried_forward, inputs_of, midpoint_flow
from odelab.experiments.visits.recipe import RECIPES, VisitsRecipe
from odelab.experiments.visits.run import fit, outcomes, questions, run
from odelab.experiments.visits.table import difference, next_table, outcome, visits_table
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in

EVERYBODY = torch.ones(312, dtype=torch.bool)


def few(count: int = 6) -> tuple[Visits, Inputs]:
    visits = liver_visits()
    return visits, inputs_of(visits, EVERYBODY).rows(torch.arange(count))


@pytest.mark.parametrize("name", NETS)
def test_an_answer_knows_no_later_visit(name: str) -> None:
    torch.manual_seed(0)
    _, inputs = few()
    net = build(name, 6, VisitsRecipe())
    asked = inputs.times + 1.0
    changed = replace(inputs, x=torch.cat([inputs.x[:, :3], torch.randn_like(inputs.x[:, 3:])], 1))
    said, other = net(inputs, asked).detach(), net(changed, asked).detach()
    assert torch.allclose(said[:, :3], other[:, :3], atol=1e-5)
    assert not torch.allclose(said[3, 3:], other[3, 3:], atol=1e-3)


@pytest.mark.parametrize("name", NETS)
def test_padding_moves_nothing(name: str) -> None:
    torch.manual_seed(0)
    visits, inputs = few()
    row_of_four = int((visits.number[:6] < 16).nonzero()[0])
    count = int(visits.number[row_of_four])
    own = inputs.rows(torch.tensor([row_of_four]))
    short = Inputs(own.times[:, :count], own.x[:, :count], own.mask[:, :count], own.there[:, :count])
    net = build(name, 6, VisitsRecipe())
    assert torch.allclose(net(own, own.times + 1)[:, :count], net(short, short.times + 1), atol=1e-5)


def test_rows_flow_for_times_of_their_own() -> None:
    elapsed = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    ends = midpoint_flow(lambda z: -z, torch.ones(3, 1, dtype=torch.float64), elapsed, 200)
    assert torch.allclose(ends, torch.exp(-elapsed), atol=1e-4)


def test_last_values_are_carried_and_nothing_else() -> None:
    nan = torch.nan
    x = torch.tensor([[[nan], [2.0], [nan], [nan], [5.0]], [[nan], [nan], [nan], [1.0], [nan]]])
    assert carried_forward(x)[..., 0].tolist() == [[0, 2, 2, 2, 5], [0, 0, 0, 1, 1]]


def test_who_was_censored_too_early_is_not_asked() -> None:
    visits = liver_visits()
    asked, labels = outcomes(visits)
    early = (visits.status == 0) & (visits.end <= 5)
    assert not bool((asked & early).any()) and not bool((asked & (visits.end <= 2)).any())
    assert int(asked.sum()) == 271 and int(labels[asked].sum()) == 69


@pytest.mark.parametrize(("landmark", "horizon"), [(20.0, 3.0), (2.0, 1e-6)])
def test_a_horizon_that_leaves_nobody_is_refused(landmark: float, horizon: float) -> None:
    with pytest.raises(ValueError, match=r"leave \d+ patients.*the follow-up ends after 14\.3 years"):
        outcomes(liver_visits(), landmark, horizon)


def test_a_constant_and_a_zero_are_refused() -> None:
    visits = liver_visits()
    same = visits.x.clone()
    same[..., 3] = torch.where(same[..., 3].isnan(), torch.nan, 7.0)
    with pytest.raises(ValueError, match=r"aspartate transaminase.*a constant tells nothing"):
        inputs_of(replace(visits, x=same), EVERYBODY)
    with pytest.raises(ValueError, match="0 or negative"):
        inputs_of(replace(visits, x=torch.where(visits.x == 14.5, 0.0, visits.x)), EVERYBODY)


def test_a_patient_with_one_visit_has_no_next_one() -> None:
    visits = liver_visits()
    inputs = inputs_of(visits, EVERYBODY)
    _, change, counts = questions("next", visits, inputs)
    assert not bool(counts[visits.number == 1].any()) and int(counts.sum()) == 1945 - 312
    value = inputs.x[..., 0]
    assert torch.allclose(change[5, 0], value[5, 1] - value[5, 0])


def test_training_helps_and_keeps_the_best_epoch() -> None:
    torch.manual_seed(0)
    visits = liver_visits()
    inputs = inputs_of(visits, EVERYBODY)
    net = build("gru-dt", 6, VisitsRecipe())
    losses = fit(net, "next", visits, inputs, torch.arange(120), VisitsRecipe(epochs=25, lr=1e-2), 0)
    assert losses[-1][0] < losses[0][0]


def test_a_run_stores_what_the_table_shows(tmp_path: Path) -> None:
    rows = []
    for model in ("share", "last"):
        key = {"task": "outcome", "model": model}
        result = run(key, context_in(tmp_path))
        assert not [*unstorable(result)] and len(result["patients"]) == result["questions"] == 271
        rows.append(row(key, **result))
    table = visits_table(rows)
    shown = cells(table, "regression on the last values")
    assert shown[2] == f"{rows[1].result['auc']:.3f}" and rows[1].result["auc"] > 0.8
    mean, error = difference(rows[:1], rows[1:])
    assert mean > 2 * error > 0 and "No regression" in outcome([], "next")
    assert "69 with the event" in table.note and next_table([]).frame.shape[0] == 6
    assert RECIPES["lecture"].epochs < RECIPES["full"].epochs
