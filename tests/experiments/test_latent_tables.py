"""The tables of latent models' stored runs: ours and the papers' apart, every reading in its column."""

from __future__ import annotations

from typing import Any

import pytest

from odelab.experiments import latent_tables
from odelab.experiments.results import Row, load_rows, result_file


def row(key: dict[str, Any], seed: int = 0, **result: Any) -> Row:
    return Row(key, seed, "full", result, 1.0, "", "", "", "")


def lines_of(table: str) -> dict[str, list[str]]:
    """What a row is called -> its other cells."""
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()[2:]]
    return {cells[0]: cells[1:] for cells in rows}


def test_spirals_in_the_order_of_points_kept() -> None:
    rows = [
        row({"model": model, "kept": kept}, inside=0.2, beyond=0.5, before=None if model == "rnn" else 0.6)
        for model in ("latent-ode", "rnn")
        for kept in (100, 30)
    ]
    lines = lines_of(latent_tables.spirals_table(rows))
    assert [*lines] == [f"{name}, {kept} of 100" for kept in (30, 100) for name in ("RNN", "latent ODE")]
    assert lines["RNN, 30 of 100"] == ["0.200", "0.500", "", "1"]


def test_mocap2_has_both_iterates_and_the_papers_number_only_for_its_own_centring() -> None:
    scores = {"mean_of_draws": 6.0, "per_draw": 7.0, "posterior_mean": 6.5}
    rows = [
        row(
            {"model": "ode2vae-kl", "centring": c},
            s,
            test={"mean_of_draws": 5.0},
            test_last=scores,
            test_training_mean={"mean_of_draws": 8.0},
        )
        for c, s in (("own", 0), ("own", 1), ("training", 0))
    ]
    rows.append(row({"model": "training mean", "centring": "own"}, test={"mean_of_draws": 33.0}))
    lines = lines_of(latent_tables.mocap2_table(rows))
    several = [f"{value:.2f} ± 0.00" for value in (6.0, 6.5, 7.0, 8.0, 5.0)]
    assert lines["ODE²VAE-KL"] == [*several, "2", "8.09 ± 1.95"]
    assert lines["ODE²VAE-KL, trained on walks centred by the training mean"][3:] == ["", "5.00", "1", ""]
    assert lines["each walk's own mean pose"] == ["33.00", "", "", "", "", "", ""]
    assert lines["NPODE"] == ["", "", "", "", "", "", "22.96"]


def test_walks_are_averaged_and_each_baseline_counts_a_walk_once() -> None:
    rows = [
        row({"walk": walk, "model": model}, test={"mean_of_draws": error}, baselines={"last frame": 50.0})
        for model in ("ode2vae", "ode2vae-kl")
        for walk, error in (("02_01", 10.0), ("05_01", 14.0))
    ]
    lines = lines_of(latent_tables.mocap1_table(rows))
    assert lines["ODE²VAE"] == ["12.0 ± 2.8", "2", "93.07 ± 0.72"] and lines["last frame"] == ["50.0 ± 0.0", "2", ""]


def test_videos_keep_their_frames_and_baselines_apart() -> None:
    found = {"errors": {"missing": {"mean of draws": 0.02}}, "baselines": {"missing": {"mean frame": 0.05}}}
    key = {"size": 14, "frames": "non-uniform", "model": "ode2vae"}
    digits = row(key, **{"held-out digits": found, "training digits": found})
    lines = lines_of(latent_tables.rotating_table([digits]))
    assert lines["ODE²VAE, non-uniform: missing"] == ["0.0200", "0.0200", "0.0500", "1", "0.0194 ± 0.00006"]
    spans = {f"{n} frames": {"mean of draws": n / 100} for n in (10, 20, 47)}
    still = {f"{n} frames": {"mean frame": 0.3, "last frame": 0.4} for n in (10, 20, 47)}
    balls = [row({"size": 16, "balls": 3, "model": m}, errors=spans, baselines=still) for m in ("order-1", "rnn-vae")]
    lines = lines_of(latent_tables.bouncing_table(balls))
    assert lines["order 1, 3 balls"] == ["0.1000", "0.2000", "0.4700", "1"]
    assert lines["last frame, 3 balls"] == ["0.4000", "0.4000", "0.4000", "1"]


@pytest.mark.parametrize("path", sorted(result_file("x").parent.glob("*_attempts.json")), ids=lambda path: path.stem)
def test_attempts_can_be_read_and_are_told_apart(path: Any) -> None:
    rows = load_rows(path)
    assert rows and len({(row.name, str(row.key)) for row in rows}) == len(rows)
