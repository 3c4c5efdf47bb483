"""Measures the fast race beside the stock one: for ``sb3-cardqn bench`` and docs/fast_render.md."""

import argparse
import importlib
import importlib.util
import json
import time
from pathlib import Path
from typing import Any, TypedDict

import cv2
import gymnasium as gym
import numpy as np

from sb3_cardqn.bench_agent import bench_agent
from sb3_cardqn.common.car_racing import CarRacingWrapper
from sb3_cardqn.common.fast_render import FastRender
from sb3_cardqn.common.fast_render.parity import EPISODE, SKIP, parity, picture, recorded_lap
from sb3_cardqn.common.wrappers import DiscretizeActions, FrameSkip
from sb3_cardqn.evaluate import find_agents
from sb3_cardqn.evaluate.agents import default_agent
from sb3_cardqn.seeds import VALIDATION_SEEDS

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
        Path(json_path).write_text(
            json.dumps({"rounds": rounds, "frames": frames, "rows": rows}, indent=2) + "\n"
        )
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


def _positive(text: str) -> int:
    """
    :param text: from the command line
    :return: the number
    :raises argparse.ArgumentTypeError: if it is not a whole number above 0
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of 1 or more, got {text!r}")
    return int(text)


def main(argv: list[str] | None = None) -> None:
    """
    :param argv: arguments, ``sys.argv[1:]`` when None
    """
    parser = argparse.ArgumentParser(
        prog="sb3-cardqn bench", description="Measure how fast racing and learning are."
    )
    commands = parser.add_subparsers(dest="what", required=True)
    env = commands.add_parser(
        "env", help="frames a second: stock, FastRender, FrameSkip, all wrappers, EnvPool"
    )
    env.add_argument("--rounds", type=_positive, default=3, help="laps of which the median counts (3)")
    env.add_argument("--frames", type=_positive, default=EPISODE, help=f"of a lap ({EPISODE}, all of it)")
    env.add_argument("--json", metavar="FILE", help="write the table there as well")
    parity_ = commands.add_parser("parity", help="how far FastRender is from stock")
    parity_.add_argument("--seeds", type=_positive, default=50, help="laps of each kind (50)")
    parity_.add_argument("--frames", type=_positive, default=EPISODE, help=f"of a lap ({EPISODE})")
    draw = commands.add_parser("picture", help="draw stock, FastRender and their difference")
    draw.add_argument("path", help="of the PNG")
    agent = commands.add_parser("agent", help="the same agent on both pictures, on validation tracks")
    agent.add_argument(
        "agent", nargs="?", help="as for evaluate (default: the newest run in logs, else the shipped agent)"
    )
    agent.add_argument("--tracks", type=_positive, default=50, help="2 to 1000 (50)")
    commands.add_parser(
        "learn", help="updates, replay buffers and whole training, beside SB3's", add_help=False
    )
    commands.add_parser("checkpoint", help="what a checkpoint of a large buffer costs", add_help=False)
    commands.add_parser("decision", help="what a decision costs, in torch and ONNX Runtime", add_help=False)
    args, rest = parser.parse_known_args(argv)
    if args.what in ("checkpoint", "decision", "learn"):  # modules of their own, slow to import
        importlib.import_module(f"sb3_cardqn.bench_{args.what}").main(rest)
        return
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    written = {"env": vars(args).get("json"), "picture": vars(args).get("path")}.get(args.what)
    if written is not None and not Path(written).absolute().parent.is_dir():
        parser.error(f"needs a file in a directory that exists, got {written!r}")
    if args.what == "env":
        bench_env(args.rounds, args.frames, args.json)
    elif args.what == "parity":
        parity(args.seeds, args.frames)
    elif args.what == "agent":
        if not 2 <= args.tracks <= len(VALIDATION_SEEDS):
            parser.error(f"--tracks needs 2 to {len(VALIDATION_SEEDS)}, got {args.tracks}")
        (driver,) = find_agents(args.agent or default_agent())
        bench_agent(driver, args.tracks)
    else:
        picture(args.path)
