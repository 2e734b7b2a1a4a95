"""The stored full runs as tables, ours beside the papers': `python -m odelab results` prints what the README shows.

A cell is empty where nothing was run. What the papers print is marked as theirs and stands in a column of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

from scipy.stats import ttest_ind

from odelab.experiments.latent_tables import LATENT_TABLES
from odelab.experiments.markdown import over_seeds, table
from odelab.experiments.mnist.recipe import LARGER
from odelab.experiments.results import Row, by_key, stored_rows, summary

START, END = "<!-- results:start -->", "<!-- results:end -->"
# Chen et al. (2018), Table 1, as the seminar and the introduction print it: test error in percent, parameters, memory.
PAPER_MNIST = {
    "mlp": ("1.60 (LeCun et al. 1998)", "0.24 M", "–"),
    "resnet": ("0.41", "0.60 M", "O(L)"),
    "rk-net": ("0.47", "0.22 M", "O(L̃)"),
    "ode-net": ("0.42", "0.22 M", "O(1)"),
}
NAMES = {
    "mlp": "MLP, one hidden layer",
    "resnet": "ResNet, six blocks",
    "rk-net": "RK-Net",
    "ode-net": "ODE-Net, by the adjoint",
    "one-block": "one residual block",
    "no-block": "no block at all",
}


def mnist_table(rows: list[Row]) -> str:
    """The table, what its seeds tell apart, the dial; and the rows on larger features, with theirs."""
    larger = [replace(row, key={"body": row.key["body"].removesuffix(LARGER)}) for row in rows if on_larger(row)]
    rows = [row for row in rows if not on_larger(row)]
    parts = [family_table("MNIST", rows, list(NAMES)), told_apart(rows), dial_table(rows)]
    if larger:
        trained = by_key(larger, "body")
        bodies = [body for body in NAMES if body in trained]
        parts += [family_table("MNIST, features of 6×6", larger, bodies), told_apart(larger)]
    return "\n\n".join(filter(None, parts))


def on_larger(row: Row) -> bool:
    return bool(row.key["body"].endswith(LARGER))


def family_table(title: str, rows: list[Row], bodies: list[str]) -> str:
    groups = by_key(rows, "body")
    lines = []
    for body in bodies:
        runs = groups.get(body, [])
        error, parameters, memory = PAPER_MNIST.get(body, ("", "", ""))
        first = runs[0].result if runs else {}
        lines.append(
            [
                NAMES[body],
                over_seeds(runs, "test_error"),
                str(len(runs)),
                error,
                f"{first['parameters']:,}" if runs else "",
                parameters,
                f"{first['saved_bytes'] / 1e6:.2g} MB" if runs else "",
                memory,
                cpu_per_epoch(runs),
                nfe_of_training(runs),
            ]
        )
    header = (
        title,
        "test error, %",
        "seeds",
        "paper",
        "parameters",
        "paper",
        "kept for backward",
        "paper",
        "CPU s / epoch",
        "NFE, forward and backward",
    )
    return table(header, lines)


def told_apart(rows: list[Row], level: float = 0.05) -> str:
    """Which rows differ by Welch's test over their seeds; of those with two seeds at least."""
    found = {body: [row.result["test_error"] for row in runs] for body, runs in by_key(rows, "body").items()}
    errors = {body: found[body] for body in NAMES if len(found.get(body, ())) > 1}
    pairs = [
        (a, b) for a, b in combinations(errors, 2) if ttest_ind(errors[a], errors[b], equal_var=False).pvalue < level
    ]
    alone = [body for body in errors if sum(body in pair for pair in pairs) == len(errors) - 1 > 0]
    words = [f"{NAMES[body]} from all others" for body in alone]
    words += [f"{NAMES[a]} from {NAMES[b]}" for a, b in pairs if not {a, b} & {*alone}]
    count = math.comb(len(errors), 2)
    return f"Told apart by Welch's test over seeds, p < {level}, {count} pairs: {'; '.join(words)}." if words else ""


