"""Tables of the results, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

from typing import Any

COLUMNS = {
    "forward": "forward",
    "backprop": "backprop",
    "checkpoint": "checkpoint gradient",
    "adjoint": "adjoint",
    "itself": "odelab ÷ odelab",
}
GRADIENTS = ("checkpoint", "adjoint", "odeint_adjoint")
Results = dict[str, Any]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Columns aligned, the first to the left and the rest to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        pairs = list(zip(cells, widths, strict=True))
        return "  ".join([pairs[0][0].ljust(pairs[0][1]), *(cell.rjust(w) for cell, w in pairs[1:])]).rstrip()

    return "\n".join([line(heads), line(["-" * width for width in widths]), *map(line, rows)])


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    aligned = ["---", *["--:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, aligned, *rows])


def spread(cell: Results) -> str:
    """ "3.12 [3.05–3.20] ≥3 ✓": median, quartiles, and the target where there is one."""
    text = f"{cell['ratio']:.2f} [{cell['low']:.2f}–{cell['high']:.2f}]"
    target = cell.get("target")
    return text if target is None else f"{text} ≥{target:g} {'✓' if cell['ratio'] >= target else '✗'}"


def problem_tables(problems: Results) -> str:
    """Ratios, costs and gradient errors of `solvers.measure`."""
    ratios, costs, errors = [], [], []
    for row in problems.values():
        columns = row["columns"]
        ratios.append([row["title"], *(spread(columns[name]) for name in COLUMNS), str(columns["forward"]["rounds"])])
        for library, cost in row["cost"].items():
            suffix = "" if library == "odelab" else " of torchdiffeq"
            costs.append(
                [
                    f"{row['title']}: {library}",
                    f"{row['rtol']:g}",
                    f"{row['atol']:g}",
                    *(str(cost[name]) for name in ("nfe", "accepted", "rejected")),
                    f"{cost['error']:.1e}",
                    *(f"{row['cpu_seconds'][name + suffix] * 1e3:.1f}" for name in ("forward", "backprop")),
                ]
            )
        errors.append(
            [
                row["title"],
                *(f"{row['gradient_error'][name]:.1e}" for name in GRADIENTS),
                *(f"{row['cpu_seconds'][name] * 1e3:.1f}" for name in GRADIENTS),
            ]
        )
    return "\n\n".join(
        [
            "CPU time of torchdiffeq ÷ that of odelab; both gradients ÷ odeint_adjoint; [quartiles]\n\n"
            + table(["dopri5", *COLUMNS.values(), "rounds"], ratios),
            table(
                ["dopri5", "rtol", "atol", "NFE", "accepted", "rejected", "error", "forward ms", "backprop ms"], costs
            ),
            table(
                ["gradient: distance to own backprop; ms", *GRADIENTS, *(f"{name} ms" for name in GRADIENTS)], errors
            ),
        ]
    )


def compiled_table(rows: list[Results]) -> str:
    lines = []
    for row in rows:
        if "not_compiled" in row:
            lines.append([row["title"], f"not compiled: {row['not_compiled']}", "", "", ""])
            continue
        cells = [spread(row["forward"]), spread(row["plain over compiled"])]
        lines.append([row["title"], *cells, f"{row['first_call_seconds']:.0f}", f"{row['error']:.1e}"])
    return table(["compiled step, forward", "torchdiffeq ÷ it", "odelab ÷ it", "first call s", "error"], lines)


def memory_table(rows: list[Results]) -> str:
    names = list(rows[0]["bytes"])
    lines = []
    for row in rows:
        share = row["bytes"]["checkpoint"] / row["bytes"]["backprop"]
        sizes = [f"{row['bytes'][name]:,}" for name in names]
        lines.append([row["title"], f"{row['rtol']:g}", str(row["accepted"]), *sizes, f"{share:.2%}"])
    return table(["bytes kept for backward", "rtol", "steps", *names, "checkpoint ÷ backprop"], lines)


def others_table(row: Results) -> str:
    lines = [[name, *_other_cells(cells)] for name, cells in row["rows"].items()]
    return table([f"{row['title']}, forward", "its CPU time ÷ odelab's", "ms", "error"], lines)


def _other_cells(cells: Results | None) -> list[str]:
    if cells is None:
        return ["not installed", "", ""]
    return [spread(cells), f"{cells['cpu_seconds'] * 1e3:.1f}", f"{cells['error']:.1e}"]


def everything(results: Results) -> str:
    """All tables of a run, those parts that it measured."""
    parts = []
    if results.get("problems"):
        parts.append(problem_tables(results["problems"]))
    if results.get("compiled"):
        parts.append(compiled_table(results["compiled"]))
    if results.get("memory"):
        parts.append(memory_table(results["memory"]))
    parts += [others_table(row) for row in results.get("others", [])]
    return "\n\n".join(parts)


START, END = "<!-- bench:start -->", "<!-- bench:end -->"


def page(results: Results) -> str:
    """What stands in docs/benchmarks.md between START and END: two Markdown tables and how they came about."""
    problems, compiled = results["problems"].values(), {row["title"]: row for row in results["compiled"]}
    rows = []
    for row in problems:
        cells = [_short(row["columns"][name]) for name in ("forward", "backprop", "checkpoint", "adjoint")]
        cells.insert(1, _short(compiled.get(row["title"], {}).get("forward", {})))
        errors = [_power(row["gradient_error"][name]) for name in ("checkpoint", "odeint_adjoint")]
        rows.append([row["title"], f"{_power(row['rtol'])}, {_power(row['atol'])}", *cells, *errors])
    heads = [
        "torchdiffeq's CPU time ÷ odelab's",
        "rtol, atol",
        "forward",
        "compiled",
        "backprop",
        "checkpoint",
        "adjoint",
        "gradient error of checkpoint",
        "of odeint_adjoint",
    ]
    names = dict.fromkeys(name for row in results["others"] for name in row["rows"] if name != "odelab")
    others = [[name, *(_short(row["rows"].get(name, {})) for row in results["others"])] for name in names]
    seconds = [f"{row['first_call_seconds']:.0f}" for row in compiled.values() if "first_call_seconds" in row]
    rounds = [row["columns"]["forward"]["rounds"] for row in problems]
    versions = results["versions"]
    paragraphs = [
        markdown(heads, rows),
        "dopri5 in both, in float32, with the same tolerances and, to a step or two, the same steps. Checkpoint and "
        "adjoint are compared with `odeint_adjoint`; the errors of gradients are relative to the same library's "
        f"backprop. The compiled step, forward, is timed after a first call of {' and '.join(seconds) or 'some'} s. "
        "The more f itself costs, the less a solver can gain.",
        markdown(["CPU time ÷ that of odelab's dopri5, forward", *(row["title"] for row in results["others"])], others),
        "Below 1 is faster than odelab's dopri5: SciPy works without tensors, and diffrax compiles the whole loop. "
        f"Medians of {min(rounds)} to {max(rounds)} interleaved rounds, CPU time of one thread of an {results['cpu']}; "
        f"torch {versions['torch']}, torchdiffeq {versions['torchdiffeq']}. "
        "`make bench` measures all this anew.",
    ]
    return "\n\n".join(paragraphs)


def _power(value: float) -> str:
    """1e-7, 2e-6."""
    return f"{value:.0e}".replace("e-0", "e-")


def _short(cells: Results | None) -> str:
    """0.0061, 0.34, 2.5, 11."""
    if not cells:
        return "not installed" if cells is None else "–"
    value = cells["ratio"]
    return f"{value:.2g}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def put_into(text: str, results: Results) -> str:
    """The page's text with these results between its markers; as it was, where it has none."""
    return put_between(text, START, END, page(results))


def put_between(text: str, start: str, end: str, content: str) -> str:
    """The text with this content between two markers; as it was, where it has none."""
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    return f"{before}{found}\n{content}\n{closed}{after}" if found and closed else text
