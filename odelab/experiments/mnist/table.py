"""ODE-Nets on MNIST: errors on both sizes of features, which rows differ, what they cost, and the dial."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from statistics import fmean

import numpy as np
from scipy.stats import ttest_ind

from odelab.experiments.mnist.recipe import LARGER
from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.tables import MISSING, NOTHING, Quick, Rows, Table, beside, number, over_seeds, seeds, summarise
from odelab.extras import extra

with extra("train"):
    from pandas import DataFrame, Series

NAMES = {
    "mlp": "1-layer MLP",
    "no-block": "no block",
    "one-block": "one residual block",
    "resnet": "ResNet, six blocks",
    "rk-net": "RK-Net",
    "ode-net": "ODE-Net",
}
#: Test error in percent, parameters in millions and memory, as the seminar's Table 1 prints them (Chen et al. 2018).
PAPER = {
    "mlp": (1.60, 0.24, NOTHING),  # LeCun et al. 1998
    "resnet": (0.41, 0.60, "O(L)"),
    "rk-net": (0.47, 0.22, "O(L̃)"),
    "ode-net": (0.42, 0.22, "O(1)"),
}
#: Size of the features that the body works on -> what stands behind its name in the stored rows.
FEATURES = {"features of 3×3": "", "features of 6×6": LARGER}


def errors_by_features(rows: Rows = None) -> dict[str, dict[str, list[float]]]:
    """Features -> name of a row -> test error in percent of every seed; an empty list for rows without a run."""
    runs = by_key(stored_rows("mnist") if rows is None else rows, "body")
    return {
        features: {name: [row.result["test_error"] for row in runs.get(body + end, ())] for body, name in NAMES.items()}
        for features, end in FEATURES.items()
    }


def error_table(quick: Quick = None, rows: Rows = None) -> Table:
    """Test errors. An MLP has no features, and stands in the first column alone."""
    errors = summarise("mnist", rows, ("body",), {"error": number("test_error", count=True)})["error"]
    columns = {title: {body: errors.get(body + end) for body in NAMES} for title, end in FEATURES.items()}
    columns["paper"] = {body: f"{error:.2f}" for body, (error, *_) in PAPER.items()}
    apart = [f"On {title}: {told_apart(values)}" for title, values in errors_by_features(rows).items()]
    return Table(
        beside(DataFrame(columns, index=[*NAMES]), quick, ".1f").rename(index=NAMES).rename_axis("model"),
        "MNIST: test error, %",
        "Test error of 10,000 images, whose binomial standard deviation alone is 0.07 at 0.45 %; ± over seeds. One "
        "recipe of ten epochs for every row, chosen on 5,000 held-out training images; ODE blocks are tested by dopri5 "
        "at 1e-3 in float32, whatever they were trained with. Paper: Chen et al. (2018), Table 1, 160 epochs; the MLP "
        f"there is of LeCun et al. (1998). {' '.join(apart)}",
    )


def told_apart(errors: Mapping[str, Sequence[float]], level: float = 0.05) -> str:
    """Which rows differ by Welch's test over their seeds; of those with two seeds at least."""
    several = {name: values for name, values in errors.items() if len(values) > 1}
    pairs = [p for p in combinations(several, 2) if ttest_ind(*map(several.get, p), equal_var=False).pvalue < level]
    alone = [name for name in several if sum(name in pair for pair in pairs) == len(several) - 1 > 0]
    words = [f"{name} from all others" for name in alone]
    words += [f"{a} from {b}" for a, b in pairs if not {a, b} & {*alone}]
    count = math.comb(len(several), 2)
    return f"told apart by Welch's test over seeds, p < {level}, of {count} pairs: {'; '.join(words) or 'none'}."


def against_one_block(rows: Rows = None) -> Table:
    """Each row with the one residual block on the same features, see :func:`against`; a dash where nothing was run."""
    one = NAMES["one-block"]
    columns = {
        features: {name: against(values, errors[one]) for name, values in errors.items() if values and name != one}
        for features, errors in errors_by_features(rows).items()
    }
    frame = DataFrame(columns, index=[name for name in NAMES.values() if name != one]).rename_axis("model")
    return Table(frame, "full runs, points of test error against one residual block")


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


def cost_table(quick: Quick = None, rows: Rows = None, features: str = "features of 3×3") -> Table:
    """What the rows of one size of features cost."""
    cells = {
        "parameters": lambda runs: f"{runs[0].result['parameters']:,}",
        "MB kept, 128 images": lambda runs: f"{runs[0].result['saved_bytes'] / 1e6:.3g}",
        "CPU s / epoch": cpu_per_epoch,
        "NFE, forward and backward": nfe_of_training,
        "seeds": seeds,
    }
    frame = summarise("mnist", rows, ("body",), cells).reindex([body + FEATURES[features] for body in NAMES])
    frame = frame.set_axis([*NAMES]).dropna()
    frame["paper: parameters"] = Series({body: f"{millions:.2f} M" for body, (_, millions, _) in PAPER.items()})
    frame["paper: memory"] = Series({body: memory for body, (*_, memory) in PAPER.items()})
    return Table(
        beside(frame, quick, ".1f").rename(index=NAMES).rename_axis("model"),
        f"MNIST, {features}: costs, 55,000 images an epoch",
        "NFE: after training, by dopri5 and the adjoint at 1e-3.",
    )


def cpu_per_epoch(runs: list[Row]) -> str:
    """Seconds of processor time; of the runs that were timed so."""
    timed = [row.result["cpu_seconds"] / len(row.result["epochs"]) for row in runs if "cpu_seconds" in row.result]
    return f"{fmean(timed):.0f}" if timed else NOTHING


def nfe_of_training(runs: list[Row]) -> str:
    """Evaluations of the field for a batch and its gradient after the last epoch, by dopri5 and the adjoint at 1e-3."""
    ends = [row.result["epochs"][-1] for row in runs]
    parts = [[end[name] for end in ends if name in end] for name in ("nfe_forward", "nfe_backward")]
    return ", ".join(f"{fmean(part):.0f}" for part in parts) if all(parts) else NOTHING


def dial_table(rows: Rows = None) -> Table:
    """What the tolerance of dopri5 at test time costs and buys, over the seeds for which all of it was measured."""
    titles = {"test error, %": ("error", ".2f"), "NFE": ("nfe", ".0f"), "CPU s for 10,000 images": ("seconds", ".0f")}
    lines = {}
    for body, runs in by_key(stored_rows("mnist") if rows is None else rows, "body").items():
        dials = [dial for row in runs if len(dial := row.result.get("dial", [])) > 1]
        for points in zip(*dials, strict=True):
            tolerance = f"{points[0]['tolerance']:.0e}".replace("e-0", "e-")
            cells = {title: over_seeds([p[name] for p in points], spec) for title, (name, spec) in titles.items()}
            lines[NAMES[body], tolerance] = cells | {"seeds": str(len(dials))}
    frame = DataFrame.from_dict(lines, orient="index").rename_axis(["model", "tolerance of dopri5"])
    return Table(frame, "MNIST: the tolerance at test time")


LARGER_COSTS = partial(cost_table, features="features of 6×6")
TABLES = {"mnist": (error_table, against_one_block, cost_table, LARGER_COSTS, dial_table)}
