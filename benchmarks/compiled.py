"""options=dict(compile=True) beside the ordinary loop, torchdiffeq and diffrax (`benchmarks.run --only compiled`).

diffrax runs in a process of its own: in this Python where it is installed, else in the one that DIFFRAX_PYTHON names.
"""

import copy
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchdiffeq
from pandas import DataFrame

import odelab
from benchmarks.problems import PROBLEMS, Problem, spiral
from benchmarks.report import Cell, Show, markdown, power, short
from benchmarks.solvers import distance, forward_solve, gradient
from benchmarks.timing import Effort, Task, cpu_seconds, medians, ratio

EFFORT = Effort(4.0, least=3, most=7)
BATCHES = (1, 10, 100, 1_000, 10_000, 100_000)
TARGETS = {  # of torchdiffeq ÷ compiled, forward and gradient
    "decay": (40.0, 100.0),
    "spiral20": (20.0, 35.0),
    "spiral1000": (5.5, 5.5),
}
COMPILED = {"compile": True}
INTRODUCTION = (
    "`options=dict(compile=True)` beside the ordinary loop, torchdiffeq and diffrax: dopri5 in float32 with the same "
    "tolerances; `python -m benchmarks.run --only compiled` measures it anew."
)
ROOT = Path(__file__).resolve().parents[1]


class Diffrax:
    """diffrax's CPU seconds, asked of its own process; `None` in place of one where there is no diffrax."""

    def __init__(self, problem: Problem) -> None:
        self.python = os.environ.get("DIFFRAX_PYTHON") or (sys.executable if find_spec("diffrax") else None)
        self.process: subprocess.Popen[str] | None = None
        if self.python is None:
            return
        with tempfile.NamedTemporaryFile(suffix=".npz", delete=False) as file:
            weights = {f"w{i}": p.detach().numpy() for i, p in enumerate(problem.func.parameters())}
            tolerances = np.array([problem.rtol, problem.atol])
            np.savez(file, y0=problem.y0.numpy(), t=problem.t.numpy(), tolerances=tolerances, **weights)
        command = [self.python, str(ROOT / "benchmarks" / "xla.py"), file.name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, task: str) -> float:
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        if self.process is not None:
            self.process.communicate()


def rounds(tasks: Mapping[str, Task], theirs: Diffrax, task: str, effort: Effort) -> dict[str, list[float]]:
    """CPU seconds of every contestant, in turns; diffrax measures its own."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    if theirs.process is not None:
        seconds["diffrax"] = []
    repeats = {name: max(1, round(effort.sample / max(cpu_seconds(task), 1e-6))) for name, task in tasks.items()}
    start = time.process_time()
    while len(seconds["compiled"]) < effort.most:
        if len(seconds["compiled"]) >= effort.least and time.process_time() - start > effort.seconds:
            break
        for name, run in tasks.items():
            seconds[name].append(cpu_seconds(run, repeats[name]))
        if theirs.process is not None:
            seconds["diffrax"].append(theirs.seconds(task))
    return seconds


def compared(seconds: dict[str, list[float]], target: float | None = None) -> dict[str, Any]:
    """Every contestant's CPU time over that of the compiled solve."""
    cells = {name: ratio(samples, seconds["compiled"]) for name, samples in seconds.items() if name != "compiled"}
    if target is not None:
        cells["torchdiffeq"]["target"] = target
    return {"columns": cells, "cpu_seconds": medians(seconds)}


def quietly(task: Task) -> tuple[Any, str | None]:
    """What a task returned, and why it was not compiled."""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        result = task()
    reasons = [str(complaint.message) for complaint in complaints if "not compiled" in str(complaint.message)]
    return result, reasons[0] if reasons else None


def whole(*args: Any, **how: Any) -> Any:
    return odelab.odeint(*args, options=COMPILED, **how)


def replay(*args: Any, **how: Any) -> Any:
    return whole(*args, gradient="checkpoint", **how)


def eager(*args: Any, **how: Any) -> Any:
    return odelab.odeint(*args, gradient="checkpoint", **how)


def first_calls(name: str) -> dict[str, list[float]]:
    """CPU seconds, the compiler's own included, and seconds by the clock of a problem's first solve and gradient."""
    problem, seconds = PROBLEMS[name](), []
    torch.set_num_threads(1)
    for task in (lambda: forward_solve(problem, whole), lambda: gradient(problem, replay)):
        cpu, clock = sum(os.times()[:4]), time.perf_counter()
        _, reason = quietly(task)
        if reason is not None:
            raise RuntimeError(reason)
        seconds.append((sum(os.times()[:4]) - cpu, time.perf_counter() - clock))
    return dict(zip(("cpu", "clock"), map(list, zip(*seconds, strict=True)), strict=True))


