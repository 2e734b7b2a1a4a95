"""The API reference: every public name with its docstring, an example that runs, and where the course teaches it."""

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from docs.site.lessons import Lesson, slug

ROOMS = ("solvers", "nets", "flows", "latent", "datasets", "training", "lessons.kit")
EXAMPLES = Path(__file__).parent / "examples"
TAUGHT = Path(__file__).with_name("taught.toml")


def names(room: str) -> list[str]:
    """The public names of a room of the package."""
    return list(importlib.import_module(f"odelab.{room}").__all__)


def examples(room: str) -> dict[str, str]:
    """Public name -> an example for it, from the file of the room; one example may stand for several names."""
    file = EXAMPLES / f"{room.rpartition('.')[2]}.txt"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    parts = re.split(r"^# (.+)$", text, flags=re.MULTILINE)
    found = {}
    for heads, example in zip(parts[1::2], parts[2::2], strict=True):
        found.update(dict.fromkeys(heads.split(", "), example.strip()))
    return found


def own_example(room: str, name: str) -> bool:
    """Whether the docstring has one already."""
    thing = getattr(importlib.import_module(f"odelab.{room}"), name)
    return callable(thing) and ">>> " in (inspect.getdoc(thing) or "")


def taught(course: Sequence[Lesson]) -> dict[str, str]:
    """Name -> a sentence with links: the lessons whose code imports it, or else the section that ``taught.toml`` names.

    Raises:
        ValueError: when a lesson has no such section.
    """
    users: dict[str, list[str]] = {}
    for lesson in course:
        for name in sorted(set(imported(lesson))):
            users.setdefault(name, []).append(f"[{lesson.title}](../notebooks/{lesson.path.name})")
    said = {name: f"Taught in {', '.join(places)}." for name, places in users.items()}
    by_name = {lesson.name: lesson for lesson in course}
    for place, sections in tomllib.loads(TAUGHT.read_text(encoding="utf-8")).items():
        for section, names_there in sections.items():
            text = f"No lesson teaches it: {section}."
            if place != "none":
                lesson = by_name[place]
                if section not in dict(lesson.sections()):
                    raise ValueError(f"{TAUGHT.name}: {place} has no section {section!r}")
                link = f"../notebooks/{lesson.path.name}#{slug(section)}"
                text = f"Taught in [{lesson.title}, {section.replace(' · ', ': ')}]({link})."
            said.update(dict.fromkeys(set(names_there) - users.keys(), text))
    return said


def imported(lesson: Lesson) -> Iterator[str]:
    for cell in lesson.notebook["cells"]:
        if cell["cell_type"] == "code":
            python = re.sub(r"^\s*[%!].*$", "pass", "".join(cell["source"]), flags=re.MULTILINE)
            for node in ast.walk(ast.parse(python)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("odelab"):
                    yield from (alias.name for alias in node.names)


def rooms(course: Sequence[Lesson]) -> dict[str, str]:
    """One page a room, by its path, and a page that lists them."""
    said = taught(course)
    texts = {}
    lines = [
        "# API reference",
        "",
        "Every public name, with an example that a test runs; `torch` and the names of the page are imported in it.",
        "",
        "| room | what is in it |",
        "| --- | --- |",
    ]
    for room in ROOMS:
        module = importlib.import_module(f"odelab.{room}")
        page = room.replace(".", "_")
        summary = (inspect.getdoc(module) or "").splitlines()[0]
        lines.append(f"| [odelab.{room}]({page}.md) | {summary} |")
        texts[f"api/{page}.md"] = room_page(room, said)
    trees = ["", "```{toctree}", ":hidden:", "", *(room.replace(".", "_") for room in ROOMS), "```", ""]
    return {"api/index.md": "\n".join(lines + trees), **texts}


def room_page(room: str, said: dict[str, str]) -> str:
    module = importlib.import_module(f"odelab.{room}")
    given = examples(room)
    lines = [f"# odelab.{room}", "", inspect.getdoc(module) or ""]
    for name in names(room):
        thing = getattr(module, name)
        lines += ["", f"## {name}", ""]
        if callable(thing):
            options = ["   :members:"] if inspect.isclass(thing) else []
            kind = "autoclass" if inspect.isclass(thing) else "autofunction"
            lines += ["```{eval-rst}", f".. {kind}:: odelab.{room}.{name}", *options, "```"]
        elif not isinstance(thing, (dict, tuple)):
            lines.append(inspect.getdoc(thing) or "")
        else:
            lines.append(f"A {type(thing).__name__} of {len(thing)}: " + ", ".join(f"`{key}`" for key in thing) + ".")
        if name in given and not own_example(room, name):
            lines += ["", "```python", given[name], "```"]
        lines += ["", said.get(name, "No lesson teaches it.")]
    return "\n".join(lines) + "\n"
