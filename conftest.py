"""What pytest does beside running tests: equations of a lesson are broken on purpose, in the kernel that ran it, and
coverage is spared what repeats itself."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
WATCHED: set[str] = set()  # tests of which a case has run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Coverage sees a test's first case alone and no copy of a lesson; ODELAB_COVERAGE=all: each of them.

    Under its eyes Python takes half the time again, and further cases run nearly the lines of the first. What is
    counted is so a lower bound.
    """
    test, bracket, _ = item.nodeid.partition("[")
    copied = hasattr(item, "cell") and item.path.parent != NOTEBOOKS
    repeated = copied or (bracket and test in WATCHED)
    WATCHED.add(test)
    if not repeated or os.environ.get("ODELAB_COVERAGE") == "all":
        return (yield)
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item.config.option, "cov_source", None, raising=False)  # by which nbval watches a kernel
            return (yield)
    finally:
        sys.settrace(trace)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Break every equation of a cell, once the cell ran; where its claim still holds, the cell fails."""
    cell = getattr(item, "cell", None)  # of nbval; no other test has one
    if cell is None or item.path.parent != NOTEBOOKS:
        return (yield)

    from odelab.lessons.kit.ledger import cell_entries
    from tests.notebooks.mutations import VariantsInKernel, survivors

    numbers = {entry.number for entry in cell_entries(item.path.stem, cell.source)}
    if not numbers:
        return (yield)
    variants = VariantsInKernel(item.parent.kernel.kc, item.config.option.nbval_cell_timeout)
    yield
    mutations = cell.metadata.get("odelab", {}).get("mutations", ())
    complaints = survivors(variants.run, cell.source, mutations, numbers)
    if complaints:
        item.raise_cell_error("This cell would not notice that its equations are wrong", "\n".join(complaints))
    return None
