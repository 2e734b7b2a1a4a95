"""Where the joints are: against rotations made by SciPy, by hand, and against a recording; skeletons from text."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from odelab.datasets import read_amc, read_asf, standard_skeleton, synthetic_walks
from odelab.datasets.mocap.channels import CHANNELS, LAYOUT
from odelab.datasets.mocap.skeleton import rotations
from tests.datasets.mocap.mocap_text import asf_text

DATA = Path(os.environ.get("ODELAB_DATA", "nowhere")) / "mocap"
real = pytest.mark.skipif(not (DATA / "35.asf").is_file(), reason="needs 35.asf in $ODELAB_DATA/mocap")


@pytest.fixture(scope="module")
def skeleton():
    return standard_skeleton()


@pytest.fixture(scope="module")
def anything():
    """Channels that no walker has, every one of them at work: (2, 3, 62)."""
    return 60 * torch.randn(2, 3, 62, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def by_scipy(skeleton, frame):
    """One frame's joints, one bone after the other, by quaternions: (J, 3) metres."""
    values = dict(zip(CHANNELS, frame.tolist(), strict=True))
    dofs = dict(LAYOUT)
    turned, ends = {}, {}
    for joint, name in enumerate(skeleton.names):
        angles = [values[f"{name} r{a}"] if f"r{a}" in dofs.get(name, ()) else 0.0 for a in "xyz"]
        frame_of_bone = Rotation.from_euler("xyz", skeleton.axes[joint].numpy(), degrees=True)  # fixed axes: x first
        local = frame_of_bone * Rotation.from_euler("xyz", angles, degrees=True) * frame_of_bone.inv()
        if joint == 0:
            turned[0], ends[0] = local, skeleton.offsets[0].numpy() + [values[f"root t{a}"] for a in "xyz"]
        else:
            parent = skeleton.parents[joint]
            turned[joint] = turned[parent] * local
            ends[joint] = ends[parent] + turned[joint].apply(skeleton.offsets[joint].numpy())
    return np.stack([ends[joint] for joint in range(len(ends))]) * skeleton.metres


def test_joints_by_another_route(skeleton, anything):
    joints = skeleton.joints(anything)
    assert joints.shape == (2, 3, 31, 3)
    np.testing.assert_allclose(joints[1, 2], by_scipy(skeleton, anything[1, 2]), atol=1e-12)
    moved = replace(skeleton, offsets=skeleton.offsets + 0.3, axes=skeleton.axes + 11)  # nothing special about these
    np.testing.assert_allclose(moved.joints(anything)[0, 1], by_scipy(moved, anything[0, 1]), atol=1e-12)


def test_rotation_about_x_then_y_then_z():
    x, y, z = torch.eye(3, dtype=torch.float64)
    right = rotations(90 * torch.eye(3, dtype=torch.float64))
    for turn, before, after in ((right[0], y, z), (right[1], z, x), (right[2], x, y)):
        torch.testing.assert_close(turn @ before, after)
    torch.testing.assert_close(rotations(torch.tensor([90.0, 0, 90]).double()) @ y, z)  # x first: y → z → z
    assert rotations(torch.zeros(4, 2, 3)).shape == (4, 2, 3, 3)


def test_bones_keep_their_length(skeleton, anything):
    joints = skeleton.joints(anything)
    parents, children = zip(*skeleton.bones, strict=True)
    lengths = (joints[..., children, :] - joints[..., parents, :]).norm(dim=-1)
    torch.testing.assert_close(lengths, skeleton.lengths.expand_as(lengths))
    assert len(skeleton.bones) == 30 and skeleton.index("root") == 0


def pose(**degrees):
    channels = torch.zeros(62, dtype=torch.float64)
    for name, value in degrees.items():
        channels[CHANNELS.index(name.replace("_", " "))] = value
    return channels


def test_what_a_channel_does(skeleton):
    """y is up, x to the left, z ahead; a step, a bent knee, hanging arms and a turned body by their channels."""

    def at(joint, **degrees):
        return skeleton.joints(pose(**degrees))[skeleton.index(joint)]

    assert at("head")[1] > 0.6 and at("lfoot")[2] > 0 and at("lhumerus")[0] > 0.3 > -0.3 > at("rhumerus")[0]
    for side, sign in (("l", 1), ("r", -1)):
        straight = {f"{side}femur_rz": -20 * sign}
        hip = at(f"{side}hipjoint", **straight)
        foot = at(f"{side}tibia", **straight) - hip
        torch.testing.assert_close(foot[[0, 2]], torch.zeros(2).double(), atol=1e-9, rtol=0)
        assert at(f"{side}tibia", **straight, **{f"{side}femur_rx": -30})[2] - hip[2] > 0.4  # a step ahead
        assert at(f"{side}tibia", **straight, **{f"{side}tibia_rx": 60})[2] - hip[2] < -0.3  # the shank goes back
        assert at(f"{side}toes", **straight, **{f"{side}foot_rx": 20})[1] < at(f"{side}toes", **straight)[1]
        down = at(f"{side}radius", **{f"{side}humerus_rz": 80 * sign, f"{side}humerus_rx": -30})
        assert down[1] < at(f"{side}clavicle")[1] - 0.4
    turned = at("lfoot", root_ry=90)
    assert turned[0] > 0 and abs(at("head", root_ry=90)[1] - at("head")[1]) < 1e-9 and turned[2] < 0
    shifted = skeleton.joints(pose(root_tx=1, root_ty=2, root_tz=3)) - skeleton.joints(pose())
    torch.testing.assert_close(shifted, (torch.tensor([1, 2, 3.0]).double() * 0.0254 / 0.45).expand(31, 3))


