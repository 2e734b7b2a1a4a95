"""Walkers: every reading in its column, the papers' numbers in theirs."""

from odelab.experiments.mocap.table import mocap1_table, mocap2_table
from tests.experiments.rows import cells, row


def test_mocap2_has_every_reading_and_the_papers_number_only_for_its_own_centring() -> None:
    scores = {"mean_of_draws": 6.0, "per_draw": 7.0, "posterior_mean": 6.5}
    more = {"test_training_mean": {"mean_of_draws": 8.0}, "test_first_frames": {"mean_of_draws": 60.0}}
    rows = [
        row({"model": "ode2vae-kl", "centring": centring}, seed, test={"mean_of_draws": 5.0}, test_last=scores, **extra)
        for centring, seed, extra in (("own", 0, more), ("own", 1, more), ("training", 0, {}))
    ]
    still = {"mean_of_draws": 33.0, "per_draw": 33.0}
    rows += [row({"model": "training mean", "centring": "own"}, seed, test=still) for seed in range(3)]
    table = mocap2_table({"quick": {"last frame": 61.33}}, rows)
    several = [f"{value:.2f} ± 0.00" for value in (6.0, 7.0, 6.5, 8.0, 60.0, 5.0)]
    assert cells(table, "ODE²VAE-KL") == ["–", *several, "2", "8.09 ± 1.95"]
    other = cells(table, "ODE²VAE-KL, trained and tested on walks centred by the training mean")
    assert other == ["–", "6.00", "7.00", "6.50", "–", "–", "5.00", "1", "–"]
    constant = cells(table, "each walk's own mean pose, for comparison")
    assert constant == ["–", "33.00", "33.00", *["–"] * 4, "1", "–"], "it knows no seeds and has one iterate"
    assert cells(table, "NPODE") == [*["–"] * 8, "22.96"] and cells(table, "GPDM")[-1] == "N/A"
    assert cells(table, "latent SDE")[-1] == "4.03 ± 0.20 (Li et al. 2020)"
    assert cells(table, "the last frame seen, for comparison")[:2] == ["61.33", "not run yet"]


def test_walks_are_averaged_and_each_guess_counts_a_walk_once() -> None:
    rows = [
        row(
            {"walk": walk, "model": model},
            test={"mean_of_draws": error},
            baselines={"last frame": 50.0, "training mean": 1},
        )
        for model in ("ode2vae", "ode2vae-kl")
        for walk, error in (("02_01", 10.0), ("05_01", 14.0))
    ]
    table = mocap1_table(rows)
    assert cells(table, "ODE²VAE") == ["12.0 ± 2.8", "2", "93.07 ± 0.72"] and cells(table, "NPODE") == [
        "–",
        "–",
        "45.74",
    ]
    assert cells(table, "VGPLVM") == ["–", "–", "142.18 ± 1.92"]
    assert cells(table, "the last frame seen, for comparison") == ["50.0 ± 0.0", "2", "–"]
