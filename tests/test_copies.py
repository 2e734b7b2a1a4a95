"""Copies in a folder of the reader's own, of each kind, and what a later version of the course does to them."""

import ast
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odelab import copies
from odelab.__main__ import main
from odelab.copies import INSTALL, LIST, colab_copy, copy_lessons, own_copy
from odelab.folders import notebooks
from odelab.lessons.kit.refresh import MOVE_IT, code_hash, load, settle
from tests.complaints import no_complaints
from tests.links import INLINE, LINK, prose

NAME = "02_solvers.ipynb"


@pytest.fixture
def course(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two lessons in small, in place of those of the course."""
    folder = tmp_path / "course"
    folder.mkdir()
    for name in ("01_a.ipynb", NAME):
        edit(folder / name, "x = 1")
    monkeypatch.setattr(copies, "notebooks", lambda: sorted(folder.glob("*.ipynb")))
    return folder


def edit(path: Path, code: str) -> None:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": [code]}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def code_in(path: Path) -> str:
    return "".join(load(path)["cells"][0]["source"])


def test_a_lesson_that_was_changed_stays_and_others_are_brought_up_to_date(course: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "deep"
    assert copy_lessons(mine) == [f"2 lessons in {mine}: 2 new"]
    assert copy_lessons(mine) == [f"2 lessons in {mine}: all as they should be"]
    edit(mine / NAME, "x = 'mine'")
    assert copy_lessons(mine) == [f"2 lessons in {mine}: 1 as you left it"]
    for path in course.glob("*.ipynb"):
        edit(path, "x = 2")
    counts, note = copy_lessons(mine)
    assert counts.endswith("1 brought up to date, 1 as you left it") and "--renew 02 brings it" in note
    assert (code_in(mine / "01_a.ipynb"), code_in(mine / NAME)) == ("x = 2", "x = 'mine'")


def test_renewed_lessons_are_set_aside_and_never_lost(course: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    copy_lessons(mine)
    for count, renew in enumerate((["02"], [])):  # by number, and all
        for name in ("01_a.ipynb", NAME):
            edit(mine / name, f"x = {count}")
        copy_lessons(mine, renew=renew)
        assert code_in(mine / NAME) == "x = 1"
    assert code_in(mine / "mine_02_solvers.ipynb") == "x = 0" and code_in(mine / "mine2_02_solvers.ipynb") == "x = 1"
    assert code_in(mine / "mine_01_a.ipynb") == "x = 1" and code_in(mine / "01_a.ipynb") == "x = 1"
    (mine / LIST).write_text("no list")  # then nothing is known of what was put there
    edit(mine / NAME, "x = 3")
    copy_lessons(mine)
    assert code_in(mine / NAME) == "x = 3"


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["FILE"], 1, "File exists"),
        (["FILE/below"], 1, "Not a directory"),
        (["COURSE"], 2, "is where the lessons themselves lie"),
        (["new", "--renew", "77"], 2, "no lesson has the number 77; there are 01 to 02"),
    ],
)
def test_what_cannot_be_is_one_line(
    course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, text: str
) -> None:
    (tmp_path / "FILE").touch()
    folder = str(tmp_path / arguments[0]) if arguments[0] != "COURSE" else str(course)
    assert main(["copy", folder, *arguments[1:]]) == status
    err = capsys.readouterr().err
    assert err.startswith("odelab: ") and text in err and err.count("\n") == 1


def test_a_full_disk_leaves_no_half_of_a_lesson(
    course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, write = tmp_path / "mine", Path.write_text
    copy_lessons(mine)
    for path in course.glob("*.ipynb"):
        edit(path, "x = 2")

    def full(self: Path, text: str, **settings: Any) -> int:
        write(self, text[:20], **settings)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert main(["copy", str(mine)]) == 1
    said = f"odelab: No space left on device: {mine / '01_a.ipynb'}; free some space\n"
    assert capsys.readouterr().err == said
    assert code_in(mine / "01_a.ipynb") == "x = 1" and not list(mine.glob("*.part"))
    assert copy_lessons(mine) == [f"2 lessons in {mine}: 2 brought up to date"]


def test_every_kind_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every lesson, as nbformat wants it."""
    import nbformat

    for kind in ("own", "student", "instructor", "assignment", "colab"):
        assert main(["copy", str(tmp_path / kind), "--kind", kind]) == 0
        said, *rest = capsys.readouterr().out.splitlines()
        count = len(notebooks())
        assert said == f"{count} lessons in {tmp_path / kind}: {count} new" and bool(rest) == (kind == "own")
        written = sorted((tmp_path / kind).rglob("*.ipynb"))
        assert [path.name for path in written] == [path.name for path in notebooks()]
        for path in written:
            nbformat.validate(nbformat.read(path, as_version=4))
    assert written[0].parent == tmp_path / "colab"
    assert (tmp_path / "assignment" / "source" / "02_solvers" / NAME).is_file()


@no_complaints
def test_no_link_of_a_lesson_leads_out_of_its_folder() -> Iterator[str]:
    """A copy has nothing beside it but the other lessons."""
    lessons = {path.name for path in notebooks()}
    for path in notebooks():
        for groups in LINK.findall(INLINE.sub(" ", prose(path))):
            target = "".join(groups).partition("#")[0]
            if target and ":" not in target and target not in lessons:
                yield f"{path.name} links to {target}"


def test_opening_an_own_copy_changes_nothing() -> None:
    """JupyterLab writes into a notebook what its kernel says of itself, and where that is new, calls it modified."""
    from ipykernel.ipkernel import IPythonKernel

    for path in notebooks():
        copy, lesson = own_copy(load(path)), load(path)
        said = {k: v for k, v in IPythonKernel.language_info.items() if v is not None} | {
            "version": platform.python_version()
        }
        assert copy["metadata"]["language_info"] == said
        assert copy["metadata"]["kernelspec"]["display_name"] == "Python 3 (ipykernel)"
        assert copy["cells"] == lesson["cells"] and "codemirror_mode" not in lesson["metadata"]["language_info"]


def test_a_widget_leaves_a_picture_and_says_how_to_move_it() -> None:
    def output(**data: Any) -> dict[str, Any]:
        return {"output_type": "display_data", "metadata": {}, "data": data}

    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "image/png": "…", "text/html": "<p>"}
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["widget"]}, "source": "show", "outputs": [output(**view)]},
        {"cell_type": "code", "metadata": {}, "source": "plain", "outputs": [output(**{"image/png": "…"})]},
    ]
    notebook: dict[str, Any] = {"cells": cells, "metadata": {}}
    settle(notebook)
    picture, line = notebook["cells"][0]["outputs"]
    assert picture["data"] == {"image/png": "…"} and line == MOVE_IT and "run the cells" in line["data"]["text/plain"]
    assert len(notebook["cells"][1]["outputs"]) == 1
    assert notebook["metadata"]["odelab"]["code"] == code_hash(notebook)


def test_the_install_cell_does_nothing_where_odelab_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = colab_copy(load(notebooks()[0]))
    cells = [cell for cell in copy["cells"] if cell["cell_type"] == "code"]
    assert "".join(cells[0]["source"]) == INSTALL and "setup" in cells[1]["metadata"]["tags"]
    ran: list[str] = []
    code = INSTALL.replace("%pip install --quiet ", "ran.append(").rstrip() + ")"
    exec(compile(ast.parse(code), "cell", "exec"), {"ran": ran})
    assert ran == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(compile(ast.parse(code), "cell", "exec"), {"ran": ran})
    assert len(ran) == 1 and ran[0].startswith("odelab[colab]==")
