"""The table of the ODE-Nets' lesson: what the sources print, what we ran long, what ran just now; never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import ttest_ind

from odelab.experiments.mnist.recipe import LARGER
from odelab.lessons.kit.tables import MISSING, SideBySide, over_seeds

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


#: Size of the features that the body works on -> what stands behind its name in the stored rows.
FEATURES = {"features of 3×3": "", "features of 6×6": LARGER}


def errors_by_features(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, list[float]]]:
    """Features -> row of the table, by its name -> test error in percent of every seed; rows without a run are empty.

    Args:
        runs: name of the stored row -> results, one per seed.
    """
    return {
        features: {name: [run["test_error"] for run in runs.get(body + ending, ())] for body, name in NAMES.items()}
        for features, ending in FEATURES.items()
    }


def side_by_side(quick: Mapping[str, float], full: Mapping[str, Mapping[str, Sequence[float]]]) -> SideBySide:
    """Test errors in percent: of the run just made, of our full runs (one number per seed), and of the paper.

    Args:
        quick: body -> error.
        full: see :func:`errors_by_features`. An MLP has no features, and stands in the first column alone.
    """
    columns = {"quick: just now, 3,000 images, one seed": {body: f"{error:.1f} %" for body, error in quick.items()}}
    for k, (features, errors) in enumerate(full.items()):
        columns[f"full: ours, {features}"] = {
            body: over_seeds(errors.get(name, ()), 2, " %") for body, name in NAMES.items() if body != "mlp" or k == 0
        }
    columns["paper, as the seminar prints it"] = {body: f"{error:.2f} %" for body, (error, _) in PAPER.items()}
    return SideBySide.from_columns(columns, NAMES)


def against_one_block(full: Mapping[str, Mapping[str, Sequence[float]]]) -> SideBySide:
    """Each row with the one residual block on the same features, see :func:`against`; a dash where nothing was run."""
    one = NAMES["one-block"]
    columns = {
        features: {name: against(found, errors.get(one, ())) for name, found in errors.items() if len(found)}
        for features, errors in full.items()
    }
    others = {name: name for name in NAMES.values() if name != one}
    return SideBySide.from_columns(columns, others, "full runs, points of test error against one residual block")


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
