"""What is shown of all stored runs: docs/results.md with every table, and the README's small one."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from odelab.experiments.registry import EXPERIMENTS, experiment
from odelab.experiments.results import result_file, stored_rows
from odelab.experiments.tables import Table
from odelab.extras import extra
from odelab.folders import FOLDERS

with extra("train"):
    from pandas import DataFrame

START, END = "<!-- results:start -->", "<!-- results:end -->"
HEAD = """# The papers' tables, run again

`python -m odelab results --write` writes this page from the rows in `data/results`. A number is the mean over seeds ±
their standard deviation; a dash: there is no such number. Ours and the papers' stand in columns of their own.

`python -m odelab list` names what can be run again, with its time. `python -m odelab reproduce NAME` runs a
lecture-sized version into `build/results`, `--budget full` the whole into `data/results`, one row a run. `--resume`
goes on where an interrupted run stopped, and ends with the weights of one that was not. `--workers 4` does four runs at
once, `--scheduler ADDRESS` as many as a dask cluster has workers; `--device cuda`, or torchrun, puts a run on GPUs."""
IMAGES = "images only"
SPIRALS = "paper: RMSE, on spirals of its own"
WALKS, CHOSEN = "paper: Mocap-2", "iterate of least validation error"
TURNING = ("the reference's 360, all upright", "non-uniform", "ODE²VAE")
PAPER_DIGITS, OUR_DIGITS = "paper: 28 × 28, training digits", "digits trained on"
LINES: tuple[tuple[str, str, str, Any, str, str], ...] = (
    # lesson, what was measured, experiment, row, the paper's column or a word for what it has, our column
    ("04", "test error on MNIST, %: ODE-Net", "mnist", "ODE-Net", "paper", "features of 3×3"),
    ("04", "test error on MNIST, %: ResNet", "mnist", "ResNet, six blocks", "paper", "features of 3×3"),
    ("05", "KL to the density of U1, nats: CNF, M = 32", "planar", "CNF, M = 32", "a plot (Fig. 4d)", "U1"),
    ("05", "KL to the density of U1, nats: NF, K = 32", "planar", "NF, K = 32", "a plot (Fig. 4d)", "U1"),
    ("06", "bits per pixel, 8×8 digits: FFJORD", "ffjord-digits", "FFJORD", "MNIST only", "bits per dimension"),
    ("07", "NFE on swissroll: no penalty", "rnode", ("swissroll", "none"), "MNIST only", "NFE"),
    ("07", "NFE on swissroll: both penalties", "rnode", ("swissroll", "both"), "MNIST only", "NFE"),
    ("07", "NFE on 8gaussians: no penalty", "rnode", ("8gaussians", "none"), "MNIST only", "NFE"),
    ("07", "NFE on 8gaussians: both penalties", "rnode", ("8gaussians", "both"), "MNIST only", "NFE"),
    ("08", "RMSE beyond 30 of 100 points of a spiral: RNN", "latent-spirals", (30, "RNN"), SPIRALS, "beyond"),
    ("08", "the same: latent ODE", "latent-spirals", (30, "latent ODE"), SPIRALS, "beyond"),
    ("09", "squared error on test walks: ODE²VAE, last iterate", "mocap2", "ODE²VAE", WALKS, "mean of 50 draws"),
    ("09", "the same, iterate chosen by validation", "mocap2", "ODE²VAE", WALKS, CHOSEN),
    ("09", "ODE²VAE-KL, last iterate", "mocap2", "ODE²VAE-KL", WALKS, "mean of 50 draws"),
    ("09", "the same, iterate chosen by validation", "mocap2", "ODE²VAE-KL", WALKS, CHOSEN),
    (
        "10",
        "squared error on missing 3s, 28 × 28, one seed: ODE²VAE",
        "rotating-mnist-28",
        TURNING,
        PAPER_DIGITS,
        OUR_DIGITS,
    ),
    (
        "10",
        "the same, divided by the error of the mean frame",
        "rotating-mnist-28",
        TURNING,
        "not given",
        f"{OUR_DIGITS} ÷ mean frame",
    ),
    ("13", "pinwheel in one Euler step: distance × 1000", "reflow", ("pinwheel", "independent"), IMAGES, "1 step"),
    ("13", "the same after reflow", "reflow", ("pinwheel", "reflow"), IMAGES, "1 step"),
)


def tables_of(name: str) -> tuple[Callable[..., Table], ...]:
    """What makes the tables of an experiment; nothing for those that have none yet."""
    module = EXPERIMENTS[name].replace(".recipe", ".table")
    return importlib.import_module(module).TABLES.get(name, ()) if importlib.util.find_spec(module) else ()


def made(name: str, count: int | None = None) -> list[Table]:
    """The tables of an experiment, or the first so many.

    Raises:
        ValueError: where a stored row lacks what they show.
    """
    try:
        return [make() for make in tables_of(name)[:count]]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{result_file(name)} has a row that lacks what the tables of {name} show ({why})") from error


def page() -> str:
    """Every table of which a row is stored, with how to read it and how to run it again."""
    parts = [HEAD]
    for name in (name for name in EXPERIMENTS if tables_of(name) and stored_rows(name)):
        parts.append(f"## {name}: {experiment(name).title}")
        for table in made(name):
            parts += filter(None, [f"**{table.caption}**", table.markdown(), table.note])
        minutes = sum(row.minutes for row in stored_rows(name))
        parts.append(f"`python -m odelab reproduce {name} --budget full --resume`, {minutes:.0f} minutes so far.")
    return "\n\n".join(parts) + "\n"


def small_table(root: Path) -> str:
    """The README's table; its first column links to the lessons."""
    lines = []
    for lesson, what, name, row, theirs, ours in LINES:
        cells = made(name, 1)[0].frame.loc[row]
        (notebook,) = (root / "notebooks").glob(f"{lesson}_*.ipynb")
        lines.append([f"[{lesson}](notebooks/{notebook.name})", what, cells.get(theirs, theirs), cells[ours]])
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
        raise ValueError(
            f"the file lacks {start} or, after it, {end}, between which the table is written; put them back"
        )
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
