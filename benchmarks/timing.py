"""Fair ratios on a noisy machine: CPU time of one thread, contestants in turns, the median of per-round ratios."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

Task = Callable[[], Any]


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds until `seconds` of CPU time are spent, but at least `least` and at most `most`."""

    seconds: float
    least: int = 3
    most: int = 60
    sample: float = 0.1  # a quicker task is repeated until one sample takes about this long
    warm: float = 1.0  # a quicker task runs once before each sample
    hurry: bool = False  # where a first call took long, that is the sample

    def shorter(self) -> Effort:
        """For the side tables."""
        return replace(self, seconds=self.seconds / 4)


QUICK = Effort(2.0, least=1, most=3, sample=0.02, warm=0.2, hurry=True)
FULL = Effort(30.0, least=5)


def cpu_seconds(task: Task, repeats: int = 1) -> float:
    """Mean CPU time of one call, garbage collected before and not during."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        for _ in range(repeats):
            task()
        return (time.process_time() - start) / repeats
    finally:
        gc.enable()


def interleave(tasks: Mapping[str, Task], effort: Effort) -> dict[str, list[float]]:
    """CPU seconds per call of every task, one sample per round; every other round runs in reverse order.

    A first call of each task says how often to repeat it within a sample. Before its sample each runs once untimed, so
    that nobody pays for the caches and the heap its predecessor left, except where a call takes long.
    """
    gc.collect()
    gc.freeze()  # what exists already would be searched for garbage at every sample
    try:
        once = {name: max(cpu_seconds(task), 1e-7) for name, task in tasks.items()}
        seconds: dict[str, list[float]] = {name: [] for name in tasks}
        start = time.process_time()
        for count in range(effort.most):
            if count >= effort.least and time.process_time() - start > effort.seconds:
                break
            for name in tasks if count % 2 == 0 else reversed(list(tasks)):
                if effort.hurry and once[name] > 0.6:
                    seconds[name].append(once[name])
                    continue
                if once[name] < effort.warm:
                    tasks[name]()
                seconds[name].append(cpu_seconds(tasks[name], max(1, math.ceil(effort.sample / once[name]))))
        return seconds
    finally:
        gc.unfreeze()


def compare(tasks: Mapping[str, Task], effort: Effort) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """`interleave`, and what each task returned last."""
    results: dict[str, Any] = {}

    def remembering(name: str) -> Task:
        return lambda: results.update({name: tasks[name]()})

    return interleave({name: remembering(name) for name in tasks}, effort), results


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(samples) for name, samples in seconds.items()}


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """How often fast fits into slow: the median over rounds, and the quartiles between which half of them lie."""
    ratios = sorted(s / f for s, f in zip(slow, fast, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {"ratio": middle, "low": low, "high": high, "rounds": len(ratios)}
