"""Lesson 09: its explorables plot what other computations find, its stick figures stand where the joints are."""

import math
import re

import numpy as np
import pytest
import torch

from odelab.datasets import channels62, standard_skeleton
from odelab.datasets.mocap.gait import synthetic_walks
from odelab.datasets.mocap.subject35 import Mocap, _made_up
from odelab.experiments.mocap.recipe import WalkerRecipe
from odelab.experiments.mocap.training import clock, walker
from odelab.experiments.results import Row
from odelab.latent import ODE2VAE, FirstOrder, SecondOrder, flow
from odelab.lessons.ode2vae import explorables
from odelab.lessons.ode2vae.stored import pretrained
from odelab.lessons.ode2vae.walker import ASIDE, FORWARDS, OBLIQUE, UP, Body, on_the_ground, project


@pytest.fixture(scope="module")
def data() -> Mocap:
    """The made-up gait, wherever recordings may be."""
    return _made_up()


@pytest.fixture(scope="module")
def models() -> dict[float, ODE2VAE]:
    torch.manual_seed(0)
    return {gamma: walker(WalkerRecipe()).eval() for gamma in (0.0, 0.1)}


def harmonic(t: float, z: torch.Tensor) -> torch.Tensor:
    s, v = z.chunk(2, -1)
    return torch.cat((v, -s), -1)


@pytest.mark.parametrize(("s0", "v0"), [(1.0, 0.5), (-2.0, 0.0)])
def test_portraits_plot_the_solutions(s0: float, v0: float) -> None:
    torch.manual_seed(0)
    first, second = FirstOrder(1, (8,), variance="none"), SecondOrder(1, (8,), variance="none")
    times = torch.linspace(0, 9, 181)
    explorer = explorables.portrait_explorer(explorables.portraits(harmonic, first, second, times))
    text = explorer.drive(s0=s0, v0=v0)
    left, right = explorer.figure.axes
    t = times.numpy()
    truth = s0 * np.cos(t) + v0 * np.sin(t)
    np.testing.assert_allclose(left.lines[0].get_ydata(), truth, atol=1e-4)
    np.testing.assert_allclose(right.lines[0].get_ydata(), -s0 * np.sin(t) + v0 * np.cos(t), atol=1e-4)
    with torch.no_grad():
        fine = flow(second, torch.tensor([[s0, v0]]), times, substeps=4)[0]
        s = torch.tensor(np.array(left.lines[1].get_ydata()))[:, None].float()
        slope = first(0.0, s)[:, 0]
    np.testing.assert_allclose(right.lines[2].get_ydata(), fine[:, 1], atol=1e-3)
    np.testing.assert_allclose(right.lines[1].get_ydata(), slope, atol=1e-5)  # glued to the graph of f
    assert f"The truth turns {explorables.turning_points(truth)} times" in text
    assert "position only: turns 0 times" in text


def test_turning_points_are_those_of_a_cosine() -> None:
    t = np.linspace(0, 10, 500)
    assert explorables.turning_points(np.cos(t)) == 3  # at π, 2π, 3π
    assert explorables.turning_points(np.exp(-t)) == 0


def test_a_cut_is_each_function_at_rest() -> None:
    torch.manual_seed(0)
    field = SecondOrder(1, (8,), initial_variance=0.1).draw((3,))
    s, f = explorables.cut(field)
    z = torch.tensor([[float(s[7]), 0.0]]).expand(3, 1, 2)
    np.testing.assert_allclose(f[:, 7], field(0.0, z)[:, 0, 1].detach(), rtol=1e-5)