def dial_table(rows: list[Row]) -> str:
    """What the tolerance of dopri5 at test time costs and buys, over the seeds for which all of it was measured."""
    lines = []
    for body, runs in by_key(rows, "body").items():
        dials = [dial for row in runs if len(dial := row.result.get("dial", [])) > 1]
        for settings in zip(*dials, strict=True):
            cells = [
                format(summary([each[name] for each in settings]), spec)
                for name, spec in (("error", ".2f"), ("nfe", ".0f"), ("seconds", ".0f"))
            ]
            tolerance = f"{settings[0]['tolerance']:.0e}".replace("e-0", "e-")
            lines.append([f"{NAMES[body]}, {tolerance}", *cells, str(len(dials))])
    header = ("tolerance of dopri5 at test time", "test error, %", "NFE", "CPU s for 10,000 images", "seeds")
    return table(header, lines) if lines else ""


def cpu_per_epoch(runs: list[Row]) -> str:
    """Seconds of processor time; of the runs that were timed so."""
    timed = [row.result["cpu_seconds"] / len(row.result["epochs"]) for row in runs if "cpu_seconds" in row.result]
    return f"{summary(timed).mean:.0f}" if timed else ""


def nfe_of_training(runs: list[Row]) -> str:
    """Evaluations of the field for a batch and its gradient after the last epoch, by dopri5 and the adjoint at 1e-3."""
    ends = [row.result["epochs"][-1] for row in runs]
    parts = [[end[name] for end in ends if name in end] for name in ("nfe_forward", "nfe_backward")]
    return ", ".join(f"{summary(each).mean:.0f}" for each in parts) if all(parts) else ""


def toy_table(rows: list[Row]) -> str:
    lines = [
        [
            name,
            over_seeds(runs, "nll", spec=".3f"),
            f"{runs[0].result['truth']:.3f}",
            over_seeds(runs, "gap", spec=".3f"),
            over_seeds(runs, "nfe", spec=".0f"),
            " or ".join(sorted({f"{row.result.get('iterations', 1200):,}" for row in runs})),
            str(len(runs)),
        ]
        for name, runs in by_key(rows, "density").items()
    ]
    return table(("FFJORD in the plane", "NLL, nats", "of the truth", "gap", "NFE", "iterations", "seeds"), lines)


def digits_table(rows: list[Row]) -> str:
    names = {"gaussian": "Gaussian, full covariance", "nice": "NICE, four couplings", "ffjord": "FFJORD"}
    groups = by_key(rows, "model")
    lines = [
        [
            name,
            over_seeds(groups[key], "bits", spec=".3f"),
            f"{groups[key][0].result['parameters']:,}",
            str(len(groups[key])),
        ]
        for key, name in names.items()
        if key in groups
    ]
    return table(("8×8 digits", "bits per dimension", "parameters", "seeds"), lines)


def rnode_table(rows: list[Row]) -> str:
    lines = [
        [
            data,
            penalty,
            over_seeds(runs, "nll", spec=".2f"),
            over_seeds(runs, "last_nll", spec=".2f"),
            over_seeds(runs, "last_nll_own_solver", spec=".2f"),
            over_seeds(runs, "nfe", spec=".0f"),
            over_seeds(runs, "last_nfe", spec=".0f"),
            over_seeds(runs, "kinetic", spec=".2f"),
            over_seeds(runs, "jacobian", spec=".1f"),
            over_seeds(runs, "straightness", spec=".3f"),
            to_target(runs),
            str(len(runs)),
        ]
        for (data, penalty), runs in by_key(rows, "data", "penalty").items()
    ]
    header = (
        "data",
        "penalty",
        "NLL, best",
        "NLL, last",
        "by its own two steps",
        "NFE, best",
        "NFE, last",
        "∫‖f‖²",
        "∫‖∇f‖²",
        "length ÷ distance",
        "CPU s to the target",
        "seeds",
    )
    return table(header, lines)


