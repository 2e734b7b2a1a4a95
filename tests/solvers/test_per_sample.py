"""With per_sample every row of a batch behaves as if it were solved alone."""

import math

import pytest
import torch

from odelab import odeint_event, solve
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


@pytest.mark.parametrize("how", [{"gradient": "adjoint"}, {"dense": True}])
def test_what_it_does_not_offer(how):
    with pytest.raises(ValueError, match=r"per_sample (goes with|keeps no)"):
        solve(van_der_pol(MU), Y0, times(1.0), options={"per_sample": True}, params=(), **how)


OWN_TIMES = torch.tensor(  # another start, repetitions of start, middle and end, another direction, nothing to do
    [[0.0, 1.0, 2.0, 4.0], [0.5, 0.5, 0.5, 1.5], [1.0, 0.4, 0.4, -0.5], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64
)


@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_output_times_of_every_row(method, dtype):
    how = {"method": method, "rtol": 1e-4, "atol": 1e-5}
    together = solve(van_der_pol(MU), Y0, OWN_TIMES.to(dtype), options={"per_sample": True}, **how)
    assert together.y.shape == (4, 4, 2) and together.t.shape == (4, 4)
    for i in range(3):
        distinct, place = torch.unique_consecutive(OWN_TIMES[i], return_inverse=True)
        alone = solve(van_der_pol(MU[i]), Y0[i], distinct.to(dtype), **how)
        torch.testing.assert_close(together.y[:, i], alone.y[place], rtol=1e-9, atol=1e-9)
        assert int(together.rows.accepted[i]) == alone.stats.accepted
    assert bool((together.y[:, 3] == Y0[3]).all()) and int(together.rows.accepted[3]) == 0


def test_gradients_with_output_times_of_every_row():
    """Each row's times move its own states: also the start, and each of two equal times."""
    leaves = rate, y0, t = tensor(0.3, 1.0, 0.5, 2.0)[:, None], Y0.clone(), OWN_TIMES.clone()
    for leaf in leaves:
        leaf.requires_grad_()
    how = {"rtol": 1e-9, "atol": 1e-10, "options": {"per_sample": True}}
    y = solve(lambda t, y: -rate * t * y, y0, t, **how).y
    exact = y0 * torch.exp(-rate * (t**2 - t[:, :1] ** 2).T[..., None] / 2)
    weights = torch.arange(1.0, 5)[:, None, None]
    pairs = zip(gradients((y**2 * weights).sum(), *leaves), gradients((exact**2 * weights).sum(), *leaves), strict=True)
    for mine, right in pairs:
        torch.testing.assert_close(mine, right, rtol=1e-6, atol=1e-7)


def test_times_of_every_row_of_a_tuple():
    t = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.5, 2.0]], dtype=torch.float64)
    y0 = torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    x, clock = solve(lambda t, s: (-s[0], t[:, 0] * 0 + 1), y0, t, options={"per_sample": True}).y
    torch.testing.assert_close(x[..., 0], torch.exp(-t.T), rtol=1e-6, atol=0)
    torch.testing.assert_close(clock, t.T)


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (torch.zeros(3, 2), r"times for 3 rows, but y0 has 4"),
        (torch.tensor([[0.0, 1.0]] * 3 + [[0.0, math.nan]]), r"t\[3, 1\] is nan"),
        (torch.tensor([[0.0, 1.0, 2.0]] * 3 + [[0.0, 2.0, 1.0]]), r"t\[3, 1\] = 2 is followed by t\[3, 2\] = 1"),
        (torch.zeros(4, 0), "t is empty"),
        (torch.zeros(4, 2, 1), r"or \(4, n\), times of every row"),
    ],
)
def test_bad_times_of_rows_are_named(t, message):
    with pytest.raises(ValueError, match=message):
        solve(van_der_pol(MU), Y0, t, options={"per_sample": True})
    with pytest.raises(ValueError, match="t must be one-dimensional"):
        solve(van_der_pol(MU), Y0, t[None], options={})


