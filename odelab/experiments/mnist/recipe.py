"""The rows of the table of ODE-Nets on MNIST and the sizes they are run at; nothing here needs torch."""

from typing import Any

from odelab.experiments.registry import Experiment

BODIES = ("mlp", "resnet", "rk-net", "ode-net", "one-block", "no-block")  # as in odelab.nets
SIZES: dict[str, dict[str, Any]] = {
    "lecture": {"channels": 32, "groups": 8, "images": 20_000, "epochs": 8},
    "full": {"channels": 64, "groups": 32, "images": None, "epochs": 10},
}
# The rows of the table stand on features of 3×3, a quarter of the work of Chen et al.'s script, whose features are 6×6;
# a second set of rows stands on those.
LARGER = "-6x6"
ROWS: dict[str, dict[str, Any]] = {body: {"body": body, "stem": "strided"} for body in BODIES} | {
    body + LARGER: {"body": body, "stem": "conv"} for body in BODIES if body != "mlp"
}

EXPERIMENTS = {
    "mnist": Experiment(
        name="mnist",
        title="MLP, ResNet, RK-Net, ODE-Net and two ablations on MNIST (Chen et al. 2018, Table 1)",
        keys=lambda budget: [{"body": name} for name in (ROWS if budget == "full" else BODIES)],
        seeds={"lecture": (0,), "full": (0, 1, 2, 3, 4)},
        minutes={"lecture": 5},
    )
}
