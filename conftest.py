"""What pytest does with a lesson beside nbval: equations are broken on purpose, in the kernel that ran the lesson."""

from collections.abc import Iterator
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"


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
