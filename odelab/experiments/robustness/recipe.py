"""Four nets of one size on MNIST, their training, and how their images are disturbed; nothing here needs torch."""

from typing import Any

from odelab.experiments.registry import Experiment

#: Arm -> what it is.
ARMS = {
    "cnn": "CNN, one residual block",
    "ode-net": "ODE-Net with time",
    "invariant": "ODE-Net without time",
    "tisode": "TisODE (without time, steady-state term)",
}
CHANNELS, GROUPS = 32, 8
SIZES: dict[str, dict[str, int]] = {
    "lecture": {"images": 2000, "epochs": 2, "tested": 250, "attacked": 100},
    "full": {"images": 6000, "epochs": 8, "tested": 1000, "attacked": 250},
}
STEADY = 1.0  # weight of the steady-state term
OWN: dict[str, Any] = {"method": "rk4_classic", "steps": 2}  # the solver of training

#: Disturbance -> levels: standard deviation in grey levels of [0, 1], pixels of blur, degrees, ε in grey levels.
LEVELS: dict[str, tuple[float, ...]] = {
    "noise": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "blur": (0.0, 0.5, 1.0, 1.5, 2.0, 2.5),
    "rotation": (0.0, 15.0, 30.0, 45.0, 60.0),
    "PGD": (0.0, 0.02, 0.05, 0.1, 0.15),
}
PGD_STEPS = 10
EPSILON = 0.05  # where solvers are compared

#: Solvers at test: name -> settings of the ODE block.
SOLVERS: dict[str, dict[str, Any]] = {
    "one Euler step": {"method": "euler", "steps": 1},
    "4 Euler steps": {"method": "euler", "steps": 4},
    "1 RK4 step": {"method": "rk4_classic", "steps": 1},
    "2 RK4 steps (own)": OWN,
    "8 RK4 steps": {"method": "rk4_classic", "steps": 8},
    "dopri5, 1e-1": {"method": "dopri5", "steps": None, "rtol": 1e-1, "atol": 1e-1},
    "dopri5, 1e-3": {"method": "dopri5", "steps": None, "rtol": 1e-3, "atol": 1e-3},
    "dopri5, 1e-5": {"method": "dopri5", "steps": None, "rtol": 1e-5, "atol": 1e-5},
}
#: Solvers through which the attacker differentiates, beside the own one.
ATTACKERS: dict[str, dict[str, Any]] = {
    "dopri5 1e-1, backprop": SOLVERS["dopri5, 1e-1"] | {"gradient": "backprop"},
    "dopri5 1e-1, adjoint": SOLVERS["dopri5, 1e-1"] | {"gradient": "adjoint"},
    "dopri5 1e-3, adjoint": SOLVERS["dopri5, 1e-3"] | {"gradient": "adjoint"},
}

EXPERIMENTS = {
    "robustness": Experiment(
        name="robustness",
        title="ODE-Nets and a CNN of the same size on disturbed MNIST, with other solvers at test (Yan et al. 2020)",
        keys=lambda budget: [{"arm": arm} for arm in ARMS],
        minutes={"lecture": 1},
    ),
}
