"""Spirals at irregular times: errors of latent ODEs and recurrent networks inside, beyond and before the window."""

from odelab.experiments.tables import Quick, Rows, Table, beside, number, seeds, summarise, with_paper

NAMES = {
    "rnn": "RNN",
    "rnn-dt": "RNN that reads Δt",
    "gru-dt": "GRU that reads Δt",
    "latent-ode-tanh": "latent ODE, decoder with a hidden layer",
    "latent-ode-tanh-whole": "the same, trained on whole windows",
    "latent-ode-whole": "latent ODE, trained on whole windows",
    "latent-ode-any": "latent ODE, trained on any number of points",
    "latent-ode": "latent ODE",
    "ode-rnn": "latent ODE, ODE-RNN encoder",
}
#: Predictive RMSE of Chen et al. 2018, Table 2, on spirals of theirs, by (points seen, model).
PAPER = {
    (30, "rnn"): "0.394",
    (50, "rnn"): "0.320",
    (100, "rnn"): "0.181",
    (30, "latent-ode"): "0.164",
    (50, "latent-ode"): "0.150",
    (100, "latent-ode"): "0.135",
}
CELLS = {
    **{where: number(where, spec=".3f") for where in ("inside", "beyond", "before")},
    "lost beyond": number("lost", "beyond", spec=".0%"),
    "90 % band covers, beyond": number("coverage", "beyond", spec=".0%"),
    "seeds": seeds,
}


def spirals_table(quick: Quick = None, rows: Rows = None) -> Table:
    """By (points seen, model); columns of `quick` alike."""
    frame = summarise("latent-spirals", rows, ("kept", "model"), CELLS)
    frame = frame.sort_index(key=lambda level: level.map([*NAMES].index) if level.name == "model" else level)
    frame = with_paper(frame, PAPER, "paper: RMSE, on spirals of its own")
    return Table(
        beside(frame, quick).rename(index=NAMES, level="model").rename_axis(["seen of 100", "model"]),
        "Spirals: RMSE inside the window, over the 100 points beyond it and the 100 before it",
        "Of 100 points in the window 30, 50 or 100 are seen, with noise 0.3; the error is to the truth. A recurrent "
        "net that only predicts has nothing to say of what came before. RNNs: 3,000 iterations; latent ODEs: 1,500 "
        "from one start. Lost are windows whose mean path errs by more than 1; the band of 100 draws is compared with "
        "the curve without noise. The recipe was chosen on a seed that is not in the table, after runs of an earlier "
        "one, which spirals_attempts.json keeps.",
    )


TABLES = {"latent-spirals": (spirals_table,)}
