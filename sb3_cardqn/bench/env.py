"""``sb3-cardqn bench env``: speed of the fast race and the stock race; results: docs/results."""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any, TypedDict

import cv2
import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import unwrap_wrapper

from sb3_cardqn.bench.parity import EPISODE, SKIP, recorded_lap
from sb3_cardqn.durable import write_text
from sb3_cardqn.env.actions import DiscretizeActions
from sb3_cardqn.env.car_racing import CarRacingWrapper
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.fast_render.render import car_picture
from sb3_cardqn.env.wrappers import FrameSkip

ENV_ID = "CarRacing-v3"
STRETCH = 200  # frames


class Row(TypedDict):
    """One row of the table."""

    name: str
    frames_per_s: float  # while driving, including skipped frames
    agent_steps_per_s: float
    times_stock: float  # median over rounds of the ratio of frames_per_s to stock's in the same round
    reset_ms: float


class _Runner:
    """
    One way of running the race.

    :param name: name in the table
    :param env: Gymnasium environment, or EnvPool's
    :param frames: frames per step
    """

    def __init__(self, name: str, env: Any, frames: int) -> None:
        self.name, self.frames, self._env = name, frames, env
        self.fps: list[float] = []
        self.reset_ms: list[float] = []

    def reset(self, seed: int) -> None:
        """
        :param seed: seed of the track
        """
        self._env.reset(seed=seed)

    def step(self, action: np.ndarray) -> bool:
        """
        :param action: (3,) steer, gas, brake
        :return: True if the episode ended
        """
        *_, terminated, truncated, _ = self._env.step(action)
        return terminated or truncated

    def start(self, seed: int) -> None:
        """
        Time a reset, as CPU time of this process, which other work on the machine disturbs less.

        :param seed: seed of the track
        """
        car_picture.cache_clear()  # else its first picture would find wheels that other runners have drawn
        start = time.process_time()
        self.reset(seed)
        self.reset_ms.append(1e3 * (time.process_time() - start))
        self._driven, self._seconds, self._ended = 0, 0.0, False

    def drive(self, actions: np.ndarray) -> None:
        """
        Time a stretch of the lap.

        :param actions: (frames, 3) steer, gas, brake
        """
        start = time.process_time()
        for action in actions[:: self.frames]:
            if self._ended:
                break
            self._ended = self.step(action)
            self._driven += self.frames
        self._seconds += time.process_time() - start

    def stop(self) -> None:
        """End the lap, which counts as one measurement."""
        self.fps.append(self._driven / self._seconds)


class _Discrete(_Runner):
    """A runner that takes the nearest discrete action."""

    def __init__(self, name: str, env: gym.Env, frames: int) -> None:
        super().__init__(name, env, frames)
        wrapper: Any = unwrap_wrapper(env, DiscretizeActions)
        self._actions = wrapper.actions

    def step(self, action: np.ndarray) -> bool:
        return super().step(np.abs(self._actions - action).sum(axis=1).argmin())


class _EnvPool(_Runner):
    """A runner for EnvPool, which takes batches of one and can be seeded at construction only."""

    def reset(self, seed: int) -> None:
        self._env.reset()

    def step(self, action: np.ndarray) -> bool:
        for _ in range(self.frames):
            *_, terminated, truncated, _ = self._env.step(action[None])
        return bool(terminated[0] or truncated[0])


def _runners() -> list[_Runner]:
    """
    :return: runners; stock is the first
    """
    from rl_zoo3.wrappers import FrameSkip as DrawAllFrameSkip  # half a second to import

    runners = [
        _Runner("stock", gym.make(ENV_ID), 1),
        _Runner("stock + the zoo's FrameSkip(4)", DrawAllFrameSkip(gym.make(ENV_ID), SKIP), SKIP),
        _Runner("stock + FrameSkip(4)", FrameSkip(gym.make(ENV_ID), SKIP), SKIP),
        _Runner("FastRender", FastRender(gym.make(ENV_ID)), 1),
        _Runner("FastRender + FrameSkip(4)", FrameSkip(FastRender(gym.make(ENV_ID)), SKIP), SKIP),
        _Discrete("CarRacingWrapper, all of it", CarRacingWrapper(gym.make(ENV_ID), frame_skip=SKIP), SKIP),
    ]
    if importlib.util.find_spec("envpool"):
        import envpool  # type: ignore[import-not-found]

        pool = envpool.make_gymnasium(ENV_ID, num_envs=1, num_threads=1, max_episode_steps=EPISODE)
        runners += [_EnvPool("EnvPool", pool, 1), _EnvPool("EnvPool, 4 frames a step", pool, SKIP)]
    return runners


def bench_env(rounds: int = 3, frames: int = EPISODE, json_path: str | None = None) -> list[Row]:
    """
    Drive the same laps with every runner in turn, on one core, and print a table.

    :param rounds: number of laps, each on another track, at least 1; the table shows medians
    :param frames: maximum number of frames per lap
    :param json_path: file to write the table to, or None
    :return: the table
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        runners = _runners()
        _round(runners, 0, recorded_lap(0, 60))  # fills caches, not counted
        for runner in runners:
            runner.fps.clear()
            runner.reset_ms.clear()
        for seed in range(rounds):
            _round(runners, seed, recorded_lap(seed, frames))
    finally:
        cv2.setNumThreads(threads)
    rows = [_row(runner, runners[0]) for runner in runners]
    _print(rows)
    if json_path is not None:
        table = json.dumps({"rounds": rounds, "frames": frames, "rows": rows}, indent=2)
        write_text(Path(json_path), f"{table}\n")
    return rows


def _round(runners: list[_Runner], seed: int, actions: np.ndarray) -> None:
    """
    Drive one lap with every runner, a few frames at a time, so that a slowdown of the machine affects all.

    :param runners: the runners
    :param seed: seed of the track
    :param actions: (frames, 3) steer, gas, brake
    """
    for runner in runners:
        runner.start(seed)
    for first in range(0, len(actions), STRETCH):
        for runner in runners:
            runner.drive(actions[first : first + STRETCH])
    for runner in runners:
        runner.stop()


def _row(runner: _Runner, stock: _Runner) -> Row:
    """
    :param runner: runner that was measured
    :param stock: runner to compare it with
    :return: its row
    """
    fps = float(np.median(runner.fps))
    return {
        "name": runner.name,
        "frames_per_s": fps,
        "agent_steps_per_s": fps / runner.frames,
        "times_stock": float(np.median(np.array(runner.fps) / np.array(stock.fps))),
        "reset_ms": float(np.median(runner.reset_ms)),
    }


def _print(rows: list[Row]) -> None:
    """
    :param rows: the table
    """
    print(f"{'':32}{'frames/s':>10}{'agent steps/s':>15}{'x stock':>9}{'ms/reset':>12}")
    for row in rows:
        print(
            f"{row['name']:32}{row['frames_per_s']:10.0f}{row['agent_steps_per_s']:15.0f}"
            f"{row['times_stock']:9.1f}{row['reset_ms']:12.1f}"
        )
