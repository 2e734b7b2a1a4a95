"""With per_sample every row of a batch behaves as if it were solved alone."""

import pytest
import torch

from odelab import solve
from odelab.solvers import MaxStepsExceeded, NonFiniteState
from tests.solvers.problems import gradients, tensor, times

MU = tensor(0.1, 1.0, 4.0, 8.0)[:, None]


def van_der_pol(mu):
    def field(t, y):
        x, v = y[..., :1], y[..., 1:]
        return torch.cat([v, mu * (1 - x**2) * v - x + 0.1 * torch.cos(t)], dim=-1)

    return field


Y0 = torch.tensor([[2.0, 0.0], [1.0, -1.0], [0.5, 0.5], [2.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "bosh3", "adaptive_heun"])
@pytest.mark.parametrize("t", [times(4.0, 9), times(-0.3, 4), tensor(0.0, 0.001, 3.0)])
def test_rows_equal_one_by_one(method, t):
    how = {"method": method, "rtol": 1e-4, "atol": 1e-5}
    together = solve(van_der_pol(MU), Y0, t, options={"per_sample": True}, **how)
    for i in range(len(Y0)):
        alone = solve(van_der_pol(MU[i]), Y0[i], t, **how)
        torch.testing.assert_close(together.y[:, i], alone.y, rtol=1e-9, atol=1e-9)
        assert int(together.rows.accepted[i]) == alone.stats.accepted
        assert int(together.rows.rejected[i]) == alone.stats.rejected
    assert together.stats.accepted == int(together.rows.accepted.sum())


def test_a_row_does_not_depend_on_its_neighbours():
    calm = solve(van_der_pol(MU[:1]), Y0[:1], times(4.0), rtol=1e-5, atol=1e-5, options={"per_sample": True})
    mixed = solve(van_der_pol(MU), Y0, times(4.0), rtol=1e-5, atol=1e-5, options={"per_sample": True})
    torch.testing.assert_close(mixed.y[:, 0], calm.y[:, 0], rtol=1e-12, atol=1e-12)
    shared = solve(van_der_pol(MU), Y0, times(4.0), rtol=1e-5, atol=1e-5)
    assert int(mixed.rows.accepted[0]) < shared.stats.accepted / 2  # the stiffest row sets the batch's pace


def test_gradients_equal_one_by_one():
    mu, y0 = MU.clone().requires_grad_(), Y0.clone().requires_grad_()
    t = times(2.0, 5).requires_grad_()
    y = solve(van_der_pol(mu), y0, t, rtol=1e-7, atol=1e-8, options={"per_sample": True}).y
    found = gradients((y**2).sum(), y0, mu, t)
    losses = [(solve(van_der_pol(mu[i]), y0[i], t, rtol=1e-7, atol=1e-8).y ** 2).sum() for i in range(len(y0))]
    for mine, alone in zip(found, gradients(sum(losses), y0, mu, t), strict=True):
        torch.testing.assert_close(mine, alone, rtol=1e-6, atol=1e-7)


def test_other_shapes_and_precision():
    images = torch.rand(3, 2, 4, 4)
    y = solve(
        lambda t, y: -y * (1 + t), images, times(1.0, 3, dtype=torch.float32), options={"per_sample": True}, rtol=1e-5
    ).y
    torch.testing.assert_close(y[-1], images * torch.exp(torch.tensor(-1.5)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "y0",
    [
        tensor(1.0, 2.0, 3.0),  # Lorenz's state, or a batch of numbers: nobody can tell
        torch.tensor(1.0),
        (tensor(1.0), tensor(0.0)),
        (tensor(1.0, 2.0), tensor(0.0, 1.0)),
        (torch.ones(3, 2), torch.ones(2)),
        (torch.ones(3, 2), torch.tensor(1.0)),
    ],
    ids=str,
)
def test_what_may_be_no_batch_is_refused(y0):
    with pytest.raises(ValueError, match=r"y0 must be \(batch, …\) with at least two axes"):
        solve(lambda t, y: y, y0, times(1.0), options={"per_sample": True})


def test_the_rows_of_a_tuple_are_rows_across_its_pieces():
    """Three oscillators (x, v) of frequency ω, and what they have rotated by: ω t."""
    frequency = tensor(1.0, 3.0, 10.0)[:, None]
    assert_alike = torch.testing.assert_close

    def swing(w):
        return lambda t, s: (s[1], -(w**2) * s[0] * torch.ones_like(t), w[..., 0] + 0 * s[2])

    def state(n):
        return torch.ones(n, 1, dtype=torch.float64), torch.zeros(n, 1).double(), torch.zeros(n).double()

    how = {"rtol": (1e-6, 1e-5, 1e-4), "atol": 1e-6}
    together = solve(swing(frequency), state(3), times(2.0, 5), options={"per_sample": True}, **how)
    for i in range(3):
        alone = solve(swing(frequency[i : i + 1]), state(1), times(2.0, 5), **how)
        for mine, theirs in zip(together.y, alone.y, strict=True):
            assert_alike(mine[:, i : i + 1], theirs, rtol=1e-9, atol=1e-9)
        assert int(together.rows.accepted[i]) == alone.stats.accepted
    assert_alike(together.y[0][-1], torch.cos(2 * frequency), rtol=0, atol=1e-3)
    assert_alike(together.y[2][-1], 2 * frequency[:, 0])


def test_callbacks_that_are_not_called_are_named():
    class Field(torch.nn.Module):
        callback_step = None

        def forward(self, t, y):
            return -y

    func = Field()
    func.callback_step = print
    with pytest.warns(UserWarning, match="does not call callback_step"):
        solve(func, Y0, times(1.0), options={"per_sample": True})


def test_the_row_that_fails_is_named():
    with pytest.raises(MaxStepsExceeded, match="for row"):
        solve(
            lambda t, y: tensor(1.0, 1e6)[:, None] * torch.cos(1e3 * t) + 0 * y,
            Y0[:2],
            times(9.0),
            options={"per_sample": True, "max_num_steps": 100},
        )
    with pytest.raises(NonFiniteState):
        solve(lambda t, y: y / 0, Y0, times(1.0), options={"per_sample": True})


@pytest.mark.parametrize("how", [{"gradient": "adjoint"}, {"dense": True}, {"event_fn": lambda t, y: y[0]}])
def test_what_it_does_not_offer(how):
    with pytest.raises(ValueError, match="per_sample offers"):
        solve(van_der_pol(MU), Y0, times(1.0), options={"per_sample": True}, params=(), **how)
