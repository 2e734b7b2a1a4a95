"""Exercises: a reader's answer goes in, a tick or a fitting hint comes out, never the solution.

A check is a function of the answer that raises :class:`Hint` when the answer is wrong:

    @exercise
    def euler_step(answer):
        step = answer(lambda t, y: -y, 0.0, torch.ones(1), 0.1)
        if step > 1:
            raise Hint("the state grew although f is negative: look at the sign before h")

and the lesson calls ``check.euler_step(euler_step)``. Checks live in ``odelab/lessons/<topic>/checks.py``.

An exercise may stay open: :func:`stand_in` gives later cells an answer to go on with.
"""

import base64
import dis
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import traceback
import types
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Self

from odelab.choices import suggestion

CheckFunction = Callable[..., None]
CALL = re.compile(r"\bcheck\.(\w+)\(")  # an exercise named in a cell
# What Python or PyTorch says -> what a beginner can do about it.
ADVICE = {
    "for ^:": "Python writes a power as **",
    "mean(): could not infer output dtype": "turn true and false into numbers first: .float()",
    "only one element tensors can be converted": "math works on single numbers, torch on tensors",
}
EMPTY_BODY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}


class Hint(Exception):
    """Raised by a check: what is wrong with *this* answer and where to look next."""


class NotAttempted(Exception):
    """The answer still holds the ``...`` of the stub."""


class Verdict(int):
    """Outcome of a check: true when right. ``message`` is what was printed; displaying it shows nothing more."""

    message: str

    def __new__(cls, passed: bool, message: str) -> Self:
        verdict = super().__new__(cls, passed)
        verdict.message = message
        return verdict

    def _ipython_display_(self) -> None:
        """The line is printed already."""


class Check:
    """The namespace of all exercises: ``check.euler_step(answer)``."""

    def __init__(self) -> None:
        self._checks: dict[str, CheckFunction] = {}
        self._passed: set[str] = set()  # names of the exercises whose last answer was right

    def __getattr__(self, name: str) -> Callable[..., Verdict]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._checks:
            self._load_topics()
        if name not in self._checks:
            advice = suggestion(name, self._checks) or f"; there are: {', '.join(sorted(self._checks))}"
            raise AttributeError(f"no exercise is called {name!r}{advice}")
        return functools.partial(_judge, name, self._checks[name])

    def __dir__(self) -> Iterable[str]:
        self._load_topics()
        return sorted(self._checks)

    @staticmethod
    def _load_topics() -> None:
        lessons = importlib.import_module("odelab.lessons")
        for room in pkgutil.iter_modules(lessons.__path__):
            checks = f"odelab.lessons.{room.name}.checks"
            if importlib.util.find_spec(checks) is not None:  # a room need not have exercises
                importlib.import_module(checks)


check = Check()


def exercise(function: CheckFunction) -> CheckFunction:
    """Register a check under the function's name.

    The check gets the reader's answer (functions wrapped so that their errors become hints), returns
    nothing when it is right, and raises :class:`Hint` when it is wrong.

    Raises:
        ValueError: when another module has already registered the name.

    Example:
        >>> from odelab.lessons.kit import Hint, check, exercise
        >>> @exercise
        ... def double(answer):
        ...     if answer(3) == 9:
        ...         raise Hint("that is the square; what is added to itself?")
        ...     if answer(3) != 6:
        ...         raise Hint("try it on 3")
        >>> verdict = check.double(lambda x: x * x)
        ✗ not yet: that is the square; what is added to itself?
        >>> verdict = check.double(lambda x: x + x)
        ✓ double: right
    """
    name = function.__name__
    known = check._checks.get(name)
    if known is not None and known.__module__ != function.__module__:
        raise ValueError(f"exercise {name!r} is already registered by {known.__module__}")
    check._checks[name] = function
    return function


def pack(source: str) -> str:
    """Code as letters and digits that nobody reads by accident; :func:`stand_in` runs it."""
    return base64.b64encode(zlib.compress(source.encode())).decode()


def stand_in(namespace: dict[str, Any], packed: str) -> None:
    """Run a solution, packed by :func:`pack`, in the reader's namespace, unless the reader's own answers are right.

    It makes no output but a line that says so, and the exercise still counts as open.
    """
    from IPython.utils.capture import capture_output  # exercises can be checked where there is no notebook

    source = zlib.decompress(base64.b64decode(packed)).decode()
    names = CALL.findall(source)
    passed = set(check._passed)
    if passed.issuperset(names):
        return
    with capture_output():
        exec(compile(source, "<the lesson's answer>", "exec"), namespace)
    check._passed = passed
    print(f"The lesson goes on with an answer of its own until yours passes: {', '.join(names)}")


def _judge(name: str, function: CheckFunction, *answers: Any) -> Verdict:
    verdict = _verdict(name, function, *answers)
    (check._passed.add if verdict else check._passed.discard)(name)
    return verdict


def _verdict(name: str, function: CheckFunction, *answers: Any) -> Verdict:
    try:
        function(*(_prepare(answer) for answer in answers))
    except NotAttempted:
        return _say(False, f"… {name}: not attempted yet")
    except Hint as hint:
        return _say(False, f"✗ not yet: {hint}")
    except Exception as error:  # whatever the answer did to the check, the reader gets a sentence
        if "ellipsis" in str(error).lower():  # the ... of a stub reached an operator
            return _say(False, f"… {name}: not attempted yet")
        return _say(
            False,
            f"✗ not yet: your answer does not fit here ({type(error).__name__}: {error})",
        )
    return _say(True, f"✓ {name}: right")


def _say(passed: bool, message: str) -> Verdict:
    print(message)
    return Verdict(passed, message)


def _prepare(answer: Any) -> Any:
    if _holds_ellipsis(answer):
        raise NotAttempted
    return _guard(answer) if isinstance(answer, types.FunctionType) else answer


def _holds_ellipsis(value: Any) -> bool:
    if isinstance(value, dict):
        value = tuple(value.values())
    return value is ... or (isinstance(value, (tuple, list)) and any(_holds_ellipsis(item) for item in value))


def _guard(answer: types.FunctionType) -> Callable[..., Any]:
    """The reader's function, with its failures turned into hints and its stubs recognised."""

    @functools.wraps(answer)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            value = answer(*args, **kwargs)
        except (Hint, NotAttempted):
            raise
        except Exception as error:
            if "ellipsis" in str(error).lower():
                raise NotAttempted from None
            raise Hint(_explain(answer, error)) from error
        if _holds_ellipsis(value) or (value is None and _has_empty_body(answer)):
            raise NotAttempted
        if value is None:
            raise Hint(f"{answer.__name__} returned None: is there a return in it?")
        return value

    return guarded


def _has_empty_body(function: types.FunctionType) -> bool:
    """True for a body of ``...``, ``pass`` or a docstring: nothing is computed before the return."""
    return {step.opname for step in dis.get_instructions(function)} <= EMPTY_BODY


def _explain(answer: types.FunctionType, error: Exception) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.name == answer.__name__]
    start = inspect.unwrap(answer).__code__.co_firstlineno
    where = f" in line {lines[-1] - start + 1} of {answer.__name__}" if lines and lines[-1] else ""
    advice = next((f" ({advice})" for complaint, advice in ADVICE.items() if complaint in str(error)), "")
    return f"{type(error).__name__}{where}: {error}{advice}"
