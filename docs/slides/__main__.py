"""Write the decks: ``python -m docs.slides [FOLDER]``, by default into build/slides."""

import argparse
from pathlib import Path

from docs.site.lessons import lessons
from docs.site.sliders import exports
from docs.slides.html import write

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.slides", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "slides")
    parser.add_argument("--only-kept", action="store_true", help="run no lesson: sliders that are in the cache live")
    wanted, course = parser.parse_args(), lessons(ROOT / "notebooks")
    for file in write(wanted.folder, course, exports(course, only_kept=wanted.only_kept)):
        print(f"{file}, {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
