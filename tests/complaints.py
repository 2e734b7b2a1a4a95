"""Rules over many files or lessons: one test a rule, which lists all that is wrong at once."""

from collections.abc import Callable, Iterable


def no_complaints(rule: Callable[[], Iterable[str]]) -> Callable[[], None]:
    """Make a test of a function that yields a sentence for whatever breaks a rule."""

    def test() -> None:
        complaints = list(rule())
        assert not complaints, "\n".join([rule.__doc__ or rule.__name__, *complaints])

    test.__name__, test.__doc__, test.__module__ = rule.__name__, rule.__doc__, rule.__module__
    return test
