"""The tables of stored runs, and that the README shows what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odelab.__main__ import main
from odelab.experiments import tables
from odelab.experiments.results import Row, stored_rows

ROOT = Path(__file__).resolve().parents[2]


def row(key: dict[str, Any], seed: int, **result: Any) -> Row:
    return Row(key, seed, "full", result, 1.0, "", "", "", "")


def test_readme_shows_the_stored_runs() -> None:
    text = (ROOT / "README.md").read_text()
    assert tables.START in text and tables.END in text
    assert tables.put_into(text) == text, "python -m odelab results --into README.md puts them there"


def test_mnist_keeps_ours_and_the_papers_apart() -> None:
    same = {
        "parameters": 576778,
        "saved_bytes": 2e7,
        "epochs": [{"loss": 0.1, "nfe_forward": 26.0, "nfe_backward": 20.0}],
    }
    runs = [
        row({"body": "resnet"}, 0, test_error=0.4, cpu_seconds=60.0, **same),
        row({"body": "resnet"}, 1, test_error=0.6, **same),
    ]
    (line,) = (line for line in tables.mnist_table(runs).splitlines() if line.startswith("| ResNet"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:6] == ["0.50 ± 0.14", "2", "0.41", "576,778", "0.60 M"]
    assert cells[6:] == ["20 MB", "O(L)", "60", "26, 20"]


def test_mnist_on_larger_features_is_a_table_of_its_own() -> None:
    result = {"test_error": 0.4, "parameters": 208266, "saved_bytes": 4e7, "epochs": [{}]}
    runs = [row({"body": "rk-net"}, 0, **result | {"test_error": 0.5}), row({"body": "rk-net-6x6"}, 0, **result)]
    small, large = (part for part in tables.mnist_table(runs).split("\n\n") if part.startswith("| MNIST"))
    assert "| RK-Net | 0.50 |" in small and "| RK-Net | 0.40 | 1 | 0.47 |" in large and "ResNet" not in large
    assert "6×6" not in tables.mnist_table(runs[:1])


def test_rows_are_told_apart_by_their_seeds() -> None:
    errors = {"mlp": (1.2, 1.3, 1.25), "resnet": (0.4, 0.5, 0.45), "rk-net": (0.42, 0.5, 0.47), "ode-net": (0.4,)}
    runs = [row({"body": body}, seed, test_error=e) for body, each in errors.items() for seed, e in enumerate(each)]
    words = tables.told_apart(runs)
    assert words.endswith("3 pairs: MLP, one hidden layer from all others.") and tables.told_apart(runs[3:]) == ""
    better = [row({"body": "no-block"}, seed, test_error=0.9 + 0.01 * seed) for seed in range(3)]
    assert tables.told_apart(runs[3:9] + better).endswith("3 pairs: no block at all from all others.")


def test_the_dial_is_a_mean_over_the_seeds_that_have_all_of_it() -> None:
    dials = [[{"tolerance": t, "error": e, "nfe": 14.0, "seconds": 7.0} for t in (0.1, 1e-5)] for e in (0.4, 0.6)]
    runs = [row({"body": "rk-net"}, seed, dial=dial) for seed, dial in enumerate([*dials, dials[0][:1]])]
    first, last = tables.dial_table(runs).splitlines()[2:]
    assert first == "| RK-Net, 1e-1 | 0.50 ± 0.14 | 14 ± 0 | 7 ± 0 | 2 |" and last.startswith("| RK-Net, 1e-5 |")
    assert tables.dial_table([row({"body": "mlp"}, 0)]) == ""


def test_time_to_a_target_counts_the_seeds_that_came_so_far() -> None:
    runs = [row({}, seed, target={"cpu_seconds": seconds}) for seed, seconds in enumerate((10.0, None, 14.0))]
    assert tables.to_target(runs) == "12 ± 3 (2 of 3)" and tables.to_target(runs[1:2]) == "never"
    assert tables.to_target([runs[0], runs[2]]) == "12 ± 3" and tables.to_target([]) == ""


def test_a_row_that_was_not_run_is_empty() -> None:
    (line,) = (line for line in tables.mnist_table([]).splitlines() if line.startswith("| no block"))
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == ["", "0", *[""] * 7]


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_row_of_a_stored_experiment_is_in_its_table(name: str) -> None:
    rows = stored_rows(name)
    text = tables.TABLES[name][0](rows)
    for each in text.split("\n\n"):
        assert len({line.count("|") for line in each.splitlines()}) == 1, "all lines have the same columns"
    assert "nan" not in text.lower()


def test_into_changes_only_what_is_between_the_markers(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(f"before\n{tables.START}\nold\n{tables.END}\nafter\n")
    assert main(["results", "--into", str(file)]) == 0
    assert file.read_text() == f"before\n{tables.START}\n{tables.markdown()}\n{tables.END}\nafter\n"
