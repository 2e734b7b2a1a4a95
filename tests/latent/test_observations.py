"""What cannot be is refused with what, where and what to do."""

import pytest
import torch

from odelab.latent import flow
from tests.latent.latent_problems import own_clocks, seeded, sequences, vector_model

X, TIMES = sequences()
FRAMES = torch.ones(4, 6, dtype=torch.bool)


def hole(*index: int) -> torch.Tensor:
    mask = FRAMES.clone()
    mask[index] = False
    return mask


def with_nan() -> torch.Tensor:
    x = X.clone()
    x[2, 4, 1] = torch.nan
    return x


def stepping_back() -> torch.Tensor:
    times = own_clocks()
    times[1, 3] = times[1, 2]
    return times


BAD = {
    "no sequences": ((X[:0], TIMES), r"x has shape \(0, 6, 3\), .*: no sequences to read"),
    "no frames": ((X[:, :0], TIMES[:0]), r"x has shape \(4, 0, 3\), .*: no frames to read"),
    "x of images": ((X[..., None], TIMES), r"x has shape \(4, 6, 3, 1\), but the model reads \(n, T, 3\)"),
    "x of other channels": ((X[..., :2], TIMES), r"x has shape \(4, 6, 2\)"),
    "too few frames": ((X[:, :1], TIMES[:1]), "x has 1 frames, but the encoder reads the first 2; .*frames=1"),
    "NaN without a mask": ((with_nan(), TIMES), r"not finite in sequence 2, frame 4; .*mask=~x.isnan\(\)"),
    "NaN where observed": ((with_nan(), TIMES, hole(2, 3)), "not finite in sequence 2, frame 4"),
    "times of other length": ((X, TIMES[:5]), r"times has shape \(5,\); it must be \(6,\).*\(4, 6\)"),
    "times of other sequences": ((X, own_clocks()[:3]), r"times has shape \(3, 6\)"),
    "times backwards": ((X, TIMES.flip(0)), "times must increase; frame 1 is at .* sort the frames"),
    "one clock stands still": ((X, stepping_back()), "sequence 1: frames 2 and 3 are both at .* leave one of them out"),
    "times not finite": ((X, TIMES * torch.inf), "times must be finite"),
    "mask of other shape": ((X, TIMES, FRAMES[:, :5]), r"mask has shape \(4, 5\); it must be \(4, 6\)"),
    "first frame missing": ((X, TIMES, hole(1, 1)), "sequence 1: frame 1 is not observed.*reads the first 2; drop"),
    "two sequences": ((X, TIMES, hole(slice(1, 3), 0)), r"sequence 1 \(and 1 more\): frame 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values(name):
    arguments, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        vector_model().terms(*arguments)


def test_bad_types():
    model = vector_model()
    with pytest.raises(TypeError, match=r"mask must be boolean.*float64; use mask.bool\(\)"):
        model.terms(X, TIMES, FRAMES.double())
    with pytest.raises(TypeError, match="x must be a tensor of floating point, got"):
        model.terms(X.long(), TIMES)
    with pytest.raises(TypeError, match=r"times must be a floating point tensor.* got list; convert it with torch"):
        model.terms(X, [0.0, 1.0])
    with pytest.raises(TypeError, match=r"got torch.int64; convert it with torch.as_tensor\(times\).double\(\)"):
        model.forecast(X, torch.arange(6))
    for call in (model.terms, model.forecast):
        with pytest.raises(TypeError, match=r"x is torch.float32, the model's weights torch.float64: convert one"):
            call(X.float(), TIMES)
        with pytest.raises(TypeError, match=r"draws must be a whole number, got 1.5"):
            call(X, TIMES, draws=1.5)


def test_forecast_checks_too():
    model = vector_model()
    with pytest.raises(ValueError, match="reads the first 2"):
        model.forecast(X[:, :1], TIMES)
    with pytest.raises(ValueError, match="not finite in sequence 0, frame 0"):
        model.forecast(X * torch.nan, TIMES)
    with pytest.raises(ValueError, match="frame 0 is not observed"):
        model.forecast(X, TIMES, mask=hole(0, 0))
    with pytest.raises(ValueError, match="times must increase"):
        model.forecast(X, TIMES.flip(0))
    with pytest.raises(ValueError, match=r"times has shape \(3, 6\); it must be \(T,\).*\(4, T\)"):
        model.forecast(X, own_clocks()[:3])
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        model.forecast(X, TIMES, draws=0)
    assert model.forecast(with_nan(), TIMES, draws=2).draws.isfinite().all(), "later frames are not read"


def test_missing_frames_can_be_zeros():
    model = vector_model(missing="zeros")
    zeros = X.clone()
    zeros[0, 0] = 0
    given = X.clone()
    given[0, 0] = torch.nan
    terms = model.terms(given, TIMES, hole(0, 0))
    torch.testing.assert_close(model.posterior(given, hole(0, 0)).mean, model.posterior(zeros).mean)
    assert terms.first_reconstruction[0] == 0 and terms.elbo().isfinite()


def test_padding_may_stand_still():
    times = own_clocks()
    times[1, 4:] = times[1, 3]
    model = vector_model()
    assert model.terms(X, times, hole(1, slice(4, None))).elbo().isfinite()
    with pytest.raises(ValueError, match="sequence 1: frames 3 and 4 are both"):
        model.terms(X, times)


def test_a_forecast_may_be_asked_on_a_clock_that_stands_still():
    """That of a shorter sequence does after its end."""
    times = own_clocks()
    times[1, 4:] = times[1, 3]
    draws = vector_model().forecast(X, times, mean=True).draws
    torch.testing.assert_close(draws[:, 1, 4:], draws[:, 1, 3:4].expand_as(draws[:, 1, 4:]))


@pytest.mark.parametrize("gradient", ["rollout", "backprop"])
def test_seconds_since_1970_keep_their_gaps(gradient):
    """float32 has room for steps of 128 there; a clock is rounded after it was made relative."""
    model, x, clocks = vector_model().float(), X.float(), own_clocks()
    field, z0 = model.dynamics.draw(mean=True), torch.ones(4, 4)
    for times in (TIMES, clocks):
        late = times + 1_614_556_800
        paths = [flow(field, z0, t, gradient=gradient) for t in (late, late - late.flatten()[0])]
        torch.testing.assert_close(paths[0], paths[1])
        terms = [model.terms(x, t, generator=seeded()).elbo() for t in (late, late - late.flatten()[0])]
        torch.testing.assert_close(terms[0], terms[1])
