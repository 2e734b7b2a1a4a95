"""FFJORD in the plane: NLL, the gap to the truth and what a solve costs, beside a discrete flow."""

from odelab.experiments.ffjord_toy.recipe import RECIPES
from odelab.experiments.results import Row
from odelab.experiments.tables import Quick, Rows, Table, beside, first, number, seeds, summarise


def iterations(runs: list[Row]) -> str:
    """Older rows do not say theirs, which were the usual ones."""
    counts = {row.result.get("iterations", RECIPES["full"].iterations) for row in runs}
    return " or ".join(f"{count:,}" for count in sorted(counts))


CELLS = {
    "NLL": number("nll", spec=".3f"),
    "NLL of the truth": first("truth", ".3f"),
    "gap to the truth": number("gap", spec=".3f"),
    "NFE": number("nfe", spec=".0f"),
    "iterations": iterations,
    "CPU s": number("cpu_seconds", spec=".0f"),
    "seeds": seeds,
}
COUPLING_CELLS = {
    "couplings: gap": number("gap", spec=".3f"),
    "couplings: CPU s": number("cpu_seconds", spec=".0f"),
    "couplings: seeds": seeds,
}


def toy_table(quick: Quick = None, rows: Rows = None, coupling: Rows = None) -> Table:
    """By density; `coupling` are the rows of "coupling-toy"."""
    ours = summarise("ffjord-toy", rows, ("density",), CELLS)
    discrete = summarise("coupling-toy", coupling, ("density",), COUPLING_CELLS)
    return Table(
        beside(ours.join(discrete), quick, ".3f"),
        "FFJORD in the plane: NLL in nats; the paper shows pictures, no numbers",
        "On 20,000 fresh points, by dopri5 at 1e-5 with the exact trace; the gap is the mean of log p − log p_θ on the "
        "same points, an estimate of KL(p‖p_θ). Couplings: a discrete flow, eight affine couplings (Real NVP) with as "
        "many parameters (9,154 against 9,224) and 5,000 iterations of the same loss.",
    )


def coupling_table(rows: Rows = None) -> Table:
    """The discrete flow alone, by density."""
    return Table(
        summarise("coupling-toy", rows, ("density",), {name: CELLS[name] for name in CELLS if name != "NFE"}),
        "Eight affine couplings (Real NVP) in the plane: NLL in nats",
        "On 20,000 fresh points; as many parameters as FFJORD's field (9,154 against 9,224).",
    )


TABLES = {"ffjord-toy": (toy_table,), "coupling-toy": (coupling_table,)}
