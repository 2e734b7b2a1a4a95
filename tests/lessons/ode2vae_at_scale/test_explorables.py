"""Lesson 10: its explorables plot what an independent computation finds; costs are counted; tables say what lacks."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from odelab.__main__ import parser
from odelab.experiments.registry import EXPERIMENTS
from odelab.latent import ODE2VAE, BernoulliDecoder, ImageEncoder, SecondOrder
from odelab.lessons.kit.claims import claim
from odelab.lessons.ode2vae_at_scale import explorables, figures, stored
from odelab.lessons.ode2vae_at_scale.checks import caught, says
from odelab.lessons.ode2vae_at_scale.cost import PARTS, Prices, Setting, measure


def videos(n: int = 3, frames: int = 9) -> torch.Tensor:
    return torch.rand(n, frames, 1, 10, 12, generator=torch.Generator().manual_seed(n + frames))


@pytest.mark.parametrize(("missing", "video"), [(3, 0), (6, 2)])
def test_missing_frames_plots_the_errors_where_nothing_was_seen(missing: int, video: int) -> None:
    truth, forecast = videos(), videos().flip(0)
    explorer = explorables.missing_frames(truth, forecast)
    text = explorer.drive(missing=missing, video=video)
    *rows, panel = explorer.figure.axes
    model, mixed, nearest = (line.get_ydata() for line in panel.lines)
    gone = np.flatnonzero(~np.isnan(model))
    assert len(gone) == missing and 0 not in gone and f"{missing} of 9" in text
    seen, x = [k for k in range(9) if k not in gone], truth[video, :, 0].numpy()
    for k in gone:
        assert model[k] == pytest.approx(((forecast[video, k, 0].numpy() - x[k]) ** 2).mean())
        closest = min(seen, key=lambda j: (abs(j - k), j))
        assert nearest[k] == pytest.approx(((x[closest] - x[k]) ** 2).mean())
        pixels = np.array([np.interp(k, seen, x[seen].reshape(len(seen), -1)[:, p]) for p in range(120)])
        assert mixed[k] == pytest.approx(((pixels - x[k].ravel()) ** 2).mean(), rel=1e-4)
    assert np.array_equal(rows[1].images[0].get_array(), figures.strip(x, [k in seen for k in range(9)]))
    said = re.search(r"mix of two (\d+\.\d+)", text)
    assert said and float(said[1]) == pytest.approx(np.mean(mixed[gone]), abs=2e-3)


@pytest.mark.parametrize(("frame", "video", "balls"), [(4, 1, 1), (8, 0, 3)])
def test_long_horizon_shows_the_frame_and_the_error_of_all_videos(frame: int, video: int, balls: int) -> None:
    truth = {1: videos(), 3: videos(4)}
    both = {n: {"model": x.flip(1), "last frame": x[:, 2:3].expand_as(x)} for n, x in truth.items()}
    both[1]["only one ball"] = truth[1]
    explorer = explorables.long_horizon(truth, both, seen=3, trained=6)
    text = explorer.drive(frame=frame, video=video, balls=balls)
    *pictures, panel = explorer.figure.axes
    x = truth[balls].numpy()
    assert [ax.get_title() for ax in pictures] == ["truth", "model", "last frame"]
    assert np.array_equal(pictures[0].images[0].get_array(), x[video, frame, 0])
    assert np.array_equal(pictures[1].images[0].get_array(), x[video, 8 - frame, 0])
    guesses = {"model": x[:, ::-1], "last frame": np.broadcast_to(x[:, 2:3], x.shape)}
    for line, (name, guess) in zip(panel.lines, guesses.items(), strict=False):
        error = ((guess - x) ** 2).mean((0, 2, 3, 4))
        np.testing.assert_allclose(line.get_ydata(), error, rtol=1e-5)
        said = re.search(rf"{name} (\d+\.\d+)", text)
        assert said and float(said[1]) == pytest.approx(error[frame], abs=2e-4)
    assert list(panel.lines[2].get_xdata()) == [frame, frame]


@pytest.mark.parametrize("setting", [Setting(8, 3, 32, 4), Setting(100, 1, 1, 1)])
def test_step_cost_adds_up(setting: Setting) -> None:
    time, size = Prices((0.1, 1e-3, 1e-5, 2e-4, 3e-4)), Prices((1e5, 0.0, 2e3, 7e3, 1e4))
    explorer = explorables.step_cost(time, size, sequences=320, epochs=10)
    text = explorer.drive(frames=setting.frames, substeps=setting.substeps, batch=setting.batch, draws=setting.draws)
    left, middle, right = explorer.figure.axes
    stages, rows = 4 * setting.substeps * (setting.frames - 1), setting.batch * setting.draws
    parts = [0.1, 1e-3 * stages, 1e-5 * stages * rows, 2e-4 * setting.frames * rows, 3e-4 * setting.batch]
    kept = 1e5 + 2e3 * stages * rows + 7e3 * setting.frames * rows + 1e4 * setting.batch
    assert left.lines[1].get_xydata().tolist()[0] == pytest.approx([setting.frames, sum(parts)])
    assert middle.lines[1].get_ydata()[0] == pytest.approx(kept / 1e9)
    assert [bar.get_width() for bar in right.containers[0]] == pytest.approx([100 * p / sum(parts) for p in parts])
    steps = 10 * (320 // setting.batch)
    assert f"{steps} steps, {steps * sum(parts) / 3600:.3g} hours" in text


def test_prices_are_found_again() -> None:
    true = Prices((0.2, 1e-3, 2e-5, 3e-4, 1e-3))
    settings = [Setting(*s) for s in ((4, 1, 4, 1), (16, 4, 4, 1), (8, 2, 16, 1), (16, 1, 16, 2), (4, 1, 64, 1))]
    settings += [Setting(24, 8, 2, 1), Setting(2, 1, 1, 1)]
    found = Prices.fitted(settings, [true(setting) for setting in settings])
    assert found.values == pytest.approx(true.values, rel=1e-6)
    assert sum(found.parts(Setting()).values()) == found(Setting()) and list(found.parts(Setting())) == list(PARTS)
    with pytest.raises(ValueError, match="3 settings"):
        Prices.fitted(settings[:3], [1.0] * 3)
    with pytest.raises(ValueError, match="positive"):
        Prices.fitted(settings, [0.0] * 7)


def test_measure_grows_with_what_is_done_and_leaves_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = ODE2VAE(ImageEncoder(9, 2, 1, 2), SecondOrder(2, (5, 5)), BernoulliDecoder(2, 9, 2), substeps=3)
    small, _, large = (measure(model, setting, 1) for setting in (Setting(3, 1, 2), Setting(3, 2, 2), Setting(6, 2, 8)))
    assert 0 < small[1] < large[1] and small[0] > 0 and model.substeps == 3
    assert all(p.grad is None for p in model.parameters())


def test_learning_draws_the_errors_so_far_and_what_the_model_draws() -> None:
    truth, seen = videos(1)[0, :, 0].numpy(), np.arange(9) % 3 > 0
    figure = figures.learning(60, {"mean frame": 0.05, "mix of two": 0.03}, truth, seen)
    curve, *rows = figure.axes
    assert curve.get_xlim() == (0, 60) and not len(curve.lines[0].get_xdata())
    assert [line.get_ydata()[0] for line in curve.lines[1:]] == [0.05, 0.03]
    figures.update_learning(figure, [20, 40], [0.09, 0.04], truth[::-1])
    assert curve.lines[0].get_xydata().tolist() == [[20, 0.09], [40, 0.04]]
    shown = [row.images[0].get_array() for row in rows]
    expected = figures.strip(truth), figures.strip(truth, seen), figures.strip(truth[::-1])
    assert all(np.array_equal(picture, strip) for picture, strip in zip(shown, expected, strict=True))


def test_the_cover_shows_what_was_read_and_what_the_stored_models_draw() -> None:
    turning, flying = stored.cover().values()
    model, size = stored.turner()
    assert model is not None and list(turning) == ["seen", "model"] and list(flying) == ["truth", "model"]
    assert turning["seen"].shape == turning["model"].shape and turning["seen"].shape[0] == size + 2
    assert (turning["seen"] == figures.MISSING).all(-1).any() and not (turning["model"] == figures.MISSING).all(
        -1
    ).any()


def test_stored_models_can_forecast() -> None:
    assert stored.stored_model("no such model") is None
    for balls in (1, 3):
        x = torch.zeros(2, 5, 1, 16, 16)
        found = stored.forecasts(x, 0.1 * torch.arange(5.0), balls)
        assert {"last frame", "mean frame"} <= found.keys() and all(each.shape == x.shape for each in found.values())


def test_caught_and_says_insist_on_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    caught(lambda bug: claim("small", bug, bug < 1), 2)
    assert "the bug: ✗ small = 2" in capsys.readouterr().out
    with pytest.raises(ValueError, match="checks nothing"):
        caught(lambda bug: claim("small", bug, bug < 1), 0)
    assert says(ZeroDivisionError, divmod, 1, 0).startswith("ZeroDivisionError: ")
    with pytest.raises(ValueError, match="divmod"):
        says(ZeroDivisionError, divmod, 1, 1)


def test_commands_of_the_lesson_are_commands() -> None:
    path = Path(__file__).resolve().parents[3] / "notebooks" / "10_ode2vae_at_scale.ipynb"
    text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    lines = re.findall(r"-m odelab (.+)", text)
    assert len(lines) >= 3
    for line in lines:
        assert parser().parse_args(line.split()).name in EXPERIMENTS
