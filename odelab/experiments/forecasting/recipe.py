"""What is forecast, by which models, from which origins; nothing here needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from odelab.experiments.registry import Experiment


@dataclass(frozen=True)
class Plan:
    """How one series is forecast.

    Attributes:
        period: of the year, in samples; season: the whole number of samples that the seasonal naive forecast goes back.
        harmonics: sines and cosines of the yearly clock.
        horizon: how many samples ahead.
        validation, test: first origin, one past the last, and the distance between origins, in samples. An origin is
            the number of values that are known. Settings are chosen on the validation origins.
        windows: how many values the neural ODE may read, one of these is chosen.
        unit: samples in a unit of the neural ODE's time.
        sample: what one is called.
    """

    period: float
    season: int
    harmonics: int
    horizon: int
    validation: tuple[int, int, int]
    test: tuple[int, int, int]
    windows: tuple[int, ...]
    unit: float
    sample: str

    def origins(self, part: str) -> Sequence[int]:
        return range(*(self.validation if part == "validation" else self.test))

    @property
    def overlap(self) -> int:
        """With so many origins before it the forecast from an origin shares target values."""
        return (self.horizon - 1) // self.test[2]


#: Validation years and test years: of the sea 1980–1993 and 1995–2009, of the weather 2014 and 2015.
PLANS = {
    "sea": Plan(12.0, 12, 3, 12, (360, 529, 6), (540, 721, 3), (12, 24), 6.0, "month"),
    "weather": Plan(365.25, 365, 2, 14, (731, 1083, 7), (1096, 1448, 7), (14, 28), 7.0, "day"),
}
#: Model -> what a table calls it.
MODELS = {
    "seasonal naive": "seasonal naive",
    "climatology": "climatology",
    "ets": "damped ETS",
    "arima": "ARIMA",
    "boosting": "gradient boosting",
    "latent-ode": "latent ODE",
}
LEARNED = ("boosting", "latent-ode")  # whose result depends on a seed
QUANTILES = 30  # levels (k − ½)/30; the second one is 5 %, the last but one 95 %
DRAWS = 400  # of a neural forecast
#: Steps of the optimizer after which the validation origins are looked at; the best of them is taken.
CHECKPOINTS = {"lecture": (40, 80), "full": (50, 100, 200, 400, 600)}
LATENT = {"lecture": (4,), "full": (6,)}  # dimensions of z to choose from

BOYS = 763  # in the school
KNOWN_DAYS = (4, 5, 7, 9)
EPIDEMIC_MODELS = {
    "last value": "the last value",
    "ets": "damped ETS",
    "sir": "SIR",
    "sir + net": "SIR with a neural term",
    "net": "a neural ODE",
}
DETERMINISTIC = ("last value", "ets")
MEMBERS = 24  # fits to redrawn data, which make an epidemic's fan
EPIDEMIC_STEPS = {"lecture": 60, "full": 300}

DAMPINGS = {
    "none": "dz/dt = f(z)",
    "fixed": "dz/dt = −a z + f(z), a = 0.5",
    "learned": "dz/dt = C z + f(z), C a learned convolution",
}
DAMPING = 0.5  # a, per unit of time
WAVE_STEPS = {"lecture": 300, "full": 2500}
NOISES = (0.0, 0.5, 1.0)  # standard deviation of what is added to a first state; the waves' own is 1.2
ROLLOUT, LONG_ROLLOUT = 100, 1000  # steps of 0.25

EXPERIMENTS = {
    "forecasting": Experiment(
        name="forecasting",
        title="rolling-origin forecasts of sea-surface temperature and weather: latent ODE, statistics, boosting",
        keys=lambda budget: [{"series": series, "model": model} for series in PLANS for model in MODELS],
        enough=lambda key: 3 if key["model"] in LEARNED else 1,
        minutes={"lecture": 3},
    ),
    "epidemic": Experiment(
        name="epidemic",
        title="an influenza in a school forecast from its first days: SIR, SIR with a neural term, a neural ODE",
        keys=lambda budget: [{"days": days, "model": model} for days in KNOWN_DAYS for model in EPIDEMIC_MODELS],
        enough=lambda key: 1 if key["model"] in DETERMINISTIC else 3,
        minutes={"lecture": 2},
        function="run_epidemic",
    ),
    "long-horizon": Experiment(
        name="long-horizon",
        title="roll-outs of a learned Kuramoto–Sivashinsky equation with and without damping (after Linot et al. 2023)",
        keys=lambda budget: [{"damping": damping} for damping in DAMPINGS],
        minutes={"lecture": 1},
        function="run_waves",
    ),
}
