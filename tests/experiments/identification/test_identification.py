"""Systems, nets and SINDy: what an intervention does, what a penalty measures, and what a run stores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from odelab.experiments.identification.nets import fit_paths, path_weights, small_net
from odelab.experiments.identification.run import run, run_grid
from odelab.experiments.identification.sindy import discover, library, scored, with_known_terms
from odelab.experiments.identification.systems import (
    CAP,
    SYSTEMS,
    field_error,
    held,
    observe,
    path_error,
    simulate,
    stock,
)
from odelab.experiments.identification.table import grid_table, identification_table, shares_by_samples
from odelab.experiments.results import unstorable
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_its_own_best_model(name: str) -> None:
    system = SYSTEMS[name]
    for intervention in (None, system.elsewhere, system.change):
        assert path_error(system, system.field, intervention) < 1e-6
    assert field_error(system, system.field) == 0
    names = library(torch.ones(3, 2), system.variables)[1]
    assert all(terms <= {*names} for terms in system.terms)


def test_what_is_held_stays_where_it_was() -> None:
    times = torch.linspace(0, 6, 31, dtype=torch.float64)
    path = simulate(stock, (1.5, 0.0), times, held(0))
    assert torch.equal(path[:, 0], torch.full((31,), 1.5, dtype=torch.float64))
    theirs = solve_ivp(lambda t, s: 1.5 - 1.5 * s, (0, 6), [0.0], t_eval=times.numpy(), rtol=1e-9, atol=1e-9).y[0]
    assert np.allclose(path[:, 1], theirs, atol=1e-5)


def test_noise_is_a_share_of_each_variables_scatter() -> None:
    times, clean = observe(SYSTEMS["hunters"], 4001, 0.0, 0)
    noisy = observe(SYSTEMS["hunters"], 4001, 0.1, 0)[1]
    assert len(times) == 4001
    assert torch.allclose((noisy[0] - clean[0]).std(0), 0.1 * clean[0].std(0), rtol=0.1)


@pytest.mark.parametrize("wrong", [{"samples": 1}, {"noise": -0.1}, {"starts": 0}, {"starts": 4}])
def test_impossible_experiments_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="at least 2 samples, noise of 0 or more, and from 1 to 3 starts"):
        observe(SYSTEMS["stock"], **{"samples": 11, "noise": 0.0, "seed": 0, "starts": 1} | wrong)


def test_a_model_that_runs_away_counts_as_the_cap() -> None:
    assert path_error(SYSTEMS["stock"], lambda z: 1 + z**3) == CAP


def test_path_weights_bound_what_a_net_can_do() -> None:
    net = small_net(3)
    places = torch.randn(200, 2, dtype=torch.float64)
    slopes = torch.vmap(torch.func.jacrev(net))(places).abs().amax(0)
    assert (slopes <= path_weights(net)).all()
    with pytest.raises(ValueError, match="Tanh has no linear layer"):
        path_weights(torch.nn.Tanh())


def test_the_penalty_makes_ways_weak() -> None:
    times, paths = observe(SYSTEMS["stock"], 61, 0.0, 0)
    sums, losses = [], []
    for penalty in (0.0, 1e-2):
        net = small_net(0)
        losses.append(fit_paths(net, times, paths, iterations=150, penalty=penalty))
        sums.append(float(path_weights(net).sum()))
    assert sums[1] < sums[0] / 2 and losses[1] > losses[0]


def test_sindy_needs_a_second_experiment_for_the_stock() -> None:
    system = SYSTEMS["stock"]
    right = []
    for starts in (1, 2):
        times, paths = observe(system, 121, 0.01, 0, starts)
        right.append(scored(discover(system, times, paths), system))
        known = with_known_terms(system, times, paths)
        assert scored(known, system) and field_error(system, known) < 0.05
    assert right == [False, True] and not scored(small_net(0), system)


def test_a_run_stores_what_the_table_shows(tmp_path: Path) -> None:
    key = {"system": "stock", "starts": 1, "model": "sindy"}
    result = run(key, context_in(tmp_path))
    assert not [*unstorable(result)] and "dS/dt" in result["equations"]
    table = identification_table(rows=[row(key, **result)], system="stock")
    assert cells(table, "1", "SINDy")[0] == f"{result['fit']:.3f}" and cells(table, "1", "SINDy")[-2] == "0 of 1"
    assert "Q is held" in table.frame.columns


def test_shares_are_means_over_rows(tmp_path: Path) -> None:
    key = {"system": "hunters", "starts": 1}
    result = run_grid(key, context_in(tmp_path))
    assert not [*unstorable(result)]
    other = {"cells": [cell | {"right": 0.0} for cell in result["cells"]], "draws": 2}
    rows = [row(key, 0, **result), row(key, 1, **other)]
    shares = shares_by_samples(rows)
    assert shares[241][0.0] == 0.5 * next(
        cell["right"] for cell in result["cells"] if (cell["samples"], cell["noise"]) == (241, 0.0)
    )
    assert grid_table(rows=rows).frame.loc[("hunters", 1, 241), "noise 0 %"] == f"{shares[241][0.0]:.2f}"
