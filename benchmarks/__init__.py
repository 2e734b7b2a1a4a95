"""How odelab compares with other solvers, measured side by side: `python -m benchmarks.run` (or `make bench`)."""
