"""What Chen et al. (2018, section 4.1) say of planar flows, and what the stored runs say to it, in sentences.

Every number and every "agrees" is computed from the rows, so that new rows need no new text.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from odelab.experiments.comparison import LEVEL, Comparison
from odelab.experiments.planar.recipe import ENERGIES, WIDTHS
from odelab.experiments.planar.table import Setting, comparisons, distances, mean_and_error
from odelab.experiments.results import by_key, stored_rows
from odelab.experiments.tables import Rows

NO_RUNS = "No comparison can be made yet: it needs two seeds of both flows."


def answers(rows: Rows = None) -> str:
    """Markdown: the paper's sentences, each with the answer of the runs."""
    rows = stored_rows("planar") if rows is None else rows
    tests, found = comparisons(rows), distances(rows)
    parts = {
        "“CNF generally achieves lower loss” (the text, on density matching)": lower_loss(tests),
        "The loss against $K$ and $M$ (Figure 4d)": against_size(found, tests),
        "Width makes continuous flows “easier to train” (caption of Figure 4)": training_time(rows, tests),
        "The NF “has difficulty fitting the two moons dataset” (the text, Figure 5b)": two_moons(found, tests),
    }
    return "\n\n".join(f"**{claim}.** {answer}" for claim, answer in parts.items())


def lower_loss(tests: Mapping[Setting, Comparison]) -> str:
    """Which flow is lower in density matching, when both had the paper's iterations."""
    matching = of(tests, "nf", ENERGIES)
    if not matching:
        return NO_RUNS
    mean = sum(test.difference < 0 for test in matching.values())
    return (
        f"The mean KL of our CNF is the lower one in {mean} of {len(matching)} comparisons, each with $K=M$. "
        f"{told_apart(matching)} {how_weak(matching, len(tests))} {generally(matching)}"
    )


def against_size(found: Mapping[Setting, Sequence[float | None]], tests: Mapping[Setting, Comparison]) -> str:
    """How the KL falls with the size, and where each flow has the lower mean."""
    sentences = []
    for flow, name, letter in (("nf", "NF", "K"), ("cnf", "CNF", "M")):
        factors, steady = {}, 0
        for target in ENERGIES:
            runs = [found.get((flow, width, target), ()) for width in WIDTHS]
            means = [fmean(values) for values in ([v for v in run if v is not None] for run in runs) if values]
            if len(means) == len(WIDTHS):
                factors[target] = means[0] / means[-1]
                steady += all(smaller < larger for larger, smaller in pairwise(means))
        if not factors:
            return NO_RUNS
        words = ", ".join(f"{factor:.{1 if factor < 10 else 0}f} ({target})" for target, factor in factors.items())
        sentences.append(
            f"From ${letter}={WIDTHS[0]}$ to ${WIDTHS[-1]}$ the mean KL of our {name} is divided by {words}; it falls "
            f"at every step on {steady} of {len(factors)} energies."
        )
    by_size = []
    for width in WIDTHS:
        row = [tests["nf", width, target] for target in ENERGIES if ("nf", width, target) in tests]
        by_size.append(f"{sum(test.difference < 0 for test in row)} of {len(row)} with $K=M={width}$")
    return " ".join([*sentences, f"The mean of the CNF is the lower one on {', '.join(by_size)}."])


def training_time(rows: Sequence, tests: Mapping[Setting, Comparison]) -> str:
    """Iterations and processor time of both, and the comparison for equal time."""
    runs = by_key([row for row in rows if row.key["target"] in ENERGIES], "flow", "width")
    largest = WIDTHS[-1]
    if not all(runs.get((flow, largest)) for flow in ("nf", "cnf")):
        return NO_RUNS
    iterations = [f"{runs[flow, largest][0].result['iterations']:,}" for flow in ("cnf", "nf")]
    text = f"As in the paper, our CNF was trained for {iterations[0]} iterations and our NF for {iterations[1]}."
    seconds = {
        flow: [row.result["cpu_seconds"] for row in runs[flow, largest] if "cpu_seconds" in row.result]
        for flow in ("cnf", "nf")
    }
    if all(seconds.values()):
        text += (
            f" With $K=M={largest}$ this took {fmean(seconds['cnf']):.0f} seconds of processor time for a CNF and "
            f"{fmean(seconds['nf']):.0f} for an NF (in our code, whose loop for the NF is compiled)."
        )
    equal = of(tests, "nf-cpu", ENERGIES)
    if not equal:
        return f"{text} Runs with equal processor time for both are not stored yet."
    return (
        f"{text} Then we trained the NF for about the CPU time of the CNF (column *CPU s* of the first table). "
        f"{told_apart(equal)} {easier(equal)}"
    )