class Thrown(torch.nn.Module):
    """Heights and speeds (batch, 1) of balls, in one state (batch, 2)."""

    def __init__(self):
        super().__init__()
        self.g = torch.nn.Parameter(tensor(9.81))

    def forward(self, t, y):
        return torch.cat([y[:, 1:], -self.g.expand(len(y), 1)], dim=1)

    def landing(self, t0, y0):
        height, speed = y0.unbind(1)
        root = torch.sqrt(speed**2 + 2 * self.g * height)
        return t0 + (speed + root) / self.g, -root


@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_every_row_ends_at_its_own_event_with_the_gradients_of_the_closed_form(method):
    thrown = Thrown()
    y0 = torch.tensor([[10.0, 2.0], [1.0, -3.0], [300.0, 0.0]], dtype=torch.float64).requires_grad_()
    floor = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.3, 1.0], [1.0, 2.0], [-2.0, 0.0]], dtype=torch.float64).requires_grad_()
    how = {"options": {"per_sample": True, "max_step": 0.5}, "method": method, "rtol": 1e-7, "atol": 1e-8}
    run = solve(thrown, y0, t, event_fn=lambda t, y: y[:, 0] - floor, **how)
    exact_t, exact_speed = thrown.landing(t[:, 0], torch.cat([y0[:, :1] - floor[:, None], y0[:, 1:]], dim=1))
    assert run.event_t.shape == (3,) and run.y.shape == (2, 3, 2)
    assert torch.equal(run.t[:, 1], run.event_t) and torch.equal(run.t[:, 0], t[:, 0])
    assert bool((run.y[1, :, 0].abs() < 1e-6).all())
    leaves, weights = (y0, t, floor, thrown.g), tensor(1.0, -2.0, 0.5)
    for got, wanted in ((run.event_t, exact_t), (run.y[1, :, 1], exact_speed)):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)
        pairs = zip(
            gradients((got * weights).sum(), *leaves), gradients((wanted * weights).sum(), *leaves), strict=True
        )
        for mine, right in pairs:
            torch.testing.assert_close(mine, right, rtol=1e-5, atol=1e-6)
    (first,) = torch.autograd.grad(run.event_t.sum(), thrown.g, create_graph=True)
    with pytest.raises(RuntimeError, match="time of an event"):
        first.backward()


@pytest.mark.parametrize("kind", ["tensor", "tuple"])
def test_odeint_event_of_rows_as_solve(kind):
    """As many rows as entries, so that times of the wrong shape would go through."""
    found = []
    for interface in ("solve", "odeint_event"):
        y0, rate = torch.tensor([[2.0, 1.0], [3.0, 5.0]], dtype=torch.float64).requires_grad_(), tensor(1.0, 2.0)
        rate.requires_grad_()

        def decay(t, y, rate=rate):
            return -rate[:, None] * (1 + t) * y if kind == "tensor" else (decay_of(t, y[0], rate), 0 * y[1])

        def decay_of(t, y, rate):
            return -rate[:, None] * (1 + t) * y

        def low(t, y):
            return (y if kind == "tensor" else y[0])[:, 0] - 0.5 - 0.1 * t[:, 0]

        start, options = y0 if kind == "tensor" else (y0, y0.detach()), {"per_sample": True}
        if interface == "solve":
            run = solve(decay, start, times(), event_fn=low, options=options)
            event_t, y = run.event_t, run.y
        else:
            event_t, y = odeint_event(decay, start, tensor(0.0), event_fn=low, options=options)
        y = y if kind == "tensor" else y[0]
        weights = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
        loss = (y[-1] * weights).sum() + (event_t * tensor(1.0, 3.0)).sum()
        found.append([event_t, y, *gradients(loss, y0, rate)])
    for mine, right in zip(*found, strict=True):
        torch.testing.assert_close(mine, right)


