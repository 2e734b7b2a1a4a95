"""What is shown of all stored runs: docs/results.md with every table, and the README's small one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from pandas import DataFrame

from odelab.experiments.registry import EXPERIMENTS, experiment
from odelab.experiments.results import stored_rows
from odelab.experiments.tables import Table
from odelab.folders import FOLDERS

START, END = "<!-- results:start -->", "<!-- results:end -->"
HEAD = """# The papers' tables, run again

`python -m odelab results --write` writes this page from the rows in `data/results`. A number is the mean over seeds ±
their standard deviation; a dash: there is no such number. Ours and the papers' stand in columns of their own."""


def tables_of(name: str) -> tuple[Callable[..., Table], ...]:
    """What makes the tables of an experiment; nothing for those that have none yet."""
    module = EXPERIMENTS[name].replace(".recipe", ".table")
    return importlib.import_module(module).TABLES.get(name, ()) if importlib.util.find_spec(module) else ()


def page() -> str:
    """Every table, with how to read it and how to run it again."""
    parts = [HEAD]
    for name in filter(tables_of, EXPERIMENTS):
        parts.append(f"## {name}: {experiment(name).title}")
        for table in (make() for make in tables_of(name)):
            parts += filter(None, [f"**{table.caption}**", table.markdown(), table.note])
        minutes = sum(row.minutes for row in stored_rows(name))
        parts.append(f"`python -m odelab reproduce {name} --budget full --resume`, {minutes:.0f} minutes so far.")
    return "\n\n".join(parts) + "\n"


def headlines() -> Iterator[tuple[str, str, str, str]]:
    """Lesson, what is measured, what the paper has, what we have: one or two numbers for each experiment."""

    def frame(name: str, **which: str) -> DataFrame:
        return tables_of(name)[0](**which).frame

    errors, flows = frame("mnist"), frame("planar")
    for body in ("ODE-Net", "ResNet, six blocks"):
        yield "04", f"test error on MNIST, %: {body}", errors["paper"][body], errors["features of 3×3"][body]
    for model in ("CNF, M = 32", "NF, K = 32"):
        yield "05", f"KL to the density of U1, nats: {model}", "pictures", flows["U1"][model]
    bits = frame("ffjord-digits")
    yield "06", "FFJORD, bits per pixel", "0.99 on MNIST", f"{bits['bits per dimension']['FFJORD']} on 8×8 digits"
    nfe = frame("rnode", data="checkerboard")
    for penalty, words in (("none", "without penalties"), ("both", "with both")):
        paper = nfe["paper: MNIST"][penalty].split(", ")[1]
        yield "07", f"what a flow costs, {words}", f"{paper} on MNIST", f"NFE {nfe['NFE, last'][penalty]}, checkerboard"
    spirals = frame("latent-spirals")["beyond"]
    for model in ("latent ODE, ODE-RNN encoder", "RNN"):
        yield "08", f"spirals, 30 of 100 points, RMSE beyond: {model}", "a trend", spirals[30, model]
    walks = frame("mocap2")
    for model in ("ODE²VAE", "ODE²VAE-KL"):
        yield (
            "09",
            f"walks of subject 35, squared error: {model}",
            walks["paper: Mocap-2"][model],
            walks["mean of 50 draws"][model],
        )
    digits = frame("rotating-mnist").loc["non-uniform"].loc["ODE²VAE"]
    yield (
        "10",
        "rotating 3s, squared error on missing frames: ODE²VAE",
        f"{digits['paper: 28 × 28, training digits']} at 28 × 28",
        f"{digits['14 × 14, training digits, as the reference tests']} at 14 × 14",
    )


def small_table(root: Path) -> str:
    """The README's table; its first column links to the lessons."""
    lines = []
    for lesson, *cells in headlines():
        (notebook,) = (root / "notebooks").glob(f"{lesson}_*.ipynb")
        lines.append([f"[{lesson}](notebooks/{notebook.name})", *cells])
    frame = DataFrame(lines, columns=["lesson", "what was measured", "the paper", "odelab"])
    return Table(frame.set_index(["lesson", "what was measured"])).markdown()


def between_markers(text: str, start: str, end: str, content: str) -> str:
    """The text with other content between its markers.

    Raises:
        ValueError: when it lacks one of them.
    """
    before, opening, rest = text.partition(start)
    _, closing, after = rest.partition(end)
    if not (opening and closing):
        raise ValueError(f"there is no {start} … {end} to write between")
    return f"{before}{start}\n{content}\n{end}{after}"


def write(root: Path = FOLDERS[1].parent) -> None:
    """Write docs/results.md and the README's table of a checkout.

    Raises:
        FileNotFoundError: where there is no README, as beside an installed package.
        ValueError: when the README has no markers.
    """
    readme = root / "README.md"
    readme.write_text(between_markers(readme.read_text("utf-8"), START, END, small_table(root)), encoding="utf-8")
    (root / "docs" / "results.md").write_text(page(), encoding="utf-8")
