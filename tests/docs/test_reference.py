"""The examples of the API reference: each public name has one, and it prints what it says."""

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from docs.site import api
from odelab.lessons.kit.claims import record
from tests.complaints import no_complaints


@no_complaints
def test_every_public_name_has_an_example() -> Iterator[str]:
    """In its docstring, or in the file of its room under docs/site/examples."""
    for room in api.ROOMS:
        given = api.examples(room)
        for name in api.names(room):
            if name not in given and not api.own_example(room, name):
                yield f"odelab.{room}.{name}"
        yield from (f"{name}, which is none of odelab.{room}" for name in given.keys() - set(api.names(room)))


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
