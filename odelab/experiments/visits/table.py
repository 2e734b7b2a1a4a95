"""What each model answers, and by how much it is better or worse than a regression on the last values."""

from collections.abc import Sequence
from statistics import fmean, stdev

from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.tables import NOTHING, Cell, Rows, Table, number, seeds, summarise
from odelab.experiments.visits.recipe import FOLDS, HORIZON, LANDMARK, MODELS

BASELINE = "last"


def of_patients(runs: Sequence[Row]) -> list[float]:
    """The loss of every patient, mean over the seeds."""
    return [fmean(values) for values in zip(*(row.result["patients"] for row in runs), strict=True)]


def difference(runs: Sequence[Row], baseline: Sequence[Row]) -> tuple[float, float]:
    """Mean over patients of the loss minus that of a baseline, and its standard error over patients."""
    gaps = [a - b for a, b in zip(of_patients(runs), of_patients(baseline), strict=True)]
    return fmean(gaps), stdev(gaps) / len(gaps) ** 0.5


def visits_table(rows: Rows = None, task: str = "outcome") -> Table:
    """By model, for one of the two questions."""
    known = [row for row in (stored_rows("visits") if rows is None else rows) if row.key["task"] == task]
    groups = by_key(known, "task", "model")
    baseline = groups.get((task, BASELINE))

    def beside(runs: list[Row]) -> str:
        if not baseline or runs[0].key["model"] == BASELINE:
            return NOTHING
        mean, error = difference(runs, baseline)
        return f"{mean:+.4f} ± {error:.4f}"

    cells: dict[str, Cell] = {"log-loss": number("loss", spec=".3f")}
    if task == "outcome":
        cells |= {"Brier score": number("brier", spec=".3f"), "AUC": number("auc", spec=".3f")}
    else:
        cells = {"squared error": number("loss", spec=".4f")}
    cells |= {
        "minus regression": beside,
        "parameters": number("parameters", spec=".0f"),
        "CPU s": number("cpu_seconds", spec=".0f"),
        "seeds": seeds,
    }
    frame = summarise("visits", known, ("task", "model"), cells).xs(task, level="task").rename(index=MODELS)
    asked = groups.get((task, BASELINE), [])
    count = asked[0].result["questions"] if asked else 0
    end = (
        f"Visits of the first {LANDMARK:g} years; is the patient dead or transplanted {HORIZON:g} years later? "
        f"{count} patients, {asked[0].result['events'] if asked else 0} with the event; those censored before are "
        "left out. The AUC pools the five parts; that is why a constant has less than 0.50."
        if task == "outcome"
        else f"ln(bilirubin) at the next visit, {count} visits; the first row says the last value again."
    )
    return Table(
        frame,
        "The clinic's patients, each answered for by a model that has not seen them",
        f"{end} {FOLDS}-fold cross-validation; ± beside a score: standard deviation over seeds (other folds, other "
        "starts). Minus regression: mean difference of a patient's loss and its standard error over patients; negative "
        "is better. It shows one clinic and short histories; it does not show what these models do with thousands of "
        "visits a patient.",
    )


def next_table(rows: Rows = None) -> Table:
    """The table of the second question."""
    return visits_table(rows, "next")


def outcome(rows: Sequence[Row], task: str) -> str:
    """Which nets are better than the regression by two standard errors, and which are worse, in a sentence."""
    groups = by_key(rows, "task", "model")
    baseline = groups.get((task, BASELINE))
    if not baseline:
        return "No regression has been run yet."
    words = []
    for model in list(MODELS)[2:]:
        if runs := groups.get((task, model)):
            mean, error = difference(runs, baseline)
            verdict = (
                "better than" if mean < -2 * error else "worse than" if mean > 2 * error else "not shown to differ from"
            )
            words.append(f"{MODELS[model]}: {verdict} the regression ({mean:+.4f} ± {error:.4f})")
    return "; ".join(words) + "."


TABLES = {"visits": (visits_table, next_table)}
