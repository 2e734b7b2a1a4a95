"""A real Chromium and a real JupyterLab, started once for all lessons."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.browser.excerpt import excerpt
from tests.browser.laboratory import Laboratory
from tests.browser.reader import Reader

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURES = ROOT / "build" / "browser"
WHOLE = ("00_", "01_")  # always run from top to bottom; the others only with ALL=1
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    wanted = (os.environ.get("ODELAB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in wanted if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.fail("No Chromium: apt-get install chromium, or set ODELAB_CHROMIUM to a Chromium or Chrome.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    lab = Laboratory(tmp_path_factory.mktemp("lab"))
    for item in (ROOT / "notebooks").iterdir():  # pictures and the like; the notebooks themselves come as excerpts
        if item.suffix != ".ipynb" and not item.name.startswith("."):
            (shutil.copytree if item.is_dir() else shutil.copy)(item, lab.notebooks / item.name)
    yield lab
    lab.close()


@pytest.fixture
def lesson(laboratory: Laboratory) -> Iterator[Callable[[Path], Path]]:
    """Puts a copy of a lesson, or of what its widgets need, where the laboratory finds it."""

    def prepare(path: Path) -> Path:
        whole = path.name.startswith(WHOLE) or bool(os.environ.get("ALL"))
        notebook = excerpt(json.loads(path.read_text()), whole=whole)
        copy = laboratory.notebooks / path.name
        copy.write_text(json.dumps(notebook))
        return copy

    yield prepare
    laboratory.stop_kernels()


@pytest.fixture
def open_reader(chromium: Browser, laboratory: Laboratory) -> Iterator[Callable[..., Reader]]:
    """Opens pages that reach this machine's JupyterLab and nothing else."""
    pages: list[Page] = []

    def start(pictures: str, *, width: int = 1280, height: int = 1000) -> Reader:
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(60_000)
        pages.append(page)
        reader = Reader(page, PICTURES / pictures)

        def gate(route: Route) -> None:
            if route.request.url.startswith((laboratory.address, "data:", "blob:")):
                route.continue_()
            else:
                reader.complaints.append(f"asked the network for {route.request.url}")
                route.abort()

        page.route("**/*", gate)
        return reader

    yield start
    for page in pages:
        page.close()


@pytest.fixture
def open_file(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens files on disk, from where nothing may be fetched; what a page complains about fails the test at its end."""
    complaints: list[str] = []
    pages: list[Page] = []

    def gate(route: Route) -> None:
        if route.request.url.startswith(("file:", "data:", "blob:", "about:")):
            route.continue_()
        else:
            complaints.append(f"asked the network for {route.request.url}")
            route.abort()

    def start(file: Path, query: str = "", *, width: int = 1280, height: int = 900, theme: str = "light") -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        context.route("**/*", gate)
        context.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        pages.append(context.new_page())
        pages[-1].goto(f"{file.as_uri()}?{query}")
        return pages[-1]

    yield start
    for page in pages:
        page.context.close()
    assert complaints == []
