"""Lesson 13's exercises take right answers only, whichever way they were found."""

import math

import numpy as np
import torch

from tests.lessons.kit.answers import every_answer, judge

STEP = {
    "right": (lambda z, mean: mean.expand_as(z), None),
    "right, as a step": (lambda z, mean: z - (z - mean), None),
    "right, repeated": (lambda z, mean: mean.repeat(len(z), 1), None),
    "right, by zeros": (lambda z, mean: torch.zeros_like(z) + mean, None),
    "right, a list": (lambda z, mean: [mean for _ in z], None),
    "right, by numpy": (lambda z, mean: np.tile(mean.numpy(), (len(z), 1)), None),
    "the velocity": (lambda z, mean: z - mean, "this is the velocity"),
    "forwards": (lambda z, mean: z + (z - mean), "forwards"),
    "nothing": (lambda z, mean: z, "stays at z"),
    "sign": (lambda z, mean: -mean.expand_as(z), "sign of the mean"),
    "half": (lambda z, mean: (z + mean) / 2, "half a step"),
    "moved by the mean": (lambda z, mean: z + mean, "they do not go to it"),
    "the origin": (lambda z, mean: 0 * z, "origin"),
    "one point": (lambda z, mean: mean, "one point for each"),
    "stub": (lambda z, mean: ..., "not attempted"),
}


def by_two_equations(t, y, f):
    """Right, from the linear system of y and f for the means of x and z."""
    system = np.array([[1 - t, t], [-1.0, 1.0]])
    mean = np.linalg.solve(system, np.stack([y.numpy().ravel(), f.numpy().ravel()]))
    return (-mean[1] / t).reshape(y.shape)


def by_formula(t, y, f):
    """Right, from (13.5) solved for the score."""
    ratio = -1 / (1 - t)
    return (ratio * y - f) / (t * (1 - ratio * t))


SCORE = {
    "right": (lambda t, y, f: -(y + (1 - t) * f) / t, None),
    "right, otherwise": (lambda t, y, f: -y / t - (1 - t) / t * f, None),
    "right, by a system": (by_two_equations, None),
    "right, by (13.5)": (by_formula, None),
    "right, from the mean of x": (lambda t, y, f: -(f + (y - t * f)) / t, None),
    "the noise": (lambda t, y, f: y + (1 - t) * f, "mean noise"),
    "sign": (lambda t, y, f: (y + (1 - t) * f) / t, "sign"),
    "not divided": (lambda t, y, f: -(y + (1 - t) * f), "divide"),
    "t squared": (lambda t, y, f: -(y + (1 - t) * f) / t**2, "t²"),
    "the data's factor": (lambda t, y, f: -(y + (1 - t) * f) / (1 - t), "belongs to the data"),
    "the data": (lambda t, y, f: -(y - t * f) / t, "mean of the data"),
    "t for 1 − t": (lambda t, y, f: -(y + t * f) / t, "not y . t f"),
    "minus": (lambda t, y, f: -(y - (1 - t) * f) / t, "with a plus"),
    "the velocity": (lambda t, y, f: -f, "minus the velocity"),
    "the base's": (lambda t, y, f: -y, "score of the base"),
    "zeros": (lambda t, y, f: 0 * y, "usual slips"),
    "stub": (lambda t, y, f: ..., "not attempted"),
}


def by_complex_numbers(a, b):
    return torch.angle(torch.exp(1j * (b - a)))


def by_rounding(a, b):
    turns = torch.round((b - a) / (2 * math.pi))
    return b - a - 2 * math.pi * turns


def by_loop(a, b):
    turn = (b - a).clone()
    while (turn >= math.pi).any():
        turn[turn >= math.pi] -= 2 * math.pi
    while (turn < -math.pi).any():
        turn[turn < -math.pi] += 2 * math.pi
    return turn


TURN = {
    "right, atan2": (lambda a, b: torch.atan2((b - a).sin(), (b - a).cos()), None),
    "right, remainder": (lambda a, b: torch.remainder(b - a + math.pi, 2 * math.pi) - math.pi, None),
    "right, complex": (by_complex_numbers, None),
    "right, rounding": (by_rounding, None),
    "right, a loop": (by_loop, None),
    "numbers": (lambda a, b: b - a, "as if angles were numbers"),
    "backwards": (lambda a, b: torch.atan2((a - b).sin(), (a - b).cos()), "not from b to a"),
    "no sign": (lambda a, b: torch.atan2((b - a).sin(), (b - a).cos()).abs(), "lost its sign"),
    "acos": (lambda a, b: torch.acos((b - a).cos().clamp(-1, 1)), "lost its sign"),
    "positive": (lambda a, b: torch.remainder(b - a, 2 * math.pi), "all turns are positive"),
    "degrees": (lambda a, b: torch.remainder(b - a + 180, 360) - 180, "as if angles were numbers"),
    "half turns": (lambda a, b: torch.remainder(b - a + math.pi / 2, math.pi) - math.pi / 2, "period is 2π"),
    "not shifted back": (lambda a, b: torch.remainder(b - a + math.pi, 2 * math.pi), "take the π off"),
    "sine": (lambda a, b: (b - a).sin(), "the sine"),
    "atan": (lambda a, b: torch.atan((b - a).tan()), "period is 2π"),
    "fmod": (lambda a, b: torch.fmod(b - a + math.pi, 2 * math.pi) - math.pi, "fmod"),
    "stub": (lambda a, b: ..., "not attempted"),
}


@every_answer({"one_euler_step": STEP, "score_from_velocity": SCORE, "shortest_turn": TURN})
def test_answers(exercise, answer, hint, capsys):
    judge(exercise, answer, hint, capsys)
