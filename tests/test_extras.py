"""With nothing but what `pip install odelab` brings, solvers, nets, flows, latent models and data work; what needs an
extra says which."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from odelab import solve
from odelab.extras import extra

ROOT = Path(__file__).resolve().parents[1]
FREE = (
    "choices",
    "copies",
    "datasets",
    "divergence",
    "doctor",
    "extras",
    "flows",
    "folders",
    "latent",
    "nets",
    "saving",
    "solvers",
)
PLAIN = """
import importlib, pkgutil, sys

class Missing:
    names = set(sys.argv[1].split(","))
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import odelab
"""
IMPORT_ALL = """
answers = {}
for module in pkgutil.walk_packages(odelab.__path__, "odelab.", onerror=lambda name: None):
    if module.name == "odelab.__main__":
        continue
    try:
        importlib.import_module(module.name)
        answers[module.name] = ""
    except Exception as error:
        answers[module.name] = f"{type(error).__name__}: {error}"
print(answers)
"""
USE = """
import torch
from odelab.datasets import DENSITIES, density, lynx_hare
from odelab.flows import CNF
from odelab.latent import LatentODE
from odelab.nets import MLPField, ODEBlock
assert odelab.solve(lambda t, y: -y, torch.ones(3), torch.linspace(0, 1, 5)).y.shape == (5, 3)
flow = CNF(MLPField(2))
assert flow.log_prob(density(next(iter(DENSITIES))).sample(4)).shape == (4,)
assert len(lynx_hare().y)
try:
    LatentODE.load(sys.executable)  # a file that is there
except ModuleNotFoundError as error:
    print(error)
"""


def missing() -> str:
    """Modules that no plain installation has: those of the extras, but for what torch brings itself."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {text.partition(">")[0].partition("=")[0].partition("[")[0] for group in extras.values() for text in group}
    modules = {"scikit-learn": "sklearn", "pillow": "PIL"}
    return ",".join(
        {modules.get(name, name.replace("-", "_")) for name in names} - {"odelab", "filelock"} | {"IPython"}
    )


def plain(script: str) -> str:
    """What a script prints where the packages of the extras are missing."""
    command = [sys.executable, "-c", PLAIN + script, missing()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_each_module_can_be_imported_or_names_its_extra() -> None:
    answers = ast.literal_eval(plain(IMPORT_ALL))
    assert len(answers) > 60
    for name, answer in answers.items():
        room = name.split(".")[1]
        if room in FREE:
            assert answer == "", (name, answer)
        else:
            assert answer == "" or "; python -m pip install 'odelab[" in answer, (name, answer)
    assert "'odelab[lab]'" in answers["odelab.lessons"] and "'odelab[train]'" in answers["odelab.training"]


def test_a_plain_installation_solves_and_fits() -> None:
    assert "safetensors is not installed; python -m pip install 'odelab[train]' brings it" in plain(USE)


@pytest.mark.parametrize(
    ("verb", "status", "text"),
    [
        ("list", 0, ""),
        ("doctor", None, ""),
        ("results", 1, "odelab: pandas is not installed; python -m pip install 'odelab[train]' brings it\n"),
        ("reproduce mnist", 1, "'odelab[train]' brings it\n"),
    ],
)
def test_commands_of_a_plain_installation(verb: str, status: int | None, text: str) -> None:
    script = f"from odelab.__main__ import main; sys.exit(main({verb.split()}))"
    command = [sys.executable, "-c", PLAIN + script, missing()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode == status or status is None) and done.stderr.endswith(text), done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") <= 1


def test_an_error_of_our_own_is_not_taken_for_a_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'odelab\.nothing'"), extra("train"):
        import odelab.nothing  # type: ignore[import-not-found]  # noqa: F401


def test_stats_are_shown_in_one_line_without_the_log() -> None:
    stats = solve(lambda t, y: -y, torch.ones(3), torch.linspace(0, 5, 50), method="dopri5").stats
    assert len(stats.steps) > 5 and len(repr(stats)) < 120
    assert f"nfe={stats.nfe}" in repr(stats) and f"accepted={stats.accepted}" in repr(stats)
