"""Two processes on one machine train one model, stop together and go on together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from odelab.experiments.results import load_rows
from tests.training.two_processes import train

needs_gloo = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="no gloo"
)


def free_port() -> int:
    try:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]
    except OSError as error:
        pytest.skip(f"no port can be opened here: {error}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `two_processes.py` leaves there, run in two processes."""
    folder = tmp_path_factory.mktemp("both")
    where = ["--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *where,
        str(Path(__file__).with_name("two_processes.py")),
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    if "Address already in use" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("torchrun cannot open ports here")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@needs_gloo
def test_two_processes_do_one_run_of_an_experiment(folder: Path) -> None:
    runs = folder / "runs"
    rows = load_rows(runs / "results" / "latent_spirals.json")
    assert [row.key["model"] for row in rows] == ["latent-ode", "rnn"]
    assert "--seeds 0" in rows[0].command
    files = sorted(file.name for file in (runs / "checkpoints").iterdir())
    assert files == ["latent_spirals_latent-ode_30.safetensors", "latent_spirals_rnn_30.safetensors"]
    assert not list(runs.rglob("run*.safetensors"))
    first, second = (json.loads((runs / f"{rank}.json").read_text()) for rank in range(2))
    assert len(set(first) & set(second)) == 0 and len(first) == len(second) == 10


@pytest.mark.slow
@needs_gloo
def test_two_processes_train_the_model_of_one(folder: Path, tmp_path: Path) -> None:
    train(tmp_path)
    alone = json.loads((tmp_path / "0.json").read_text())
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in range(2))
    assert alone["world"] == 1 and first["world"] == 2
    assert first == second
    torch.testing.assert_close(first["loss"], alone["loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first["weights"], alone["weights"], rtol=1e-5, atol=1e-5)
    for rank in range(2):
        assert "stopped after step 5" in (folder / f"stopped{rank}").read_text()