def test_dtype_and_gradient(skeleton, anything):
    single = skeleton.joints(anything.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), skeleton.joints(anything), atol=1e-4, rtol=0)
    frame = anything[0, 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: skeleton.joints(c)[[4, 18, 30]], frame)


def test_proportions():
    tall, small = standard_skeleton(1.9), standard_skeleton(1.2)
    torch.testing.assert_close(tall.lengths / 1.9, small.lengths / 1.2)
    standing = standard_skeleton(1.8).joints(pose(lfemur_rz=-20, rfemur_rz=20))
    top, ankle = standing[:, 1].max(), standing[standard_skeleton().index("ltibia"), 1]
    assert top - ankle == pytest.approx((1 - 0.039) * 1.8)  # Winter's ankle is 0.039 of the height above the ground
    with pytest.raises(ValueError, match=r"height is in metres .* got 175"):
        standard_skeleton(175)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": (-1, 0)}, r"31 joints need 31 parents"),
        ({"parents": (-1, 5) + (0,) * 29}, r"joint 1, .* has parent 5; it must come before"),
        ({"names": tuple(f"bone {k}" for k in range(31))}, r"has no bone root, lowerback"),
        ({"axes": torch.zeros(31, 2)}, r"\(31, 2\)"),
    ],
)
def test_a_skeleton_that_is_none(skeleton, change, message):
    with pytest.raises(ValueError, match=message):
        replace(skeleton, **change)


def test_wrong_channels(skeleton):
    with pytest.raises(ValueError, match=r"62 in the last dimension, got \(7, 50\)"):
        skeleton.joints(torch.zeros(7, 50))
    with pytest.raises(TypeError, match=r"floating-point numbers, got torch.int64"):
        skeleton.joints(torch.zeros(62, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"no joint 'tail'; there are root"):
        skeleton.index("tail")


def test_a_skeleton_from_text(tmp_path, skeleton):
    (tmp_path / "a.asf").write_text(asf_text(skeleton))
    read = read_asf(tmp_path / "a.asf")
    walk = synthetic_walks(1, 5)[0]
    for name in skeleton.names:
        there, here = read.joints(walk)[:, read.index(name)], skeleton.joints(walk)[:, skeleton.index(name)]
        torch.testing.assert_close(there, here)
    (tmp_path / "b.asf").write_text(asf_text(skeleton, length=0.9))
    torch.testing.assert_close(read_asf(tmp_path / "b.asf").lengths, read.lengths / 2)
    assert read.source == "CMU's a.asf"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("angle deg", "angle rad", r"angles are in 'rad', but must be in deg"),
        ("length 0.45", "length 0", r"unit of length is 0, but must be positive"),
        ("  length 0.45\n", "", r"length is missing near line 4"),
        (":hierarchy", ":hidden", r"no section :hierarchy; a skeleton \(.asf\) has one"),
        ("TX TY TZ RX RY RZ", "RX RY RZ TX TY TZ", r"root's order must be TX TY TZ RX RY RZ"),
        ("orientation 0 0 0", "orientation 0 0", r"line 12: orientation needs 3 values, found '0 0'"),
        ("name lwrist", "name rwrist", r"line \d+: a second bone rwrist"),
        ("dof ry\n", "dof rz\n", r"wrist turns about \('rz',\), in CMU's recordings about \('ry',\)"),
        (" XYZ\n    dof rx ry rz", " ZYX\n    dof rx ry rz", r"turns in another order than XYZ"),
        ("    ltibia lfoot\n", "", r"lfoot has children before it has a parent"),
        ("    lfoot ltoes\n", "", r"no parent for ltoes; the hierarchy is incomplete"),
        ("    ltibia lfoot", "    ltibia lfoot rfemur", r"has two parents"),
        ("    lfoot ltoes", "    lfoot tail", r"line \d+: no bone 'tail' among the bones"),
        ("# made up\n", "made up\n", r"line 1: 'made' before the first section"),
        (":hierarchy", "  begin\n:hierarchy", r"ends within a bone: it is truncated"),
        (":hierarchy", "  stray\n:hierarchy", r"line \d+: 'stray' where begin or end should be"),
    ],
)
def test_a_bad_skeleton_says_where(tmp_path, skeleton, old, new, message):
    text, path = asf_text(skeleton), tmp_path / "bad.asf"
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as error:
        read_asf(path)
    assert str(path) in str(error.value)


@real
def test_the_recorded_person_walks_on_the_ground():
    skeleton = read_asf(DATA / "35.asf")
    assert skeleton.joints(pose()).shape == (31, 3)
    if not (DATA / "35_01.amc").is_file():
        pytest.skip("needs 35_01.amc")
    joints = skeleton.joints(read_amc(DATA / "35_01.amc"))
    np.testing.assert_allclose(joints[100], by_scipy(skeleton, read_amc(DATA / "35_01.amc")[100]), atol=1e-12)
    feet = [skeleton.index(name) for name in ("lfoot", "ltoes", "rfoot", "rtoes")]
    lowest = joints[:, feet, 1].amin(1)
    assert lowest.min() > 0 and lowest.max() < 0.08  # at each moment one foot is down, none below
    assert 1.5 < joints[:, skeleton.index("head"), 1].mean() < 1.8
    ahead = (joints[12:, 0, 2] - joints[:-12, 0, 2]) * 10  # metres a second, over a tenth: single frames jump
    assert ahead.min() > 0.9 and 1 < ahead.mean() < 1.6
