"""The table of the ODE-Nets' lesson: what the sources print, what we ran long, what ran just now; never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ttest_ind

from odelab.course.tables import MISSING, SideBySide, over_seeds

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


def three_columns(
    quick: Mapping[str, float], full: Mapping[str, Sequence[float]], larger: Mapping[str, Sequence[float]]
) -> SideBySide:
    """Test errors in percent: of the run just made, of our full runs (one number per seed), and of the paper.

    Args:
        quick, full, larger: body -> error or errors; full on features of 3×3, larger on 6×6, which an MLP has not.
    """
    return SideBySide.from_columns(
        {
            "quick: just now, 3,000 images, one seed": {body: f"{error:.1f} %" for body, error in quick.items()},
            "full: ours, features of 3×3": {body: over_seeds(full.get(body, ()), 2, " %") for body in NAMES},
            "full: ours, features of 6×6": {
                body: over_seeds(larger.get(body, ()), 2, " %") for body in NAMES if body != "mlp"
            },
            "paper, as the seminar prints it": {body: f"{error:.2f} %" for body, (error, _) in PAPER.items()},
        },
        NAMES,
    )


def against(ours: Sequence[float], theirs: Sequence[float], images: int = 10_000) -> str:
    """Difference of two means over seeds, its standard error, and whether Welch's test tells them apart at 5 %.

    With a single seed the error is the binomial one of test sets of so many images: errors are in percent.
    """
    if not len(ours) or not len(theirs):
        return MISSING
    difference = np.mean(ours) - np.mean(theirs)
    if min(len(ours), len(theirs)) < 2:
        error = np.sqrt(sum(p * (100 - p) / images for p in (np.mean(ours), np.mean(theirs))))
        return f"{difference:+.2f} ± {error:.2f} by the test sets alone: too few seeds".replace("-", "−")
    error = np.sqrt(np.var(ours, ddof=1) / len(ours) + np.var(theirs, ddof=1) / len(theirs))
    p = float(ttest_ind(ours, theirs, equal_var=False).pvalue)
    verdict = "told apart" if p < 0.05 else "not told apart"
    return f"{difference:+.2f} ± {error:.2f}: {verdict} (p = {p:.2g})".replace("-", "−")