def two_moons(found: Mapping[Setting, Sequence[float | None]], tests: Mapping[Setting, Comparison]) -> str:
    """Maximum likelihood with 64 layers against 64 units."""
    if ("nf", 64, "moons") not in tests:
        return NO_RUNS
    sentences = []
    for target in ("moons", "circles"):
        if ("nf", 64, target) in tests:
            ours, theirs = (mean_and_error(found[flow, 64, target]) for flow in ("cnf", "nf"))
            sentences.append(
                f"On the {target} our NF ends {theirs} nats from the data's density and our CNF {ours} "
                f"({lower_words(tests['nf', 64, target])})."
            )
    moons = tests["nf", 64, "moons"]
    if moons.lower < 0:
        sentences.append("So we see this difficulty, too.")
    elif moons.lower > 0:
        sentences.append("So we do not see this difficulty: on the moons our NF comes closer than our CNF.")
    elif moons.difference > 0:
        sentences.append("So we do not see this difficulty: on the moons the mean of our NF is even the lower one.")
    else:
        sentences.append("So our runs do not show this difficulty, and they do not exclude a small one.")
    return " ".join(sentences)


def of(tests: Mapping[Setting, Comparison], flow: str, targets: Sequence[str]) -> dict[Setting, Comparison]:
    """Comparisons with this discrete flow, on these targets, of two seeds at least."""
    return {key: test for key, test in tests.items() if key[0] == flow and key[2] in targets and test.p is not None}


def told_apart(tests: Mapping[Setting, Comparison]) -> str:
    """In how many of the comparisons each flow is lower by the test, and where."""
    groups = {sign: [key for key, test in tests.items() if test.lower == sign] for sign in (-1, 1, 0)}
    cnf, nf = (f"{len(groups[sign])}{places(groups[sign])}" for sign in (-1, 1))
    return (
        f"By the test (p < {LEVEL} after correction) the CNF is lower in {cnf} of {len(tests)} and the NF in {nf}; in "
        f"{len(groups[0])} the two are not told apart."
    )


def how_weak(tests: Mapping[Setting, Comparison], corrected: int) -> str:
    """How many seeds and comparisons the test has, and where all seeds point one way and it still decides nothing."""
    counts = [len(values) for test in tests.values() for values in (test.ours, test.theirs)]
    seeds = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    text = f"With {seeds} seeds and a correction for {corrected} comparisons"
    open_ones = {key: test for key, test in tests.items() if test.lower == 0}
    cnf = [key for key, test in open_ones.items() if max(test.ours) < min(test.theirs)]
    nf = [key for key, test in open_ones.items() if max(test.theirs) < min(test.ours)]
    if not cnf and not nf:
        return f"{text} the test can tell only large differences apart."
    return (
        f"{text} the test is weak: among the {len(open_ones)} that it does not tell apart, every seed of the CNF is "
        f"lower than every seed of the NF in {len(cnf)}{places(cnf)}, and every seed of the NF is lower than every "
        f"seed of the CNF in {len(nf)}{places(nf)}."
    )


def places(keys: Sequence[Setting]) -> str:
    """Targets with their sizes in brackets, or nothing where there are none."""
    sizes: dict[str, list[str]] = {}
    for _, width, target in keys:
        sizes.setdefault(target, []).append(str(width))
    words = "; ".join(f"{target} with {', '.join(widths)}" for target, widths in sizes.items())
    return f" ({words})" if words else ""


def generally(tests: Mapping[Setting, Comparison]) -> str:
    """Whether a majority of the comparisons says that the CNF is lower."""
    cnf, nf = how_often_lower(tests)
    half = len(tests) / 2
    if cnf > half and not nf:
        return "So our runs agree with the paper's sentence."
    if cnf > half:
        return "So our runs agree with the word “generally”, and they show exceptions."
    if nf > half:
        return "So our runs say the opposite of the paper's sentence."
    return "So our runs do not confirm the word “generally”, and they do not contradict it either."


def easier(tests: Mapping[Setting, Comparison]) -> str:
    """Whether a majority of the comparisons for equal CPU time says which flow is lower."""
    cnf, nf = how_often_lower(tests)
    if max(cnf, nf) <= len(tests) / 2:
        return "So for about equal CPU time our runs do not show which one is easier to train."
    return f"So for about equal CPU time our runs show that the {'CNF' if cnf > nf else 'NF'} is easier to train."


def how_often_lower(tests: Mapping[Setting, Comparison]) -> tuple[int, int]:
    """In how many comparisons the CNF is lower by the test, and the NF."""
    signs = [test.lower for test in tests.values()]
    return signs.count(-1), signs.count(1)


def lower_words(test: Comparison) -> str:
    """The outcome of one comparison."""
    if test.p is None:
        return "too few seeds to compare"
    words = {-1: "the CNF is lower", 0: "not told apart", 1: "the NF is lower"}[test.lower]
    return f"{words}, p = {test.p:.2g}"
