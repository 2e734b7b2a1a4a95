"""Answers to exercises as test cases, right and wrong: each with the hint it must get, None where it is right."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from odelab.lessons.kit import check

Answers = Mapping[str, tuple[Callable[..., Any], str | None]]


def every_answer(exercises: Mapping[str, Answers]) -> pytest.MarkDecorator:
    """Parametrises a test with exercise, answer and hint over all answers to all exercises."""
    cases = [
        pytest.param(name, *case, id=f"{name}: {kind}")
        for name, answers in exercises.items()
        for kind, case in answers.items()
    ]
    return pytest.mark.parametrize(("exercise", "answer", "hint"), cases)


def judge(exercise: str, answer: Callable[..., Any], hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """The check accepts the answer if hint is None; else it says what matches hint. It prints what it says."""
    torch.manual_seed(0)
    verdict = getattr(check, exercise)(answer)
    assert bool(verdict) == (hint is None), verdict.message
    assert hint is None or re.search(hint, verdict.message), verdict.message
    assert capsys.readouterr().out.strip() == verdict.message
