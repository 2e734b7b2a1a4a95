"""Random linear systems: whatever spectrum, tolerance, grid and direction, the answer is the matrix exponential's."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from odelab import solve

CALM = settings(deadline=None, max_examples=25, derandomize=True)
METHODS = st.sampled_from(["dopri5", "tsit5", "bosh3", "dopri8"])
SEEDS = st.integers(0, 10**6)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.complex64, torch.complex128])


def system(seed: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A random matrix with eigenvalues in [−3, 0.5] ± 4i, and a starting state."""
    g = torch.Generator().manual_seed(seed)
    blocks = []
    for _ in range(dim // 2):
        decay, turn = (torch.rand(2, generator=g, dtype=torch.float64) * torch.tensor([3.5, 4.0])).tolist()
        blocks.append(torch.tensor([[0.5 - decay, turn], [-turn, 0.5 - decay]], dtype=torch.float64))
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=g, dtype=torch.float64))[0]
    return basis @ torch.block_diag(*blocks) @ basis.T, torch.randn(dim, generator=g, dtype=torch.float64)


def grid(seed: int, n: int, span: float) -> torch.Tensor:
    """n irregular times from 0 to span (which may be negative)."""
    inner = torch.rand(n - 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sort().values
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return torch.cat([ends[:1], 0.01 + 0.98 * inner, ends[1:]]).unique() * span


def exact(a: torch.Tensor, y0: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.linalg.matrix_exp(a * x) @ y0 for x in t])


@CALM
@given(SEEDS, st.sampled_from([2, 4, 6]), METHODS, st.integers(3, 7), st.floats(0.3, 3.0), st.booleans())
def test_every_tolerance_and_direction(seed, dim, method, digits, span, backwards):
    a, y0 = system(seed, dim)
    t = grid(seed, 9, -span if backwards else span)
    run = solve(lambda t, y: a @ y, y0, t, method=method, rtol=10.0**-digits, atol=10.0**-digits, options={"step_t": t})
    truth = exact(a, y0, t)
    # The flow carries each step's error to the end, at worst by the largest growth seen on the way.
    growth = max(1.0, float(torch.linalg.matrix_norm(torch.linalg.matrix_exp(a * t[-1]), 2)))
    allowed = 10.0**-digits * (1 + truth.abs().max()) * growth * (run.stats.accepted + 1)
    assert (run.y - truth).abs().max() < allowed
    assert run.stats.accepted == sum(step.accepted for step in run.stats.steps)


@CALM
@given(SEEDS, st.floats(0.5, 2.0))
def test_there_and_back(seed, span):
    a, y0 = system(seed, 4)
    t = torch.tensor([0.0, span], dtype=torch.float64)
    there = solve(lambda t, y: a @ y, y0, t, rtol=1e-9, atol=1e-11).y[-1]
    back = solve(lambda t, y: a @ y, there, t.flip(0), rtol=1e-9, atol=1e-11).y[-1]
    assert (back - y0).abs().max() < 1e-4  # going back amplifies by at most e^(3·2)


@CALM
@given(SEEDS, DTYPES, METHODS, st.booleans())
def test_every_dtype_stays_itself(seed, dtype, method, backwards):
    """A diagonal system, complex where the state is: y = exp(λt) y0."""
    g = torch.Generator().manual_seed(seed)
    rate = (torch.rand(4, generator=g, dtype=torch.float64) * 4 - 3).to(dtype)
    if dtype.is_complex:
        rate = rate + 1j * torch.rand(4, generator=g, dtype=torch.float64)
    rate, y0 = rate.to(dtype), torch.randn(4, generator=g, dtype=torch.float64).to(dtype)
    t = grid(seed, 5, -0.5 if backwards else 1.0)
    y = solve(lambda t, y: rate * y, y0, t, method=method, rtol=1e-4, atol=1e-5).y
    assert y.dtype == dtype
    truth = torch.exp(rate * t[:, None].to(dtype)) * y0
    assert (y - truth).abs().max() < 3e-3 * (1 + truth.abs().max())


@CALM
@given(SEEDS, st.integers(2, 12), METHODS)
def test_more_output_times_change_no_step(seed, n, method):
    a, y0 = system(seed, 4)
    ends = solve(lambda t, y: a @ y, y0, grid(seed, 2, 2.0), method=method, rtol=1e-5, atol=1e-7)
    many = solve(lambda t, y: a @ y, y0, grid(seed, n, 2.0), method=method, rtol=1e-5, atol=1e-7)
    assert [step.t for step in ends.stats.steps] == [step.t for step in many.stats.steps]
    assert torch.equal(ends.y[-1], many.y[-1])


@CALM
@given(SEEDS, st.sampled_from(["rk4", "rk4_classic", "heun3", "midpoint"]), st.booleans())
def test_fixed_grids_are_linear_in_the_state(seed, method, backwards):
    a, y0 = system(seed, 4)
    t = grid(seed, 20, -1.0 if backwards else 1.0)
    one, two = (solve(lambda t, y: a @ y, scale * y0, t, method=method).y for scale in (1.0, -2.5))
    torch.testing.assert_close(-2.5 * one, two)


@CALM
@given(SEEDS, st.floats(0.2, 1.5))
def test_the_three_gradients_agree_on_random_systems(seed, span):
    a, y0 = system(seed, 4)
    t, found = torch.tensor([0.0, span / 2, span], dtype=torch.float64), []
    for gradient in ("backprop", "checkpoint", "adjoint"):
        start, matrix = y0.clone().requires_grad_(), a.clone().requires_grad_()
        field = lambda t, y, m=matrix: m @ y  # noqa: E731
        y = solve(field, start, t, rtol=1e-9, atol=1e-9, gradient=gradient, params=(matrix,)).y
        (y * torch.arange(1.0, 13.0, dtype=torch.float64).view(3, 4)).sum().backward()
        found.append(torch.cat([start.grad, matrix.grad.flatten()]))
    scale = found[0].abs().max()
    assert (found[1] - found[0]).abs().max() < 1e-11 * scale
    assert (found[2] - found[0]).abs().max() < 1e-5 * scale
