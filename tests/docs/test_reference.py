"""The examples of the API reference: each public name has one, and it prints what it says."""

import doctest
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from docs.site import api
from docs.site.lessons import lessons
from odelab.lessons.kit.claims import record
from tests.complaints import no_complaints
from tests.notebooks.reader import NOTEBOOKS


@no_complaints
def test_every_public_name_has_an_example() -> Iterator[str]:
    """In its docstring, or in the file of its room under docs/site/examples."""
    for room in api.ROOMS:
        given = api.examples(room)
        for name in api.names(room):
            if name not in given and not api.own_example(room, name):
                yield f"odelab.{room}.{name}"
        yield from (f"{name}, which is none of odelab.{room}" for name in given.keys() - set(api.names(room)))


@no_complaints
def test_every_public_name_says_where_it_is_taught() -> Iterator[str]:
    """By a lesson that imports it, or by a line of ``taught.toml``, which names nothing else."""
    said = api.taught(lessons(NOTEBOOKS))
    public = {name for room in api.ROOMS for name in api.names(room)}
    yield from (f"{name}: in no lesson, and not in taught.toml" for name in public - said.keys())
    listed = [
        name for part in tomllib.loads(api.TAUGHT.read_text()).values() for names in part.values() for name in names
    ]
    yield from (f"{name}: in taught.toml, and no public name" for name in set(listed) - public)
    yield from (f"{name}: twice in taught.toml" for name in set(listed) if listed.count(name) > 1)


@pytest.mark.parametrize("room", api.ROOMS)
def test_examples_print_what_they_say(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"odelab.{room}")
    names = {name: getattr(module, name) for name in api.names(room)}
    written: list[str] = []
    for text in dict.fromkeys(api.examples(room).values()):
        test = doctest.DocTestParser().get_doctest(text, {"torch": torch, **names}, room, None, 0)
        assert test.examples, text
        doctest.DocTestRunner(verbose=False).run(test, out=written.append)
    record.reset()
    assert written == [], "".join(written)
