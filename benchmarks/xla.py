"""diffrax on a problem of this benchmark, in a process of its own: `python -m benchmarks.xla FILE`.

It needs no PyTorch, so that any Python with diffrax can run it. FILE.npz holds weights, y0, t and tolerances. Each line
on the standard input names a task; the answer is the CPU time of one call in seconds, compiled and warmed up before.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def tasks(file: str) -> dict[str, Callable[[], Any]]:
    """Forward, gradient of the mean square (checkpointed, diffrax's default), and a step size for every row."""
    import diffrax as dfx
    import jax
    import jax.numpy as jnp

    given = dict(np.load(file))
    weights = [jnp.asarray(given[f"w{i}"]) for i in range(sum(name.startswith("w") for name in given))]
    y0, t, (rtol, atol) = jnp.asarray(given["y0"]), jnp.asarray(given["t"]), given["tolerances"].tolist()

    def field(t: Any, y: Any, weights: Any) -> Any:
        if len(weights) == 1:
            return weights[0] * y
        w1, b1, w2, b2 = weights
        return jnp.tanh(y**3 @ w1.T + b1) @ w2.T + b2

    def solve(y0: Any, weights: Any) -> Any:
        how = {"stepsize_controller": dfx.PIDController(rtol=rtol, atol=atol), "max_steps": 4096}
        term, save = dfx.ODETerm(field), dfx.SaveAt(ts=t)
        return dfx.diffeqsolve(term, dfx.Dopri5(), t[0], t[-1], None, y0, weights, saveat=save, **how).ys

    forward = jax.jit(solve)
    gradient = jax.jit(jax.grad(lambda y0, weights: (solve(y0, weights) ** 2).mean(), argnums=(0, 1)))
    rows = jax.jit(jax.vmap(solve, in_axes=(0, None)))
    return {
        "forward": lambda: jax.block_until_ready(forward(y0, weights)),
        "gradient": lambda: jax.block_until_ready(gradient(y0, weights)),
        "per sample": lambda: jax.block_until_ready(rows(y0, weights)),
    }


def main(file: str) -> None:
    known, ready = tasks(file), set()
    for line in sys.stdin:
        task = known[line.strip()]
        if line not in ready:
            ready.add(line)
            task()
        task()
        start, count = time.process_time(), 0
        while count < 1 or time.process_time() - start < 0.05:
            task()
            count += 1
        print((time.process_time() - start) / count, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    if hasattr(os, "sched_setaffinity"):  # else XLA's gradients use threads all the same, whose CPU time adds up
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main(sys.argv[1])
