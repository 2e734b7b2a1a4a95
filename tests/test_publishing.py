"""What publishes the course agrees with it: workflows, containers, versions and dates, addresses. Nothing is run."""

import datetime
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import odelab
from docs.address import END, START, badges, write
from odelab.__main__ import parser
from tests.complaints import no_complaints

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def jobs(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["jobs"]


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job.get("steps", ())


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell script as words, one for each `&&` and line."""
    for line in re.split(r"&&|;|\n|\|\|", text.replace("\\\n", " ")):
        words = line.partition("  #")[0].strip(" '\"").removeprefix(".venv/bin/").split()
        while words and (words[0] in {"do", "exec", "test", "then"} or "=" in words[0]):
            words = words[1:]
        if words:
            yield words


@no_complaints
def test_workflows_say_commands_that_there_are() -> Iterator[str]:
    """Targets of make, verbs and flags of odelab, modules, files and actions with a version."""
    scripts = [(path.name, step.get("run", "")) for path in WORKFLOWS for step in steps(path)]
    scripts.append(("Dockerfile", (ROOT / "Dockerfile").read_text().split("CMD")[1].split('"')[5]))
    scripts.append(
        ("devcontainer", json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())["postCreateCommand"])
    )
    for page in ("README.md", "docs/jupyterhub.md", "docs/RELEASE.md"):
        text = (ROOT / page).read_text()
        scripts += [(page, block) for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
        scripts += [
            (page, said) for said in re.findall(r"`((?:\.venv/bin/)?(?:make|odelab|python -m odelab) [^`]*)`", text)
        ]
    for name, script in scripts:
        for words in commands(script):
            if words[0] == "make" and words[1] not in TARGETS:
                yield f"{name}: make {words[1]}"
            if words[0] == "bash" and not (ROOT / words[1]).is_file():
                yield f"{name}: {words[1]}"
            if words[:3] == ["python", "-m", "odelab"] or words[0] == "odelab":
                arguments = words[words.index("odelab") + 1 :]
                try:
                    parser().parse_args(shlex.split(" ".join(arguments)))
                except SystemExit:
                    yield f"{name}: {' '.join(words)}"
            module = words[2] if words[:2] == ["python", "-m"] else ""
            if module.startswith("odelab.") and not (ROOT / f"{module.replace('.', '/')}.py").is_file():
                yield f"{name}: {module}"
    for path in WORKFLOWS:
        for step in steps(path):
            if "uses" in step and not re.search(r"@(v\d+|release/v\d+)$", step["uses"]):
                yield f"{path.name}: {step['uses']} has no version"
            if step.get("uses", "").startswith("actions/checkout@") and step["with"]["persist-credentials"]:
                yield f"{path.name}: the token stays where later commands can read it"


@no_complaints
def test_workflows_may_do_little_and_end() -> Iterator[str]:
    """Each says what it may do, reading by default; each job of commands has a time limit or only publishes."""
    for path in WORKFLOWS:
        said = yaml.safe_load(path.read_text())
        if "contents" not in said.get("permissions", {}):
            yield f"{path.name}: no permissions"
        if True not in said:  # YAML reads the key `on` so
            yield f"{path.name}: never starts"
        for name, job in jobs(path).items():
            heavy = any(
                re.search(r"\bmake\b|pytest|docker|\.ci/run|refresh", s.get("run", "")) for s in job.get("steps", ())
            )
            if heavy and "timeout-minutes" not in job:
                yield f"{path.name}: {name} may run for six hours"
            for needed in [job.get("needs", [])] if isinstance(job.get("needs", []), str) else job.get("needs", []):
                if needed not in jobs(path):
                    yield f"{path.name}: {name} needs {needed}"
    assert {path.stem for path in WORKFLOWS} == {"tests", "site", "release", "colab", "links"}


def test_the_container_copies_what_is_there_and_has_the_oldest_python() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()]
    assert copied and all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = [name.strip("/") for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]]
    assert {*packed, project["project"]["readme"], *project["project"]["license-files"]} <= set(copied)
    assert f"FROM python:{project['project']['requires-python'].removeprefix('>=')}-slim" in text
    assert "'.[lab]' -c constraints.txt" in text and "--uid 1000 reader" in text and "USER 1000\n" in text
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(copied) & set(ignored)


def test_version_and_date_are_told_alike() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.findall(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == (odelab.__version__, str(citation["date-released"]))
    dates = [datetime.date.fromisoformat(date) for _, date in released]
    assert dates == sorted(dates, reverse=True)
    assert f'tag: "{odelab.__version__}"' in (ROOT / "docs" / "jupyterhub.md").read_text()


def test_an_address_is_written_everywhere_and_over_an_old_one(tmp_path: Path) -> None:
    for name in ("README.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for repository in ("somebody/first", "somebody/course"):
        write(repository, tmp_path)
    readme = (tmp_path / "README.md").read_text()
    assert f"{START}\n{badges('somebody/course')}\n{END}" in readme and readme.count("colab-badge") == 1
    assert yaml.safe_load((tmp_path / "CITATION.cff").read_text())["repository-code"].endswith("/somebody/course")
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["urls"]
    assert urls["Repository"] == "https://github.com/somebody/course" and "first" not in str(urls)
    with pytest.raises(ValueError, match="'here' is no OWNER/NAME"):
        write("here", tmp_path)


def test_the_makefile_opens_a_copy_unless_asked_for_the_lessons() -> None:
    def said(*flags: str) -> str:
        command = ["make", "-n", "lab", f"VENV={sys.prefix}", f"--assume-old={sys.prefix}/.lab", *flags]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "odelab copy work" in said() and "/lab/tree/work/00_start_here.ipynb" in said()
    assert "copy" not in said("EDIT=1") and "/lab/tree/notebooks/00_start_here.ipynb" in said("EDIT=1")
    assert "work/" in (ROOT / ".gitignore").read_text().split()