def test_a_body_knows_left_from_right_and_stands_on_the_ground() -> None:
    skeleton = standard_skeleton()
    body = Body(skeleton.names, skeleton.bones)
    far, middle, near = ({skeleton.names[skeleton.bones[k][1]] for k in layer} for layer in body.layers)
    assert {"lfemur", "lradius"} <= far and {"rfemur", "rradius"} <= near
    assert {"lowerback", "lowerneck", "head", "thorax"} <= middle, "lowerback begins with l, and is no left limb"
    joints = on_the_ground(skeleton.joints(synthetic_walks(1, 20)[0]))
    assert joints[..., UP].min(-1) == pytest.approx(np.full(20, 0.02), abs=1e-6)
    page = project(joints)
    aside = joints[..., ASIDE] - joints[..., :1, ASIDE]
    np.testing.assert_allclose(page[..., 0], joints[..., FORWARDS] - OBLIQUE * aside)
    joints[..., ASIDE] += 3.0
    np.testing.assert_allclose(project(joints), page, err_msg="who drifts aside must not leave the ground")
    with pytest.raises(ValueError, match="ends in joint"):
        Body(skeleton.names[:5], skeleton.bones)


@pytest.mark.parametrize(("frame", "walk"), [(0, "b"), (20, "a")])
def test_the_stage_shows_joints_and_angles(frame: int, walk: str, data: Mocap, models: dict) -> None:
    forecast = models[0.1].forecast(data.test.x[:, :3], data.test.times, 9, torch.Generator().manual_seed(0))
    scenes = {name: explorables.forecast_scene(data, forecast, k, seen=3) for k, name in enumerate("ab")}
    stage = explorables.walking(scenes)
    text = stage.drive(frame=frame, walk=walk)
    k, at = "ab".index(walk), explorables.STRIDE * frame
    raw = data.test.x[k] + data.means[data.rows("test")][k]
    joints = on_the_ground(data.skeleton().joints(channels62(raw)))[at]
    thigh = next(line for line in stage.figure.axes[0].collections if line.get_zorder() == pytest.approx(5.2))
    ends = np.array(thigh.get_segments())
    knee = project(joints)[data.skeleton().index("rfemur")]
    assert np.abs(ends - knee).sum(-1).min() < 1e-4, "no near limb ends at the recorded right knee"
    assert f"recorded {raw[at, explorables.KNEE]:.0f}°" in text
    np.testing.assert_allclose(stage.figure.axes[1].lines[0].get_ydata(), raw[:, explorables.KNEE], rtol=1e-5)


def test_walkers_from_the_prior_stand_one_before_the_other(data: Mocap, models: dict) -> None:
    pose = data.means.mean(0)
    scene = explorables.prior_scene(models[0.0], pose, data.skeleton(), walkers=2, frames=8)
    assert scene.truth is None and scene.draws.shape[:2] == (2, 8) and scene.fan.shape == (50, 8)
    assert scene.draws[:, 0, 0, 2] == pytest.approx([0, explorables.APART], abs=1e-6)
    x = models[0.0].sample(50, clock(8), torch.Generator().manual_seed(0)) + pose
    np.testing.assert_allclose(scene.fan, x[..., explorables.KNEE], rtol=1e-5)
    assert "prior" in explorables.walking({"nobody": scene}).figure.axes[0].get_title()


