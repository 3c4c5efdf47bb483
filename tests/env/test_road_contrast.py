from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_cardqn import FastRender, FrameSkip, ResizeObservation, RoadContrastObservation
from tests.named import error_naming


def drive(env: gym.Env, steps: int) -> list[np.ndarray]:
    seen = [env.reset(seed=3)[0]]
    for i in range(steps):
        seen.append(env.step(np.array([0.1 * np.sin(i / 9), 0.6, 0]))[0])
    return seen


def painted(road: list[int], background: list[int]) -> gym.Env:
    """A CarRacing in colours that the next reset keeps."""
    env: Any = gym.make("CarRacing-v3")
    env.unwrapped.road_color = np.array(road, dtype=float)
    env.unwrapped.bg_color = np.array(background, dtype=float)
    env.unwrapped.grass_color = np.add(background, [0, 20, 0])
    return env


@pytest.mark.parametrize("fast", [True, False])
def test_the_same_race_looks_the_same_in_any_colours(fast: bool) -> None:
    as_shipped = painted([102, 102, 102], [102, 204, 102])
    purple = painted([90, 20, 110], [60, 40, 200])
    with_little_contrast = painted([90, 120, 110], [90, 150, 110])
    with_hardly_any = painted([152, 193, 201], [142, 188, 202])  # validation track 100385
    races = [
        drive(RoadContrastObservation(FrameSkip(FastRender(env) if fast else env, 4)), 25)
        for env in (as_shipped, purple, with_little_contrast, with_hardly_any)
    ]
    first = np.stack(races[0])
    for race in races[1:]:
        assert np.array_equal(np.stack(race)[:, 84:], first[:, 84:])  # the dashboard
        # the camera has zoomed in after 13 steps; the car, its kerbs and pixels half road may look otherwise
        differs = np.abs(np.stack(race)[14:].astype(int) - first[14:]) > 32
        assert differs.mean() < 0.02


def test_road_is_black_and_all_else_white() -> None:
    env: Any = gym.make("CarRacing-v3", domain_randomize=True)
    seen = drive(RoadContrastObservation(env), 60)[-1][:84].astype(int)
    picture = env.unwrapped.state[:84].astype(float)
    difference = picture - env.unwrapped.road_color
    off_road = np.abs(difference).max(axis=2)
    road = (off_road <= 6) & (np.ptp(difference, axis=2) <= 2)
    assert road.sum() > 500
    assert (seen[road] == 0).all()
    assert (off_road >= 40).sum() > 3000
    assert (seen[off_road >= 40] == 255).all()


def test_a_lost_car_keeps_the_colour_of_the_road_it_left() -> None:
    env = RoadContrastObservation(FrameSkip(FastRender(gym.make("CarRacing-v3", domain_randomize=True)), 4))
    first = drive(env, 14)[0]
    colour = env._road.copy()
    pictures = [env.step(np.array([-1, 1, 0]))[0] for _ in range(40)]
    assert any((seen[56:64, 44:52] == 255).all() for seen in pictures)  # grass ahead
    assert np.array_equal(env._road, colour)
    again, _ = env.reset(seed=3)
    assert np.array_equal(again, first)  # nothing is left of the race before


@pytest.mark.parametrize(
    ("env", "named"),
    [
        (lambda: gym.make("CartPole-v1"), "(4,) | CartPole"),
        (lambda: ResizeObservation(gym.make("CarRacing-v3"), 64), "(64, 64, 3)"),
        (lambda: gym.wrappers.DtypeObservation(gym.make("CarRacing-v3"), np.float32), "(96, 96, 3) | float32"),
    ],
)  # fmt: skip
def test_other_pictures_are_refused(env: Any, named: str) -> None:
    with error_naming(TypeError, f"RoadContrastObservation | CarRacing | {named}"):
        RoadContrastObservation(env())
