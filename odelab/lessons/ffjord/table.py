"""What the FFJORD lesson shows of the stored full runs: their weights, and tables that keep three columns apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from odelab.datasets import DENSITIES, data_file
from odelab.flows import CNF
from odelab.lessons.kit.tables import NOT_THERE, SideBySide, over_seeds
from odelab.nets import MLPField

NOT_PRINTED = "no number"
#: Bits per dimension on MNIST, 28×28 pixels of 256 grey levels, as the notes' figure 24.10 prints them.
PAPER_MNIST = {"ffjord": "0.99 (rerun by RNODE's authors: 0.97)"}
OTHER_FLOWS = "bits per pixel; the papers' other flows on MNIST: Real NVP 1.06, Glow 1.05"


def stored_flows(names: Sequence[str] = DENSITIES) -> dict[str, CNF]:
    """The flows of the stored full runs `ffjord-toy`, seed 0; densities whose run has left no weights are absent."""
    flows = {}
    for name in names:
        if load_weights(field := MLPField(2), f"ffjord_toy_{name}"):
            flows[name] = CNF(field)
    return flows


def load_weights(field: nn.Module, name: str) -> bool:
    """Put stored weights into a field, in its own precision; False where there are none."""
    from safetensors.torch import load_file

    try:
        path = data_file(f"checkpoints/{name}.safetensors")
    except FileNotFoundError:
        return False
    field.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    field.requires_grad_(False)
    return True


def seeds_of(results: Sequence[Mapping[str, Any]], name: str, digits: int = 3) -> str:
    """A measured number over the seeds of a run; a dash where the runs have not measured it."""
    values = [float(result[name]) for result in results if result.get(name) is not None]
    return over_seeds(values, digits) if values or not results else NOT_THERE


def toy_table(
    truth: Mapping[str, float], quick: Mapping[str, str], full: Mapping[str, Sequence[Mapping[str, Any]]]
) -> SideBySide:
    """NLL in nats of every density: the truth, this notebook, our stored runs with their gap and NFE. No paper has any.

    Args:
        truth: density -> entropy.
        quick: density -> what this notebook measured.
        full: density -> the results of its seeds.
    """
    header = ("density", "truth", "quick: this notebook", "full: stored runs", "full: gap to the truth", "full: NFE")
    rows = []
    for density, entropy in truth.items():
        runs = full.get(density, [])
        measured = (seeds_of(runs, name, digits) for name, digits in (("nll", 3), ("gap", 3), ("nfe", 0)))
        rows.append((density, f"{entropy:.3f}", quick.get(density, NOT_THERE), *measured))
    return SideBySide(header, rows, "NLL in nats; the paper shows pictures, no numbers")


def digits_table(quick: Mapping[str, float], full: Mapping[str, Sequence[Mapping[str, Any]]]) -> SideBySide:
    """Bits per pixel of the 8×8 digits by model: this notebook, our stored runs; and the papers' on other images."""
    names = {"gaussian": "Gaussian, full covariance", "nice": "NICE, discrete flow", "ffjord": "FFJORD"}
    header = ("model", "quick: this notebook", "full: stored runs", "paper: MNIST, other images, 256 levels")
    return SideBySide(
        header,
        [
            (
                title,
                f"{quick[name]:.3f}" if name in quick else NOT_THERE,
                seeds_of(full.get(name, []), "bits"),
                PAPER_MNIST.get(name, NOT_PRINTED),
            )
            for name, title in names.items()
        ],
        OTHER_FLOWS,
    )
