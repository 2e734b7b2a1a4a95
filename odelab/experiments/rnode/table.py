"""The ablation of kinetic and Jacobian regularization: likelihoods, evaluations, costs of paths, and time."""

from odelab.experiments.results import Row
from odelab.experiments.rnode.recipe import TARGET
from odelab.experiments.tables import (
    NOTHING,
    Quick,
    Rows,
    Table,
    beside,
    number,
    over_seeds,
    seeds,
    summarise,
    with_paper,
)

PAPER = {"none": "0.97 bits/dim, 68.5 h", "both": "0.97 bits/dim, 24.4 h"}  # notes, Fig. 24.10


def to_target(runs: list[Row]) -> str:
    """Seconds until the true NLL was first below the target, and how many seeds came so far where not all did."""
    targets = [row.result["target"] for row in runs if "target" in row.result]
    reached = [target["cpu_seconds"] for target in targets if target["cpu_seconds"] is not None]
    some = f" ({len(reached)} of {len(targets)})" if len(reached) < len(targets) else ""
    return f"{over_seeds(reached, '.0f')}{some}" if reached else "never" if targets else NOTHING


CELLS = {
    "NLL, last": number("last_nll"),
    "by its own two steps, last": number("last_nll_own_solver"),
    "NFE, last": number("last_nfe", spec=".0f"),
    "NLL, best": number("nll"),
    "by its own two steps, best": number("nll_own_solver"),
    "NFE, best": number("nfe", spec=".0f"),
    "∫‖f‖²": number("kinetic"),
    "∫‖∇f‖²": number("jacobian", spec=".1f"),
    "length ÷ distance": number("straightness", spec=".3f"),
    "CPU s to the target": to_target,
    "seeds": seeds,
}


def rnode_table(quick: Quick = None, rows: Rows = None, data: str | None = None) -> Table:
    """By data and penalty; for one data set by penalty, with what the paper prints for MNIST."""
    frame = summarise("rnode", rows, ("data", "penalty"), CELLS)
    if data:
        frame = beside(with_paper(frame.loc[data], PAPER, "paper: MNIST"), quick).rename_axis("penalty")
    return Table(
        frame,
        f"{data or 'Two densities and the 8×8 digits'}: NLL in nats by dopri5, and by the flow's own two RK4 steps",
        "Every flow is trained by two RK4 steps, 8 evaluations, and judged by dopri5 at 1e-5; best: the iteration of "
        "least validation NLL, which is also where costs and straightness are measured; last: after 1,000. Targets in "
        f"nats: {', '.join(f'{target:g} for {name}' for name, target in TARGET.items())}. Expected were no worse an "
        "NLL and half the NFE with both penalties. In the plane it came out so at the last iteration, where flows "
        "without a Jacobian term exploit their two steps (their own NLL is far below the true one); at the best one, "
        "which comes early for those flows, NLL is better and NFE not. On digits nothing was exploited, and NFE is the "
        "same in all rows.",
    )


TABLES = {"rnode": (rnode_table,)}
