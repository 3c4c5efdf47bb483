"""Training runs of seconds, for the notebooks: on CartPole-v1 and on a small road."""

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from gymnasium import spaces
from stable_baselines3.common.callbacks import (
    BaseCallback,
    ConvertCallback,
    EveryNTimesteps,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor

from sb3_cardqn import CarDQN

CART_POLE = {
    "learning_rate": 1e-3,
    "buffer_size": 50_000,
    "learning_starts": 500,
    "batch_size": 64,
    "train_freq": 2,
    "target_update_interval": 250,  # agent steps
    "exploration_fraction": 0.2,
    "exploration_final_eps": 0.04,
    "policy_kwargs": {"net_arch": [64, 64]},
}


def train_cart_pole(
    seed: int, agent_steps: int, **changes: Any
) -> tuple[CarDQN, np.ndarray]:
    """
    Train CarDQN on CartPole-v1 and evaluate it greedily 20 times on the way.

    :param seed: of the training run
    :param agent_steps: budget
    :param changes: to ``CART_POLE``
    :return: the agent; (20, 2) agent steps, mean length of 5 greedy episodes
    """
    judge = Monitor(gym.make("CartPole-v1"))
    agent = CarDQN("MlpPolicy", "CartPole-v1", seed=seed, **(CART_POLE | changes))
    judge.reset(seed=seed + 1000)
    return agent, learn_and_look(
        agent, agent_steps, lambda: evaluate_policy(agent, judge, 5)[0]
    )


def learn_and_look(
    agent: CarDQN, agent_steps: int, look: Callable[[], Any]
) -> np.ndarray:
    """
    :param agent: will be trained
    :param agent_steps: budget
    :param look: measures the agent, about 20 times
    :return: (about 20, 2) agent steps, measurement
    """
    curve = []

    def note(*_: Any) -> bool:
        curve.append((agent.num_timesteps, look()))
        return True

    every = EveryNTimesteps(agent_steps // 20, ConvertCallback(note))
    agent.learn(agent_steps, callback=every, log_interval=10**9)
    return np.array(curve)


def traced(cls: type[CarDQN], hooks: tuple[str, ...]) -> type[CarDQN]:
    """
    :param cls: class of the agent
    :param hooks: names of its methods
    :return: a subclass with a list ``calls`` of (agent steps, hook), one for each call
    """
    calls: list[tuple[int, str]] = []

    def noted(name: str) -> Callable[..., Any]:
        def hook(self: CarDQN, *args: Any, **kwargs: Any) -> Any:
            calls.append((self.num_timesteps, name))
            return getattr(cls, name)(self, *args, **kwargs)

        return hook

    return type(
        "Traced", (cls,), {"calls": calls} | {name: noted(name) for name in hooks}
    )


SQUARES = 12
# what each square asks for: left, straight, right
ROAD = np.random.default_rng(3).integers(0, 3, SQUARES)
PARK = 3


class Lane(gym.Env):
    """A road of squares: correct steering leads on, parking ends the race."""

    observation_space = spaces.Box(0, 1, (SQUARES,), np.float32)
    action_space = spaces.Discrete(4)
    square = 0

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """
        :param kwargs: handed on
        :return: the first square, and nothing more
        """
        super().reset(**kwargs)
        self.square = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """
        :param action: left, straight, right or park
        :return: as Gymnasium's
        """
        if action == PARK:
            return self._observation(), 1.0, True, False, {}
        if action != ROAD[self.square]:
            return self._observation(), 0.0, True, False, {}
        self.square += 1
        return self._observation(), 1.0, self.square == SQUARES, False, {}

    def _observation(self) -> np.ndarray:
        return np.eye(SQUARES, dtype=np.float32)[min(self.square, SQUARES - 1)]


LANE = {
    "learning_rate": 0.05,
    "buffer_size": 10_000,
    "learning_starts": 64,
    "batch_size": 128,
    "gamma": 0.97,
    "train_freq": 1,
    "target_update_interval": 160,  # agent steps
    "exploration_fraction": 0.6,
    "exploration_final_eps": 0.05,
    "policy_kwargs": {"net_arch": []},  # one linear layer: nearly a Q-table
    "stats_window_size": 100_000,  # episodes: all of them
}


def train_lane(seed: int, agent_steps: int, **changes: Any) -> tuple[np.ndarray, float]:
    """
    :param seed: of the training run
    :param agent_steps: budget
    :param changes: to ``LANE``
    :return: (about 20, 2) agent steps, greedy score; mean score of its own races
    """
    env = make_vec_env(Lane, 16, seed=seed)
    agent = CarDQN("MlpPolicy", env, seed=seed, **(LANE | changes))
    judge = Monitor(Lane())
    curve = learn_and_look(
        agent, agent_steps, lambda: evaluate_policy(agent, judge, 1)[0]
    )
    return curve, float(np.mean([race["r"] for race in agent.ep_info_buffer]))


class _QGrowth(BaseCallback):
    """Notes what ``train()`` logs as ``train/q_value``."""

    def __init__(self) -> None:
        super().__init__()
        self.curve: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        logged = self.logger.name_to_value
        if self.n_calls % 50 == 0 and "train/q_value" in logged:
            self.curve.append((self.num_timesteps, logged["train/q_value"]))
        return True


def q_growth(seed: int, agent_steps: int, **changes: Any) -> tuple[np.ndarray, float]:
    """
    :param seed: of the training run
    :param agent_steps: budget
    :param changes: to ``CART_POLE``
    :return: (n, 2) agent steps, mean Q of a batch; mean length of the last 20 episodes
    """
    settings = CART_POLE | {"stats_window_size": 20} | changes
    growth = _QGrowth()
    agent = CarDQN("MlpPolicy", "CartPole-v1", seed=seed, **settings)
    agent.learn(agent_steps, callback=growth, log_interval=10**9)
    length = float(np.mean([episode["l"] for episode in agent.ep_info_buffer]))
    return np.array(growth.curve), length


def learn_and_log(agent: CarDQN, agent_steps: int) -> pd.DataFrame:
    """
    :param agent: will be trained
    :param agent_steps: budget
    :return: what it logs: a row per dump, a column per metric
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        agent.set_logger(configure(folder, ["csv"]))
        agent.learn(agent_steps, log_interval=1)
        agent.dump_logs()  # what was recorded since the last episode
        agent.logger.close()
        return pd.read_csv(Path(folder) / "progress.csv")
