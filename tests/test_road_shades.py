import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_cardqn import FastRender, FrameSkip, ResizeObservation, RoadShadesObservation
from sb3_cardqn.common.road_shades import _SEEN


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
def test_the_road_looks_the_same_in_any_colours_and_the_field_is_brighter(fast: bool) -> None:
    as_shipped = painted([102, 102, 102], [102, 204, 102])
    purple = painted([90, 20, 110], [60, 40, 200])
    with_little_contrast = painted([90, 120, 110], [90, 150, 110])
    races = [
        drive(RoadShadesObservation(FrameSkip(FastRender(env) if fast else env, 4)), 25)
        for env in (as_shipped, purple, with_little_contrast)
    ]
    first = np.stack(races[0]).astype(int)
    for race in races[1:]:
        seen = np.stack(race).astype(int)
        assert np.array_equal(seen[:, 84:], first[:, 84:])  # the dashboard
        # the camera has zoomed in after 13 steps; the car, its kerbs and pixels half road may look otherwise
        world, same_world = seen[14:, :84], first[14:, :84]
        field = same_world >= 108
        assert 0.5 < field[:3].mean() < 0.95  # then this car leaves the road
        assert (world[field] >= 108).mean() > 0.98
        assert (np.abs(world - same_world)[~field] > 16).mean() < 0.05


@pytest.mark.parametrize("fast", [True, False])
def test_road_is_black_behind_the_car_striped_ahead_of_it_and_the_field_bright(fast: bool) -> None:
    env: Any = gym.make("CarRacing-v3", domain_randomize=True)
    racing = RoadShadesObservation(FastRender(env) if fast else env)
    seen = drive(racing, 60)[-1][:84].astype(int)
    picture = env.unwrapped.state[:84].astype(float)
    off_road = np.abs(picture - env.unwrapped.road_color).max(axis=2)
    assert (off_road >= 40).sum() > 3000
    assert (seen[off_road >= 40] > 120).all()
    assert (seen[79:84, 47:49] <= 1).all()
    # along the middle of the road, from the car on: dark, medium, light, and again; each for some rows
    middle = [seen[row, int(np.flatnonzero(seen[row] < 80).mean())] for row in range(62, 5, -1)]
    stripes = itertools.groupby(np.digitize(middle, [10, 42]))
    shades = [shade for shade, rows in stripes if len(list(rows)) > 1]
    assert len(shades) > 8
    assert all(after == (shade + 1) % 3 for shade, after in itertools.pairwise(shades))


def test_what_is_seen_grows_with_the_distance_from_the_road() -> None:
    # 100 (1 - exp(-4 / 6)) + 155 * 5 / 255 = 48.7 + 3.0
    assert _SEEN[[0, 1, 5, 255]].tolist() == [0, 1, 52, 255]
    assert (np.diff(_SEEN[::2].astype(int)) > 0).all()


def test_a_lost_car_keeps_the_colour_of_the_road_it_left() -> None:
    env = RoadShadesObservation(FrameSkip(FastRender(gym.make("CarRacing-v3", domain_randomize=True)), 4))
    first = drive(env, 14)[0]
    colour = env._road.copy()
    pictures = [env.step(np.array([-1, 1, 0]))[0] for _ in range(40)]
    assert any((seen[56:64, 44:52] >= 108).all() for seen in pictures)  # grass ahead
    assert np.array_equal(env._road, colour)
    again, _ = env.reset(seed=3)
    assert np.array_equal(again, first)  # nothing is left of the race before


@pytest.mark.parametrize(
    ("env", "got"),
    [
        (lambda: gym.make("CartPole-v1"), r"got Box\(.* from <"),
        (lambda: ResizeObservation(gym.make("CarRacing-v3"), 64), r"got Box\(0, 255, \(64, 64, 3\), uint8\) from <"),
        (lambda: gym.wrappers.DtypeObservation(gym.make("CarRacing-v3"), np.float32), r"got Box\(0.0, 255.0, \(96, 96, 3\), float32\) from <"),
    ],
)  # fmt: skip
def test_other_pictures_are_refused(env: Any, got: str) -> None:
    with pytest.raises(
        TypeError, match=rf"RoadShadesObservation needs a CarRacing with its pictures .*, {got}"
    ):
        RoadShadesObservation(env())