@pytest.mark.parametrize(("gamma", "walk"), [(0.0, 1), (0.1, 3)])
def test_weights_plot_error_and_spread(gamma: float, walk: int, data: Mocap, models: dict) -> None:
    dials = explorables.weight_explorer(models, data, "γ", {0.1: "A note."})
    text = dials.drive(weight=gamma, walk=walk)
    model, x = models[gamma], data.test.x
    forecast = model.forecast(x[:, :3], data.test.times, explorables.DRAWS, torch.Generator().manual_seed(0))
    left, right = dials.figure.axes
    error = ((forecast.mean - x) ** 2).mean((0, 2)).sqrt()
    np.testing.assert_allclose(right.lines[0].get_ydata(), error, rtol=1e-4)
    np.testing.assert_allclose(right.lines[1].get_ydata() ** 2, forecast.draws.var(0).mean((0, 2)), rtol=1e-3)
    assert (right.lines[2].get_ydata() < right.lines[1].get_ydata()).mean() > 0.9, "the law alone spreads less"
    knee = data.means[data.rows("test")][walk - 1, explorables.KNEE]
    fan = left.collections[0].get_segments()[4][:, 1]
    np.testing.assert_allclose(fan, forecast.draws[4, walk - 1, ::3, explorables.KNEE] + knee, rtol=1e-3)
    said = re.search(r"squared error (\d+\.\d+)", text)
    assert said and float(said[1]) == pytest.approx(float((error[3:] ** 2).mean()), abs=0.2)
    alone = re.search(rf"Test walk {walk}, on the left: squared error (\d+\.\d+)", text)
    of_walk = ((forecast.mean - x)[walk - 1, 3:] ** 2).mean()
    assert alone and float(alone[1]) == pytest.approx(float(of_walk), abs=0.2)
    assert ("A note." in text) == (gamma == 0.1)
    low, high = (forecast.draws.sort(0).values[k] for k in (2, 47))
    inside = ((low <= x) & (x <= high))[:, 3:].float().mean()
    share = re.search(r"covers (\d+)% by the fan", text)
    assert share and float(share[1]) / 100 == pytest.approx(float(inside), abs=0.05)


def test_weights_want_a_walker(data: Mocap) -> None:
    with pytest.raises(ValueError, match="no walker to show"):
        explorables.weight_explorer({}, data, "γ")
    row = Row({"beta": 1.0, "gamma": 0.1}, 0, "full", {"terms": TERMS}, 1.0, "", "", "", "")
    assert "KL[q_ode‖q_enc] 200 before γ," in explorables.shares([row])[0.1]


TERMS = {"weights_kl": 100.0, "encoder_kl": 200.0, "dynamic_kl": 3.0, "reconstruction": -4.0}


@pytest.mark.parametrize(("width", "level", "walk"), [("fan alone", 0.5, 1), ("fan and noise", 0.9, 3)])
def test_bands_hold_what_they_say(width: str, level: float, walk: int, data: Mocap, models: dict) -> None:
    x = data.test.x
    forecast = models[0.1].forecast(x[:, :3], data.test.times, 40, torch.Generator().manual_seed(0))
    means = data.means[data.rows("test")]
    widths = {"fan alone": None, "fan and noise": torch.full((50,), 4.0)}
    explorer = explorables.band_explorer(forecast, x, means, widths)
    text = explorer.drive(width=width, level=level, walk=walk)
    left, right = explorer.figure.axes
    generator = torch.Generator().manual_seed(1)
    noise = 0.0 if widths[width] is None else 4.0
    draws = forecast.draws[:, walk - 1, :, [explorables.KNEE, 3]]
    draws = (draws + noise * torch.randn(100, *draws.shape, generator=generator)).flatten(0, 1)
    low, high = np.quantile(draws[..., 0].numpy(), [0.5 - level / 2, 0.5 + level / 2], axis=0)
    edge = left.collections[0].get_paths()[0].vertices
    knee = means[walk - 1, explorables.KNEE]
    np.testing.assert_allclose(edge[:300, 1], low + float(knee), atol=0.8)
    np.testing.assert_allclose(edge[300:600, 1], high[::-1] + float(knee), atol=0.8)
    covered = forecast.covers(x, level, widths[width])[:, 200:300].float().mean()
    at = explorables.LEVELS.index(level)
    assert right.lines[3].get_ydata()[at] == pytest.approx(float(covered), abs=1e-4)
    assert f"{right.lines[1].get_ydata()[at]:.0%} in the first third" in text


def test_stored_walkers_are_sorted_by_gamma() -> None:
    found = pretrained()
    assert list(found) == sorted(found) == [0.0, 0.1, 1.0, 10.0]
    assert all(math.isfinite(model.beta) and model.dynamics.dim == 6 for model in found.values())
