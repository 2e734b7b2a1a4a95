"""The table of lesson 05: a planar flow and a continuous one, run here and run in full, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from odelab.lessons.kit.tables import SideBySide, over_seeds

Model = tuple[str, int]  # ("nf" or "cnf", layers or units)
NAMES = {"nf": "NF, K", "cnf": "CNF, M"}
TARGETS = ("U1", "U2", "U3")


def nf_against_cnf(
    parameters: Mapping[Model, int],
    quick: Mapping[Model, tuple[float, float]],
    full: Mapping[tuple[str, int, str], Sequence[float]],
) -> SideBySide:
    """KL(q‖p) in nats by model: this notebook's quick run and our stored full runs; the paper prints none.

    Args:
        parameters: number of parameters of each model.
        quick: KL and its standard error.
        full: (flow, size, target) -> the KL of each seed; what has no stored runs is said to have none.
    """
    return SideBySide(
        ("model", "parameters", "quick: U1, this notebook", *(f"full: {target}" for target in TARGETS)),
        [
            (
                f"{NAMES[flow]} = {size}".replace(" ", "\N{NO-BREAK SPACE}"),
                f"{count:,}",
                "{:.3f} ± {:.3f}".format(*quick[flow, size]),
                *(over_seeds(full.get((flow, size, target), ())) for target in TARGETS),
            )
            for (flow, size), count in parameters.items()
        ],
        "KL(q‖p) in nats; the paper shows pictures and prints no number",
    )
