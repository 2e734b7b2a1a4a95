"""The compiled step, options=dict(compile=True): forward after warm-up, and what the warm-up costs."""

import os
import tempfile
import time
import warnings
from typing import Any
from unittest import mock

import torchdiffeq

import odelab
from benchmarks.problems import Problem
from benchmarks.solvers import distance, forward_solve
from benchmarks.timing import Effort, interleave, medians, ratio


def measure(problem: Problem, effort: Effort) -> dict[str, Any]:
    """torchdiffeq's CPU time over that of the compiled solve, and the wall-clock seconds of its first call.

    The compiler starts from an empty cache, as on a machine that never ran this.
    """
    tasks = {
        "compiled": lambda: forward_solve(problem, odelab.odeint, options={"compile": True}),
        "torchdiffeq": lambda: forward_solve(problem, torchdiffeq.odeint),
        "plain": lambda: forward_solve(problem, odelab.odeint),
    }
    with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        with mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache):
            start = time.perf_counter()
            y = tasks["compiled"]()
            first_call = time.perf_counter() - start
    reasons = [str(complaint.message) for complaint in complaints if "could not compile" in str(complaint.message)]
    if reasons:
        return {"title": problem.title, "not_compiled": reasons[0]}
    seconds = interleave(tasks, effort)
    return {
        "title": problem.title,
        "first_call_seconds": first_call,
        "error": distance(y, problem.reference()),
        "forward": {
            **ratio(seconds["torchdiffeq"], seconds["compiled"]),
            "target": problem.targets.get("compiled"),
        },
        "plain over compiled": ratio(seconds["plain"], seconds["compiled"]),
        "cpu_seconds": medians(seconds),
    }
