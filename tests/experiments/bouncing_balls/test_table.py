"""Bouncing balls: by number of balls, guesses without a model among the models."""

from odelab.experiments.bouncing_balls.table import bouncing_table, paper_size_table
from tests.experiments.rows import cells, row


def test_spans_and_guesses_by_number_of_balls() -> None:
    spans = {f"{n} frames": {"mean of draws": n / 100} for n in (10, 20, 47)}
    still = {f"{n} frames": {"mean frame": 0.3, "last frame": 0.4} for n in (10, 20, 47)}
    rows = [row({"size": 16, "balls": 3, "model": m}, errors=spans, baselines=still) for m in ("order-1", "rnn-vae")]
    table = bouncing_table(rows)
    assert cells(table, 3, "order 1, position only") == ["0.1000", "0.2000", "0.4700", "1"]
    assert cells(table, 3, "last frame, for comparison") == ["0.4000", "0.4000", "0.4000", "1"]
    assert "16 × 16" in table.caption and {balls for balls, _ in table.frame.index} == {3}
    assert "Not run yet: ODE²VAE with 1, " in table.note and "recurrent VAE with 3" not in table.note


def test_the_papers_size_is_a_table_of_its_own() -> None:
    spans = {f"{n} frames": {"mean of draws": n / 100} for n in (10, 20, 47)}
    still = {f"{n} frames": {"mean frame": 0.3, "last frame": 0.4} for n in (10, 20, 47)}
    table = paper_size_table([row({"size": 32, "balls": 3, "model": "ode2vae"}, errors=spans, baselines=still)])
    assert cells(table, 3, "ODE²VAE") == ["0.1000", "0.2000", "0.4700", "1"] and "32 × 32" in table.caption
    assert "Not run yet: order 1, position only with 3, " in table.note and table.note.endswith("VAE with 3.")
