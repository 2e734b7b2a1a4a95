"""The sizes of the flows on MNIST and their solvers; nothing here needs torch."""

from typing import Any

from odelab.experiments.registry import Experiment

SIZES: dict[str, dict[str, Any]] = {
    "lecture": {"hidden": (4,), "blocks": 1, "batch": 8, "iterations": 5, "judged": 16},
    "full": {"hidden": (64, 64, 64), "blocks": 2, "batch": 200, "iterations": 30_000, "judged": 10_000},
}
SOLVERS: dict[str, dict[str, Any]] = {
    "vanilla": {"method": "dopri5", "rtol": 1e-5, "atol": 1e-5, "gradient": "adjoint"},
    "rnode": {"method": "rk4_classic", "steps": 4, "gradient": "checkpoint"},
}

#: On 14×14 pixels, means of 2×2: hours on one thread of a CPU.
SMALL: dict[str, dict[str, Any]] = {
    "lecture": {"hidden": (4,), "blocks": 1, "batch": 8, "iterations": 5, "judged": 16},
    "full": {"hidden": (32, 32), "blocks": 1, "batch": 64, "iterations": 8000, "judged": 1000},
}

EXPERIMENTS = {
    "ffjord-mnist": Experiment(
        name="ffjord-mnist",
        title="FFJORD without and with regularization on MNIST, for a GPU (notes, Fig. 24.10)",
        keys=lambda budget: [{"flow": name} for name in SOLVERS],
        seeds={"lecture": (0,), "full": (0,)},
        minutes={"lecture": 1},
    ),
    "ffjord-mnist-14": Experiment(
        name="ffjord-mnist-14",
        title="a continuous flow of MNIST's digits on 14×14 pixels, whose samples can be recognised",
        keys=lambda budget: [{"flow": "rnode"}],
        seeds={"lecture": (0,), "full": (0,)},
        minutes={"lecture": 1},
        function="run_small",
    ),
}
