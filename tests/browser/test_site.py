"""The site in Chromium, opened as a folder on disk: nothing is served, and nothing may be fetched.

Sliders live that an earlier ``make site`` exported, lesson 00's always; with ALL=1 every lesson's are exported first,
and axe-core looks at every page, at both widths, light and dark.
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from docs.site.__main__ import build
from docs.site.api import ROOMS
from docs.site.lessons import SMALLEST_TEXT, lessons
from docs.site.sliders import exports, twins
from odelab.datasets.plane import two_moons
from odelab.experiments.certified.boxes import EulerNet
from odelab.lessons.adjoint.explorables import nudge, reconstruction
from odelab.lessons.change_of_variables.explorables import patch, planar_layer
from odelab.lessons.kit import Explorable
from odelab.lessons.kit.export import positions
from odelab.lessons.ode2vae_at_scale.cost import Prices
from odelab.lessons.ode2vae_at_scale.explorables import step_cost
from odelab.lessons.robust.explorables import flow_boxes
from odelab.lessons.straight_paths.explorables import displacement

ROOT = Path(__file__).resolve().parents[2]
COURSE = lessons(ROOT / "notebooks")
NAMES = ["index", "search", *(f"notebooks/{lesson.name}" for lesson in COURSE), "api/index"]
NAMES += [f"api/{room.replace('.', '_')}" for room in ROOMS]
NAMES += [
    f"docs/{name}"
    for name in ("install", "ledger", "errata", "notation", "glossary", "bibliography", "teaching", "results")
]
NAMES += [f"docs/{name}" for name in ("benchmarks", "which_solver", "coming_from", "your_own_series", "jupyterhub")]
NAMES += ["CHANGELOG", "genindex", "_modules/index", "_modules/odelab/solvers/solve"]
LOOKED_AT = ["index", "notebooks/00_start_here", "notebooks/05_change_of_variables", "notebooks/11_robust_and_right"]
LOOKED_AT += ["notebooks/13_after_ffjord", "docs/install", "docs/ledger", "api/solvers"]
if os.environ.get("ALL"):
    LOOKED_AT = NAMES
CASES = [(name, *case) for name in NAMES for case in ((1280, "light"), (390, "dark"))]
CASES += [(name, *case) for name in LOOKED_AT for case in ((1280, "dark"), (390, "light"))]
QUIET = "typeof MathJax === 'undefined' || MathJax.startup.promise.then(() => true)"

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    live = exports(COURSE) if os.environ.get("ALL") else exports(COURSE, only_kept=True) | exports(COURSE[:1])
    build(folder, live)
    return folder / "html"


@pytest.fixture
def visit(open_file: Open, site: Path) -> Open:
    """Opens a page of the site."""

    def start(name: str, width: int = 1280, theme: str = "light") -> Page:
        path, _, query = name.partition("?")
        page = open_file((site / path).with_suffix(".html"), query, width=width, theme=theme)
        page.wait_for_function(QUIET)
        return page

    return start


def test_no_page_is_left_out(site: Path) -> None:
    """Of the listings of code, which are all alike, one is looked at."""
    written = {page.relative_to(site).with_suffix("").as_posix() for page in site.rglob("*.html")}
    pages = {name for name in written if not name.startswith(("_static/", "slides/", "_modules/odelab/"))}
    assert pages == {name for name in NAMES if not name.startswith("_modules/odelab/")}


@pytest.mark.parametrize(("name", "width", "theme"), CASES)
def test_page(name: str, width: int, theme: str, visit: Open) -> None:
    """Mathematics without errors, nothing wider than the screen, text of figures that can be read."""
    page = visit(name, width, theme)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].filter((i) => i.getAttribute('alt') === null).length") == 0
    scales = page.evaluate(
        "[...document.querySelectorAll('.figure-scroll img, .figure-scroll canvas')].filter((e) => e.offsetParent)"
        ".map((e) => e.getBoundingClientRect().width / (Number(e.getAttribute('width')) || e.naturalWidth)"
        " * (e.tagName === 'CANVAS' ? Math.max(2, devicePixelRatio) : 1))"  # as sliders.js draws it
    )
    assert all(scale * SMALLEST_TEXT >= 9 for scale in scales), scales
    if name in LOOKED_AT:
        found = Axe().run(page, options={"preload": False}).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["target"] for n in v["nodes"][:3]]) for v in serious] == []


@pytest.mark.parametrize("name", ["index", *(f"notebooks/{lesson.name}" for lesson in COURSE)])
def test_every_living_slider_is_moved_by_the_keyboard(name: str, visit: Open) -> None:
    """Each of its controls can be reached, and moving it changes the readout to the exported one."""
    page = visit(name)
    figures = page.locator("figure.slider")
    if name in ("index", f"notebooks/{COURSE[0].name}"):
        assert figures.count() == 1, "lesson 00's slider does not live"
    for k in range(figures.count()):
        figure = figures.nth(k)
        figure.scroll_into_view_if_needed()
        page.wait_for_function("(f) => f.dataset.ready === 'yes'", arg=figure.element_handle())
        spec = json.loads(figure.locator("script").text_content() or "")
        controls = figure.locator("input, select")
        assert controls.count() == len(spec["controls"])
        told = {figure.locator("figcaption").inner_text()}
        for i in range(controls.count()):
            control = controls.nth(i)
            assert control.evaluate("(e) => e.tabIndex") >= 0
            control.focus()
            before = control.evaluate("(e) => [e.value, e.checked]")
            for key in ("Space",) if spec["controls"][i]["kind"] == "box" else ("ArrowRight", "ArrowDown"):
                if control.evaluate("(e) => [e.value, e.checked]") == before:
                    control.press(key)
            if control.evaluate("(e) => [e.value, e.checked]") == before:
                control.press("ArrowLeft")  # it stood at its end
            assert control.evaluate("(e) => [e.value, e.checked]") != before, f"{spec['name']}: control {i}"
            if "frames" not in spec:
                page.wait_for_timeout(200)
                told.add(figure.locator("figcaption").inner_text())
                continue
            at = 0
            for n, each in enumerate(spec["controls"]):
                value = controls.nth(n).evaluate("(e) => (e.type === 'checkbox' ? Number(e.checked) : Number(e.value))")
                at = at * len(each["labels"]) + value
            page.wait_for_function(
                "([f, text, file]) => f.querySelector('figcaption').textContent === text"
                " && f.querySelector('img').src.endsWith(file) && f.querySelector('img').naturalWidth > 0",
                arg=[figure.element_handle(), spec["texts"][at], spec["frames"][at]],
            )
            told.add(spec["texts"][at])
        assert len(told) > 1


def boxes() -> Explorable:
    """Of two nets that were not trained."""
    points, labels = two_moons(300, 0)
    nets = {name: EulerNet(seed).double() for seed, name in enumerate(("one", "other"))}
    return flow_boxes(nets, points.double(), labels)


TWINS = {
    "flowBoxes": boxes,
    "nudge": nudge,
    "patch": patch,
    "planarLayer": planar_layer,
    "reconstruction": reconstruction,
    "displacement": displacement,
    "stepCost": lambda: step_cost(Prices((0.02, 1e-3, 2e-5, 3e-6, 1e-4)), Prices((1e6, 2e5, 3e3, 5e4, 1e5))),
}


@pytest.mark.parametrize("name", TWINS)
def test_twins_say_what_python_says(name: str, chromium: Browser) -> None:
    """At a hundred random positions, and they draw something other at each of three."""
    explorable: Explorable = TWINS[name]()
    spec = json.loads(json.dumps(explorable.export().spec))
    assert spec["twin"] == name
    page, luck = chromium.new_page(), random.Random(0)
    page.set_content("<canvas width=600 height=300></canvas>")
    page.add_script_tag(content=twins())
    drawn = set()
    for k in range(100):
        values = {key: luck.choice(positions(control)) for key, control in explorable.controls.items()}
        said = page.evaluate("([n, v, d]) => odelabTwins[n](v, d).text", [name, values, spec["data"]])
        assert said == explorable.drive(**values), values
        if k < 3:
            drawn.add(
                page.evaluate(
                    "([n, v, d]) => { const c = document.querySelector('canvas'), p = c.getContext('2d');"
                    " p.clearRect(0, 0, 600, 300); odelabTwins[n](v, d).draw(p, 600, 300); return c.toDataURL(); }",
                    [name, values, spec["data"]],
                )
            )
    assert len(drawn) == 3
    page.close()


def test_search_finds_the_adjoint(visit: Open) -> None:
    page = visit("search?q=adjoint")
    page.wait_for_selector("#search-results a[href*='03_adjoint']")
