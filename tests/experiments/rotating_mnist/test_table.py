"""Rotating digits: kinds of frames and guesses without a model."""

from odelab.experiments.rotating_mnist.table import rotating_table
from tests.experiments.rows import cells, row


def test_frames_and_guesses_are_kept_apart() -> None:
    result = {
        "errors": {"missing": {"mean of draws": 0.02}},
        "baselines": {"missing": {"mean frame": 0.05, "first frame": 1}},
    }
    key = {"size": 14, "frames": "non-uniform", "model": "ode2vae"}
    rows = [row(key, **{"held-out digits": result, "training digits": result})]
    table = rotating_table({"quick": {("non-uniform", "ode2vae"): 0.03}}, rows)
    assert cells(table, "non-uniform", "ODE²VAE") == ["0.0300", "0.0200", "0.0200", "1", "0.0194 ± 0.00006"]
    assert cells(table, "non-uniform", "mean frame, for comparison") == ["–", "0.0500", "0.0500", "1", "–"]
    assert cells(table, "uniform", "ODE²VAE") == ["–", *["not run yet"] * 3, "–"]
    assert cells(table, "non-uniform", "GPPVAE-dis") == [*["–"] * 4, "0.0309 ± 0.00002"]
