"""Bits per dimension of the 8×8 digits: a Gaussian, two discrete flows and a continuous one."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import ttest_1samp

from odelab.experiments.comparison import holm
from odelab.experiments.results import Row, by_key, stored_rows
from odelab.experiments.tables import (
    NOTHING,
    Quick,
    Rows,
    Table,
    beside,
    first,
    number,
    seeds,
    summarise,
    with_paper,
)

NAMES = {
    "gaussian": "Gaussian, full covariance",
    "nice": "NICE, four couplings",
    "realnvp": "Real NVP, four couplings",
    "ffjord": "FFJORD",
}
#: On MNIST, 28×28 pixels of 256 grey levels, as the notes' figure 24.10 prints them.
PAPER = {"ffjord": "0.99 (rerun by RNODE's authors: 0.97)", "realnvp": "1.06"}


def by_image(runs: Sequence[Row]) -> np.ndarray | None:
    """Bits of each test image (n,), the mean over the seeds; None where no run has stored them."""
    bits = [row.result["bits_by_image"] for row in runs if "bits_by_image" in row.result]
    return np.mean(bits, axis=0) if bits else None


def image_error(runs: list[Row]) -> str:
    """Standard error of the mean over the test images."""
    bits = by_image(runs)
    return NOTHING if bits is None else f"{bits.std(ddof=1) / len(bits) ** 0.5:.3f}"


CELLS = {
    "bits per dimension": number("bits", spec=".3f"),
    "standard error, test images": image_error,
    "parameters": first("parameters", ","),
    "CPU s": number("cpu_seconds", spec=".0f"),
    "seeds": seeds,
}


def against_ffjord(rows: Rows = None) -> dict[str, tuple[float, float, float]]:
    """Model -> its bits less FFJORD's on the same test images: mean, standard error, and p by a paired t test.

    The p of all models are corrected together (Holm 1979). Models whose rows have no bits by image are left out.
    """
    runs = by_key(stored_rows("ffjord-digits") if rows is None else rows, "model")
    theirs = by_image(runs.get("ffjord", []))
    differences = {}
    for model, group in runs.items():
        bits = by_image(group)
        if model != "ffjord" and bits is not None and theirs is not None:
            differences[model] = bits - theirs
    corrected = holm([float(ttest_1samp(values, 0.0).pvalue) for values in differences.values()])
    compared = {}
    for (model, values), p in zip(differences.items(), corrected, strict=True):
        assert p is not None  # as none of the tests was
        compared[model] = (float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5), p)
    return compared


def digits_table(quick: Quick = None, rows: Rows = None) -> Table:
    """By model; the paper's are bits of other images and not to be compared with ours."""
    frame = summarise("ffjord-digits", rows, ("model",), CELLS)
    pairs = {
        model: f"{mean:+.3f} ± {error:.3f} (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})"
        for model, (mean, error, p) in against_ffjord(rows).items()
    }
    frame.insert(2, "more than FFJORD, image by image", [pairs.get(model, NOTHING) for model in frame.index])
    frame = with_paper(frame, PAPER, "paper: MNIST, other images, 256 levels")
    return Table(
        beside(frame, quick, ".3f").rename(index=NAMES).rename_axis("model"),
        "8×8 digits, bits per pixel",
        "250 test images. ± beside bits: standard deviation over seeds; the standard error is that of the mean over "
        "the test images. Image by image: mean difference ± its standard error, p of a paired t test, corrected for "
        "all models (Holm); what another training set would give, it does not tell. On MNIST, which takes GPUs for "
        "days: FFJORD 0.99, its rerun 0.97, RNODE 0.97 in 24.4 h against 68.5 h, Real NVP 1.06, Glow 1.05 bits per "
        "dimension (notes, Fig. 24.10; theirs, not ours).",
    )


TABLES = {"ffjord-digits": (digits_table,)}
