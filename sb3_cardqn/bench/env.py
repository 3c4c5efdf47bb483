"""Measures the fast race beside the stock one; docs/explanation/fast_render.md has results."""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any, TypedDict

import cv2
import gymnasium as gym
import numpy as np

from sb3_cardqn.bench.parity import EPISODE, SKIP, recorded_lap
from sb3_cardqn.durable import write_text
from sb3_cardqn.env.car_racing import CarRacingWrapper
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.wrappers import DiscretizeActions, FrameSkip

ENV_ID = "CarRacing-v3"
STRETCH = 200  # frames


class Row(TypedDict):
    """One line of the table."""

    name: str
    frames_per_s: float  # of driving, skipped ones too
    agent_steps_per_s: float
    times_stock: float  # median over the rounds of the ratio of frames_per_s to stock's in the same round
    reset_ms: float


class _Runner:
    """
    One way of running the race.

    :param name: in the table
    :param env: a Gymnasium environment, or EnvPool's
    :param frames: that one step lasts
    """

    def __init__(self, name: str, env: Any, frames: int) -> None:
        self.name, self.frames, self._env = name, frames, env
        self.fps: list[float] = []
        self.reset_ms: list[float] = []

    def reset(self, seed: int) -> None:
        """
        :param seed: of the track
        """
        self._env.reset(seed=seed)

    def step(self, action: np.ndarray) -> bool:
        """
        :param action: (3,) steer, gas, brake
        :return: whether the episode ended
        """
        *_, terminated, truncated, _ = self._env.step(action)
        return terminated or truncated

    def start(self, seed: int) -> None:
        """
        Time a reset, in seconds of this process, which other work on the machine disturbs less.

        :param seed: of the track
        """
        start = time.process_time()
        self.reset(seed)
        self.reset_ms.append(1e3 * (time.process_time() - start))
        self._driven, self._seconds, self._ended = 0, 0.0, False

    def drive(self, actions: np.ndarray) -> None:
        """
        Time a stretch of the lap.

        :param actions: (frames, 3)
        """
        start = time.process_time()
        for action in actions[:: self.frames]:
            if self._ended:
                break
            self._ended = self.step(action)
            self._driven += self.frames
        self._seconds += time.process_time() - start

    def stop(self) -> None:
        """The lap counts as one measurement."""
        self.fps.append(self._driven / self._seconds)


class _Discrete(_Runner):
    """Takes the index of the nearest discrete action."""

    def __init__(self, name: str, env: gym.Env, frames: int) -> None:
        super().__init__(name, env, frames)
        layer: Any = env
        while not isinstance(layer, DiscretizeActions):
            layer = layer.env
        self._actions = layer.actions

    def step(self, action: np.ndarray) -> bool:
        return super().step(np.abs(self._actions - action).sum(axis=1).argmin())


class _EnvPool(_Runner):
    """Takes batches of one, repeats actions itself, and seeds at construction only."""

    def reset(self, seed: int) -> None:
        self._env.reset()

    def step(self, action: np.ndarray) -> bool:
        for _ in range(self.frames):
            *_, terminated, truncated, _ = self._env.step(action[None])
        return bool(terminated[0] or truncated[0])


def _runners() -> list[_Runner]:
    """
    :return: stock first
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
    Race the same laps with each of them in turn, on one core, and print the table.

    :param rounds: laps, each on another track; the median counts
    :param frames: of each lap that are driven, at most
    :param json_path: where to write the table, if anywhere
    :return: the table
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    runners = _runners()
    _round(runners, 0, recorded_lap(0, 60))  # fills caches, not counted
    for runner in runners:
        runner.fps.clear()
        runner.reset_ms.clear()
    for seed in range(rounds):
        _round(runners, seed, recorded_lap(seed, frames))
    cv2.setNumThreads(threads)
    rows = [_row(runner, runners[0]) for runner in runners]
    _print(rows)
    if json_path is not None:
        table = json.dumps({"rounds": rounds, "frames": frames, "rows": rows}, indent=2)
        write_text(Path(json_path), f"{table}\n")
    return rows


def _round(runners: list[_Runner], seed: int, actions: np.ndarray) -> None:
    """
    One lap of each, a few frames at a time: a machine that slows down does so for all of them.

    :param runners: who drives
    :param seed: of the track
    :param actions: (frames, 3)
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
    :param runner: what was measured
    :param stock: what it is compared with
    :return: its line
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
    print(f"{'':32}{'frames/s':>10}{'agent steps/s':>15}{'x stock':>9}{'ms a reset':>12}")
    for row in rows:
        print(
            f"{row['name']:32}{row['frames_per_s']:10.0f}{row['agent_steps_per_s']:15.0f}"
            f"{row['times_stock']:9.1f}{row['reset_ms']:12.1f}"
        )
