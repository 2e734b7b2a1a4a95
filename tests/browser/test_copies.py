"""A reader's own copy, freshly opened: nothing is modified, and the first slider says how to move it."""

import json
from collections.abc import Callable

from odelab.copies import own_copy
from odelab.folders import notebooks
from odelab.lessons.kit.refresh import MOVE_IT, load
from tests.browser.laboratory import Laboratory
from tests.browser.reader import IDLE, Reader

DIRTY = "() => document.querySelectorAll('#jp-main-dock-panel .jp-mod-dirty').length"


def test_a_copy_freshly_opened(open_reader: Callable[..., Reader], laboratory: Laboratory) -> None:
    lesson = next(path for path in notebooks() if path.name.startswith("02"))
    (laboratory.notebooks / "02_own.ipynb").write_text(json.dumps(own_copy(load(lesson))))
    reader = open_reader("02_own", width=1280)
    reader.open(laboratory.url("02_own.ipynb"))
    reader.page.wait_for_function(IDLE, timeout=120_000)
    reader.page.wait_for_timeout(2000)  # in which JupyterLab would write what the kernel says of itself
    assert reader.page.evaluate(DIRTY) == 0
    line = reader.page.get_by_text(MOVE_IT["data"]["text/plain"])
    outputs = [output for cell in load(lesson)["cells"] for output in cell.get("outputs", ())]
    assert line.count() == sum("odelab" in output.get("metadata", {}) for output in outputs) > 0
    line.first.scroll_into_view_if_needed()
    reader.photograph("first_slider")
    assert not reader.complaints
