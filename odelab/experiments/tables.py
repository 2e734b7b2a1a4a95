"""Tables of stored runs as pandas DataFrames of text, which a notebook, docs/results.md and the terminal all show.

    frame = summarise("rnode", rows, ("data", "penalty"), {"NLL": number("nll"), "seeds": seeds})
    Table(beside(with_paper(frame, PAPER), {"quick: this notebook": {"none": 2.31}}), "NLL in nats")

Ours, the papers' and what a notebook has just measured stand in columns of their own.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from odelab.experiments.registry import experiment
from odelab.experiments.results import Row, by_key, stored_rows
from odelab.extras import extra

with extra("train"):
    import pandas as pd
    from pandas import DataFrame, Series

MISSING = "not run yet"  # a run that can be made
NOTHING = "–"  # there is no such number
Rows = Sequence[Row] | None  # None: the stored ones
Quick = Mapping[str, Mapping[Any, Any]] | None  # title of a column -> name of a row -> number or text
Cell = Callable[[list[Row]], str]


@dataclass(frozen=True)
class Table:
    """A frame of text, whose index holds the names of the rows; what it lacks is shown as a dash.

    Attributes:
        caption: what the numbers are; above the table.
        note: how to read them; below it, in a notebook folded.
    """

    frame: DataFrame
    caption: str = ""
    note: str = ""

    @property
    def flat(self) -> DataFrame:
        """The frame with the names of the rows in columns of their own."""
        return self.frame.fillna(NOTHING).reset_index(names=[name or "" for name in self.frame.index.names])

    def markdown(self) -> str:
        """The table alone, in Markdown; names are text, the other columns are numbers."""
        lines, names = [[*self.flat], *self.flat.astype(str).to_numpy().tolist()], self.frame.index.nlevels
        lines.insert(1, ["---"] * names + ["--:"] * (len(lines[0]) - names))
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def _repr_html_(self) -> str:
        """On a narrow screen cells wrap, and what is still too wide scrolls by itself."""
        with pd.option_context("display.max_colwidth", None):
            page = self.flat.to_html(index=False, border=0).replace(" ± ", "\xa0±\xa0").replace(" = ", "\xa0=\xa0")
        page = re.sub("<(th|td)>", r'<\1 style="text-align:left; vertical-align:top; white-space:normal">', page)
        caption = f'<caption style="text-align:left">{html.escape(self.caption)}</caption>' if self.caption else ""
        page = f'<div style="overflow-x: auto">{page.replace(">", f">{caption}", 1)}</div>'
        if not self.note:
            return page
        note = re.sub("`(.+?)`", r"<code>\1</code>", html.escape(self.note))
        return f"{page}<details><summary>How to read this table</summary>{note}</details>"

    def __repr__(self) -> str:
        text = self.flat.to_string(index=False, justify="left")
        return "\n".join(filter(None, [self.caption, text, self.note]))


def over_seeds(values: Sequence[float], spec: str = ".2f", *, count: bool = False) -> str:
    """Mean ± sample standard deviation, if asked with the number of seeds; a dash where there are no values."""
    if not values:
        return NOTHING
    spread = f" ± {stdev(values):{spec}}" if len(values) > 1 else ""
    seeds = f" ({len(values)} seed{'s' * (len(values) > 1)})" if count else ""
    return f"{fmean(values):{spec}}{spread}{seeds}"


def number(*path: str, spec: str = ".2f", count: bool = False) -> Cell:
    """The cell for a number that stands at this path in each run's results; runs that lack it do not count."""

    def cell(runs: list[Row]) -> str:
        values: list[Any] = [row.result for row in runs]
        for name in path:
            values = [value[name] for value in values if isinstance(value, dict) and value.get(name) is not None]
        return over_seeds(values, spec, count=count)

    return cell


def first(name: str, spec: str) -> Cell:
    """The cell for a number that is the same in all runs."""
    return lambda runs: f"{runs[0].result[name]:{spec}}"


def seeds(runs: list[Row]) -> str:
    return str(len({row.seed for row in runs}))


def summarise(name: str, rows: Rows, by: Sequence[str], columns: Mapping[str, Cell]) -> DataFrame:
    """A line for every setting of an experiment, in the order of its keys, also for those without a run.

    Args:
        by: the entries of the key that make a setting; others are averaged over.
        columns: title -> cell.
    """
    groups = by_key(stored_rows(name) if rows is None else rows, *by)
    asked = [tuple(key[part] for part in by) for key in experiment(name).keys("full")]
    settings = dict.fromkeys([*(asked if len(by) > 1 else (setting for (setting,) in asked)), *groups])
    lines = [[cell(groups[s]) if s in groups else MISSING for cell in columns.values()] for s in settings]
    index = pd.MultiIndex.from_tuples(settings) if len(by) > 1 else pd.Index([*settings])
    return DataFrame(lines, index.set_names(list(by)), columns=list(columns))


def only_run(frame: DataFrame) -> tuple[DataFrame, list[Any]]:
    """A frame of :func:`summarise` without the settings that nobody has run, and the names of these."""
    lacking = (frame == MISSING).all(axis=1)
    return frame[~lacking], [*frame.index[lacking]]


def baselines(
    name: str, rows: Rows, models: Iterable[str], result: Callable[[Row, str], dict[str, Any]]
) -> Sequence[Row]:
    """The rows, and what they say of guesses without a model, once for every setting and seed, as rows like them.

    Args:
        result: (row, guess) -> what a row of a model would hold.
    """
    rows = stored_rows(name) if rows is None else rows
    each = {(row.seed, *(value for name, value in row.key.items() if name != "model")): row for row in rows}.values()
    return [*rows, *(replace(r, key=r.key | {"model": m}, result=result(r, m)) for r in each for m in models)]


def with_paper(frame: DataFrame, numbers: Mapping[Any, str], title: str = "paper") -> DataFrame:
    """The frame with a last column of what a paper prints, and rows for what only the paper has."""
    frame = frame.reindex(frame.index.union(list(numbers), sort=False))
    return frame.assign(**{title: Series(dict(numbers)).reindex(frame.index)})


def beside(frame: DataFrame, quick: Quick, spec: str = ".2f") -> DataFrame:
    """The frame with what a notebook has measured in columns before ours, which are then marked as full runs.

    Raises:
        ValueError: for a name that no row has.
    """
    if quick is None:
        return frame
    full = frame.rename(columns=lambda title: title if title.startswith("paper") else f"full: {title}")
    for place, (title, values) in enumerate(quick.items()):
        if unknown := [name for name in values if name not in full.index]:
            raise ValueError(f"the table has no rows {unknown}; it has {list(full.index)}")
        cells = {name: value if isinstance(value, str) else f"{value:{spec}}" for name, value in values.items()}
        full.insert(place, title, [cells.get(name, NOTHING) for name in full.index])
    return full
