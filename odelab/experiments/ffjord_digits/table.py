"""Bits per dimension of the 8×8 digits: a Gaussian, a discrete flow and a continuous one."""

from odelab.experiments.tables import Quick, Rows, Table, beside, first, number, seeds, summarise, with_paper

NAMES = {"gaussian": "Gaussian, full covariance", "nice": "NICE, four couplings", "ffjord": "FFJORD"}
#: On MNIST, 28×28 pixels of 256 grey levels, as the notes' figure 24.10 prints them.
PAPER = {"ffjord": "0.99 (rerun by RNODE's authors: 0.97)"}
CELLS = {"bits per dimension": number("bits", spec=".3f"), "parameters": first("parameters", ","), "seeds": seeds}


def digits_table(quick: Quick = None, rows: Rows = None) -> Table:
    """By model; the paper's are bits of other images and not to be compared with ours."""
    frame = with_paper(
        summarise("ffjord-digits", rows, ("model",), CELLS), PAPER, "paper: MNIST, other images, 256 levels"
    )
    return Table(
        beside(frame, quick, ".3f").rename(index=NAMES).rename_axis("model"),
        "8×8 digits, bits per pixel; the papers' other flows on MNIST: Real NVP 1.06, Glow 1.05",
        "250 test images. On MNIST, which takes GPUs for days: FFJORD 0.99, its rerun 0.97, RNODE 0.97 in 24.4 h "
        "against 68.5 h, Real NVP 1.06, Glow 1.05 bits per dimension (notes, Fig. 24.10; theirs, not ours).",
    )


TABLES = {"ffjord-digits": (digits_table,)}
