"""The one table of the course: text in columns, as HTML in a notebook and as plain text elsewhere.

    SideBySide(("model", "quick: just now", "full: ours, stored", "paper"), rows, "Test error, %")

keeps what a lesson measured, what long runs stored and what a paper prints in columns of their own.
"""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence

MISSING = "not run yet"
NOT_THERE = "–"


class SideBySide:
    """A table of text; on a narrow screen its cells wrap, and what is still too wide scrolls by itself.

    Args:
        header: titles of the columns; empty for a table without a header.
        rows: cells of text, as many in each row as there are titles. Numbers come formatted.
        caption: a line above the table.

    Raises:
        ValueError: when a row has another number of cells than the header, or than the other rows.
    """

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
        self.header, self.rows, self.caption = tuple(header), [tuple(row) for row in rows], caption
        widths = {len(row) for row in (self.header, *self.rows) if row}
        if len(widths) > 1:
            raise ValueError(f"header and rows have {sorted(widths)} cells: give every row a cell for each column")

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Mapping[str, str]], names: Mapping[str, str], caption: str = ""
    ) -> SideBySide:
        """Columns (title -> key -> text), a row for each of ``names`` (key -> name); what a column lacks is a dash."""
        rows = [(name, *(column.get(key, NOT_THERE) for column in columns.values())) for key, name in names.items()]
        return cls(("", *columns), rows, caption)

    def _repr_html_(self) -> str:
        def line(row: Sequence[str], tag: str) -> str:
            opening = f'<{tag} style="text-align:left; vertical-align:top; white-space:normal">'
            return f"<tr>{''.join(f'{opening}{html.escape(text)}</{tag}>' for text in row)}</tr>"

        caption = f'<caption style="text-align:left">{html.escape(self.caption)}</caption>' if self.caption else ""
        head = f"<thead>{line(self.header, 'th')}</thead>" if self.header else ""
        body = "".join(line(row, "td") for row in self.rows)
        return f'<div style="overflow-x: auto"><table>{caption}{head}<tbody>{body}</tbody></table></div>'

    def __repr__(self) -> str:
        rows = [row for row in (self.header, *self.rows) if row]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows)
        return "\n".join([*filter(None, [self.caption]), *lines])


def over_seeds(values: Sequence[float], digits: int = 3, unit: str = "") -> str:
    """Mean of a number over seeds, its sample standard deviation where there are several, and how many they are."""
    if not len(values):
        return MISSING
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    seeds = f"({len(values)} seed{'s' * (len(values) > 1)})"
    return f"{statistics.fmean(values):.{digits}f}{spread}{unit} {seeds}"