def test_rows_with_events_equal_one_by_one():
    """Two entries, directions, a start on the event, a tuple state, backwards in time."""

    def turn(t, s):
        return math.pi * s[1] * torch.ones_like(t), -math.pi * s[0]

    for sign in (1.0, -1.0):
        for direction in (0, -1, [1, -1]):

            def event_fn(t, s):
                return torch.stack([s[0][..., 0], s[1][..., 0] + 0.5], dim=-1)

            start = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8], [-1.0, 2.0]], dtype=torch.float64)
            how = {"event_fn": event_fn, "direction": direction, "rtol": 1e-6, "atol": 1e-8}
            together = solve(turn, start.split(1, dim=1), sign * times(), options={"per_sample": True}, **how)
            for i in range(4):
                alone = solve(turn, start[i : i + 1].split(1, dim=1), sign * times(), **how)
                torch.testing.assert_close(together.event_t[i], alone.event_t, rtol=1e-9, atol=1e-9)
                for mine, right in zip(together.y, alone.y, strict=True):
                    torch.testing.assert_close(mine[:, i : i + 1], right, rtol=1e-9, atol=1e-9)


def test_events_of_rows_that_cannot_be_are_named():
    how = {"options": {"per_sample": True, "max_num_steps": 50}}
    with pytest.raises(MaxStepsExceeded, match=r"no event happened in 50 steps for row 1.*in this row"):
        solve(
            lambda t, y: 1 + 0 * y, torch.zeros(2, 1), times(), event_fn=lambda t, y: y[:, 0] - tensor(1.0, -1.0), **how
        )
    for event_fn in (lambda t, y: y.sum(), lambda t, y: y[:1]):
        with pytest.raises(ValueError, match=r"entries for each of the 4 rows"):
            solve(van_der_pol(MU), Y0, times(), event_fn=event_fn, **how)
    with pytest.raises(ValueError, match="two times"):
        solve(van_der_pol(MU), Y0, times(1.0, 3), event_fn=lambda t, y: y[:, 0], **how)


def test_a_trial_that_overflows_in_one_row_spoils_no_gradient():
    """y' = exp(y²) from different starts: the first row's first trial overflows, and is taken back."""
    rate = tensor(1.0).requires_grad_()
    y0 = tensor(3.0, 0.1)[:, None].requires_grad_()
    how = {"rtol": 1e-6, "atol": 1e-8}

    def explosive(t, y):
        return -rate * y.sign() * torch.expm1(y.abs() ** 3)

    together = solve(explosive, y0, times(0.1), options={"per_sample": True}, **how)
    assert math.inf in [step.error_ratio for step in together.stats.steps]
    alone = sum(solve(explosive, y0[i], times(0.1), **how).y[-1].sum() for i in range(2))
    for mine, right in zip(gradients(together.y[-1].sum(), y0, rate), gradients(alone, y0, rate), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("mix", ["mean", "batch norm"])
def test_rows_that_depend_on_one_another_are_refused(mix):
    """A mean over the batch is one over states at different times: y was 1.05 in place of 1.26."""
    norm = torch.nn.BatchNorm1d(2).double()
    field = {"mean": lambda t, y: -(y - y.mean(0)), "batch norm": lambda t, y: norm(y)}[mix]
    y0 = torch.arange(6.0).double().view(3, 2)
    with pytest.raises(ValueError, match="the slope of one row depends on the others"):
        solve(field, y0, times(), options={"per_sample": True})
    norm.eval()
    solve(lambda t, y: norm(y) + y0, y0, times(), options={"per_sample": True})  # a context of each row is none


def test_min_step_accepts_what_it_must_in_every_row():
    def swing(t, y):
        return torch.stack([y[:, 1], -torch.sin(y[:, 0])], 1)

    y0 = torch.tensor([[0.3, 0.0], [1.2, -0.5], [2.0, 0.1]], dtype=torch.float64)
    t = torch.linspace(0.0, 2.0, 3, dtype=torch.float64)
    with pytest.warns(UserWarning, match="min_step = 0.5"):
        rows = solve(swing, y0, t, rtol=1e-9, atol=1e-9, options={"min_step": 0.5, "per_sample": True})
    with pytest.warns(UserWarning, match="min_step = 0.5"):
        shared = solve(swing, y0, t, rtol=1e-9, atol=1e-9, options={"min_step": 0.5})
    assert rows.stats.accepted == 3 * shared.stats.accepted == 12 and not rows.stats.rejected
    torch.testing.assert_close(rows.y, shared.y)
