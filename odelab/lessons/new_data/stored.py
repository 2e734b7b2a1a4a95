"""What the stored runs of `neural-processes` have left, ready for the lesson."""

from odelab.experiments.neural_processes.processes import NeuralProcess
from odelab.experiments.neural_processes.run import build
from odelab.lessons.kit.weights import load_weights


def stored_process(task: str, model: str) -> NeuralProcess:
    """A process of the stored run, seed 0.

    Raises:
        FileNotFoundError: when that run has left no weights.
    """
    process = build(model, task)
    name = f"neural_processes_{task}_{model}"
    if not isinstance(process, NeuralProcess) or not load_weights(process, name):
        raise FileNotFoundError(
            f"checkpoints/{name}.safetensors is not among the course's data: "
            "python -m odelab reproduce neural-processes --budget full writes it"
        )
    return process
