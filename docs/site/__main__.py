"""Build the site: ``python -m docs.site [FOLDER]``, by default into build/site."""

import argparse
import json
import shutil
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path
from typing import Any

from docs.site import api, pages
from docs.site.lessons import lessons, page
from docs.site.sliders import copy_pictures, exports, twins
from docs.slides.html import write

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def assemble(source: Path, sliders: dict[str, Any], notebooks: Path = ROOT / "notebooks") -> None:
    """Write all that Sphinx reads into the folder ``source``, laid out as the repository is, so that links hold."""
    static = source / "_static"
    copy_pictures(sliders, static)
    shutil.copytree(HERE / "static", static, dirs_exist_ok=True)
    (static / "twins.js").write_text(twins(), encoding="utf-8")
    copy_mathjax(static / "mathjax")
    course = lessons(notebooks)
    (source / "notebooks").mkdir(exist_ok=True)
    for lesson in course:
        text = json.dumps(page(lesson, sliders, static), ensure_ascii=False)
        (source / "notebooks" / lesson.path.name).write_text(text, encoding="utf-8")
    for name, text in {**pages.stored(ROOT), **pages.generated(course, sliders, ROOT), **api.rooms(course)}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    pages.copy_linked_files(source, ROOT)


def copy_mathjax(target: Path) -> None:
    """MathJax 3.2.2 with its extensions, the same bytes as npm's, from the package sphinx-mathjax-offline."""
    for file in files("sphinx-mathjax-offline") or []:
        name = file.as_posix().partition("static/mathjax/")[2]
        if name == "tex-svg.js" or name.startswith(("input/tex/extensions/", "a11y/assistive-mml")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target / name)


def build(folder: Path, sliders: dict[str, Any]) -> None:
    """Write the site into ``folder``/html; the decks among it; raises CalledProcessError when Sphinx warns."""
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    assemble(source, sliders)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-c", str(HERE)]
    subprocess.run([*command, "-d", str(folder / "doctrees"), str(source), str(folder / "html")], check=True, cwd=ROOT)
    course = lessons(ROOT / "notebooks")
    write(folder / "html" / "slides", course, sliders)
    for lesson in course:  # the button above a lesson downloads the notebook itself
        shutil.copy(lesson.path, folder / "html" / "notebooks")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.site", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "site")
    parser.add_argument("--only-kept", action="store_true", help="run no lesson: sliders that are in the cache live")
    wanted = parser.parse_args()
    build(wanted.folder, exports(lessons(ROOT / "notebooks"), only_kept=wanted.only_kept))
    print(wanted.folder / "html" / "index.html")


if __name__ == "__main__":
    main()
