"""`python -m odelab doctor`: one line a thing, and a fix where something is wrong."""

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from odelab import doctor
from odelab.__main__ import main
from odelab.folders import notebooks


def wrong(findings: list[doctor.Finding]) -> list[doctor.Finding]:
    return [finding for finding in findings if finding.wrong]


def test_where_nothing_is_wrong_nothing_is_to_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ODELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ODELAB_DATA", raising=False)
    monkeypatch.setattr(doctor, "LITTLE", 0)
    monkeypatch.setattr(doctor, "EXTRAS", {"train": "to train"})
    status, lines = main(["doctor"]), capsys.readouterr().out.splitlines()
    assert status == 0 and lines[-1] == "all is well", lines
    assert any("PyTorch" in line for line in lines) and any(f"{len(notebooks())} lessons" in line for line in lines)
    assert all(line.startswith("✓") for line in lines[:-1])


def test_a_cache_and_a_data_folder_that_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ODELAB_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("ODELAB_DATA", str(tmp_path / "nowhere"))
    assert "ODELAB_CACHE" in doctor._cache().fix
    (finding,) = wrong([*doctor._own_data()])
    assert "nowhere, which is no folder" in finding.text and "unset ODELAB_DATA" in finding.fix
    monkeypatch.setenv("ODELAB_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "LITTLE", 1e30)
    assert "free some disk" in doctor._cache().fix


def test_an_extra_of_which_half_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def without(*names: str) -> None:
        def version(package: str) -> str:
            if package in names:
                raise importlib.metadata.PackageNotFoundError(package)
            return real(package)

        monkeypatch.setattr(importlib.metadata, "version", version)

    asked = ["numpy>=1.26", "tqdm>=4; extra == 'train'", "pandas>=2; extra == 'train'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(doctor, "EXTRAS", {"train": "to train"})
    without("tqdm")
    (finding,) = wrong([*doctor._packages()])
    assert "tqdm is missing" in finding.text and finding.fix.endswith("pip install 'odelab[train]'")
    without("tqdm", "pandas")
    assert not wrong([*doctor._packages()])  # whoever wants the solvers alone has chosen so
    assert "[train] is not installed" in next(doctor._packages()).text


def test_what_torch_or_an_extra_before_brings_makes_no_half_of_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"torch", "filelock"}
    asked = ["torch>=2.4", "filelock>=3; extra == 'train'", "tqdm>=4; extra == 'train'"]
    asked += ["tqdm>=4; extra == 'cluster'", "distributed; extra == 'cluster'"]
    needs = {"odelab": asked, "torch": ["filelock", "tqdm; extra == 'bars'"]}

    def version(package: str) -> str:
        if package not in there:
            raise importlib.metadata.PackageNotFoundError(package)
        return "3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", needs.__getitem__)
    monkeypatch.setattr(doctor, "EXTRAS", {"train": "to train", "cluster": "for many"})
    findings = [*doctor._packages()]
    assert not wrong(findings) and "[train] is not installed" in findings[0].text
    there.add("tqdm")
    findings = [*doctor._packages()]
    assert not wrong(findings) and "[cluster] is not installed" in findings[1].text


def test_a_kernel_of_another_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another installation's kernel of the same name stands before ours."""
    spec = {
        "argv": ["/another/bin/python", "-m", "ipykernel_launcher"],
        "display_name": "Python 3",
        "language": "python",
    }
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    finding = doctor._kernel()
    assert (
        "/another/bin/python" in finding.text and finding.fix == f"{sys.executable} -m ipykernel install --sys-prefix"
    )


def test_data_that_git_left_as_pointers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "x.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    monkeypatch.setattr(doctor, "FOLDERS", (tmp_path,))
    assert "git lfs pull" in next(doctor._shipped()).fix
    monkeypatch.setattr(doctor, "FOLDERS", (tmp_path / "none",))
    assert "are not there" in next(doctor._shipped()).text
