"""Every deck in Chromium, opened as a file on disk, slide by slide.

Sliders live that an earlier ``make slides`` or ``make site`` exported, lesson 00's always; with ALL=1 every lesson's.
Screenshots are kept under build/browser/slides.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from docs.site.lessons import lessons
from docs.site.sliders import exports
from docs.slides.html import write
from tests.browser.conftest import PICTURES, ROOT

COURSE = lessons(ROOT / "notebooks")
READY = "document.documentElement.dataset.ready === 'yes'"
LEAST_TEXT = 26.6  # pixels: 20 pt are 26.67
LEAST_SCALE = 0.75  # of pictures: their smallest text, 10 pt when they were drawn, keeps 11 pixels of the 720
MEASURE = (Path(__file__).parent / "slide.js").read_text(encoding="utf-8")

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def decks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    live = exports(COURSE) if os.environ.get("ALL") else exports(COURSE, only_kept=True) | exports(COURSE[:1])
    return {file.stem: file for file in write(tmp_path_factory.mktemp("slides"), COURSE, live)}


@pytest.fixture
def show(open_file: Open, decks: dict[str, Path]) -> Open:
    """Opens the deck of a lesson, on a screen of 1280 × 720."""

    def start(name: str, query: str = "") -> Page:
        page = open_file(decks[name], query, height=720)
        page.wait_for_function(READY)
        return page

    return start


NAMES = pytest.mark.parametrize(
    "name", [lesson.name for lesson in COURSE if '"slide"' in lesson.path.read_text(encoding="utf-8")]
)


@NAMES
def test_every_slide_fits(name: str, show: Open) -> None:
    """Nothing sticks out or is cut off, no text is too small, and there is mathematics without errors."""
    page = show(name)
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    faults = []
    folder = PICTURES / "slides" / name
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate("(k) => Reveal.slide(k, 0, 99)", number)  # with all its fragments
        page.wait_for_function(
            "[...Reveal.getCurrentSlide().querySelectorAll('figure.slider')].every((f) => f.dataset.ready === 'yes')"
        )
        faults += [f"slide {number + 1}: {fault}" for fault in page.evaluate(MEASURE, [LEAST_TEXT, LEAST_SCALE])]
        page.screenshot(path=folder / f"{number + 1:02d}.png")
    assert faults == []


@NAMES
def test_keys_on_a_slider_move_it_and_turn_no_page(name: str, show: Open) -> None:
    """Each slider that lives says something else then; a presenter's Page Down turns the page all the same."""
    page = show(name)
    figures = page.locator("figure.slider")
    for k in range(figures.count()):
        figure = figures.nth(k)
        page.evaluate(
            "(k) => Reveal.slide(k, 0, 99)", figure.evaluate("(f) => Reveal.getIndices(f.closest('section')).h")
        )
        here = page.evaluate("Reveal.getIndices().h")
        control = figure.locator("input[type=range]").first
        control.focus()
        before = control.input_value(), figure.locator("figcaption").inner_text()
        control.press("ArrowLeft" if control.input_value() == control.get_attribute("max") else "ArrowRight")
        assert control.input_value() != before[0]
        page.wait_for_function(
            "([f, text]) => f.querySelector('figcaption').innerText !== text", arg=[figure.element_handle(), before[1]]
        )
        assert page.evaluate("Reveal.getIndices().h") == here, "an arrow turned the page"
        control.press("Home")
        control.press("End")
        assert page.evaluate("Reveal.getIndices().h") == here, "Home or End turned the page"
        last = page.evaluate("Reveal.getTotalSlides()") - 1
        control.press("PageDown")
        assert page.evaluate("Reveal.getIndices().h") == min(here + 1, last)
        assert page.evaluate("document.activeElement === document.body")


@NAMES
def test_a_deck_prints_a_page_a_slide_and_has_a_short_cut(name: str, show: Open) -> None:
    page = show(name)
    slides, short = page.locator(".slides > section").count(), page.locator("section[data-cut]").count()
    assert page.evaluate("Reveal.getTotalSlides()") == slides > short > 2
    page = show(name, "cut=15")
    assert page.evaluate("Reveal.getTotalSlides()") == short
    page = show(name, "print-pdf")
    page.wait_for_selector(".pdf-page")
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == slides


def test_the_speaker_sees_the_plan(show: Open) -> None:
    """In a window of its own, with the slide and the next one; formulas are mathematics there, too."""
    page = show("01_residual_networks")
    with page.context.expect_page() as opened:
        page.keyboard.press("s")
    speaker = opened.value
    speaker.wait_for_function("document.querySelector('.speaker-controls-notes .value').innerText.includes('2 min')")
    page.evaluate("Reveal.slide(1)")
    speaker.wait_for_selector(".speaker-controls-notes .value math")
    assert speaker.locator(".speaker-controls-notes .value mjx-container").count() == 0
    assert len(speaker.frames) == 3
