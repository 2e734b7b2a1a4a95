"""What the FFJORD lesson shows of the stored full runs: their weights, and tables that keep three columns apart."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from odelab.datasets import DENSITIES, data_file
from odelab.flows import CNF
from odelab.nets import MLPField

MISSING = "not run yet"
NOT_PRINTED = "no number"
#: Bits per dimension on MNIST, 28×28 pixels of 256 grey levels, as the notes' figure 24.10 prints them.
PAPER_MNIST = {"ffjord": "FFJORD 0.99 (rerun 0.97)", "nice": "Real NVP 1.06, Glow 1.05"}


def stored_flows(names: Sequence[str] = DENSITIES) -> dict[str, CNF]:
    """The flows of the stored full runs `ffjord-toy`, seed 0; densities whose run has left no weights are absent."""
    flows = {}
    for name in names:
        if load_weights(field := MLPField(2), f"ffjord_toy_{name}"):
            flows[name] = CNF(field)
    return flows


def load_weights(field: nn.Module, name: str) -> bool:
    """Put stored weights into a field, in its own precision; False where there are none."""
    from safetensors.torch import load_file

    try:
        path = data_file(f"checkpoints/{name}.safetensors")
    except FileNotFoundError:
        return False
    field.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    field.requires_grad_(False)
    return True


class Columns:
    """A table of text, as HTML in a notebook and as plain text elsewhere."""

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.header, self.rows = tuple(header), [tuple(row) for row in rows]

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f'<{tag} style="text-align:left">{html.escape(c)}</{tag}>' for c in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        table = f"<table><thead>{line(self.header, 'th')}</thead><tbody>{body}</tbody></table>"
        return f'<div style="overflow-x: auto">{table}</div>'

    def __repr__(self) -> str:
        widths = [max(len(row[i]) for row in (self.header, *self.rows)) for i in range(len(self.header))]
        lines = ["  ".join(f"{c:<{w}}" for c, w in zip(r, widths, strict=True)) for r in (self.header, *self.rows)]
        return "\n".join(line.rstrip() for line in lines)


def over_seeds(results: Sequence[Mapping[str, Any]], name: str, digits: int = 3) -> str:
    """Mean of a measured number, its standard deviation where there are several seeds, and how many they are."""
    values = [float(result[name]) for result in results if result.get(name) is not None]
    if not values:
        return MISSING if not results else "–"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread} ({len(values)} seed{'s' * (len(values) > 1)})"


def toy_table(
    truth: Mapping[str, float], quick: Mapping[str, str], full: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Columns:
    """NLL in nats of every density: the truth, this notebook, our stored runs with their gap and NFE, the paper.

    Args:
        truth: density -> entropy.
        quick: density -> what this notebook measured.
        full: density -> the results of its seeds.
    """
    header = ("density", "truth", "quick: this notebook", "full: stored runs", "gap to the truth", "NFE", "paper")
    rows = []
    for name, entropy in truth.items():
        runs = full.get(name, [])
        measured = [over_seeds(runs, "nll"), over_seeds(runs, "gap"), over_seeds(runs, "nfe", 0)]
        rows.append((name, f"{entropy:.3f}", quick.get(name, "–"), *measured, NOT_PRINTED))
    return Columns(header, rows)


def digits_table(quick: Mapping[str, float], full: Mapping[str, Sequence[Mapping[str, Any]]]) -> Columns:
    """Bits per pixel of the 8×8 digits by model: this notebook, our stored runs; and the papers' on other images."""
    names = {"gaussian": "Gaussian, full covariance", "nice": "NICE, discrete flow", "ffjord": "FFJORD"}
    header = ("model", "quick: this notebook", "full: stored runs", "paper: MNIST, other images, 256 levels")
    return Columns(
        header,
        [
            (
                title,
                f"{quick[name]:.3f}" if name in quick else "–",
                over_seeds(full.get(name, []), "bits"),
                PAPER_MNIST.get(name, NOT_PRINTED),
            )
            for name, title in names.items()
        ],
    )
