"""Writes CMU's text files, so that the readers can be tested without the recordings."""

from odelab.datasets.mocap.channels import CHANNELS, LAYOUT


def amc_text(walk):
    """A recording, (T, 62), as an AMC file says it."""
    lines = ["#!OML:ASF made up", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(walk.tolist(), start=1):
        lines.append(str(number))
        for bone, dofs in LAYOUT:
            first = CHANNELS.index(f"{bone} {dofs[0]}")
            lines.append(" ".join([bone, *(f"{value:.9g}" for value in frame[first : first + len(dofs)])]))
    return "\n".join(lines) + "\n"


def asf_text(skeleton, length=0.45):
    """A skeleton as an ASF file says it, the bones in another order than the hierarchy's."""
    lines = [
        "# made up",
        ":version 1.10",
        ":units",
        f"  length {length}",
        "  angle deg",
        ":documentation",
        "  none",
        ":root",
    ]
    lines += ["  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata"]
    for joint in reversed(range(1, len(skeleton.names))):
        offset, axes = skeleton.offsets[joint], skeleton.axes[joint]
        name, size = skeleton.names[joint], offset.norm()
        dof = dict(LAYOUT).get(name)
        lines += ["  begin", f"    id {joint}", f"    name {name}"]
        lines.append("    direction " + " ".join(f"{d:.15g}" for d in (offset / size).tolist()))
        lines += [f"    length {size:.15g}", "    axis " + " ".join(f"{a:.15g}" for a in axes.tolist()) + " XYZ"]
        lines += ["    dof " + " ".join(dof), "    limits (-1.0 1.0)"] if dof else []
        lines.append("  end")
    lines += [":hierarchy", "  begin"]
    for joint, name in enumerate(skeleton.names):
        if children := [skeleton.names[child] for parent, child in skeleton.bones if parent == joint]:
            lines.append(f"    {name} {' '.join(children)}")
    return "\n".join([*lines, "  end"]) + "\n"
