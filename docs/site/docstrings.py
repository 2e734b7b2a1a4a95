"""Docstrings are written to be read in an editor; here they become the reStructuredText that Sphinx expects."""

import re
from typing import Any

SECTION = re.compile(r"^[A-Z]\w+:$")
CODE = re.compile(r"(``.+?``|`[^`]+`)")


def escape(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Stars and bars are those of mathematics, y* and |q|; an indented block that follows a sentence is code."""
    example, above, out = False, "", []
    for line in lines:
        indented = line.startswith("    ")
        if line.strip() and not indented:
            example = False
        if (
            indented
            and not example
            and above
            and not above.startswith(" ")
            and not SECTION.match(above)
            and not out[-1]
        ):
            example = True
            out += ["::", ""]
        if line.lstrip().startswith((">>> ", "... ")) or example:
            out.append(line)
        else:
            parts = CODE.split(line)
            parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
            out.append("".join(parts))
        above = line if line.strip() else above
    lines[:] = out


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon, at 500
