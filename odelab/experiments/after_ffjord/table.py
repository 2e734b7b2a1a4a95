"""Flows trained without a solve: samples by few steps, images by solver, and densities of torsion angles."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from odelab.experiments.after_ffjord.recipe import DATA, EULER_STEPS, GUIDANCE, SOLVERS, TRAININGS
from odelab.experiments.ffjord_toy.recipe import LESSON_06
from odelab.experiments.results import Row, stored_rows
from odelab.experiments.tables import (
    MISSING,
    Cell,
    Quick,
    Rows,
    Table,
    beside,
    number,
    over_seeds,
    seeds,
    summarise,
)
from odelab.extras import extra

with extra("train"):
    import pandas as pd


def distance(steps: str) -> Cell:
    """The cell for the energy distance, in thousandths, by so many Euler steps."""

    def cell(runs: list[Row]) -> str:
        values = [row.result["distances"][steps] for row in runs if "distances" in row.result]
        return over_seeds([1000 * value for value in values], ".1f")

    return cell


def reflow_table(quick: Quick = None, rows: Rows = None, data: str | None = None) -> Table:
    """By data and training, FFJORD's likelihood beside; for one density by training."""
    rows = [*stored_rows("reflow")] if rows is None else [*rows]
    likelihood = [
        replace(row, key={"data": row.key["density"], "training": LESSON_06})
        for row in stored_rows("ffjord-toy")
        if row.key["density"] in DATA
    ]
    cells: dict[str, Cell] = {
        "gap to the truth": number("gap", spec=".3f"),
        "NFE": number("nfe", spec=".0f"),
        "length ÷ distance": number("straightness", spec=".3f"),
        **{f"{steps} step{'s' * (steps > 1)}": distance(str(steps)) for steps in EULER_STEPS},
        "dopri5": distance("dopri5"),
        "CPU s": number("cpu_seconds", spec=".0f"),
        "seeds": seeds,
    }
    frame = summarise("reflow", [*rows, *likelihood], ("data", "training"), cells)
    wanted = [(name, training) for name in DATA for training in (*TRAININGS, LESSON_06)]
    frame = frame.reindex(pd.MultiIndex.from_tuples(wanted, names=["data", "training"])).fillna(MISSING)
    if data:
        frame = beside(frame.loc[data], quick)
    floors = [1000 * row.result["distance_of_data"] for row in rows if not data or row.key["data"] == data]
    floor = f"; of fresh data from fresh data: {over_seeds(floors, '.1f')}" if floors else ""
    return Table(
        frame,
        f"{data or 'Two densities in the plane'}: one field, five trainings, "
        "no solve in the loss, samples by Euler steps",
        "Columns of steps: energy distance of 5,000 samples from 5,000 fresh points, in thousandths"
        f"{floor}. The gap is the mean of log p − log p_θ in nats, by dopri5 at 1e-5, on the same points; NFE and "
        "lengths as in lesson 07's table (`rnode`). 2,000 iterations of 128 pairs for each flow; a reflow needs the "
        "flow before it, whose seconds are counted, too. It shows what straight paths are worth in the plane; it does "
        "not show that a second reflow pays, nor anything of images.",
    )


def solver_name(method: str, setting: float) -> str:
    """dopri5, rtol 0.001, or heun2, 4 steps."""
    return f"dopri5, {setting:g}" if method == "dopri5" else f"{method}, {setting:g} step{'s' * (setting > 1)}"


def digits_table(rows: Rows = None) -> Table:
    """By solver and its steps or tolerance, guided with w = 2; two rows for what needs no flow."""
    rows = stored_rows("guided-digits") if rows is None else rows
    lines: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        for method, entries in row.result["solvers"].items():
            for entry in entries:
                lines.setdefault(solver_name(method, entry["setting"]), []).append(entry)
        for name, entry in row.result["without"].items():
            lines.setdefault(name, []).append(entry)
    asked = [solver_name(method, setting) for method, settings in SOLVERS.items() for setting in settings]
    columns = {
        "NFE": ("nfe", ".0f"),
        "error of a pixel": ("error", ".4f"),
        "energy distance": ("distance", ".3f"),
        "agreement": ("agreement", ".3f"),
        "nearest": ("nearest", ".2f"),
        "CPU s": ("cpu_seconds", ".2f"),
    }
    frame = pd.DataFrame(
        [
            [over_seeds([entry[key] for entry in lines[name] if key in entry], spec) for key, spec in columns.values()]
            if name in lines
            else [MISSING] * len(columns)
            for name in (*asked, "test images", "a Gaussian for each digit")
        ],
        index=pd.Index([*asked, "test images", "a Gaussian for each digit"], name="images"),
        columns=list(columns),
    )
    count = len({row.seed for row in rows})
    return Table(
        frame,
        "Guided digits of 14 × 14 pixels (w = 2): what evaluations buy, solver by solver",
        f"500 images from the same noise; {count} seeds. Error: root mean square distance of a pixel (range −1 to 1) "
        "from dopri5 at 1e-6. Energy distance to 500 test images; agreement: share whose nearest training image (of "
        "20,000) shows the digit asked for; nearest: mean distance to it. It shows errors of solvers on one small "
        "field; it does not show that images are good: the Gaussian has a small energy distance and broken strokes.",
    )


def solver_curves(
    rows: Sequence[Row],
) -> tuple[dict[str, tuple[list[float], list[float], list[float]]], float]:
    """Method -> evaluations, error of a pixel and energy distance, means over seeds; and that of test images."""
    curves = {}
    for method, settings in SOLVERS.items() if rows else ():
        every = [[row.result["solvers"][method][k] for row in rows] for k in range(len(settings))]
        nfe, error, distance = (
            [fmean(entry[name] for entry in entries) for entries in every] for name in ("nfe", "error", "distance")
        )
        curves[method] = (nfe, error, distance)
    floors = [row.result["without"]["test images"]["distance"] for row in rows]
    return curves, fmean(floors) if floors else 0.0


def solver_outcome(rows: Sequence[Row], evaluations: int = 16) -> str:
    """What the rows say of solvers at equal evaluations, in a sentence."""
    curves, _ = solver_curves(rows)
    if not curves:
        return "No digits have been drawn yet."
    errors = [
        f"{method} {error[nfe.index(evaluations)]:.4f}"
        for method, (nfe, error, _) in curves.items()
        if evaluations in nfe
    ]
    nfe, error, _ = curves["dopri5"]
    adaptive = ", ".join(f"{e:.4f} with {n:g}" for n, e in zip(nfe, error, strict=True))
    return (
        f"Error of a pixel with {evaluations} evaluations: {', '.join(errors)}; dopri5: {adaptive} ({len(rows)} runs)."
    )


def guidance_table(rows: Rows = None) -> Table:
    """By the weight of the guidance, by dopri5 at 1e-4."""
    rows = stored_rows("guided-digits") if rows is None else rows

    def of(weight: float, name: str, spec: str) -> str:
        return over_seeds([row.result["guidance"][f"{weight:g}"][name] for row in rows], spec) if rows else MISSING

    columns = {"agreement": ".3f", "spread": ".3f", "distance": ".3f", "nearest": ".2f"}
    frame = pd.DataFrame(
        [[of(weight, name, spec) for name, spec in columns.items()] for weight in GUIDANCE],
        index=pd.Index([f"w = {weight:g}" for weight in GUIDANCE], name="guidance"),
        columns=["agreement", "variety", "energy distance", "nearest"],
    )
    return Table(
        frame,
        "Guided digits of 14 × 14 pixels: what the weight changes",
        "Variety: mean distance of two images of one digit over that of two test images; the other columns as above.",
    )


def torsions_table(rows: Rows = None, molecule: str | None = None) -> Table:
    """By molecule and model."""
    cells: dict[str, Cell] = {
        "total variation": number("tv", spec=".3f"),
        "KL(p‖q), nats": number("kl", spec=".4f"),
        "mass": number("mass", spec=".3f"),
        "NFE": number("nfe_sampling", spec=".0f"),
        "CPU s": number("cpu_seconds", spec=".0f"),
        "seeds": seeds,
    }
    frame = summarise("torsions", rows, ("molecule", "model"), cells)
    return Table(
        frame.loc[molecule] if molecule else frame,
        f"Torsion angles of {molecule or 'model molecules'}: densities learned from 5,000 conformers",
        "Against the true density on a grid of 60 × 60 cells of the torus. Flows: 3,000 iterations of 256 "
        "pairs, densities by dopri5 at 1e-5; the plane flow takes angles for numbers, and its density is folded back "
        "onto the torus. Kernels are von Mises, their width chosen on a fifth of the conformers; the histogram has "
        "30 × 30 bins. The molecule is a model energy in closed form, no simulation. It shows that a flow learns a "
        "density on a torus; it does not show that one is needed for two angles.",
    )


def outcome(rows: Sequence[Row], data: str = "pinwheel") -> str:
    """What the rows say of reflow, in a sentence."""
    by = {
        name: [row for row in rows if row.key == {"data": data, "training": name}] for name in ("independent", "reflow")
    }
    if not all(by.values()):
        return f"No reflow of {data} has been run beside the flow before it yet."
    before, after = (fmean(row.result["distances"]["1"] for row in by[name]) for name in by)
    exact = fmean(row.result["distances"]["dopri5"] for row in by["independent"])
    return (
        f"On {data} ({len(by['reflow'])} seeds) one Euler step after reflow is {after:.4f} from the data in energy "
        f"distance, before it {before:.2f}; the first flow solved by dopri5: {exact:.4f}."
    )


TABLES = {
    "reflow": (reflow_table,),
    "guided-digits": (digits_table, guidance_table),
    "torsions": (torsions_table,),
}
