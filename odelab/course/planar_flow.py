"""The table of lesson 05: a planar flow and a continuous one, run here, run in full, and in the paper, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

Model = tuple[str, int]  # ("nf" or "cnf", layers or units)
NAMES = {"nf": "NF, K", "cnf": "CNF, M"}
HEADER = ("model", "parameters", "quick: this notebook", "full: stored runs", "paper")
MISSING = "not run yet"


class ThreeColumns:
    """KL(q‖p) in nats by model: this notebook's quick run, our stored full runs, and the paper, which prints none.

    Args:
        parameters: number of parameters of each model.
        quick: KL and its standard error.
        full: the KL of each seed; a model without stored runs is said to have none.
    """

    def __init__(
        self,
        parameters: Mapping[Model, int],
        quick: Mapping[Model, tuple[float, float]],
        full: Mapping[Model, Sequence[float]],
    ) -> None:
        self.rows = [
            (
                f"{NAMES[flow]} = {size}",
                f"{count:,}",
                "{:.3f} ± {:.3f}".format(*quick[flow, size]),
                seeds(full.get((flow, size), ())),
                "a picture, no number",
            )
            for (flow, size), count in parameters.items()
        ]

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f'<{tag} style="text-align:left">{cell}</{tag}>' for cell in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        table = f"<table><thead>{line(HEADER, 'th')}</thead><tbody>{body}</tbody></table>"
        return f'<div style="overflow-x: auto">{table}</div>'

    def __repr__(self) -> str:
        return "\n".join("  ".join(f"{cell:<22}" for cell in row).rstrip() for row in (HEADER, *self.rows))


def seeds(values: Sequence[float]) -> str:
    """Mean, standard deviation where there are several, and how many seeds that is."""
    if not values:
        return MISSING
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread} ({len(values)} seed{'s' * (len(values) > 1)})"
