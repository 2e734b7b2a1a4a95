"""Spirals: by points seen and model, the paper's errors beside ours."""

from odelab.experiments.latent_spirals.table import spirals_table
from tests.experiments.rows import cells, row


def test_models_by_points_seen_beside_the_papers_errors() -> None:
    errors = [("latent-ode", 0, 0.4, 0.5), ("latent-ode", 1, 0.6, 0.5), ("rnn", 0, 1.5, None)]
    bands = {"lost": {"beyond": 0.0}, "coverage": {"beyond": 0.5}}
    rows = [row({"model": m, "kept": 30}, s, inside=0.3, beyond=b, before=p, **bands) for m, s, b, p in errors]
    table = spirals_table({"quick: beyond": {(30, "rnn-dt"): 0.77}}, rows)
    assert [*table.flat["seen of 100"]] == [30] * 9 + [50] * 6 + [100] * 6
    line = cells(table, 30, "latent ODE")
    assert line[:4] == ["–", "0.300 ± 0.000", "0.500 ± 0.141", "0.500 ± 0.000"]
    assert line[4:] == ["0% ± 0%", "50% ± 0%", "2", "0.164"]
    assert cells(table, 30, "RNN that reads Δt")[:2] == ["0.77", "not run yet"]
    assert cells(table, 30, "RNN")[3] == "–", "it has nothing to say of what came before"
    assert cells(table, 100, "RNN")[-1] == "0.181"
