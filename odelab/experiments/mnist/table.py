"""ODE-Nets on MNIST: errors on both sizes of features, which rows differ, what they cost, and the dial."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from statistics import fmean

import numpy as np

from odelab.experiments.comparison import LEVEL, holm, standard_error, welch
from odelab.experiments.mnist.recipe import LARGER
from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.tables import NOTHING, Quick, Rows, Table, beside, number, over_seeds, seeds, summarise
from odelab.extras import extra

with extra("train"):
    from pandas import DataFrame, MultiIndex, Series, concat

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
YES, NO = "yes", "no"
#: Size of the features that the body works on -> what stands behind its name in the stored rows.
FEATURES = {"features of 3×3": "", "features of 6×6": LARGER}


def by_features(rows: Rows = None) -> dict[str, dict[str, list[Row]]]:
    """Features -> name of a row -> its runs, one per seed; an empty list for rows without a run."""
    runs = by_key(stored_rows("mnist") if rows is None else rows, "body")
    return {
        features: {name: runs.get(body + end, []) for body, name in NAMES.items()} for features, end in FEATURES.items()
    }


def errors_by_features(rows: Rows = None) -> dict[str, dict[str, list[float]]]:
    """Features -> name of a row -> test error in percent of every seed."""
    return {
        features: {name: [row.result["test_error"] for row in runs] for name, runs in models.items()}
        for features, models in by_features(rows).items()
    }


def error_table(quick: Quick = None, rows: Rows = None) -> Table:
    """Test errors. An MLP has no features, and stands in the first column alone."""
    errors = summarise("mnist", rows, ("body",), {"error": number("test_error", count=True)})["error"]
    columns = {title: {body: errors.get(body + end) for body in NAMES} for title, end in FEATURES.items()}
    columns["paper"] = {body: f"{error:.2f}" for body, (error, *_) in PAPER.items()}
    apart = [f"On {title}: {told_apart(models)}" for title, models in by_features(rows).items()]
    return Table(
        beside(DataFrame(columns, index=[*NAMES]), quick, ".1f").rename(index=NAMES).rename_axis("model"),
        "MNIST: test error, %",
        "Test error of 10,000 images, whose binomial standard deviation alone is 0.07 at 0.45 %; ± over seeds. One "
        "recipe of ten epochs for every row, chosen on 5,000 held-out training images; ODE blocks are tested by dopri5 "
        "at 1e-3 in float32, whatever they were trained with. Paper: Chen et al. (2018), Table 1, 160 epochs; the MLP "
        f"there is of LeCun et al. (1998). {' '.join(apart)}",
    )


def told_apart(models: Mapping[str, Sequence[Row]]) -> str:
    """Which rows differ; of those with two seeds at least, whose pairs are corrected together."""
    verdicts = compare({name: runs for name, runs in models.items() if len(runs) > 1})["told apart"]
    pairs = [pair for pair, verdict in verdicts.items() if verdict.startswith(YES)]
    names = dict.fromkeys(name for pair in verdicts.index for name in pair)
    alone = [name for name in names if sum(name in pair for pair in pairs) == len(names) - 1]
    words = [f"{name} from all others" for name in alone]
    words += [f"{a} from {b}" for a, b in pairs if not {a, b} & {*alone}]
    count = f"{len(verdicts)} pair{'s' * (len(verdicts) != 1)}"
    return f"told apart at p < {LEVEL}, after Holm, of {count}: {'; '.join(words) or 'none'}."


def pairs_table(rows: Rows = None, against: str | None = None) -> Table:
    """Every two rows on the same features, or each with one of them; see :func:`compare`."""
    frame = concat({features: compare(models, against) for features, models in by_features(rows).items()})
    note = (
        "Points of test error, row less row, ± the standard error over seeds (in brackets: over images, if a row has "
        "a single seed). Other seeds: p of Welch's test, corrected after Holm for all pairs on the same features, "
        "also for those that are not shown."
    )
    if (frame["p, other images"] == NOTHING).all():
        frame = frame.drop(columns=["wrong alone", "p, other images"])
        note += " No run stored its mistakes, so nothing is said of other images."
    else:
        note += (
            " Wrong alone: images that the first row gets wrong and the second does not, and the other way round; a "
            "mean where there are several seeds. Other images: McNemar's test, corrected likewise, of runs that stored "
            "their mistakes. Told apart is what every test that could be made tells apart."
        )
    frame = frame.rename_axis(["features", "model", "against"])
    return Table(frame, "MNIST, full runs: which rows can be told apart", note)


def compare(models: Mapping[str, Sequence[Row]], against: str | None = None, images: int = 10_000) -> DataFrame:
    """Pairs of rows: difference, mistakes of one alone, p over seeds and over images, corrected after Holm (1979).

    A difference can be luck in two ways: other seeds, or other images, might not show it. Welch's test asks of the
    first and McNemar's of the second, so rows are told apart when both do. Runs of old have no list of mistakes.

    Args:
        models: name -> runs, one per seed, whose results hold `test_error` in percent and, if stored, `mistakes`.
        against: one of the names, to show its pairs alone; p-values are corrected for all pairs in any case.
        images: in the test set.
    """
    present = [name for name, runs in models.items() if runs]
    pairs = [(b, a) if a == against else (a, b) for a, b in combinations(present, 2)]
    errors = {name: [row.result["test_error"] for row in models[name]] for name in present}
    wrong = {
        name: [row.result["mistakes"] for row in models[name] if row.result.get("mistakes") is not None]
        for name in present
    }
    by_seeds = holm([welch(errors[a], errors[b]) for a, b in pairs])
    by_images = holm([mcnemar(wrong[a], wrong[b]) for a, b in pairs])
    lines = []
    shown = [pair for pair in pairs if against in (None, *pair)]
    for (a, b), seeds_p, images_p in zip(pairs, by_seeds, by_images, strict=True):
        if (a, b) not in shown:
            continue
        known = [p for p in (seeds_p, images_p) if p is not None]
        apart = bool(known) and max(known) < LEVEL
        asked = "" if len(known) == 2 else ", by seeds" if images_p is None else ", by images"
        alone = wrong_alone(wrong[a], wrong[b])
        lines.append(
            {
                "points": difference(errors[a], errors[b], alone, images),
                "wrong alone": f"{sum(alone[alone > 0]):.3g} : {-sum(alone[alone < 0]):.3g}" if len(alone) else NOTHING,
                "p, other seeds": NOTHING if seeds_p is None else f"{seeds_p:.2g}",
                "p, other images": NOTHING if images_p is None else f"{images_p:.2g}",
                "told apart": (YES + asked if apart else NO) if known else "too few seeds",
            }
        )
    columns = ["points", "wrong alone", "p, other seeds", "p, other images", "told apart"]
    return DataFrame(lines, index=MultiIndex.from_tuples(shown, names=["model", "against"]), columns=columns)


def difference(ours: Sequence[float], theirs: Sequence[float], alone: np.ndarray, images: int) -> str:
    """Points, ± their standard error over seeds; in brackets that of a test set, where one row has a single seed."""
    if min(len(ours), len(theirs)) > 1:
        error = f"{math.hypot(standard_error(ours) or 0, standard_error(theirs) or 0):.2f}"
    elif len(alone):
        error = f"({100 * np.sqrt((alone**2).sum()) / images:.2f})"
    else:
        error = f"({np.sqrt(sum(p * (100 - p) / images for p in (np.mean(ours), np.mean(theirs)))):.2f})"
    return f"{np.mean(ours) - np.mean(theirs):+.2f} ± {error}".replace("-", "−")


def wrong_alone(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> np.ndarray:
    """Image by image, how much more often ours are wrong, a mean over runs; of those images where it is not 0."""
    if not ours or not theirs:
        return np.zeros(0)
    mistakes = np.concatenate([*ours, *theirs]).astype(int)
    weights = [sign / len(runs) for sign, runs in ((1, ours), (-1, theirs)) for run in runs for _ in run]
    total = np.bincount(mistakes, weights)
    return total[np.abs(total) > 1e-9]


def mcnemar(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> float | None:
    """p of equal error rates on all images, for these weights; of lists of mistakes, one per run. None without any.

    McNemar's exact test throws a fair coin for every image that only one of the two gets wrong. With several runs the
    same coin decides the sign of an image's difference, a mean over runs; the chances of all sums are added up exactly.
    """
    if not ours or not theirs:
        return None
    steps = np.round(wrong_alone(ours, theirs) * len(ours) * len(theirs)).astype(int)
    chances = np.ones(1)  # of the sums from −Σ|step| to Σ|step|
    for step in np.abs(steps):
        chances = (np.pad(chances, (0, 2 * step)) + np.pad(chances, (2 * step, 0))) / 2
    sums = np.arange(len(chances)) - len(chances) // 2
    return min(1.0, float(chances[np.abs(sums) >= abs(steps.sum())].sum()))


def cost_table(quick: Quick = None, rows: Rows = None, features: str = "features of 3×3") -> Table:
    """What the rows of one size of features cost."""
    cells = {
        "parameters": lambda runs: f"{runs[0].result['parameters']:,}",
        "MB kept, 128 images": lambda runs: f"{runs[0].result['saved_bytes'] / 1e6:.3g}",
        "CPU s / epoch": cpu_per_epoch,
        "NFE at 1e-3, forward and adjoint": nfe_of_training,
        "seeds": seeds,
    }
    frame = summarise("mnist", rows, ("body",), cells).reindex([body + FEATURES[features] for body in NAMES])
    frame = frame.set_axis([*NAMES]).dropna()
    frame["paper: parameters"] = Series({body: f"{millions:.2f} M" for body, (_, millions, _) in PAPER.items()})
    frame["paper: memory"] = Series({body: memory for body, (*_, memory) in PAPER.items()})
    return Table(
        beside(frame, quick, ".1f").rename(index=NAMES).rename_axis("model"),
        f"MNIST, {features}: costs, 55,000 images an epoch",
        "NFE: after training, by dopri5 and the adjoint at 1e-3. The RK-Net was trained otherwise, by one Runge–Kutta "
        "step of four evaluations and backprop, and its seconds are those of that training.",
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
TABLES = {"mnist": (error_table, pairs_table, cost_table, LARGER_COSTS, dial_table)}