def to_target(runs: list[Row]) -> str:
    """Seconds until the true NLL was first below the target, and how many seeds came so far where not all did."""
    targets = [row.result["target"] for row in runs if "target" in row.result]
    reached = [target["cpu_seconds"] for target in targets if target["cpu_seconds"] is not None]
    some = f" ({len(reached)} of {len(targets)})" if len(reached) < len(targets) else ""
    return f"{summary(reached):.0f}{some}" if reached else "never" if targets else ""


def planar_table(rows: list[Row]) -> str:
    lines = []
    for (target, width), runs in sorted(by_key(rows, "target", "width").items()):
        value = "kl" if "kl" in runs[0].result else "gap"
        flows = [[run for run in runs if run.key["flow"] == flow] for flow in ("nf", "cnf")]
        cells = (cell for each in flows for cell in (over_seeds(each, value, spec=".3f"), str(len(each))))
        lines.append([f"{target}, K = M = {width}", *cells])
    return table(("planar flows: nats from the truth", "NF", "seeds", "CNF", "seeds"), lines)


TABLES: dict[str, tuple[Callable[[list[Row]], str], str]] = {
    "mnist": (
        mnist_table,
        "Test error of 10,000 images, whose binomial standard deviation alone is 0.07 at 0.45 %; ± over seeds. One "
        "recipe of ten epochs for every row, chosen on 5,000 held-out training images; ODE blocks are tested by dopri5 "
        "at 1e-3 in float32, whatever they were trained with. NFE: after training, by dopri5 "
        "and the adjoint at 1e-3. Paper: Chen et al. (2018), Table 1, 160 epochs.",
    ),
    "planar": (planar_table, "The true KL, log Z by a grid. The papers show pictures, no numbers."),
    "ffjord-toy": (
        toy_table,
        "On 20,000 fresh points, by dopri5 at 1e-5 with the exact trace; the gap is the mean of log p − log p_θ on the "
        "same points, an estimate of KL(p‖p_θ).",
    ),
    "ffjord-digits": (
        digits_table,
        "250 test images. On MNIST, which takes GPUs for days: FFJORD 0.99, its rerun 0.97, RNODE 0.97 in 24.4 h "
        "against 68.5 h, Real NVP 1.06, Glow 1.05 bits per dimension (notes, Fig. 24.10; theirs, not ours).",
    ),
    "rnode": (
        rnode_table,
        "Every flow is trained by two RK4 steps, 8 evaluations, and judged by dopri5 at 1e-5; best: the iteration of "
        "least validation NLL, which is also where costs and straightness are measured; last: after 1,000. Targets: "
        "3.1 nats for 8gaussians, 3.9 for checkerboard, 78 for digits. Expected were no worse an NLL and half the NFE "
        "with both penalties. In the plane it came out so at the last iteration, where flows without a Jacobian term "
        "exploit their two steps (their own NLL is far below the true one); at the best one, which comes early for "
        "those flows, NLL is better and NFE not. On digits nothing was exploited, and NFE is the same in all rows.",
    ),
} | LATENT_TABLES


def markdown() -> str:
    """All tables for which there are rows, each with a sentence on how to read it."""
    parts = []
    for name, (make, words) in TABLES.items():
        rows = stored_rows(name)
        if rows:
            minutes = sum(row.minutes for row in rows)
            how = f"`python -m odelab reproduce {name} --budget full --resume`, {minutes:.0f} minutes so far."
            parts.append(f"{make(rows)}\n\n{words} {how}")
    return "\n\n".join(parts)


def put_into(text: str) -> str:
    """The README's text with the tables between its markers; as it was, where it has none."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    return f"{before}{start}\n{markdown()}\n{end}{after}" if start and end else text