def measure_first_calls(name: str) -> dict[str, dict[str, list[float]]]:
    """Of two processes, one after the other: with an empty cache on disk, and with what the first one left there."""
    code = f"import json; from benchmarks.compiled import first_calls; print(json.dumps(first_calls({name!r})))"
    measured = {}
    with tempfile.TemporaryDirectory() as cache:
        for when in ("empty", "filled"):
            env = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
            done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            measured[when] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def measure_problem(problem: Problem, effort: Effort) -> dict[str, Any]:
    """One problem forward, with its gradient and, of a batch, with a step size for every row."""
    row: dict[str, Any] = {"title": problem.title}
    try:
        row["first_calls"] = measure_first_calls(problem.name)
    except RuntimeError as error:
        return row | {"not_compiled": str(error)}
    theirs = Diffrax(problem)
    row["error"] = distance(forward_solve(problem, whole), problem.reference())
    # The gradient along float32 steps is known to the rounding of their states: the judge is float64.
    double = replace(problem, func=copy.deepcopy(problem.func).double(), y0=problem.y0.double())
    exact = gradient(double, eager)
    row["gradient_error"] = {
        "compiled": distance(gradient(problem, replay), exact),
        "odelab": distance(gradient(problem, eager), exact),
    }
    forward, backward = TARGETS.get(problem.name, (None, None))
    runs: dict[str, Callable[[], Any]] = {
        "compiled": lambda: forward_solve(problem, whole),
        "odelab": lambda: forward_solve(problem, odelab.odeint),
        "torchdiffeq": lambda: forward_solve(problem, torchdiffeq.odeint),
    }
    row["forward"] = compared(rounds(runs, theirs, "forward", effort), forward)
    runs = {
        "compiled": lambda: gradient(problem, replay),
        "odelab": lambda: gradient(problem, eager),
        "torchdiffeq": lambda: gradient(problem, torchdiffeq.odeint_adjoint),
    }
    row["gradient"] = compared(rounds(runs, theirs, "gradient", effort), backward)
    if problem.y0.ndim > 1:
        per_sample = {"per_sample": True}
        runs = {
            "compiled": lambda: forward_solve(problem, odelab.odeint, options=per_sample | COMPILED),
            "odelab": lambda: forward_solve(problem, odelab.odeint, options=per_sample),
            "odelab, one step size for all": lambda: forward_solve(problem, odelab.odeint),
        }
        row["per sample"] = compared(rounds(runs, theirs, "per sample", effort))
    theirs.close()
    return row


def sweep(batch: int, effort: Effort) -> dict[str, Any]:
    """µs an attempt of the spiral at one batch size, beside six evaluations of f; diffrax's of a solve as a whole."""
    problem = spiral(batch, {})
    if batch >= 10_000:  # a part of the way, and once
        problem = replace(problem, t=torch.linspace(0, 2.5, 2))
        effort = replace(effort, least=1, most=1)
    theirs = Diffrax(problem)
    t, stats = problem.t[0], odelab.solve(problem.func, problem.y0, problem.t, **problem.tolerances).stats
    attempts = stats.accepted + stats.rejected

    @torch.no_grad()
    def six() -> None:
        for _ in range(6 * attempts):
            problem.func(t, problem.y0)

    runs = {
        "compiled": lambda: forward_solve(problem, odelab.odeint, options=COMPILED),
        "odelab": lambda: forward_solve(problem, odelab.odeint),
        "torchdiffeq": lambda: forward_solve(problem, torchdiffeq.odeint),
        "six evaluations of f": six,
    }
    seconds = medians(rounds(runs, theirs, "forward", effort))
    theirs.close()
    return {"batch": batch, "attempts": attempts, "us": {name: 1e6 * s / attempts for name, s in seconds.items()}}


def measure(effort: Effort) -> dict[str, Any]:
    quick = effort.least < EFFORT.least
    rows = []
    for name in [] if quick else TARGETS:
        rows.append(measure_problem(PROBLEMS[name](), effort))
        print(page({"rows": rows, "sweep": []}, short), flush=True)
    return {"rows": rows, "sweep": [sweep(batch, effort) for batch in ([] if quick else BATCHES)]}


def page(results: dict[str, Any], cell: Cell = short, show: Show = markdown) -> str:
    """What stands in docs/benchmarks.md; with other cells, shown otherwise, for the terminal."""
    rows = [row for row in results["rows"] if "gradient" in row]
    parts = [INTRODUCTION]
    for part, title in (
        ("forward", "CPU time ÷ that of the whole solve compiled, forward"),
        ("gradient", "CPU time ÷ that of the whole solve compiled, with gradients"),
        ("per sample", "CPU time ÷ that of the compiled loop, a step size per row"),
    ):
        lines = {row["title"]: row[part]["columns"] for row in rows if part in row}
        times = {row["title"]: f"{1e3 * row[part]['cpu_seconds']['compiled']:.3g}" for row in rows if part in row}
        if lines:
            frame = DataFrame(lines).T.map(cell)
            parts.append(show(title, frame.assign(**{"compiled, ms": times})))
    for row in results["rows"]:
        if "not_compiled" in row:
            parts.append(f"{row['title']}: {row['not_compiled']}")
    if rows:
        parts.append(
            "Below 1 is faster than the compiled solve. Gradients are by the replay of checkpoint, torchdiffeq's by "
            "`odeint_adjoint`, diffrax's by its default. CPU time of one thread, in turns."
        )
        errors = DataFrame({row["title"]: row["gradient_error"] for row in rows}).T.map(power)
        parts.append(show("distance of the gradient from that of float64", errors))
        first = {
            f"{what}, {when} cache": {
                row["title"]: f"{row['first_calls'][when]['cpu'][i]:.0f}" for row in rows if row["first_calls"]
            }
            for when in ("empty", "filled")
            for i, what in enumerate(("forward", "with gradients"))
        }
        parts.append(show("CPU seconds of a process's first call, the compiler's included", DataFrame(first)))
    if results["sweep"]:
        frame = DataFrame({f"{row['batch']:,}": row["us"] for row in results["sweep"]}).T
        parts.append(show("µs an attempt, spiral, by batch", frame.map("{:.3g}".format, na_action="ignore")))
        parts.append("![µs an attempt by batch size](images/compiled.png)")
    return "\n\n".join(parts)
