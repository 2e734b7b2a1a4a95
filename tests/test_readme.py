"""The Python of README and docs runs as printed, on a made-up file where it asks for the reader's own."""

import math
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[-1])
def test_runs_as_printed(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{s},{0.3 * k + 0.1 * s},{math.cos(k + s)},{'' if k % 4 else k}" for s in range(5) for k in range(8 + s)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,time,x,y", *lines]))
    run: dict[str, object] = {}
    exec(block.replace("steps=500", "steps=3"), run)
    if "future" in run:
        future = run["future"]
        assert future.mean.shape == (5, 31, 2) and future.mean.isfinite().all()  # type: ignore[attr-defined]
        own_ends = torch.tensor([0.3 * (7 + s) + 0.1 * s for s in range(5)]).double()  # sequences of 8 to 12 rows
        torch.testing.assert_close(future.times[:, 0], own_ends)  # type: ignore[attr-defined]
        assert (tmp_path / "mine.safetensors").is_file()


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 2 and any("mine.csv" in block for block in BLOCKS)
