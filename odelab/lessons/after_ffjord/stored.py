"""What the stored runs of `reflow`, `ffjord-toy` and `guided-digits` have left, ready for the lesson."""

from odelab.experiments.after_ffjord.digits import SIDE, DigitField
from odelab.flows import CNF
from odelab.lessons.kit.weights import load_weights
from odelab.nets import MLPField


def stored_flow(training: str) -> CNF:
    """The flow of the pinwheel of the stored run `reflow`, seed 0.

    Raises:
        FileNotFoundError: when that run has left no weights.
    """
    field = MLPField(2)
    _load(field, f"after_ffjord_pinwheel_{training.replace(' ', '_')}", "reflow")
    return CNF(field)


def stored_ffjord() -> CNF:
    """The flow of the pinwheel that lesson 06 trained by maximum likelihood: stored run `ffjord-toy`, seed 0.

    Raises:
        FileNotFoundError: when that run has left no weights.
    """
    field = MLPField(2)
    _load(field, "ffjord_toy_pinwheel", "ffjord-toy")
    return CNF(field)


def stored_digits() -> DigitField:
    """The field of the stored run `guided-digits`, seed 0.

    Raises:
        FileNotFoundError: when that run has left no weights.
    """
    field = DigitField(SIDE**2)
    _load(field, "guided_digits_14", "guided-digits")
    return field


def _load(field: MLPField | DigitField, name: str, experiment: str) -> None:
    if not load_weights(field, name):
        raise FileNotFoundError(
            f"checkpoints/{name}.safetensors is not among the course's data: "
            f"python -m odelab reproduce {experiment} --budget full writes it"
        )
