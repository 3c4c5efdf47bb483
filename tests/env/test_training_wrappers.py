import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import TRACK_WIDTH
from stable_baselines3.common.monitor import Monitor

from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.penalties import (
    PenalizeMissedTiles,
    PenalizeRoadEdge,
    PenalizeSideslip,
    PenalizeSpeed,
)
from sb3_cardqn.env.training_wrappers import EndAtLine, EndWhenLost, ScaleReward
from sb3_cardqn.env.wrappers import FrameSkip
from tests.named import error_naming

COAST = np.zeros(3)
FULL_GAS = np.array([0, 1, 0])


class _Only(set):
    """Tiles under a wheel, that Box2D's contacts do not change."""

    def remove(self, tile: Any) -> None:
        pass


class Puppet(gym.Wrapper):
    """CarRacing whose wheels stand on the tile that the test says, all tiles up to there touched but some."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        tile, missed = action
        track: Any = self.unwrapped
        for wheel in track.car.wheels:
            wheel.tiles = _Only({track.road[tile]})
        for i in range(tile + 1):
            track.road[i].road_visited = i not in missed
        return None, 1.0, False, False, {}


def rewards(*moves: tuple[int, set[int]]) -> list[float]:
    env = PenalizeMissedTiles(Puppet(FastRender(gym.make("CarRacing-v3"))), penalty=20)
    env.reset(seed=0)
    return [float(env.step(move)[1]) for move in moves]


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([(3, set()), (9, set()), (14, set())], [1, 1, 1]),
        # a gap of three tiles is one gap, whether it is passed at once or step by step
        ([(5, set()), (12, {7, 8, 9})], [1, -19]),
        ([(8, {7, 8}), (9, {7, 8}), (10, {7, 8}), (11, {7, 8}), (20, {7, 8})], [1, 1, -19, 1, 1]),
        ([(12, {3, 7, 8})], [-39]),
        # not yet left behind: the two tiles under and before the car may still be touched
        ([(12, {10, 11}), (13, set())], [1, 1]),
        # backwards over the start line and to the end of the track: no lap full of gaps
        ([(3, set()), (270, {*range(4, 270)}), (8, {5})], [1, 1, -19]),
    ],
)
def test_each_gap_left_behind_costs_one_penalty(
    moves: list[tuple[int, set[int]]], expected: list[float]
) -> None:
    assert rewards(*moves) == expected


def test_the_last_tiles_of_a_lap_are_judged_when_the_car_is_over_the_line() -> None:
    track: Any = gym.make("CarRacing-v3").unwrapped
    track.reset(seed=0)
    last = len(track.road) - 1
    to_the_line: list[tuple[int, set[int]]] = [(tile, set()) for tile in (*range(50, last - 4, 50), last - 4)]
    assert rewards(*to_the_line, (2, set()), (9, set())) == [1] * len(to_the_line) + [-19, 1]
    assert rewards(*to_the_line, (last, set()), (2, set()))[-1] == 1


def test_a_new_episode_has_no_gaps() -> None:
    env = PenalizeMissedTiles(Puppet(FastRender(gym.make("CarRacing-v3"))), penalty=20)
    env.reset(seed=0)
    assert env.step((12, {5, 6, 7, 8, 9}))[1] == -19
    env.reset(seed=0)
    assert env.step((12, {5}))[1] == -19


def test_a_lost_car_leaves_the_rest_of_the_lap_behind() -> None:
    """Staying away costs what coming back past a gap costs; a time limit and a finished lap cost nothing."""

    class Ends(Puppet):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            tile, terminated, truncated, info = action
            return *super().step((tile, set()))[:2], terminated, truncated, info

    env = PenalizeMissedTiles(Ends(FastRender(gym.make("CarRacing-v3"))), penalty=20)
    for end, expected in (
        ((True, False, {"lap_finished": False}), -19),  # off the field, or given up
        ((True, False, {"lap_finished": True}), 1),
        ((False, True, {}), 1),
    ):
        env.reset(seed=0)
        assert env.step((9, *end))[1] == expected


def drive_puppet(env: gym.Env, *tiles: int) -> list[tuple[bool, bool]]:
    """Drive past these tiles with tile 60 missed; the ends of the episode, one a step."""
    env.reset(seed=0)
    return [env.step((tile, {60}))[2:4] for tile in tiles]


def test_a_lap_with_missed_tiles_is_cut_after_the_line() -> None:
    stock: Any = gym.make("CarRacing-v3")
    env = EndAtLine(Puppet(FastRender(stock)))
    time_limit: Any = env._time_limit
    n_tiles = len(drive_puppet(env) or stock.unwrapped.road)
    lap = [*range(0, n_tiles, 60), n_tiles - 1]
    drive_puppet(env, *lap)
    assert time_limit._elapsed_steps == 0
    drive_puppet(env, *lap, 2)
    assert time_limit._elapsed_steps == time_limit._max_episode_steps  # the next frame is the last
    # backwards over the start line and back is no lap
    drive_puppet(env, 3, n_tiles - 1, 3, 8)
    assert time_limit._elapsed_steps == 0


def test_the_end_of_a_finished_lap_truncates_and_leaving_the_field_terminates() -> None:
    class Ends(Puppet):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            tile, info = action
            return *super().step((tile, set()))[:2], True, False, info

    env = EndAtLine(Ends(FastRender(gym.make("CarRacing-v3"))))
    for info, ends in (({"lap_finished": True}, (False, True)), ({"lap_finished": False}, (True, False))):
        env.reset(seed=0)
        assert env.step((5, info))[2:4] == ends


def test_a_car_given_up_pays_the_penalty_once_and_has_no_future() -> None:
    lost = EndWhenLost(FrameSkip(FastRender(gym.make("CarRacing-v3")), skip=4), patience=10)
    env = PenalizeMissedTiles(EndAtLine(lost), penalty=20)
    env.reset(seed=0)
    steps = [env.step(COAST)[1:4] for _ in range(12)]
    assert [reward for reward, *_ in steps[1:]] == pytest.approx([-0.4] * 10 + [-20.1])
    assert [ends for _, *ends in steps] == [[False, False]] * 11 + [[True, False]]


def test_driving_well_costs_nothing_and_the_monitor_keeps_the_score() -> None:
    plain = FastRender(gym.make("CarRacing-v3"))
    monitor = Monitor(FastRender(gym.make("CarRacing-v3")))
    env = PenalizeMissedTiles(monitor, penalty=1000)
    for e in (plain, env):
        e.reset(seed=0)
    for frame in range(150):  # straight on: along the road, then off it, never past a tile
        action = FULL_GAS if frame < 50 else COAST
        assert plain.step(action)[1] == env.step(action)[1]
    assert sum(monitor.rewards) > 0


def test_a_car_that_stands_still_is_lost_and_logged() -> None:
    monitor = Monitor(FastRender(gym.make("CarRacing-v3")))
    env = EndWhenLost(FrameSkip(monitor, skip=4), patience=10)
    env.reset(seed=0)
    steps = 0
    while True:
        _, _, terminated, truncated, info = env.step(COAST)
        steps += 1
        if terminated or truncated:
            break
    # the first step touches the tiles under the car; ten without a new one; the next frame is the last
    assert (steps, terminated, truncated) == (12, True, False)
    assert info["lap_finished"] is False
    assert info["episode"]["l"] == 4 * 11 + 1
    assert monitor.get_episode_lengths() == [45]
    env.reset(seed=0)
    assert not any(env.step(FULL_GAS)[3] for _ in range(5))


def test_a_car_that_makes_progress_goes_on() -> None:
    env = EndWhenLost(FrameSkip(FastRender(gym.make("CarRacing-v3")), skip=4), patience=12)
    env.reset(seed=0)
    assert not any(env.step(FULL_GAS * 0.3)[3] for _ in range(25))


def test_scaled_rewards_are_for_the_agent_and_the_monitor_keeps_the_score() -> None:
    monitor = Monitor(FastRender(gym.make("CarRacing-v3")))
    env = ScaleReward(monitor, scale=0.1)
    env.reset(seed=0)
    rewards = [env.step(FULL_GAS)[1] for _ in range(40)]
    assert max(monitor.rewards) > 3
    assert rewards == pytest.approx([0.1 * reward for reward in monitor.rewards])


def test_speed_above_the_limit_costs_by_its_excess() -> None:
    monitor = Monitor(FrameSkip(FastRender(gym.make("CarRacing-v3")), skip=4))
    env = PenalizeSpeed(monitor, limit=30, penalty=0.5)
    env.reset(seed=0)
    car: Any = monitor.unwrapped
    costs, speeds = [], []
    for _ in range(25):
        reward = float(env.step(FULL_GAS)[1])
        costs.append(monitor.rewards[-1] - reward)
        speeds.append(car.car.hull.linearVelocity.length)
    assert speeds[0] < 30 < speeds[-1]
    assert costs == pytest.approx([0.5 * (speed - 30) if speed > 30 else 0 for speed in speeds])


def _costs(wrapper: type[gym.Wrapper], **arguments: float) -> tuple[list[float], list[Any], np.ndarray]:
    """Gas and a turn off the road: points a frame that the wrapper takes, the car after it, the track."""
    monitor = Monitor(FastRender(gym.make("CarRacing-v3")))
    env = wrapper(monitor, **arguments)
    env.reset(seed=0)
    car_racing: Any = monitor.unwrapped
    costs, cars = [], []
    for frame in range(120):
        reward = float(env.step(np.array([-(frame > 40), frame < 60, 0]))[1])
        costs.append(monitor.rewards[-1] - reward)
        hull, wheels = car_racing.car.hull, car_racing.car.wheels
        cars.append(
            (
                hull.linearVelocity.copy(),
                hull.angle,
                [(*wheel.position, len(wheel.tiles)) for wheel in wheels],
            )
        )
    return costs, cars, np.array(car_racing.track)[:, 2:]


def test_sliding_sideways_costs_by_its_excess() -> None:
    costs, cars, _ = _costs(PenalizeSideslip, limit=5, penalty=0.5)
    lateral = [abs(v[0] * np.cos(angle) + v[1] * np.sin(angle)) for v, angle, _ in cars]
    assert lateral[40] < 5 < 10 < max(lateral)
    assert costs == pytest.approx([0.5 * max(0, sideways - 5) for sideways in lateral], abs=1e-4)


def test_the_edge_of_the_road_costs_by_what_the_best_wheel_lacks() -> None:
    costs, cars, track = _costs(PenalizeRoadEdge, margin=5, penalty=2)
    along = track - np.roll(track, 1, axis=0)
    lacking = []
    for _, _, wheels in cars:
        best = -np.inf
        for x, y, tiles in wheels:
            to = np.array([x, y]) - np.roll(track, 1, axis=0)
            share = np.clip((to * along).sum(1) / (along**2).sum(1), 0, 1)  # nearest point of each piece
            distance = np.linalg.norm(to - share[:, None] * along, axis=1).min()
            best = max(best, TRACK_WIDTH - distance if tiles else -np.inf)
        lacking.append(np.clip(5 - best, 0, 3))
    assert (lacking[0], lacking[-1]) == (0, 3)
    assert sum(0 < lack < 3 for lack in lacking) > 3
    assert costs == pytest.approx([2 * lack for lack in lacking], abs=0.05)


@pytest.mark.parametrize(
    ("wrapper", "arguments"),
    [
        (ScaleReward, ["scale"]),
        (PenalizeMissedTiles, ["penalty"]),
        (PenalizeSpeed, ["limit", "penalty"]),
        (PenalizeSideslip, ["limit", "penalty"]),
        (PenalizeRoadEdge, ["margin", "penalty"]),
    ],
)
def test_a_spec_with_numpys_numbers_goes_to_json(wrapper: type[gym.Wrapper], arguments: list[str]) -> None:
    spec = wrapper(gym.make("CarRacing-v3"), **dict.fromkeys(arguments, np.float32(0.5))).spec
    assert spec is not None
    *_, last = json.loads(spec.to_json())["additional_wrappers"]
    assert last["kwargs"] == dict.fromkeys(arguments, 0.5)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda env: PenalizeMissedTiles(env, penalty=-1), "PenalizeMissedTiles | penalty | -1"),
        (lambda env: PenalizeMissedTiles(env, penalty=float("nan")), "PenalizeMissedTiles | penalty | nan"),
        (lambda env: PenalizeSpeed(env, limit=0), "PenalizeSpeed | limit | 0"),
        (lambda env: PenalizeSpeed(env, penalty=-1), "PenalizeSpeed | penalty | -1"),
        (lambda _: PenalizeSpeed(gym.make("CartPole-v1")), "PenalizeSpeed | CarRacing | CartPole-v1"),
        (lambda env: PenalizeSideslip(env, limit=-1), "PenalizeSideslip | limit | -1"),
        (lambda _: PenalizeSideslip(gym.make("CartPole-v1")), "PenalizeSideslip | CarRacing | CartPole-v1"),
        (lambda env: PenalizeRoadEdge(env, margin=-1), "PenalizeRoadEdge | margin | -1"),
        (lambda _: PenalizeRoadEdge(gym.make("CartPole-v1")), "PenalizeRoadEdge | CarRacing | CartPole-v1"),
        (lambda env: ScaleReward(env, scale=0), "ScaleReward | scale | 0"),
        (lambda env: ScaleReward(env, float("nan")), "ScaleReward | scale | nan"),
        (lambda env: EndWhenLost(env, patience=0), "EndWhenLost | patience | 0"),
        (lambda env: EndWhenLost(env.unwrapped), "EndWhenLost | time limit"),
        (lambda env: EndAtLine(env.unwrapped), "EndAtLine | time limit"),
        (lambda env: EndAtLine(gym.wrappers.Autoreset(env)), "EndAtLine | Autoreset"),
        (lambda _: EndAtLine(gym.make("CartPole-v1")), "EndAtLine | CarRacing | CartPole-v1"),
        (lambda _: EndWhenLost(gym.make("CartPole-v1")), "EndWhenLost | CarRacing | CartPole-v1"),
        (
            lambda _: PenalizeMissedTiles(gym.make("CartPole-v1")),
            "PenalizeMissedTiles | CarRacing | CartPole-v1",
        ),
    ],
)
def test_mistakes_are_named(make: Any, named: str) -> None:
    with error_naming((TypeError, ValueError), named):
        make(gym.make("CarRacing-v3"))
