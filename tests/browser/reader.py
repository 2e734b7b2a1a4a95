"""What a reader does with an open lesson: run it, move its sliders, look at it."""

import json
import time
from pathlib import Path

from playwright.sync_api import Error, Locator, Page
from playwright.sync_api import TimeoutError as Overdue

from tests.browser.excerpt import Notebook

EXPLORABLES = r"""() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')]
  .map(cell => cell.querySelectorAll('.odelab-explorable').length)"""
# Whatever a lesson shows must fit its column: of each element that sticks out, where it is and by how many pixels.
OVERFLOWS = r"""() => [...document.querySelectorAll('.jp-RenderedMarkdown, .jp-OutputArea-output, .odelab-explorable')]
  .filter(e => e.offsetParent !== null && e.scrollWidth > e.clientWidth + 1)
  .map(e => `${e.className}: ${e.scrollWidth - e.clientWidth} px at "${e.innerText.slice(0, 60)}"`)"""
PIXELS = r"""async image => { await image.decode(); const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  canvas.getContext('2d').drawImage(image, 0, 0); return canvas.toDataURL(); }"""
EXTENT = r"""box => { const last = [...box.querySelectorAll('.jp-Cell')].pop().getBoundingClientRect();
  return [Math.ceil(last.bottom - box.getBoundingClientRect().top + box.scrollTop), box.clientHeight]; }"""
STARTED = r"() => [...document.querySelectorAll('.jp-InputPrompt')].some(e => /\[(\*|\d+)\]/.test(e.textContent))"
IDLE = r"() => /\| Idle/.test(document.querySelector('#jp-main-statusbar')?.innerText ?? '')"
DONE = (
    rf"() => ({IDLE})() && ![...document.querySelectorAll('.jp-InputPrompt')].some(e => /\[\*\]/.test(e.textContent))"
)


class Reader:
    """One lesson in one browser page.

    Args:
        page: a fresh page.
        pictures: folder for screenshots.
    """

    def __init__(self, page: Page, pictures: Path) -> None:
        self.page, self.pictures = page, pictures
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("console", self._listen)

    def _listen(self, message: object) -> None:
        if message.type == "error":  # type: ignore[attr-defined]
            self.complaints.append(f"console: {message.text} ({message.location.get('url', '')})")  # type: ignore[attr-defined]

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")

    def run_all(self, seconds: float) -> None:
        """Run every cell and wait until none is running.

        Raises:
            Overdue: when a cell still runs after `seconds`.
            RuntimeError: when JupyterLab asks something instead of starting a kernel.
        """
        self.page.wait_for_function(f"() => ({IDLE})() || document.querySelector('.jp-Dialog')", timeout=120_000)
        if self.page.locator(".jp-Dialog").count():  # "Select Kernel", for one that the notebook does not name
            self.photograph("dialog")
            raise RuntimeError(f"JupyterLab asks: {self.page.locator('.jp-Dialog').first.inner_text()}")
        for _ in range(5):  # a click before the kernel's websocket is up is dropped without a word
            self.page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
            self.page.get_by_text("Run All Cells", exact=True).click()
            try:
                self.page.wait_for_function(STARTED, timeout=4000)
                break
            except Overdue:
                continue
        calm, end = 0, time.monotonic() + seconds
        while calm < 4:  # between two cells the kernel is idle for a moment, and collapsed cells show no [*]
            if time.monotonic() > end:
                raise Overdue(f"not done after {seconds} s")
            self.page.wait_for_timeout(400)
            calm = calm + 1 if self.page.evaluate(DONE) else 0

    def save(self, file: Path) -> Notebook:
        """Save as a reader does, and read what was saved: collapsed cells show no prompt, their file does.

        Raises:
            TimeoutError: when nothing arrives at `file`, where the notebook lies.
        """
        before = file.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        for _ in range(200):
            self.page.wait_for_timeout(100)
            if file.stat().st_mtime_ns != before:
                self.page.wait_for_timeout(500)  # the file may be half written
                return json.loads(file.read_text())
        raise TimeoutError(f"{file.name} was not saved")

    def explorables_by_cell(self) -> list[int]:
        """How many widgets each cell shows."""
        return self.page.evaluate(EXPLORABLES)

    def explorables(self) -> list[Locator]:
        return self.page.locator(".odelab-explorable").all()

    def look(self, explorable: Locator) -> tuple[str, str]:
        """The pixels of a widget's figure, and its readout."""
        figure = explorable.locator(".odelab-figure").first
        figure = figure if figure.evaluate("e => e.tagName") == "IMG" else figure.locator("img")
        readout = explorable.locator(".odelab-readout").first.inner_text()
        if "could not be drawn" in readout:
            self.complaints.append(readout)
        return figure.evaluate(PIXELS), readout

    def slide(self, explorable: Locator) -> bool:
        """Move sliders by keyboard, one after the other, until figure and readout both have changed."""
        before = self.look(explorable)
        for handle in explorable.locator(".noUi-handle").all():
            for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):
                handle.focus()
                self.page.keyboard.press(key)
                if self._changed(explorable, before):
                    return True
        return False

    def _changed(self, explorable: Locator, before: tuple[str, str], seconds: float = 5.0) -> bool:
        for _ in range(int(10 * seconds)):
            self.page.wait_for_timeout(100)
            try:
                if all(new != old for new, old in zip(self.look(explorable), before, strict=True)):
                    return True
            except Error:  # the image was exchanged while we looked
                continue
        return False

    def overflows(self) -> list[str]:
        return self.page.evaluate(OVERFLOWS)

    def photograph(self, name: str, of: Locator | None = None) -> None:
        path = str(self.pictures / f"{name}.png")
        if of is None:
            self.page.screenshot(path=path)
        else:
            of.scroll_into_view_if_needed()
            of.screenshot(path=path)

    def photograph_pages(self) -> None:
        """The whole lesson, one screenful after the other."""
        box = self.page.locator(".jp-WindowedPanel-outer").first
        height, screen = box.evaluate(EXTENT)
        for number, top in enumerate(range(0, max(1, height - 40), screen - 40), start=1):
            box.evaluate("(e, top) => { e.scrollTop = top }", top)
            self.page.wait_for_timeout(200)
            self.photograph(f"page_{number:02d}")
