"""A scene to be played: a walker, the walkers a model imagined, and beneath them one channel with a cursor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from odelab.lessons.kit.style import COLORS, describe, new_figure
from odelab.lessons.ode2vae.walker import FORWARDS, Body, Ghosts, Walker, ground

FPS = 120  # frames a second in the recordings


@dataclass(frozen=True)
class Scene:
    """What was imagined of one walk, and the walk itself where it is known.

    Attributes:
        body: of all walkers.
        draws: joints of some imagined walkers in metres, (K, T, J, 3).
        fan: one channel of all draws, (N, T), with its name, in degrees.
        truth: joints (T, J, 3) and the channel (T,), or None.
        seen: how many frames the model was given; 0 for walkers from the prior.
        name: the title where nobody real is among them.
    """

    body: Body
    draws: np.ndarray
    fan: np.ndarray
    channel: str
    truth: tuple[np.ndarray, np.ndarray] | None = None
    seen: int = 0
    name: str = "walkers from the prior: no frame was given"

    @property
    def frames(self) -> int:
        """T, of how many frames it consists."""
        return self.draws.shape[1]

    @property
    def solid(self) -> list[np.ndarray]:
        """Joints (T, J, 3) of those drawn with body: the real walker, or where there is none the imagined ones."""
        return [*self.draws] if self.truth is None else [self.truth[0]]

    def title(self) -> str:
        """Who is red, who is blue."""
        if self.truth is None:
            return self.name
        return f"red: recorded; blue: {len(self.draws)} of {len(self.fan)} draws after {self.seen} frames"

    def alt(self) -> str:
        """What can be seen, for those who cannot."""
        who = "Stick figures imagined by a model walk to the right"
        if self.truth is not None:
            who = "A red stick figure, the recorded walk, walks to the right among thin blue ones imagined by a model"
        return f"{who}; below, {len(self.fan)} draws of the {self.channel} angle swing with the steps and fan out."


class Player:
    """Draws scenes and moves through them: imagined walkers thin and blue (solid where nobody real is with them), the
    real one red, and a cursor in the panel beneath.

    Args:
        scenes: of equally many walkers and frames, all with a real one or all without; they share their window.
        cursor: whether there is one. What does not move costs no bytes in an animation.
    """

    def __init__(self, *scenes: Scene, cursor: bool = True) -> None:
        self.scenes, self.cursor = scenes, cursor
        self._now = -1

    def draw(self, frame: int = 0, which: int = 0, fig: Figure | None = None) -> Figure:
        """One scene at one frame; `move` takes the figure to others."""
        scene, fig = self.scenes[which], new_figure(fig, (9.6, 4.6))
        stage, panel = fig.subplots(2, 1, height_ratios=(5, 3))
        along = np.concatenate([walk[:, 0, FORWARDS] for each in self.scenes for walk in (*each.draws, *each.solid)])
        ground(stage, along.min() - 0.75, along.max() + 0.75)
        stage.set_title(scene.title())
        real = scene.truth is not None
        self._ghosts = Ghosts(stage, scene.body, "blue") if real else None
        solid = [("vermillion", 5.0)] if real else [("blue", 3.0 + k) for k in range(len(scene.draws))]
        self._actors = [Walker(stage, scene.body, color, zorder) for color, zorder in solid]
        self._fan = LineCollection([], colors=[COLORS["blue"]], linewidths=0.6, alpha=0.35, linestyles="solid")
        panel.add_collection(self._fan, autolim=False)
        if real:
            (self._real,) = panel.plot([], [], "--", color=COLORS["vermillion"], linewidth=2)
        if scene.seen:
            panel.axvspan(0, scene.seen / FPS, color=COLORS["yellow"], zorder=0)
        self._cursor = panel.axvline(0, color=COLORS["black"], linestyle="-", linewidth=1.4, visible=self.cursor)
        panel.set(xlabel="seconds", ylabel=f"{scene.channel}, °", xlim=(0, (scene.frames - 1) / FPS))
        angles = [each.fan for each in self.scenes] + [each.truth[1] for each in self.scenes if each.truth is not None]
        panel.set_ylim(min(a.min() for a in angles) - 3, max(a.max() for a in angles) + 3)
        self._now = -1
        self.move(fig, frame, which)
        return describe(fig, scene.alt())

    def move(self, fig: Figure, frame: int, which: int = 0) -> None:
        """Another frame, or another scene, in the figure drawn last."""
        scene = self.scenes[which]
        if self._ghosts is not None:
            self._ghosts.move(scene.draws[:, frame])
        for walker, joints in zip(self._actors, scene.solid, strict=True):
            walker.move(joints[frame])
        if self.cursor:
            self._cursor.set_xdata([frame / FPS] * 2)
        if which == self._now:
            return
        self._now, t = which, np.arange(scene.frames) / FPS
        self._fan.set_segments([np.column_stack((t, draw))[::3] for draw in scene.fan])
        if scene.truth is not None:
            self._real.set_data(t, scene.truth[1])
