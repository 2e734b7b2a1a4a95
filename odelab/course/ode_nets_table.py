"""The table of the ODE-Nets' lesson: what the sources print, what we ran long, what ran just now; never mixed."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ttest_ind

NAMES = {
    "mlp": "1-layer MLP",
    "no-block": "no block",
    "one-block": "one residual block",
    "resnet": "ResNet, six blocks",
    "rk-net": "RK-Net",
    "ode-net": "ODE-Net",
}
#: Test error in percent and parameters in millions as the seminar's Table 1 prints them (Chen et al. 2018).
PAPER = {"mlp": (1.60, 0.24), "resnet": (0.41, 0.60), "rk-net": (0.47, 0.22), "ode-net": (0.42, 0.22)}
NOT_THERE = "–"


class SideBySide:
    """A table with one row per body and named columns of text, as HTML in a notebook and as plain text elsewhere.

    Args:
        columns: title -> body -> text; a body that a column lacks gets a dash.
        bodies: the rows, in this order.
    """

    def __init__(self, columns: Mapping[str, Mapping[str, str]], bodies: Sequence[str] = tuple(NAMES)) -> None:
        self.header = ("", *columns)
        self.rows = [
            (NAMES.get(body, body), *(column.get(body, NOT_THERE) for column in columns.values())) for body in bodies
        ]

    def _repr_html_(self) -> str:
        def line(row: Sequence[str], tag: str) -> str:
            cells = (f'<{tag} style="text-align:left">{html.escape(text)}</{tag}>' for text in row)
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        table = f"<table><thead>{line(self.header, 'th')}</thead><tbody>{body}</tbody></table>"
        return f'<div style="overflow-x: auto">{table}</div>'

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [
            "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) for row in (self.header, *self.rows)
        ]
        return "\n".join(line.rstrip() for line in lines)


def three_columns(quick: Mapping[str, float], full: Mapping[str, Sequence[float]]) -> SideBySide:
    """Test errors in percent: of the run just made, of our full runs (one number per seed), and of the paper."""
    return SideBySide(
        {
            "quick: just now, 4,000 images, one seed": {body: f"{error:.1f} %" for body, error in quick.items()},
            "full: ours, stored": {body: mean_and_spread(errors) for body, errors in full.items() if len(errors)},
            "paper, as the seminar prints it": {body: f"{error:.2f} %" for body, (error, _) in PAPER.items()},
        }
    )


def mean_and_spread(errors: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds, and how many there are."""
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    return f"{np.mean(errors):.2f}{spread} % ({len(errors)} seed{'s' * (len(errors) > 1)})"


def against(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Difference of two means over seeds, its standard error, and whether Welch's test tells them apart at 5 %."""
    if min(len(ours), len(theirs)) < 2:
        return "too few seeds"
    error = np.sqrt(np.var(ours, ddof=1) / len(ours) + np.var(theirs, ddof=1) / len(theirs))
    p = float(ttest_ind(ours, theirs, equal_var=False).pvalue)
    verdict = "told apart" if p < 0.05 else "not told apart"
    return f"{np.mean(ours) - np.mean(theirs):+.2f} ± {error:.2f}: {verdict} (p = {p:.2g})".replace("-", "−")
