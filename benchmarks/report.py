"""Tables of the results, as text for the terminal and as Markdown for docs/benchmarks.md."""

from collections.abc import Callable, Iterable
from typing import Any

from pandas import DataFrame

from odelab.experiments.tables import Table

Results = dict[str, Any]
Cell = Callable[[Any], str]
Show = Callable[[str, DataFrame], str]


RATIOS = (
    "dopri5: CPU time of torchdiffeq ÷ that of odelab; both gradients ÷ odeint_adjoint; itself: odelab ÷ odelab; "
    "[quartiles]"
)


def text(title: str, frame: DataFrame) -> str:
    """For the terminal: columns aligned, names to the left and the rest to the right."""
    return f"{title}\n{frame.to_string(na_rep='–')}"


def markdown(title: str, frame: DataFrame) -> str:
    """For docs/benchmarks.md; the title stands over the names."""
    return Table(frame.rename_axis(title)).markdown()


def cell(write: Callable[[Results], str]) -> Cell:
    """The text of a cell; of what was not measured, that it was not."""

    def text_of(measured: Any) -> str:
        if measured is None:
            return "not installed"
        return write(measured) if isinstance(measured, dict) else "–"

    return text_of


@cell
def spread(ratio: Results) -> str:
    """ "3.12 [3.05–3.20] ≥3 ✓": median, quartiles, and the target where there is one."""
    words = f"{ratio['ratio']:.2f} [{ratio['low']:.2f}–{ratio['high']:.2f}]"
    target = ratio.get("target")
    return words if target is None else f"{words} ≥{target:g} {'✓' if ratio['ratio'] >= target else '✗'}"


@cell
def median(ratio: Results) -> str:
    return f"{ratio['ratio']:.1f}"


@cell
def short(ratio: Results) -> str:
    """0.0061, 0.34, 2.5, 11."""
    value = ratio["ratio"]
    return f"{value:.2g}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def power(value: float) -> str:
    """1e-7, 2e-6."""
    return f"{value:.0e}".replace("e-0", "e-")


def by_title(rows: Iterable[Results], name: str) -> DataFrame:
    """A line for every row: what it has under that name, by column."""
    return DataFrame({row["title"]: row[name] for row in rows}).T


def problem_tables(problems: Results) -> str:
    """Ratios, costs, gradient errors and times of `solvers.measure`."""
    rows = problems.values()
    costs = {(row["title"], library): cost for row in rows for library, cost in row["cost"].items()}
    errors = DataFrame(rows).set_index("title")[["rtol", "atol"]].join(by_title(rows, "gradient_error"))
    return "\n\n".join(
        [
            text(RATIOS, by_title(rows, "columns").map(spread)),
            text("what a forward solve takes", DataFrame(costs).T.map("{:.4g}".format)),
            text("gradient: distance to own backprop", errors.map("{:.1e}".format)),
            text("CPU ms", (1e3 * by_title(rows, "cpu_seconds")).map("{:.1f}".format)),
        ]
    )


def memory_table(rows: list[Results]) -> str:
    frame = DataFrame({(row["title"], row["rtol"], row["accepted"]): row["bytes"] for row in rows}).T
    frame = frame.rename_axis(["", "rtol", "steps"])
    share = (frame["checkpoint"] / frame["backprop"]).map("{:.2%}".format)
    frame = frame.map("{:,.0f}".format).assign(**{"checkpoint ÷ backprop": share})
    return text("bytes kept for backward", frame)


def others_tables(rows: list[Results]) -> str:
    frame = by_title(rows, "rows").T
    columns = {
        "CPU time ÷ that of odelab's dopri5, forward": spread,
        "CPU ms": cell(lambda measured: f"{1e3 * measured['cpu_seconds']:.1f}"),
        "error": cell(lambda measured: f"{measured['error']:.1e}"),
    }
    return "\n\n".join(text(title, frame.map(write)) for title, write in columns.items())


TABLES = {"problems": problem_tables, "memory": memory_table, "others": others_tables}


def everything(results: Results) -> str:
    """All tables of a run, those parts that it measured."""
    return "\n\n".join(show(results[part]) for part, show in TABLES.items() if results.get(part))


def page(results: Results) -> str:
    """What stands in docs/benchmarks.md of the solvers: two Markdown tables and how they came about."""
    problems = results["problems"].values()
    ours = by_title(problems, "columns").map(short)[["forward", "backprop", "checkpoint", "adjoint"]]
    ours.insert(0, "rtol, atol", [f"{power(row['rtol'])}, {power(row['atol'])}" for row in problems])
    errors = by_title(problems, "gradient_error").map(power)
    ours["gradient error of checkpoint"], ours["of odeint_adjoint"] = errors["checkpoint"], errors["odeint_adjoint"]
    others = by_title(results["others"], "rows").T.drop("odelab").map(short)
    rounds = [row["columns"]["forward"]["rounds"] for row in problems]
    versions = results["versions"]
    paragraphs = [
        markdown("torchdiffeq's CPU time ÷ odelab's", ours),
        "dopri5 in both, in float32, with the same tolerances and, to a step or two, the same steps. Checkpoint and "
        "adjoint are compared with `odeint_adjoint`; the errors of gradients are relative to the same library's "
        "backprop. The more f itself costs, the less a solver can gain.",
        markdown("CPU time ÷ that of odelab's dopri5, forward", others),
        "Below 1 is faster than odelab's dopri5: SciPy works without tensors, and diffrax compiles the whole loop. "
        f"Medians of {min(rounds)} to {max(rounds)} interleaved rounds, CPU time of one thread of an {results['cpu']}; "
        f"torch {versions['torch']}, torchdiffeq {versions['torchdiffeq']}. "
        "`make bench` measures all this anew.",
    ]
    return "\n\n".join(paragraphs)
