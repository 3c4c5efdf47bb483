"""Trainings of a second, for the tests that interrupt them; importable in processes of their own."""

import hashlib
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn import CarDQN, durable
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode
from sb3_cardqn.env.wrappers import FrameStack

TOTAL = 900  # agent steps


class Dots(gym.Env):
    """A picture with a dot that the actions move and the wind blows about: random at every step."""

    observation_space = spaces.Box(0, 255, (6, 6), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(36)), 0
        return self._picture(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.place = (self.place + int(action) + int(self.np_random.integers(-1, 2))) % 36
        return self._picture(), float(self.place < 12), self.place == 20, self.steps == 40, {}

    def _picture(self) -> np.ndarray:
        picture = np.zeros(36, np.uint8)
        picture[self.place] = 200
        return picture.reshape(6, 6)


def stacked_dots(**kwargs: Any) -> gym.Env:
    return FrameStack(Dots(), 3)


def cart_pole(env_id: Any = "CartPole-v1", **kwargs: Any) -> VecEnv:
    return make_vec_env(env_id, **{"n_envs": 3, "seed": 0, "wrapper_class": ResumableEpisode} | kwargs)


def agent(env: VecEnv | None = None, cls: Any = CarDQN, **kwargs: Any) -> OffPolicyAlgorithm:
    defaults = {"learning_starts": 100, "buffer_size": 450, "train_freq": 2, "seed": 0, "device": "cpu"}
    return cls("MlpPolicy", cart_pole() if env is None else env, **defaults | kwargs)


class At(BaseCallback):
    """Does something at an agent step."""

    def __init__(self, agent_step: int, do: Callable[[], Any]) -> None:
        super().__init__()
        self.when = {agent_step}  # a set is no number: a checkpoint leaves it alone
        self.do = do

    def _on_step(self) -> bool:
        if self.when and self.num_timesteps >= min(self.when):
            self.when = set()
            self.do()
        return True


class WaitFor(BaseCallback):
    """Waits at an agent step until there is a file."""

    def __init__(self, agent_step: int, path: str) -> None:
        super().__init__()
        self.until = (agent_step, path)  # no number: a checkpoint leaves it alone

    def _on_step(self) -> bool:
        agent_step, path = self.until
        while self.num_timesteps >= agent_step and not Path(path).exists():
            time.sleep(0.01)
        return True


class Crash(Exception):  # noqa: N818  no mistake
    pass


def crash() -> None:
    raise Crash


def fingerprint(model: OffPolicyAlgorithm) -> dict[str, str]:
    """Of all that must be the same: weights, moments of the optimizer, buffer, random states, counters."""
    buffer: Any = model.replay_buffer
    pool, tree = getattr(buffer, "pool", None), getattr(buffer, "tree", None)
    rows = {name: array for name, array in vars(buffer).items() if isinstance(array, np.ndarray)}
    if pool is not None:
        alive = buffer.slots[: buffer.size()]
        rows |= {"frames": pool.frames[alive], "free": np.array(pool.free_slots)}
    moments = model.policy.optimizer.state_dict()["state"]
    parts = {
        "weights": [value.cpu().numpy() for value in model.policy.state_dict().values()],
        "moments": [value.cpu().numpy() for state in moments.values() for value in state.values()],
        "rows": [rows[name] for name in sorted(rows)],
        "tree": [] if tree is None else [tree.weights, tree.sums],
        "random": [
            np.random.random(3),
            th.rand(3).numpy(),
            th.rand(3, device=model.device).cpu().numpy(),
            np.array([model.action_space.sample() for _ in "123"]),
        ],
        "counters": [np.array([model.num_timesteps, model._episode_num, model._n_updates, buffer.pos])],
        "episodes": [np.array([[info["r"], info["l"]] for info in model.ep_info_buffer])],
    }
    return {
        name: hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()
        for name, arrays in parts.items()
    }


def _train_in_process(folder: Path, result: Path, die_at_file: int | None = None) -> None:
    """
    What a process does that is going to be killed: begin or go on, and leave the fingerprint.

    :param folder: of the checkpoints
    :param result: file for the fingerprint
    :param die_at_file: be killed while this many-eth file is written, counted from 0
    """
    th.set_num_threads(1)
    if die_at_file is not None:
        left = iter(range(die_at_file))
        fsync = os.fsync

        def fsync_or_die(descriptor: int) -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            fsync(descriptor)

        durable.os.fsync = fsync_or_die  # type: ignore[assignment]
    model = agent()
    model.learn(TOTAL, callback=ExactCheckpoint(folder, 60, resume=True))
    result.write_text(repr(fingerprint(model)))


def uninterrupted(make: Callable[[], Any] = agent) -> dict[str, str]:
    """Without checkpoints: they change nothing either."""
    model = make()
    model.learn(TOTAL)
    model.env.close()
    return fingerprint(model)


def killed(
    folder: Path, result: Path, seconds: float | None = None, die_at_file: int | None = None
) -> int | None:
    """Train in a process of its own, which is killed after some time, or while it writes a file."""
    process = mp.get_context("forkserver").Process(
        target=_train_in_process, args=(folder, result, die_at_file)
    )
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode
