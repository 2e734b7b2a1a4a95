"""Planar flows, discrete and continuous: how far each is from its target, in nats."""

from odelab.experiments.planar.recipe import DATA, ENERGIES
from odelab.experiments.tables import Cell, Quick, Rows, Table, beside, number, summarise

NAMES = {"nf": "NF, K", "cnf": "CNF, M"}


def distance(name: str, target: str) -> Cell:
    cell = number(name, spec=".3f", count=True)
    return lambda runs: cell([row for row in runs if row.key["target"] == target])


def planar_table(quick: Quick = None, rows: Rows = None) -> Table:
    """By (width, flow); columns of `quick` alike."""
    cells = {target: distance("gap" if target in DATA else "kl", target) for target in (*ENERGIES, *DATA)}
    frame = summarise("planar", rows, ("width", "flow"), cells)
    frame = beside(frame.loc[sorted(frame.index, key=lambda setting: (setting[0], setting[1] != "nf"))], quick, ".3f")
    frame.index = frame.index.map(lambda setting: f"{NAMES[setting[1]]} = {setting[0]}").rename("model")
    return Table(
        frame,
        "KL(q‖p) to the energies and KL(p‖q) from data, in nats; the paper shows pictures and prints no number",
        "The true KL, log Z by a grid.",
    )


TABLES = {"planar": (planar_table,)}
