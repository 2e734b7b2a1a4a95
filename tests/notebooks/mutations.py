"""Every numbered equation is checked by a claim that fails when the equation is broken.

A cell that registers an equation lists ways to break it in its metadata: a flipped sign, a dropped term. After nbval
ran such a cell, it runs again in the same kernel as it is (it must still hold, or breaking it would prove nothing),
and then once per mutation. Each mutation has to end in ClaimFailed, and every equation of the cell has to be caught
by at least one. The hooks that call this for nbval's cells are in ``conftest.py`` at the root.
"""

import ast
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from odelab.lessons.kit import ClaimFailed
from odelab.lessons.kit.claims import record

ROOT = Path(__file__).resolve().parents[2]
CAUGHT = "ClaimFailed of equation "
PASSED = "no error"


class State:
    """What a cell may change: the names bound, the random numbers to come, and the claims that were made."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.names = dict(namespace)
        self.seed = torch.get_rng_state()
        self.torch_generators = [
            (value, value.get_state()) for value in namespace.values() if isinstance(value, torch.Generator)
        ]
        self.numpy_generators = [
            (value.bit_generator, value.bit_generator.state)
            for value in namespace.values()
            if isinstance(value, np.random.Generator)
        ]
        self.equations, self.claims = dict(record.equations), dict(record.claims)

    def restore(self, namespace: dict[str, Any]) -> None:
        """Bind the names anew, in place, because the lesson's functions look their globals up in this dict."""
        namespace.clear()
        namespace.update(self.names)
        torch.set_rng_state(self.seed)
        for generator, state in self.torch_generators:
            generator.set_state(state)
        for bits, state in self.numpy_generators:
            bits.state = state
        record.equations, record.claims = dict(self.equations), dict(self.claims)


class Variants:
    """Runs variants of a cell in its place and undoes what they bind. This object lives in the lesson's kernel.

    Args:
        namespace: the kernel's names, before the cell runs for the first time.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.before = State(namespace)

    def run(self, source: str) -> str:
        """Run one variant with the draws that the cell had. The answer is the error, CAUGHT + number, or PASSED."""
        after = State(self.namespace)
        self.before.restore(self.namespace)
        trace = sys.gettrace()  # a broken cell covers nothing
        sys.settrace(None)
        try:
            self._execute(source)
        except ClaimFailed as failure:
            return CAUGHT + failure.number
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            sys.settrace(trace)
            after.restore(self.namespace)
        return PASSED

    def _execute(self, source: str) -> None:
        from IPython.core.inputtransformer2 import TransformerManager
        from IPython.utils.capture import capture_output
        from matplotlib import pyplot as plt

        code = compile(TransformerManager().transform_cell(source), "<variant>", "exec")
        figures = plt.get_fignums()
        try:
            with capture_output():
                exec(code, self.namespace)
        finally:
            for number in set(plt.get_fignums()) - set(figures):
                plt.close(number)


def survivors(
    run: Callable[[str], str], source: str, mutations: Sequence[Sequence[str]], numbers: set[str]
) -> list[str]:
    """What is wrong with the checks of one cell, in words; empty when every equation's check can fail.

    Args:
        run: runs a variant of the cell, as :meth:`Variants.run`.
        source: the cell.
        mutations: pairs of a text that stands once in the cell and its replacement.
        numbers: the equations that the cell registers.
    """
    again = run(source)
    if again != PASSED:
        return [f"{sorted(numbers)}: run twice, the cell fails ({again})"]
    complaints, caught = [], set()
    for old, new in mutations:
        if source.count(old) != 1:
            complaints.append(f"{sorted(numbers)}: {old!r} is in the cell {source.count(old)} times, not once")
            continue
        answer = run(source.replace(old, new))
        if answer.startswith(CAUGHT):
            caught.add(answer.removeprefix(CAUGHT))
        else:
            complaints.append(f"{sorted(numbers)}: {old!r} -> {new!r} gave {answer} instead of ClaimFailed")
    return complaints + [f"{number}: no mutation makes its claim fail" for number in sorted(numbers - caught)]


class VariantsInKernel:
    """The same, asked from this process of the kernel that nbval started.

    Args:
        client: the kernel's client.
        timeout: seconds for one variant.

    Raises:
        TimeoutError: from :meth:`run`, when a variant takes longer.
    """

    # Nothing is bound in the lesson's namespace: it shall not find a name that it did not bind itself.
    IMPORT = "__import__('tests.notebooks.mutations', fromlist=['mutations'])"

    def __init__(self, client: Any, timeout: float) -> None:
        self.client, self.timeout = client, timeout
        self._ask(f"__import__('sys').path.insert(0, {str(ROOT)!r})")
        self._ask(f"setattr({self.IMPORT}, 'variants', {self.IMPORT}.Variants(get_ipython().user_ns))")
        self._ask(f"__import__('sys').path.remove({str(ROOT)!r})")

    def run(self, source: str) -> str:
        return self._ask(f"{self.IMPORT}.variants.run({source!r})")

    def _ask(self, expression: str) -> Any:
        content = self.client.execute(
            "", silent=True, user_expressions={"answer": expression}, reply=True, timeout=self.timeout
        )["content"]
        answer = content["user_expressions"]["answer"]
        if answer["status"] != "ok":
            raise RuntimeError("\n".join(answer["traceback"]))
        return ast.literal_eval(answer["data"]["text/plain"])
