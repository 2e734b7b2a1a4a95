"""Rotating digits: kinds of frames, guesses without a model, sizes kept apart, what was not run named."""

from odelab.experiments.rotating_mnist.table import paper_size_table, rotating_table
from tests.experiments.rows import cells, row


def measured(error: float, mean: float) -> dict:
    guesses = {"mean frame": mean, "first frame": 1, "mean of the same frame": mean / 2}
    errors = {"missing": {"mean of draws": error}, "held-out angle": {"mean of draws": 2 * error}}
    return {"errors": errors, "baselines": {"missing": guesses}}


def test_frames_and_guesses_are_kept_apart() -> None:
    key = {"size": 14, "frames": "non-uniform", "model": "ode2vae"}
    rows = [row(key, **{"held-out digits": measured(0.02, 0.05), "training digits": measured(0.03, 0.06)})]
    table = rotating_table({"quick": {("non-uniform", "ode2vae"): 0.03}}, rows)
    ours = ["0.0200", "0.40", "0.0300", "0.50", "1"]
    assert cells(table, "non-uniform", "ODE²VAE") == ["0.0300", *ours]
    still = ["0.0500", "1.00", "0.0600", "1.00", "1"]
    assert cells(table, "non-uniform", "mean frame, for comparison") == ["–", *still]
    assert cells(table, "uniform", "ODE²VAE") == ["–", *["not run yet"] * 5]
    assert "GPPVAE-dis" not in table.frame.index.get_level_values(1), "its pictures are larger"
    assert "14 × 14" in table.caption and "Smaller" in table.caption


def test_at_the_papers_size_only_what_was_run_has_a_line() -> None:
    key = {"size": 28, "frames": "non-uniform", "model": "ode2vae", "digits": "reference"}
    rows = [
        row(
            key, seed, **{"held-out digits": measured(0.04, 0.05), "training digits": measured(0.01 + seed / 100, 0.06)}
        )
        for seed in (0, 1)
    ]
    table = paper_size_table(rows)
    where = ("the reference's 360, all upright", "non-uniform")
    assert cells(table, *where, "ODE²VAE")[2:] == ["0.0150 ± 0.0071", "0.25 ± 0.12", "2", "0.0194 ± 0.00006"]
    assert cells(table, *where, "mean of the same frame, for comparison")[2:4] == ["0.0300 ± 0.0000", "0.50 ± 0.00"]
    assert cells(table, *where, "GPPVAE-joint")[-1] == "0.0288 ± 0.00005"
    assert not (table.frame == "not run yet").any(axis=None) and "uniform" not in table.frame.index.get_level_values(1)
    assert "the paper's 0.0194 and 0.0188 are 0.32 and 0.31." in table.note
    assert "on the held-out angle alone ODE²VAE errs by 0.0300 ± 0.0141." in table.note
    assert "the reference's 360, all upright, uniform: all models; " in table.note
    assert "the reference's 360, all upright, non-uniform: ODE²VAE-KL, order 1, position only, " in table.note
    assert "Divided" not in paper_size_table([]).note
