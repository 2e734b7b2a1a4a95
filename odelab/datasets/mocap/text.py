"""The text of CMU's motion-capture files, line by line, and complaints that say where."""

from __future__ import annotations

import math
from pathlib import Path

Line = tuple[int, list[str]]  # its number, from 1, and its words


class Text:
    """A text file's lines that say something, without comments; raises FileNotFoundError when there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        rows = self.path.read_text(encoding="latin-1").splitlines()
        numbered = enumerate((row.split("#")[0].split() for row in rows), start=1)
        self.lines: list[Line] = [(n, words) for n, words in numbered if words]

    def complaint(self, n: int, what: str) -> ValueError:
        return ValueError(f"{self.path}, line {n}: {what}")

    def numbers(self, n: int, words: list[str], count: int) -> list[float]:
        """The words as that many finite numbers.

        Raises:
            ValueError: with the line, when they are not.
        """
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            raise self.complaint(n, f"expected {count} finite number{'s' * (count > 1)}, found {' '.join(words)!r}")
        return values
